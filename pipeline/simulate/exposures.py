"""What a survey sees of a galaxy: its stamps, magnitudes, medium-band SED and spectrum, with their noise.

Fluxes are nanojansky. Magnitudes of bands with stamps are measured on the stamps, so that a catalog tells no more
of their light than they show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.simulate import rendering
from pipeline.simulate.filters import (
    BANDS,
    SED_WAVELENGTHS,
    SPECTRUM_WAVELENGTHS,
    ZEROPOINT,
    binned,
    medium,
)

if TYPE_CHECKING:
    from pipeline.simulate.cosmic import CosmicGalaxy
    from pipeline.simulate.templates import Array

SIDE = 64
"""Of the stamps, pixels."""
COUNT = 10 ** (0.4 * (ZEROPOINT - rendering.MAGZERO))
"""nJy of one of the counts that `pipeline.simulate.rendering.BANDS` is in."""
APERTURE = 2.0
"""Semi-axes of the aperture over those of the half-light ellipse behind the PSF."""
DETECTED = 2.0
"""S/N below which a source has no magnitude in a band."""
SED_NOISE, SPECTRUM_NOISE = 290.0, 1400.0
"""Sky noise in a medium band and in a bin of a spectrum, nJy, where the sky is dark: 5 sigma at 23.5 and 21.8 AB."""
CALIBRATION = 0.01
"""Share of the flux that is uncertain in SEDs and spectra."""
TELLURIC = (7625.0, 35.0)
"""Middle and half width of the A band of oxygen, Angstrom: no spectrum has anything there."""
LONGEST_GAP = 24
"""Bins that a spectrum lacks at a place of its own, at most."""


@dataclass(frozen=True)
class Exposure:
    """All that is observed of a galaxy; fluxes and errors by band, NaN where there are none."""

    stamp: npt.NDArray[np.float32]
    """nJy, shape (band, y, x)."""
    flux: Array
    """Total, nJy, shape (band,), of all `pipeline.simulate.filters.BANDS`."""
    flux_error: Array
    flux_radius: float
    """Of half the light, pixels, behind the PSF."""
    sn: float
    """Of a matched filter in the detection band."""
    sed: Array
    sed_ivar: Array
    spectrum: Array
    spectrum_ivar: Array

    @property
    def magnitudes(self) -> tuple[Array, Array]:
        """AB magnitudes and their errors, NaN where nothing is detected."""
        seen = np.where(self.flux > DETECTED * self.flux_error, self.flux, np.nan)
        return ZEROPOINT - 2.5 * np.log10(seen), 2.5 / np.log(10) * self.flux_error / seen


def sky_noise(band: str) -> float:
    """Of a pixel, nJy."""
    return rendering.BANDS[band].noise * COUNT


def gain(band: str) -> float:
    """Electrons for a nanojansky."""
    return rendering.BANDS[band].gain / COUNT


def detection(bands: tuple[str, ...]) -> int:
    """Which of the bands galaxies are measured in: i, or the first."""
    return bands.index("i") if "i" in bands else 0


def expose(
    galaxy: CosmicGalaxy, seed: int, index: int, bands: tuple[str, ...], *, noisy: bool = True
) -> Exposure:
    """Observe galaxy number `index`; `noisy=False` leaves the noise out of stamps alone."""
    # Noise of a band does not depend on which others there are.
    rng = np.random.default_rng([seed, index, 4])
    x, y = rng.uniform(-1, 0, 2)
    clean = _stamp(galaxy, bands, x, y)
    noise = np.stack([_noise(plane, band, seed, index) for plane, band in zip(clean, bands, strict=True)])
    found = detection(bands)
    inside = _aperture(galaxy, bands[found], x, y)
    total = galaxy.fluxes.sum(axis=1)
    flux, error = np.empty(len(BANDS)), np.empty(len(BANDS))
    for place, band in enumerate(BANDS):
        # Bands without a stamp are seen through an aperture of as many pixels, which catches as much light.
        plane = bands.index(band) if band in bands else found
        caught = clean[plane][inside].sum() / total[BANDS.index(bands[plane])]
        variance = sky_noise(band) ** 2 * inside.sum() + total[place] * caught / gain(band)
        error[place] = np.sqrt(variance) / caught
        if band in bands:
            flux[place] = (clean + noise)[plane][inside].sum() / caught
        else:
            drawn = np.random.default_rng([seed, index, 5, place]).standard_normal()
            flux[place] = total[place] + drawn * error[place]
    light = galaxy.light.sum(axis=0)
    sed, sed_ivar = _with_noise(rng, medium() @ light, SED_NOISE * _sky(SED_WAVELENGTHS))
    spectrum, spectrum_ivar = _with_noise(rng, binned(light), SPECTRUM_NOISE * _sky(SPECTRUM_WAVELENGTHS))
    gap = _gap(rng)
    spectrum[gap], spectrum_ivar[gap] = 0, 0
    seen = sky_noise(bands[found]) ** 2 + np.maximum(clean[found], 0) / gain(bands[found])
    return Exposure(
        clean + noise if noisy else clean,
        flux,
        error,
        _half_light_radius(galaxy, bands[found])
        * float(1 + 0.5 * rng.normal() * error[found] / total[found]),
        float(np.sqrt((clean[found] ** 2 / seen).sum())),
        sed,
        sed_ivar,
        spectrum,
        spectrum_ivar,
    )


def _stamp(galaxy: CosmicGalaxy, bands: tuple[str, ...], x: float, y: float) -> npt.NDArray[np.float32]:
    weights = galaxy.fluxes[[BANDS.index(band) for band in bands]]
    box = rendering.render_lit(galaxy.form.components, weights, bands, x, y, least=SIDE)
    start = box.shape[-1] // 2 - SIDE // 2
    return box[:, start : start + SIDE, start : start + SIDE]


def _noise(clean: npt.NDArray[np.float32], band: str, seed: int, index: int) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng([seed, index, 6, BANDS.index(band)])
    sigma = np.sqrt(sky_noise(band) ** 2 + np.maximum(clean, 0) / gain(band))
    return np.asarray(sigma * rng.standard_normal(clean.shape, dtype=np.float32), dtype=np.float32)


def _axes(galaxy: CosmicGalaxy, band: str) -> tuple[float, float]:
    """Semi-axes of the half-light ellipse behind the PSF, pixels."""
    blur = 0.5 * rendering.BANDS[band].fwhm / rendering.PIXEL_SCALE
    r_e = galaxy.form.r_e / rendering.PIXEL_SCALE
    return float(np.hypot(r_e, blur)), float(np.hypot(r_e * galaxy.form.axis_ratio, blur))


def _half_light_radius(galaxy: CosmicGalaxy, band: str) -> float:
    return float(np.sqrt(np.prod(_axes(galaxy, band))))


def _aperture(galaxy: CosmicGalaxy, band: str, x: float, y: float) -> npt.NDArray[np.bool_]:
    """Pixels in an ellipse around the galaxy, shape (y, x)."""
    major, minor = (APERTURE * axis for axis in _axes(galaxy, band))
    yy, xx = np.mgrid[:SIDE, :SIDE] - SIDE // 2 - np.array([y, x])[:, None, None]
    cos, sin = np.cos(galaxy.form.angle), np.sin(galaxy.form.angle)
    return np.asarray(((xx * cos + yy * sin) / major) ** 2 + ((yy * cos - xx * sin) / minor) ** 2 <= 1)


def _sky(wavelengths: Array) -> Array:
    """Noise of the sky over that where it is dark: it rises to the red, with the bands of OH lines."""
    red = np.maximum(wavelengths - 7200, 0) / 2800
    return np.asarray(1 + red * (0.6 + 0.6 * np.sin(2 * np.pi * (wavelengths - 7200) / 520) ** 2))


def _with_noise(rng: np.random.Generator, flux: Array, sky: Array) -> tuple[Array, Array]:
    """Noisy fluxes and their inverse variances."""
    sigma = np.hypot(sky, CALIBRATION * flux)
    return flux + sigma * rng.standard_normal(flux.shape), sigma**-2


def _gap(rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Bins without a value: the telluric band, and a run of bins of this spectrum's own."""
    places = np.arange(len(SPECTRUM_WAVELENGTHS))
    start, length = rng.integers(0, len(places)), rng.integers(0, LONGEST_GAP + 1)
    telluric = np.abs(SPECTRUM_WAVELENGTHS - TELLURIC[0]) < TELLURIC[1]
    return np.asarray(telluric | ((places >= start) & (places < start + length)))
