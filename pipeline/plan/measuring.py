"""The measurer that a config means: its options, its PSF's fingerprint, and what is wrong with it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from actors.bands import band_fields, measured_fields
from catalogs import path_template, storage
from catalogs.errors import Fault
from catalogs.psf import BadPSF, read_psf
from catalogs.psf_source import PSFSource
from catalogs.psfex import PSFExModel
from pipeline.plan.encoding import HOLES, has_photons

if TYPE_CHECKING:
    from catalogs._types import Floats
    from catalogs.release import Release
    from pipeline.config.file import Config

__all__ = [
    "measured_band",
    "measured_bands",
    "measured_columns",
    "measurer_options",
    "psf_fingerprint",
    "psf_source",
]


NARROWEST = 0.01
"""FWHM in pixels: what is narrower is a slip of units."""
FWHM = "Give it in arcsec (in pixels where pixel_scale is unknown), and check pixel_scale"


def measured_band(config: Config) -> str:
    """The band that is measured: as the config says, else the middle one."""
    return measured_bands(config)[0]


def measured_bands(config: Config) -> list[str]:
    """The bands that are measured, the one of the columns without a band in their name first."""
    bands = config.survey.images.bands
    return config.measure.bands or [config.measure.band or bands[len(bands) // 2]]


def measured_columns(config: Config, release: Release) -> pa.Schema:
    """The columns that measuring adds to a release's objects."""
    settings = config.measure
    bands = {band: settings.magnitude_zero(band) for band in measured_bands(config)}
    zeropoint = bands[measured_band(config)]
    if not settings.quantities:
        return pa.schema([])
    fields = measured_fields(settings.quantities, release.pixel_scale, zeropoint, settings.errors)
    if len(bands) > 1:
        fields += band_fields(bands, settings.quantities, release.pixel_scale, settings.errors)
    return pa.schema(fields)


def psf_source(config: Config, folder: str) -> PSFSource | None:
    """Where PSFs come from that vary from object to object; None where one PSF serves all, or nothing is measured."""
    band = measured_band(config)
    settings = config.measure.of(band)
    if not settings.quantities or band not in config.survey.images.bands:
        return None
    if isinstance(settings.fwhm, str):
        return PSFSource(band, folder, fwhm=settings.fwhm)
    if settings.psf is None:
        return None
    source = PSFSource(band, folder, path=settings.psf)
    if source.columns:
        return source
    try:
        psf = read_psf(str(source.url({})))
    except (BadPSF, path_template.BadTemplate):
        return None  # and `measurer_options` says why
    return source if isinstance(psf, PSFExModel) and not psf.constant else None


def measurer_options(
    config: Config, folder: str, source: str, release: Release
) -> tuple[dict[str, Any] | None, list[Fault]]:
    """Options of `actors.measurer.Measurer`, None where nothing is measured; and what is wrong with them."""
    settings, layout, bands = config.measure, config.survey.images, measured_bands(config)
    if not settings.quantities:
        return None, []
    remedy = f"Choose one of {', '.join(layout.bands)}"
    key = "measure.band" if settings.bands is None else "measure.bands"
    unknown = [band for band in bands if band not in layout.bands]
    if unknown:
        problem = "is no band of the release"
        return None, [Fault(source, problem, remedy, value=repr(band), key=key) for band in unknown]
    faults = _taken(config, release)
    if len(bands) > 1:
        faults += _of_one_band(config, source, release)
    options, *others = (_of_band(config, band, folder, source, release, faults) for band in bands)
    return {
        "bands": len(layout.bands),
        "size": layout.size,
        "quantities": settings.quantities,
        "pixel_scale": release.pixel_scale,
        **options,
        "psf_column": None if release.psf is None else release.psf.name,
        "holes": HOLES,
        "photons": has_photons(config),
        "errors": settings.errors,
        "name": bands[0],
        "others": [{"name": band, **other} for band, other in zip(bands[1:], others, strict=True)],
        "threads": config.encode.threads,
    }, faults


def _of_band(
    config: Config, band: str, folder: str, source: str, release: Release, faults: list[Fault]
) -> dict[str, Any]:
    """What the measurer must know of one band; what is wrong is added to `faults`."""
    settings, layout = config.measure.of(band), config.survey.images
    psf = None
    if settings.psf is not None and release.psf is None and not path_template.columns_of(settings.psf):
        try:
            psf = _one_psf(storage.absolute(path_template.filled(settings.psf, {}, band), folder))
        except (BadPSF, path_template.BadTemplate) as error:
            remedy = "Give a FITS image of the PSF, a PSFEx model, or its fwhm instead"
            faults.append(Fault(source, str(error), remedy, value=repr(settings.psf), key="measure.psf"))
    fwhm = settings.fwhm / (release.pixel_scale or 1.0) if isinstance(settings.fwhm, int | float) else None
    if fwhm is not None and not NARROWEST <= fwhm <= layout.size:
        problem = f"a PSF of {fwhm:.3g} pixels is no PSF of stamps of {layout.size}"
        faults.append(Fault(source, problem, FWHM, value=str(settings.fwhm), key="measure.fwhm"))
    if settings.gain is not None and has_photons(config):
        problem = "counts the objects' photon noise twice: [survey.images.weight] photons = true says that the maps hold it"
        remedy = "Leave one of them out"
        faults.append(Fault(source, problem, remedy, value=str(settings.gain), key="measure.gain"))
    return {
        "band": layout.bands.index(band),
        "psf": psf,
        "fwhm": fwhm,
        "gain": settings.gain,
        "zeropoint": settings.zeropoint,
    }


def _of_one_band(config: Config, source: str, release: Release) -> list[Fault]:
    """PSFs that cannot be those of several bands."""
    settings = config.measure
    if release.psf is not None:
        problem = "PSFs that vary from object to object are those of one band"
        key = "measure.psf" if settings.fwhm is None else "measure.fwhm"
        remedy = "Measure one band ([measure] band), or give each band a PSF of its own"
        return [Fault(source, problem, remedy, value=repr(settings.psf or settings.fwhm), key=key)]
    if settings.psf is not None and "{band}" not in settings.psf:
        problem, remedy = "is one PSF for several bands", 'Name one for each: psf = "psf/{band}.fits"'
        return [Fault(source, problem, remedy, value=repr(settings.psf), key="measure.psf")]
    return []


def _one_psf(url: str) -> Floats:
    """The PSF that serves all objects.

    Raises
    ------
    BadPSF
        With the URL in its message.
    """
    try:
        psf = read_psf(url)
    except BadPSF as error:
        raise BadPSF(f"{url} {error}") from error
    if not isinstance(psf, PSFExModel):
        return psf
    image = psf.at([np.full(1, zero) for zero in psf.zero], 1)[0]
    if not np.isfinite(image).all():
        raise BadPSF(f"{url} has no light")
    return image


def psf_fingerprint(options: dict[str, Any] | None, source: PSFSource | None = None) -> str:
    """SHA-256, in hex, of the PSF's pixels, or of the one model of all PSFs; empty where there are none. Of a template, as of the images', the template."""
    psfs = [] if options is None else [each["psf"] for each in (options, *options["others"])]
    if source is not None and source.path is not None:
        if source.columns:
            return source.path
        model = read_psf(str(source.url({})))
        return model.digest if isinstance(model, PSFExModel) else ""
    return "-".join("" if psf is None else hashlib.sha256(psf.tobytes()).hexdigest() for psf in psfs)


def notes(config: Config) -> list[str]:
    """Notes for the user on what is measured."""
    settings, notes = config.measure, []
    if "sersic" in settings.quantities and settings.psf is None and settings.fwhm is None:
        notes.append("No PSF: Sersic fits are of the blurred galaxies. Give [measure] psf or fwhm.")
    if "sersic" in settings.quantities and settings.gain is None and not has_photons(config):
        notes.append(
            "No gain: the photons' own noise is not known, so Sersic fits weigh bright pixels too much; where it was tried (docs/measurement.md), "
            "sersic_r_e came out up to 22 % and sersic_n up to 26 % too large. Give [measure] gain, in electrons per image unit."
        )
    one = settings.band is None and settings.bands is None
    if settings.quantities and len(config.survey.images.bands) > 1 and one:
        notes.append(f"Measured in band {measured_band(config)}. Another one: [measure] band.")
    return notes


def _taken(config: Config, release: Release) -> list[Fault]:
    """Kept columns that are called like measured ones."""
    measured = {name.lower() for name in measured_columns(config, release).names}
    return [
        Fault(
            release.shards[0].table.url,
            f"the catalog that comes out has a measured column {name.lower()!r} of its own",
            f'Rename it: keep = ["{column} as survey_{name}"], or measure less ([measure] quantities)',
            column,
        )
        for name, column in release.kept.items()
        if name.lower() in measured
    ]
