"""Pictures that do not belong among EFIGI's galaxies: stars, blank frames, cosmic rays, doubled images and HST stamps, 88 pixels a side."""

from __future__ import annotations

import csv
import io
import tarfile
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from PIL import Image
from scipy.ndimage import gaussian_filter

from benchmarks.galaxies import SHARED, SIZE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

__all__ = ["KINDS", "strangers"]

COLOURS = ((1.0, 0.9, 0.75), (0.8, 0.9, 1.0), (1.0, 0.7, 0.45))
"""Red, green and blue of stars: white, blue and red ones."""
HST_BANDS = ("h", "j", "v")
"""As red, green and blue."""


def strangers(count: int, seed: int) -> list[tuple[str, Picture]]:
    """So many pictures (y, x, 3) with the kind of each; of every kind as many as of the others, or one more."""
    draw = np.random.default_rng(seed)
    hosts, stamps = _efigi(), _hst()
    hosts = [hosts[i] for i in draw.permutation(len(hosts))]
    stamps = [stamps[i] for i in draw.permutation(len(stamps))]
    found = []
    for number in range(count):
        kind = list(KINDS)[number % len(KINDS)]
        host = stamps[number % len(stamps)] if kind == "HST stamp" else hosts[number % len(hosts)]
        found.append((kind, KINDS[kind](np.asarray(Image.open(host).convert("RGB")), draw)))
    return found


def _star(host: Picture, draw: np.random.Generator) -> Picture:
    """A bright star, with the spikes of SDSS's secondary mirror, on the sky of a frame."""
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2 + draw.uniform(-1, 1, (2, 1, 1))
    width, peak = draw.uniform(1.2, 3.0), np.exp(draw.uniform(np.log(2), np.log(30)))
    light = peak * (1 + (x**2 + y**2) / (3 * width**2)) ** -2.5
    turn = draw.uniform(0, np.pi / 2)
    for angle in (turn, turn + np.pi / 2):
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        light += 0.06 * peak * np.exp(-0.5 * (across / 0.8) ** 2 - np.abs(along) / (4 * width))
    colour = np.array(COLOURS[draw.integers(len(COLOURS))])
    return _pixels(_sky(host, draw) + 255 * np.clip(light[..., None] * colour, 0, 1))


def _blank(host: Picture, draw: np.random.Generator) -> Picture:
    """Nothing but the sky of a frame."""
    return _pixels(_sky(host, draw))


def _cosmic_rays(host: Picture, draw: np.random.Generator) -> Picture:
    """A galaxy that charged particles crossed, each in one band."""
    values = host.astype(float)
    for _ in range(draw.integers(3, 9)):
        start, turn, length = draw.uniform(0, SIZE, 2), draw.uniform(0, np.pi), draw.uniform(10, 60)
        y, x = np.mgrid[:SIZE, :SIZE] - start[:, None, None]
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        hit = (np.abs(across) < draw.uniform(0.5, 1.0)) & (along >= 0) & (along < length)
        values[hit, draw.integers(3)] = draw.uniform(180, 255)
    return _pixels(values)


def _doubled(host: Picture, draw: np.random.Generator) -> Picture:
    """A galaxy and its own copy beside it, as of two exposures with different pointings."""
    away, turn = draw.uniform(10, 24), draw.uniform(0, 2 * np.pi)
    shift = np.rint(away * np.array([np.sin(turn), np.cos(turn)])).astype(int)
    values = host.astype(float)
    return _pixels(values + np.roll(values, shift, (0, 1)) - np.median(values, (0, 1)))


def _hst_stamp(host: Picture, draw: np.random.Generator) -> Picture:
    """A distant galaxy, in HST's pixels and filters."""
    return host[:, :: draw.choice([-1, 1])]


KINDS: dict[str, Callable[[Picture, np.random.Generator], Picture]] = {
    "star": _star,
    "blank frame": _blank,
    "cosmic rays": _cosmic_rays,
    "doubled image": _doubled,
    "HST stamp": _hst_stamp,
}
"""What makes each kind from a frame (y, x, 3)."""


def _sky(host: Picture, draw: np.random.Generator) -> NDArray[np.float64]:
    """Noise with the level, scatter and grain of a frame's darkest corner."""
    corners = [host[a, b].astype(float) for a in (np.s_[:14], np.s_[-14:]) for b in (np.s_[:14], np.s_[-14:])]
    corner = min(corners, key=lambda values: values.std())
    noise = gaussian_filter(draw.normal(size=(SIZE, SIZE, 3)), (0.6, 0.6, 0))
    return corner.mean((0, 1)) + noise / noise.std((0, 1)) * corner.std((0, 1))


def _pixels(values: NDArray[np.float64]) -> Picture:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _efigi() -> list[Path]:
    with (SHARED / "efigi" / "labels.csv").open(newline="") as file:
        return [SHARED / "efigi" / row["file"] for row in csv.DictReader(file)]


def _hst() -> list[io.BytesIO]:
    """CANDELS galaxies in colour, and COSMOS galaxies (of 64 pixels and more) in grey, as PNG."""
    found = []
    for archive in sorted((SHARED / "candels_goodss").glob("*.tar.gz")):
        with tarfile.open(archive) as files:
            bands = {
                n.rsplit("_", 1)[1][0]: files.extractfile(n) for n in files.getnames() if "segmap" not in n
            }
            planes = [fits.getdata(io.BytesIO(bands[band].read())) for band in HST_BANDS]  # type: ignore[union-attr]
        found.append(_png(np.stack(planes, -1)))
    with fits.open(SHARED / "cosmos" / "btk" / "real_galaxy_images_extension.fits") as hdus:
        planes = [hdu.data for hdu in hdus if hdu.data is not None and min(hdu.data.shape) >= 64]
    found += [_png(np.repeat(plane[..., None], 3, -1)) for plane in planes]
    return found


def _png(light: NDArray[np.floating]) -> io.BytesIO:
    """As SDSS's colour pictures are made: asinh of the mean, colours kept (Lupton et al. 2004, PASP 116, 133)."""
    light = np.nan_to_num(light.astype(float))
    light -= np.median(light, (0, 1))
    light /= np.maximum(1.4826 * np.median(np.abs(light), (0, 1)), 1e-12)
    mean = np.maximum(light.mean(-1, keepdims=True), 1e-6)
    stretched = light / mean * np.arcsinh(mean / 3) / np.arcsinh(100)
    side = min(stretched.shape[:2])
    top, left = ((length - side) // 2 for length in stretched.shape[:2])
    values = _pixels(16 + 239 * stretched[top : top + side, left : left + side])
    buffer = io.BytesIO()
    Image.fromarray(values).resize((SIZE, SIZE), Image.Resampling.LANCZOS).save(buffer, "PNG")
    return buffer
