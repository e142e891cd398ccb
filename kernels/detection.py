"""Sources of an image, by `sep` (Barbary 2016, JOSS 1, 58): SExtractor's background, detection, deblending and photometry (Bertin & Arnouts 1996, A&AS 117, 393)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import sep

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Bools = NDArray[np.bool_]
    Noise = float | Floats

__all__ = ["BandSum", "Found", "NoNoise", "Settings", "TooCrowded", "flatten", "photometry", "sources"]

KRON_WITHIN = 6.0
"""Isophotal radii within which the Kron radius is measured, as in SExtractor."""
KRON_FACTOR, KRON_LEAST = 2.5, 3.5
"""SExtractor's PHOT_AUTOPARAMS."""
PIXELS, PIXELS_MOST = 1_000_000, 1 << 28
"""Pixels above the threshold that `sep` holds at once, and how far that grows."""
PARTS, PARTS_MOST = 1024, 1 << 16
"""Sub-objects of one blend, likewise."""
BIASED = 0.1
"""Share of an aperture with bad pixels or neighbours from which its flux is flagged as biased."""
# sep's bits and SExtractor's
EXTRACTED = {sep.OBJ_MERGED: 2, sep.OBJ_TRUNC: 8, sep.OBJ_DOVERFLOW: 64}
NEIGHBOUR, SATURATED, INCOMPLETE = 1, 4, 16


class NoNoise(ValueError):
    """The background of an image has no scatter: nothing can be above it by some sigmas."""


class TooCrowded(ValueError):
    """`sep` has no room for so many pixels above the threshold, or so many parts of one blend."""


@dataclass(frozen=True)
class Settings:
    """How sources are found; SExtractor's names are in brackets."""

    threshold: float
    """Sigmas above the background (DETECT_THRESH)."""
    min_area: int
    """Pixels above the threshold that a source has at least (DETECT_MINAREA)."""
    mesh: int
    """Side of the background's cells, pixels (BACK_SIZE)."""
    mesh_filter: int
    """Cells a side of the median filter over them (BACK_FILTERSIZE)."""
    kernel: tuple[tuple[float, ...], ...] | None
    """That the image is convolved with before the threshold is applied (FILTER_NAME)."""
    deblend_levels: int
    """Thresholds between a source's peak and the threshold (DEBLEND_NTHRESH)."""
    deblend_contrast: float
    """Share of a blend's light that a part of its own has at least (DEBLEND_MINCONT)."""
    clean: float | None
    """Efficiency of cleaning (CLEAN_PARAM); None does not clean."""


@dataclass(frozen=True)
class Found:
    """Sources in the order of their last pixel, as `sep` lists them, and whose each pixel is."""

    objects: NDArray[Any]
    """(n,) structured, see `sep.extract`."""
    segments: NDArray[np.int32]
    """(y, x): 0, or one more than the source's place in `objects`."""


def flatten(image: Floats, bad: Bools | None, settings: Settings, *, subtract: bool = True) -> float:
    """Take the background off an image, in place.

    Parameters
    ----------
    image : (y, x) float32
        Native byte order, contiguous, finite.
    bad : (y, x) bool, optional
        Pixels that say nothing of the background.
    settings : Settings
    subtract : bool
        False leaves the image as it is.

    Returns
    -------
    rms : float
        Median noise of the background's cells, in the image's unit.

    Raises
    ------
    NoNoise
        If that is zero, or no pixel is good.
    """
    if bad is not None and bad.all():
        raise NoNoise("no pixel of it has data")
    side, wide = settings.mesh, settings.mesh_filter
    back = sep.Background(image, mask=bad, bw=side, bh=side, fw=wide, fh=wide)
    # sep says 1 where there is none
    if not (np.isfinite(back.globalrms) and back.globalrms > 0) or (
        back.globalrms == 1 and np.ptp(image) == 0
    ):
        raise NoNoise("its background has no scatter, so nothing can be told from noise")
    if subtract:
        back.subfrom(image)
    return float(back.globalrms)


class BandSum:
    """The sum of several bands, each weighted by its inverse variance: sum(I / s^2) / sqrt(sum(1 / s^2)) over the bands that are good in a pixel.

    It is in units of its own noise. Bands are added one by one, so that no two need be in memory.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._light, self._weight = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self._unit = np.float32(0)

    def add(self, image: Floats, noise: Noise, bad: Bools | None) -> None:
        """Add a band.

        Parameters
        ----------
        image : (y, x) float32
            Background-subtracted.
        noise : float or (y, x) float32
            One standard deviation.
        bad : (y, x) bool, optional
            Not everywhere.
        """
        # in units of the first band's noise: fluxes in physical units have squares that float32 cannot hold
        good = noise if bad is None or np.ndim(noise) == 0 else np.asarray(noise)[~bad]
        self._unit = self._unit or np.float32(np.median(good))
        with np.errstate(over="ignore"):  # of bad pixels' noise
            each = np.float32(1) / np.square(np.asarray(noise, np.float32) / self._unit)
        each = np.broadcast_to(each, image.shape) if bad is None else np.where(bad, np.float32(0), each)
        self._light += each * (image / self._unit)
        self._weight += each

    def result(self) -> tuple[Floats, Bools | None]:
        """The sum, (y, x) float32, and where no band is good, (y, x) bool; None where that is nowhere."""
        nowhere = self._weight <= 0
        image = (self._light / np.sqrt(np.where(nowhere, np.float32(1), self._weight))).astype(np.float32)
        return image, nowhere if nowhere.any() else None


def sources(image: Floats, noise: Noise, bad: Bools | None, settings: Settings) -> Found:
    """Sources of a background-subtracted image.

    Parameters
    ----------
    image : (y, x) float32
    noise : float or (y, x) float32
        One standard deviation; finite and positive in good pixels.
    bad : (y, x) bool, optional
        Pixels that are in no source.
    settings : Settings

    Raises
    ------
    TooCrowded
        If `sep` cannot hold what is above the threshold.
    """
    kernel = None if settings.kernel is None else np.array(settings.kernel, np.float32)
    pixels, parts = PIXELS, PARTS
    while True:
        sep.set_extract_pixstack(pixels)
        sep.set_sub_object_limit(parts)
        try:
            objects, segments = sep.extract(
                image,
                settings.threshold,
                err=noise,
                mask=bad,
                minarea=settings.min_area,
                filter_kernel=kernel,
                filter_type="conv",
                deblend_nthresh=settings.deblend_levels,
                deblend_cont=settings.deblend_contrast,
                clean=settings.clean is not None,
                clean_param=settings.clean or 1.0,
                segmentation_map=True,
            )
        except Exception as error:  # sep raises plain Exceptions
            told = str(error)
            if "pixel buffer" in told and pixels < PIXELS_MOST:
                pixels *= 8
            elif "deblending overflow" in told and parts < PARTS_MOST:
                parts *= 8
            else:
                raise TooCrowded(told.splitlines()[0] if told else type(error).__name__) from error
        else:
            return Found(objects, segments)


def photometry(
    found: Found,
    image: Floats,
    noise: Noise,
    bad: Bools | None,
    *,
    detection: Floats | None = None,
    gain: float | None = None,
    saturated: NDArray[Any] | None = None,
) -> dict[str, NDArray[Any]]:
    """What SExtractor measures of sources, under its names; positions in FITS convention (the first pixel's centre is 1).

    Parameters
    ----------
    found : Found
    image : (y, x) float32
        Background-subtracted, the band that fluxes are measured in.
    noise : float or (y, x) float32
    bad : (y, x) bool, optional
        Pixels that are left out of apertures; sums are corrected for their area.
    detection : (y, x) float32, optional
        Image that the apertures are from, where it is not the same.
    gain : float, optional
        Electrons per image unit, for the photon noise in FLUXERR_AUTO.
    saturated : (n,) int, optional
        Flat places of saturated pixels.

    Returns
    -------
    columns : dict of (n,) arrays
    """
    objects, segments = found.objects, found.segments
    index = np.arange(1, len(objects) + 1, dtype=np.int32)
    # an ellipse of no width has no aperture
    a, b = (np.maximum(np.nan_to_num(objects[axis]), 0.1) for axis in ("a", "b"))
    theta = np.clip(np.nan_to_num(objects["theta"]), -np.pi / 2, np.pi / 2)
    x, y = objects["x"], objects["y"]
    own: dict[str, Any] = {"mask": bad, "seg_id": index, "segmap": segments}
    if len(objects) == 0:
        own = {}
    kron, _ = sep.kron_radius(
        image if detection is None else detection, x, y, a, b, theta, KRON_WITHIN, **own
    )
    kron = np.maximum(KRON_FACTOR * np.nan_to_num(kron), KRON_LEAST)
    flux, error, aperture = sep.sum_ellipse(image, x, y, a, b, theta, kron, err=noise, gain=gain, **own)
    radius, _ = sep.flux_radius(image, x, y, KRON_WITHIN * a, 0.5, normflux=flux, **own)
    flags = _flags(objects, aperture)
    flags[_biased(found, bad, (x, y, a, b, theta, kron))] |= NEIGHBOUR
    if saturated is not None and len(saturated):
        hit = np.unique(segments.ravel()[saturated])
        flags[hit[hit > 0] - 1] |= SATURATED
    with np.errstate(invalid="ignore", divide="ignore"):
        good = flux > 0
        magnitude = np.where(good, -2.5 * np.log10(np.where(good, flux, 1.0)), np.nan)
        magnitude_error = np.where(good, 2.5 / np.log(10) * error / np.where(good, flux, 1.0), np.nan)
    radius = np.where(good & np.isfinite(radius) & (radius > 0), radius, np.nan)
    return {
        "X_IMAGE": x + 1.0,
        "Y_IMAGE": y + 1.0,
        "MAG_AUTO": magnitude,
        "MAGERR_AUTO": magnitude_error,
        "FLUX_AUTO": flux,
        "FLUXERR_AUTO": error,
        "FLUX_ISO": objects["flux"].astype(np.float64),
        "FLUX_MAX": objects["peak"].astype(np.float64),
        "FLUX_RADIUS": radius,
        "KRON_RADIUS": kron,
        "A_IMAGE": a.astype(np.float64),
        "B_IMAGE": b.astype(np.float64),
        "THETA_IMAGE": np.degrees(theta).astype(np.float64),
        "ISOAREA_IMAGE": objects["npix"].astype(np.int32),
        "FLAGS": flags,
    }


def _flags(objects: NDArray[Any], aperture: NDArray[Any]) -> NDArray[np.int16]:
    flags = np.zeros(len(objects), np.int16)
    for theirs, ours in EXTRACTED.items():
        flags[(objects["flag"] & theirs) != 0] |= ours
    flags[(aperture & (sep.APER_TRUNC | sep.APER_ALLMASKED)) != 0] |= INCOMPLETE
    return flags


def _biased(found: Found, bad: Bools | None, ellipses: tuple[NDArray[Any], ...]) -> Bools:
    """Sources of whose aperture more than a tenth are bad pixels, or other sources'."""
    taken = (found.segments > 0) if bad is None else (found.segments > 0) | bad
    held, _, _ = sep.sum_ellipse(taken.astype(np.float32), *ellipses, subpix=1)
    _, _, a, b, _, kron = ellipses
    return np.asarray(held - found.objects["npix"] > BIASED * np.pi * a * b * kron**2)
