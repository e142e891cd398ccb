"""The modalities that a config gives a network: the catalog columns that they are in, and which part of what the network knows they are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from catalogs.modalities import ModalitySource, ScalarColumns, VectorColumns
from kernels import autoregressive_model
from kernels.nets.weights import WeightsError
from kernels.networks import network_of

if TYPE_CHECKING:
    from kernels.modalities import Modalities
    from pipeline.config.file import Config
    from pipeline.config.modalities import ScalarGroup, VectorModality

__all__ = ["bands_given", "chosen", "known_to", "source_of", "takes_modalities"]


def takes_modalities(config: Config) -> bool:
    """Whether the config's encoder takes more than stamps."""
    return network_of(config.encode.model).described


def known_to(config: Config, options: dict[str, Any]) -> Modalities | None:
    """What the weights of an encoder with these options were trained with; None where it takes only stamps, or `look_at_encoder` says what is wrong with them."""
    if not takes_modalities(config) or options["checkpoint"] is None:
        return None
    try:
        return autoregressive_model.describe(options["checkpoint"]).modalities
    except (WeightsError, OSError):
        return None


def source_of(config: Config, network: Modalities | None = None) -> ModalitySource | None:
    """Where the catalog has what the config names, for `catalogs.inspect.inspect`; None where there is nothing but stamps.

    Parameters
    ----------
    config : Config
    network : Modalities, optional
        All that a trained network knows: rows are in its order, as those of `chosen` are, and scalars that the config does not name are missing. Without one, as
        in training, all is in the config's order.
    """
    groups = {each.name: each for each in config.modalities.scalars}
    spectra = {each.name: each for each in config.modalities.vectors}
    if network is None:
        scalars = [_scalars(each, tuple(each.sources)) for each in groups.values()]
        vectors = [_vector(each) for each in spectra.values()]
    else:
        scalars = [
            _scalars(groups[each.name], each.columns) for each in network.scalars if each.name in groups
        ]
        vectors = [
            _vector(spectra[each.name], each.length) for each in network.vectors if each.name in spectra
        ]
    return ModalitySource(tuple(scalars), tuple(vectors)) if scalars or vectors else None


def chosen(network: Modalities, config: Config) -> Modalities:
    """Those of a network's modalities that the config gives: bands in the order of its stamps, all else in the network's."""
    groups = {each.name for each in config.modalities.scalars}
    spectra = {each.name for each in config.modalities.vectors}
    stamps, brightness = network.stamps, network.stamps.brightness
    places = [stamps.bands.index(band) for band in bands_given(config) if band in stamps.bands]
    brightness = replace(
        brightness,
        softening=tuple(brightness.softening[i] for i in places),
        mean=tuple(brightness.mean[i] for i in places),
        std=tuple(brightness.std[i] for i in places),
    )
    bands = tuple(stamps.bands[i] for i in places)
    return replace(
        network,
        stamps=replace(stamps, bands=bands, brightness=brightness),
        scalars=tuple(each for each in network.scalars if each.name in groups),
        vectors=tuple(each for each in network.vectors if each.name in spectra),
    )


def bands_given(config: Config) -> list[str]:
    """The bands of the stamps that the network is given, in their order."""
    only = config.modalities.bands
    return [band for band in config.survey.images.bands if only is None or band in only]


def _scalars(group: ScalarGroup, names: tuple[str, ...]) -> ScalarColumns:
    columns = tuple(group.sources.get(name) for name in names)
    errors = tuple(None if column is None else group.error_of(column) for column in columns)
    return ScalarColumns(group.name, columns, errors, group.missing)


def _vector(vector: VectorModality, length: int = 0) -> VectorColumns:
    waves = vector.wavelengths if isinstance(vector.wavelengths, str) else tuple(vector.wavelengths)
    return VectorColumns(vector.name, vector.column, vector.ivar, waves, vector.spacing, length)
