"""Look at every PSF that a release needs before any work starts, where PSFs vary from object to object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from catalogs import path_template, storage
from catalogs.errors import Fault, Refused, listed
from catalogs.positions import numbers
from catalogs.psf import BadPSF, read_psf
from catalogs.psf_source import CORRECT, NARROWEST, WIDEST, square, variable_fault

if TYPE_CHECKING:
    from catalogs.psf_source import PSFSource
    from catalogs.release import Release
    from catalogs.survey import Survey

__all__ = ["column_faults", "look_at_psfs", "psf_urls"]

OPENED = 4096
"""Files that are opened; of the others it is seen that they are there."""
USUAL = 64**2
"""Pixels of a PSF, where none was looked at."""
WIDTH = (
    "Give the column of the PSF's FWHM, in arcsec, pixels or degrees as its unit says, and check pixel_scale"
)


def column_faults(survey: Survey, psf: PSFSource | None, url: str, schema: pa.Schema) -> list[Fault]:
    """Columns that are there, but cannot be what `[measure]` says they are."""
    if psf is None:
        return []
    if psf.fwhm is None:
        return [
            Fault(url, problem, f"Correct [measure] psf: {path_template.EXAMPLE}", p.name)
            for p in path_template.placeholders(str(psf.path))
            if p.name != path_template.BAND and (problem := p.takes(schema.field(p.name).type)) is not None
        ]
    field = schema.field(psf.fwhm)
    if not (pa.types.is_floating(field.type) or pa.types.is_integer(field.type)):
        return [
            Fault(
                url,
                f"must be a number for [measure] fwhm, not {field.type}",
                "Choose another column",
                psf.fwhm,
            )
        ]
    problem = psf.unit_fault(field, survey.images.pixel_scale != "unknown")
    if problem is None:
        return []
    unit = (field.metadata or {}).get(b"unit", b"").decode()
    return [Fault(url, f"{problem}, as [measure] fwhm needs", WIDTH, psf.fwhm, f"unit {unit!r}")]


def psf_urls(release: Release, psfs: pa.Table | None) -> list[str]:
    """Every PSF file that the release needs; none where that is not known or there are none."""
    return sorted({url for url, _ in _named(release, psfs) if isinstance(url, str)})


def look_at_psfs(release: Release, psfs: pa.Table | None) -> tuple[int, list[str]]:
    """Check the PSFs of all objects.

    Parameters
    ----------
    release : Release
        With its pixel scale.
    psfs : pa.Table or None
        Distinct values of the source's columns with their `count_all`; None when there are none, or the rows were not looked at.

    Returns
    -------
    values : int
        Pixels of the largest PSF; 0 where they have no pixels.
    notes : list of str
        How many objects have none.

    Raises
    ------
    Refused
        With every file that is missing or no PSF.
    """
    source = release.psf
    if source is None:
        return 0, []
    if source.fwhm is not None:
        return 0, _width_notes(release, source, psfs)
    named = _named(release, psfs)
    faults = [problem for problem, _ in named if isinstance(problem, Fault)]
    urls = psf_urls(release, psfs)
    opened = urls if len(urls) <= OPENED else urls[:: -(-len(urls) // OPENED)]
    found = storage.parallel(lambda url: _values_or_fault(release, url), opened)
    faults += [fault for fault in found if isinstance(fault, Fault)]
    unopened = sorted(set(urls) - set(opened))
    there = storage.parallel(storage.exists, unopened)
    faults += [_missing(url) for url, is_there in zip(unopened, there, strict=True) if not is_there]
    if faults:
        raise Refused(listed(sorted(set(faults), key=str), "PSFs"))
    without = sum(count for url, count in named if url is None)
    notes = _notes(without, ", ".join(source.columns), "no value that names its PSF") if without else []
    if named and without == sum(count for _, count in named):
        raise Refused(
            [
                Fault(
                    release.shards[0].table.url,
                    "no object has a value that names its PSF",
                    CORRECT,
                    ", ".join(source.columns),
                )
            ]
        )
    return max((size for size in found if isinstance(size, int)), default=USUAL), notes


def _named(release: Release, psfs: pa.Table | None) -> list[tuple[str | Fault | None, int]]:
    """The file of each distinct row of values, or what is wrong with them, and how many objects have them."""
    source = release.psf
    if source is None or source.fwhm is not None:
        return []
    if not source.columns:
        return [(source.url({}), release.rows)]
    named = list[tuple[str | Fault | None, int]]()
    for row in psfs.to_pylist() if psfs is not None else []:
        count = row.pop("count_all")
        try:
            named.append((source.url(row), count))
        except path_template.BadTemplate as error:
            named.append((Fault("[measure] psf", str(error), CORRECT), count))
    return named


def _missing(url: str) -> Fault:
    return Fault(url, "this PSF is missing", "Fetch it, or leave its objects out with [survey] where")


def _values_or_fault(release: Release, url: str) -> int | Fault:
    """Pixels of the PSFs of a file, or what is wrong with it."""
    try:
        psf = read_psf(url)
        side = square(psf)
    except BadPSF as error:
        if str(error) == "is missing":
            return _missing(url)
        return Fault(url, f"this PSF {error}", "Give a FITS image of the PSF, or a PSFEx model")
    schema = release.shards[0].table.empty.schema
    problem = variable_fault(psf, schema, release.survey.images.layout)
    if problem is not None:
        name, why = problem
        told = f"{why}, but the PSFEx model {url} varies with it (POLNAME)"
        return Fault(
            release.shards[0].table.url,
            told,
            "Give a model of X_IMAGE and Y_IMAGE, or a catalog with that column",
            name,
        )
    return side**2


def _width_notes(release: Release, source: PSFSource, psfs: pa.Table | None) -> list[str]:
    if psfs is None:
        return []
    column, size = str(source.fwhm), release.survey.images.size
    widths = source.widths(release.columns.field(column), numbers(psfs[column]), release.pixel_scale)
    counts, usable = numbers(psfs["count_all"]), source.usable(widths, size)
    if not usable.any():
        given = numbers(psfs[column])
        seen = given[np.isfinite(given)]
        value = f"{seen.min():.6g} to {seen.max():.6g}" if len(seen) else "null"
        problem = f"no object has a FWHM of {NARROWEST:g} to {min(WIDEST, size):g} pixels here"
        raise Refused([Fault(release.shards[0].table.url, problem, WIDTH, column, value)])
    without = int(counts[~usable].sum())
    if not without:
        return []
    return _notes(without, column, f"no FWHM of {NARROWEST:g} to {min(WIDEST, size):g} pixels")


def _notes(without: int, column: str, what: str) -> list[str]:
    return [f"{without:,} objects have {what} (column {column}): no Sérsic fit, flag no_psf."]
