"""What of a config's modalities its network cannot be given, and what a user should know of those that it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np

from catalogs.errors import Fault
from catalogs.inspect_modalities import unit_of
from catalogs.modalities import same_grid
from catalogs.silence import silenced
from kernels.networks import encoders, network_of
from pipeline.plan.modalities import bands_given, chosen, takes_modalities

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from catalogs.modalities import VectorColumns
    from catalogs.release import Release
    from kernels.modalities import Modalities, Stamps, Vector
    from pipeline.config.file import Config

__all__ = ["faults", "notes"]


def faults(config: Config, source: str, release: Release | None, network: Modalities | None) -> list[Fault]:
    """What of `[modalities]` the network cannot be given.

    Parameters
    ----------
    config : Config
    source : str
        Path of the config file.
    release : Release, optional
        None where it is refused already.
    network : Modalities, optional
        None where the encoder takes only stamps, or is refused already.
    """
    settings, bands = config.modalities, config.survey.images.bands
    if not takes_modalities(config):
        if not settings.given and settings.bands is None:
            return []
        able = ", ".join(name for name in encoders() if network_of(name).described)
        remedy = f"Leave [modalities] out, or set [encode] model to one of {able}"
        return [Fault(source, f"{config.encode.model} looks at stamps only", remedy, key="modalities")]
    remedy = f"Choose of {', '.join(bands)}"
    found = [
        Fault(source, "is no band of the release", remedy, value=repr(band), key="modalities.bands")
        for band in settings.bands or ()
        if band not in bands
    ]
    if network is None:
        return found
    found += [*_band_faults(config, source, network.stamps), *_name_faults(config, source, network)]
    if release is not None:
        found += [*_vector_faults(release, network), *_unit_faults(config, release, network)]
    return found


def notes(config: Config, release: Release, network: Modalities | None) -> list[str]:
    """Notes for the user on what the network is not told, and on units that nobody can compare."""
    if network is None:
        return []
    given = chosen(network, config)
    without = [name for name in network.names if name not in given.names]
    groups = {each.name: each.sources for each in config.modalities.scalars}
    for each in given.scalars:
        without += [f"{column} of {each.name}" for column in each.columns if column not in groups[each.name]]
    without += [f"band {band}" for band in network.stamps.bands if band not in given.stamps.bands]
    found = [f"Encoded without {', '.join(without)}: the network was trained with more."] if without else []
    here, there = release.pixel_scale, network.stamps.pixel_scale
    if here is not None and there is not None and not np.isclose(here, there, rtol=0.01):
        found.append(f"Stamps have {here:.4g} arcsec a pixel, the network was trained with {there:.4g}.")
    for name, column, theirs in _compared(config, network):
        ours = unit_of(release.columns, column)
        if ours != theirs and (_unit(ours) is None or _unit(theirs) is None):
            found.append(
                f"Column {column!r} ({name}) has {_named(ours)}, the network's {_named(theirs)}: they are taken to be the same."
            )
    return found


def _band_faults(config: Config, source: str, stamps: Stamps) -> list[Fault]:
    known = ", ".join(stamps.bands)
    key = "survey.images.bands" if config.modalities.bands is None else "modalities.bands"
    remedy = f"It knows {known}: choose of them with [modalities] bands"
    return [
        Fault(source, "is no band of the network", remedy, value=repr(band), key=key)
        for band in bands_given(config)
        if band not in stamps.bands
    ]


def _name_faults(config: Config, source: str, network: Modalities) -> list[Fault]:
    """Modalities, and scalars of them, that the network does not have."""
    known = {each.name: each.columns for each in network.scalars}
    found = [
        *_unknown(source, "scalars", [each.name for each in config.modalities.scalars], list(known)),
        *_unknown(
            source,
            "vectors",
            [each.name for each in config.modalities.vectors],
            [each.name for each in network.vectors],
        ),
    ]
    for group in config.modalities.scalars:
        for name, column in group.sources.items():
            columns = known.get(group.name, (name,))
            if name not in columns:
                problem = f"is no scalar of the network's {group.name!r}, which has {', '.join(columns)}"
                remedy = f'Leave it out, or say which it is: columns = {{{columns[0]} = "{column}"}}'
                key = "modalities.scalars"
                found.append(Fault(source, problem, remedy, value=repr(name), key=key))
    return found


def _unknown(source: str, kind: str, named: Sequence[str], known: Sequence[str]) -> list[Fault]:
    remedy = f"Name one of {', '.join(known)}, or leave it out" if known else "Leave it out"
    problem = f"the network was trained with no such {kind}"
    return [
        Fault(source, problem, remedy, value=repr(name), key=f"modalities.{kind}")
        for name in named
        if name not in known
    ]


def _vector_faults(release: Release, network: Modalities) -> list[Fault]:
    """Vectors of another length or on other wavelengths than the network's."""
    known = {each.name: each for each in network.vectors}
    here = release.modalities.vectors if release.modalities is not None else ()
    url = release.shards[0].table.url
    return [
        Fault(url, problem, "Resample the vectors as the network was trained, or leave them out", each.column)
        for each in here
        if (problem := _difference(each, known[each.name])) is not None
    ]


def _difference(ours: VectorColumns, theirs: Vector) -> str | None:
    if ours.length != theirs.length:
        return f"has {ours.length:,} values, but the network's {ours.name!r} has {theirs.length:,}"
    waves = theirs.wavelengths
    if same_grid(np.array([ours.grid]), np.array(waves))[0]:
        return None
    of = f"{ours.grid[0]:g} to {ours.grid[-1]:g} nm, but the network's {ours.name!r} of {waves[0]:g} to {waves[-1]:g} nm"
    ends = np.allclose([ours.grid[0], ours.grid[-1]], [waves[0], waves[-1]], rtol=1e-4)
    return f"has wavelengths of {of}" + (", in other steps" if ends else "")


def _unit_faults(config: Config, release: Release, network: Modalities) -> list[Fault]:
    """Columns in another unit than that in which the network knows them."""
    found = []
    for name, column, theirs in _compared(config, network):
        if column not in release.columns.names:
            continue
        ours = unit_of(release.columns, column)
        here, there = _unit(ours), _unit(theirs)
        if here is None or there is None or here == there:
            continue
        url = release.shards[0].table.url
        problem = f"the network knows {name} in {theirs!r}"
        remedy = "Convert the column, or name another one"
        found.append(Fault(url, problem, remedy, column, f"unit {ours!r}"))
    return found


def _compared(config: Config, network: Modalities) -> Iterator[tuple[str, str, str]]:
    """Name, column and the network's unit of everything that both the config and the network have."""
    groups = {each.name: each for each in config.modalities.scalars}
    for scalars in network.scalars:
        for name, unit in zip(scalars.columns, scalars.units, strict=True):
            if scalars.name in groups and name in groups[scalars.name].sources:
                yield name, groups[scalars.name].sources[name], unit
    vectors = {each.name: each for each in config.modalities.vectors}
    for vector in network.vectors:
        if vector.name in vectors:
            yield vector.name, vectors[vector.name].column, vector.unit


def _unit(text: str) -> u.UnitBase | None:
    """A unit that can be compared; None where it is not given, or unknown."""
    if not text:
        return None
    try:
        with silenced():
            return u.Unit(text)
    except (ValueError, TypeError):
        return None


def _named(unit: str) -> str:
    return f"the unit {unit!r}" if unit else "no unit"
