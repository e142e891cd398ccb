"""The measurer that a config means: its options, its PSF's fingerprint, and what is wrong with it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.measurer import Measurer
from catalogs import path_template, storage
from catalogs.errors import Fault
from catalogs.psf import BadPSF, read_psf
from catalogs.psf_source import PSFSource
from catalogs.psfex import PSFExModel
from pipeline.plan.encoding import HOLES, has_photons

if TYPE_CHECKING:
    import pyarrow as pa

    from catalogs._types import Floats
    from catalogs.release import Release
    from pipeline.config.file import Config

__all__ = ["measured_band", "measured_columns", "measurer_options", "psf_fingerprint", "psf_source"]


NARROWEST = 0.01
"""FWHM in pixels: what is narrower is a slip of units."""
FWHM = "Give it in arcsec (in pixels where pixel_scale is unknown), and check pixel_scale"


def measured_band(config: Config) -> str:
    """The band that is measured: as the config says, else the middle one."""
    bands = config.survey.images.bands
    return config.measure.band or bands[len(bands) // 2]


def measured_columns(config: Config, release: Release) -> pa.Schema:
    """The columns that measuring adds to a release's objects."""
    settings = config.measure
    return Measurer.columns(
        settings.quantities, release.pixel_scale, settings.zeropoint, settings.errors
    ).schema


def psf_source(config: Config, folder: str) -> PSFSource | None:
    """Where PSFs come from that vary from object to object; None where one PSF serves all, or nothing is measured."""
    settings, band = config.measure, measured_band(config)
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
    settings, layout, band = config.measure, config.survey.images, measured_band(config)
    if not settings.quantities:
        return None, []
    if band not in layout.bands:
        remedy = f"Choose one of {', '.join(layout.bands)}"
        return None, [
            Fault(source, "is no band of the release", remedy, value=repr(band), key="measure.band")
        ]
    psf, faults = None, _taken(config, release)
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
    options = {
        "bands": len(layout.bands),
        "size": layout.size,
        "band": layout.bands.index(band),
        "quantities": settings.quantities,
        "pixel_scale": release.pixel_scale,
        "psf": psf,
        "fwhm": fwhm,
        "psf_column": None if release.psf is None else release.psf.name,
        "gain": settings.gain,
        "zeropoint": settings.zeropoint,
        "holes": HOLES,
        "photons": has_photons(config),
        "errors": settings.errors,
        "threads": config.encode.threads,
    }
    return options, faults


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
    psf = None if options is None else options["psf"]
    if source is not None and source.path is not None:
        if source.columns:
            return source.path
        model = read_psf(str(source.url({})))
        return model.digest if isinstance(model, PSFExModel) else ""
    return "" if psf is None else hashlib.sha256(psf.tobytes()).hexdigest()


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
    if settings.quantities and len(config.survey.images.bands) > 1 and settings.band is None:
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
