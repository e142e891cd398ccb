"""Draws simulated galaxies: bands, PSF, light in counts.

Components are summed in Fourier space, where Sérsic profiles and the PSF come from GalSim tables, so that
a galaxy costs one inverse FFT a band and no GalSim object. Arms and knots have no closed transform: they
are sampled on the pixel grid (they are wider than a pixel) and transformed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import fft

from pipeline.simulate.galaxies import Arms, Array, Component, Galaxy, Knots

try:
    import galsim
except ImportError as error:
    raise ImportError("simulating a release needs GalSim: pip install 'tuningfork[sim]'") from error

Stack = npt.NDArray[np.float32]

PIXEL_SCALE = 0.2
"""Arcsec a pixel."""
MAGZERO = 30.0
"""AB magnitude of one count."""
MOFFAT_BETA = 3.0


@dataclass(frozen=True)
class Band:
    """One filter of the simulated survey."""

    fwhm: float
    """Moffat PSF, arcsec."""
    noise: float
    """Sky noise of the sky-subtracted image, counts a pixel."""
    gain: float
    """Electrons a count."""
    colours: tuple[float, float, float]
    """Magnitudes (this band - i) of the old, mixed and young populations."""


# Seeing and depth of a wide ground-based survey; colours of galaxies at z ~ 0.1, AB.
BANDS = {
    "u": Band(0.85, 2.8, 2.0, (2.9, 1.7, 0.7)),
    "g": Band(0.77, 2.5, 3.0, (1.3, 0.8, 0.25)),
    "r": Band(0.72, 3.2, 3.0, (0.45, 0.3, 0.1)),
    "i": Band(0.68, 3.8, 3.0, (0.0, 0.0, 0.0)),
    "z": Band(0.70, 6.0, 2.5, (-0.25, -0.15, 0.0)),
    "y": Band(0.70, 10.0, 2.0, (-0.4, -0.25, 0.0)),
    "J": Band(0.75, 12.0, 2.0, (-0.65, -0.4, 0.0)),
    "H": Band(0.74, 15.0, 2.0, (-0.9, -0.6, -0.05)),
    "K": Band(0.72, 17.0, 2.0, (-1.1, -0.75, -0.1)),
}

TRUNCATION = 6.0
"""Sérsic profiles end here, in half-light radii: the box a galaxy is drawn in shows no edge."""
SIZES = (48, 64, 96, 128, 160, 192, 256, 320)
"""Sides of the boxes in pixels: few, so that the grids and the PSF are made once for each."""
TABLE_STEP, TABLE_LENGTH = 0.015, 4096


def render(galaxy: Galaxy, bands: tuple[str, ...], x: float, y: float) -> Stack:
    """Light of a galaxy through the PSF, without noise.

    Parameters
    ----------
    galaxy
        What to draw.
    bands
        Names from `BANDS`.
    x, y
        Centre relative to the box's central pixel `side // 2`, in pixels.

    Returns
    -------
    Stack
        Counts, shape (band, side, side).
    """
    light, side = _populations(galaxy.components, x, y)
    weights = [tuple(np.float32(10 ** (-0.4 * colour)) for colour in BANDS[band].colours) for band in bands]
    return _expose(light, weights, bands, side) * np.float32(10 ** (-0.4 * (galaxy.magnitude - MAGZERO)))


def render_lit(
    components: tuple[Component, ...],
    weights: npt.NDArray[np.floating],
    bands: tuple[str, ...],
    x: float,
    y: float,
    least: int = SIZES[0],
) -> Stack:
    """Light of components whose populations have fluxes of their own, through the PSF, without noise.

    Parameters
    ----------
    components
        What to draw.
    weights
        What the components' fluxes are multiplied by, shape (band, population).
    bands
        Names from `BANDS`.
    x, y
        Centre relative to the box's central pixel `side // 2`, in pixels.
    least
        Least side of the box.

    Returns
    -------
    Stack
        In the unit of components times weights, shape (band, side, side).
    """
    light, side = _populations(components, x, y, least)
    return _expose(light, [tuple(row) for row in weights.astype(np.float32)], bands, side)


def render_faint(
    magnitude: Array, r_e: Array, axis_ratio: Array, angle: Array, population: npt.NDArray[np.int64],
    bands: tuple[str, ...],
) -> Stack:  # fmt: skip
    """Small exponential disks (points where `r_e` is 0), all at once: counts, shape (object, band, 32, 32)."""
    side = 32
    u, v = _rotated(angle[:, None, None], side)
    radius = np.hypot(u * r_e[:, None, None], v * (axis_ratio * r_e)[:, None, None])
    light = _lookup(1.0, radius).astype(np.complex64)
    flux = 10 ** (-0.4 * (magnitude - MAGZERO))
    images = []
    for band in bands:
        weights = 10 ** (-0.4 * np.array(BANDS[band].colours))[population] * flux
        image = fft.irfft2(light * _psf(band, side), s=(side, side))
        images.append(np.fft.fftshift(image, axes=(-2, -1)) * weights[:, None, None])
    return np.stack(images, axis=1).astype(np.float32)


def psf_image(band: str, side: int = 65) -> Stack:
    """PSF of a band with the pixel's response, sum 1, shape (side, side)."""
    image = _point_spread(band).drawImage(nx=side, ny=side, scale=PIXEL_SCALE, method="no_pixel").array
    return np.asarray(image / image.sum(), dtype=np.float32)


def _populations(
    components: tuple[Component, ...], x: float, y: float, least: int = SIZES[0]
) -> tuple[npt.NDArray[np.complex64], int]:
    """Transform of each population's light, shape (3, side, side // 2 + 1), and the side of the box."""
    reach = max(_reach(component) for component in components) / PIXEL_SCALE
    side = next((s for s in SIZES if s >= max(2 * reach + 12, least)), SIZES[-1])
    light = np.zeros((3, side, side // 2 + 1), dtype=np.complex64)
    for component in components:
        light[component.population] += _transform(component, side)
    kx, ky = _frequencies(side)
    light *= np.exp(-1j * PIXEL_SCALE * y * ky).astype(np.complex64)[:, None]
    light *= np.exp(-1j * PIXEL_SCALE * x * kx).astype(np.complex64)
    return light, side


def _expose(
    light: npt.NDArray[np.complex64],
    weights: list[tuple[np.float32, ...]],
    bands: tuple[str, ...],
    side: int,
) -> Stack:
    images = np.empty((len(bands), side, side), dtype=np.float32)
    for plane, (old, mixed, young), band in zip(images, weights, bands, strict=True):
        seen = (old * light[0] + mixed * light[1] + young * light[2]) * _psf(band, side)
        plane[:] = np.fft.fftshift(fft.irfft2(seen, s=(side, side)))
    return images


def _reach(component: Component) -> float:
    """How far from the galaxy's centre there is light, in arcsec."""
    if isinstance(component, Arms):
        return 6.5 * component.scale
    if isinstance(component, Knots):
        return float(np.max(np.hypot(component.x, component.y) + 3 * component.sigma))
    radii = TRUNCATION if component.n > 1 else 4.0 if component.n == 1 else 3.0
    return float(np.hypot(component.x, component.y)) + radii * component.r_e


def _transform(component: Component, side: int) -> npt.NDArray[np.complex64]:
    """Fourier transform, centred on pixel (0, 0), shape (side, side // 2 + 1)."""
    if isinstance(component, Arms):
        return _flux_transform(_arms(component, side), component.flux)
    if isinstance(component, Knots):
        axis = _axis(side)[:, None]
        across = np.exp(-0.5 * ((axis - component.x) / component.sigma) ** 2)
        along = np.exp(-0.5 * ((axis - component.y) / component.sigma) ** 2)
        peak = component.flux / component.sigma**2
        return _flux_transform(np.einsum("yk,xk->yx", along * peak, across), float(component.flux.sum()))
    u, v = _rotated(component.angle, side)
    radius = component.r_e * np.hypot(u, component.axis_ratio * v)
    out = (component.flux * _lookup(component.n, radius)).astype(np.complex64)
    if component.x or component.y:
        kx, ky = _frequencies(side)
        out *= np.exp(-1j * component.y * ky).astype(np.complex64)[:, None]
        out *= np.exp(-1j * component.x * kx).astype(np.complex64)
    return out


def _flux_transform(image: Array, flux: float) -> npt.NDArray[np.complex64]:
    return np.asarray(fft.rfft2((image * (flux / image.sum())).astype(np.float32)), dtype=np.complex64)


def _arms(arms: Arms, side: int) -> Array:
    """Light in the arms: disk x cos(m (theta - ln(r / r0) / tan(pitch)))^sharpness, never negative."""
    axis = _axis(side).astype(np.float32)
    cos, sin = np.float32(np.cos(arms.angle)), np.float32(np.sin(arms.angle))
    u = axis * cos + axis[:, None] * sin
    v = (axis[:, None] * cos - axis * sin) / np.float32(arms.axis_ratio)
    r = np.sqrt(u * u + v * v) + np.float32(1e-3)
    turn = np.arctan2(v, u) - np.log(r / np.float32(arms.inner)) / np.float32(np.tan(arms.pitch))
    wave = 0.5 + 0.5 * np.cos(arms.count * turn + np.float32(arms.phase))
    # Below `inner` the arms would wind up without end: they fade there.
    fade = 1 / (1 + (np.float32(arms.inner) / r) ** 4)
    return np.asarray(np.exp(-r / np.float32(arms.scale)) * wave ** np.float32(arms.sharpness) * fade)


@lru_cache(maxsize=64)
def _axis(side: int) -> npt.NDArray[np.float64]:
    """Pixel coordinates in arcsec, the centre first, as the FFT wants them."""
    return np.asarray(np.fft.fftfreq(side, 1 / side) * PIXEL_SCALE)


@lru_cache(maxsize=64)
def _frequencies(side: int) -> tuple[Array, Array]:
    """Angular frequencies (kx, ky) in radians an arcsec."""
    step = 2 * np.pi / PIXEL_SCALE
    return np.fft.rfftfreq(side) * step, np.fft.fftfreq(side) * step


def _rotated(angle: float | Array, side: int) -> tuple[Array, Array]:
    """Frequencies along the major and the minor axis."""
    kx, ky = _frequencies(side)
    cos, sin = np.cos(angle), np.sin(angle)
    return kx * cos + ky[:, None] * sin, ky[:, None] * cos - kx * sin


@lru_cache(maxsize=64)
def _sersic_table(n: float) -> Array:
    profile = galsim.Sersic(n, half_light_radius=1.0, trunc=TRUNCATION if n > 1 else 0.0)
    image = profile.drawKImage(nx=2 * TABLE_LENGTH + 1, ny=1, scale=TABLE_STEP)
    return np.asarray(image.array[0, TABLE_LENGTH:].real, dtype=np.float64)


def _lookup(n: float, radius: Array) -> Array:
    """Transform of a Sérsic profile of unit flux and unit half-light radius."""
    table = _sersic_table(n)
    place = np.minimum(radius * (1 / TABLE_STEP), TABLE_LENGTH - 1)
    below = place.astype(np.int32)
    low = table[below]
    return np.asarray(low + (table[below + 1] - low) * (place - below))


def _point_spread(band: str) -> galsim.GSObject:
    moffat = galsim.Moffat(beta=MOFFAT_BETA, fwhm=BANDS[band].fwhm)
    return galsim.Convolve(moffat, galsim.Pixel(PIXEL_SCALE))


@lru_cache(maxsize=128)
def _psf(band: str, side: int) -> npt.NDArray[np.float32]:
    """Transform of PSF and pixel, real because both are symmetric, shape (side, side // 2 + 1)."""
    image = _point_spread(band).drawKImage(nx=side, ny=side, scale=2 * np.pi / (side * PIXEL_SCALE))
    return np.asarray(np.fft.ifftshift(image.array.real)[:, : side // 2 + 1], dtype=np.float32)
