"""PSFEx models: a PSF that varies with an object's position, or with other columns of the catalog.

Written by PSFEx (Bertin 2011, ASPC 442, 435; https://psfex.readthedocs.io) as a FITS table of one row whose vector column ``PSF_MASK`` holds basis images.
The PSF at values v of the variables is the sum over basis images i of p_i(t) B_i, where t = (v - POLZERO) / POLSCAL, and p_i are the monomials of total
degree up to POLDEG in PSFEx's order: powers of the first variable rise first, so 1, t1, t1^2, t2, t1 t2, t2^2 for two variables and degree 2.
Images are sampled in steps of PSF_SAMP pixels, and hold the pixel's response; they are brought to pixels by PSFEx's own Lanczos-3 interpolation.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.io import fits

    from catalogs._types import Floats

__all__ = ["BadModel", "PSFExModel", "axis_of"]

LOBES = 3
"""Of the Lanczos kernel."""
FINEST, COARSEST = 0.05, 4.0
"""Pixels in a step of a model; others are no samplings of a PSF."""
HIGHEST = 8
"""Degree."""
POSITION = re.compile(r"([XY])(?:WIN|PSF|MODEL|PEAK)?_IMAGE")
"""SExtractor's names of pixel coordinates; the first pixel's middle is 1."""
ROWS = 256
"""Objects whose PSFs are evaluated at a time."""


class BadModel(ValueError):
    """The table is no PSFEx model that can be evaluated; the message says why."""


@dataclass(frozen=True)
class PSFExModel:
    """A model whose basis images are sampled in pixels."""

    names: tuple[str, ...]
    """What it varies with: none, one or two columns."""
    zero: tuple[float, ...]
    scale: tuple[float, ...]
    degree: int
    basis: Floats
    """(k, side, side) float64; the middle of the PSF is in the middle pixel."""

    @classmethod
    def of(cls, header: fits.Header, masks: Floats) -> PSFExModel:
        """The model of a table's header and its ``PSF_MASK``, (k, y, x).

        Raises
        ------
        BadModel
        """
        count = _whole(header, "POLNAXIS")
        if count > 2 or (count and (_whole(header, "POLNGRP") != 1 or _groups(header, count) != {1})):
            msg = f"varies with {count} quantities or in {header.get('POLNGRP')} groups (POLNAXIS, POLNGRP): at most two in one group are read"
            raise BadModel(msg)
        axes = range(1, count + 1)
        names = tuple(str(header.get(f"POLNAME{i}", "")).strip() for i in axes)
        zero, scale = (tuple(_number(header, f"{key}{i}") for i in axes) for key in ("POLZERO", "POLSCAL"))
        degree, step = _whole(header, "POLDEG1") if count else 0, _number(header, "PSF_SAMP")
        terms = math.comb(degree + count, count)
        if not all(names):
            raise BadModel("has no POLNAME for a quantity it varies with")
        if degree > HIGHEST or 0.0 in scale:
            raise BadModel(f"has POLDEG1 = {degree} and POLSCAL = {', '.join(map(str, scale))}")
        if masks.ndim != 3 or len(masks) != terms or min(masks.shape) < 1:
            raise BadModel(
                f"has a PSF_MASK of shape {masks.shape}, not of {terms} images for degree {degree} of {count} quantities"
            )
        if not FINEST <= step <= COARSEST:
            raise BadModel(f"has PSF_SAMP = {step:g} pixels a step, not {FINEST} to {COARSEST}")
        if not np.isfinite(masks).all():
            raise BadModel("has a PSF_MASK that is not finite")
        return cls(names, zero, scale, degree, _in_pixels(masks, step))

    @property
    def constant(self) -> bool:
        """Whether the PSF is the same for all objects."""
        return self.degree == 0 or not self.names

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of all that the PSFs follow from."""
        about = repr((self.names, self.zero, self.scale, self.degree, self.basis.shape))
        return hashlib.sha256(about.encode() + self.basis.tobytes()).hexdigest()

    def at(self, values: Sequence[Floats], count: int) -> Floats:
        """PSFs (n, side, side) float32 where the variables have some values.

        Parameters
        ----------
        values : sequence of (n,) float arrays
            One for each of `names`; NaN where it is not known.
        count : int
            n, for a model without variables.

        Returns
        -------
        (n, side, side) float32
            The sum of each is 1. NaN where a value is not known, or the model has no light there. A PSF does not depend on the others.
        """
        parts = [
            self._at([v[first : first + ROWS] for v in values], min(ROWS, count - first))
            for first in range(0, count, ROWS)
        ]
        side = self.basis.shape[1]
        return np.concatenate(parts) if parts else np.zeros((0, side, side), np.float32)

    def _at(self, values: Sequence[Floats], count: int) -> Floats:
        places = [(v - zero) / scale for v, zero, scale in zip(values, self.zero, self.scale, strict=True)]
        images = np.zeros((count, *self.basis.shape[1:]))
        # one product after the other: the bits of a product of matrices depend on their number of rows
        for weight, image in zip(_monomials(places, self.degree, count), self.basis, strict=True):
            images += weight[:, None, None] * image
        with np.errstate(invalid="ignore"):
            total = images.reshape(count, -1).sum(axis=1)
            total[~((total > 0) & np.isfinite(total))] = np.nan
            return np.asarray(images / total[:, None, None], np.float32)


def axis_of(name: str) -> int | None:
    """Which pixel coordinate a variable is, 0 for x and 1 for y; None where it is none."""
    found = POSITION.fullmatch(name)
    return None if found is None else "XY".index(found[1])


def _monomials(places: Sequence[Floats], degree: int, count: int) -> Sequence[Floats]:
    """Every p_i (n,), in PSFEx's order."""
    one = np.ones(count)
    powers = [[one] for _ in places]
    for rising, place in zip(powers, places, strict=True):
        for _ in range(degree):
            rising.append(rising[-1] * place)
    if not places:
        return [one]
    if len(places) == 1:
        return powers[0]
    return [powers[0][i] * powers[1][j] for j in range(degree + 1) for i in range(degree + 1 - j)]


def _in_pixels(masks: Floats, step: float) -> Floats:
    """Images (k, side, side) at the middles of pixels, of images in steps of `step` pixels; as many pixels as they cover, an odd number."""
    # PSFEx counts from pixel N // 2, which is the middle one of its odd sides
    before = [min(size // 2, size - 1 - size // 2) for size in masks.shape[1:]]
    half = math.floor(min(before) * step + 1e-9)
    down, across = (_lanczos(np.arange(-half, half + 1) / step + size // 2, size) for size in masks.shape[1:])
    return np.asarray(down @ masks.astype(np.float64) @ across.T)


def _lanczos(places: Floats, size: int) -> Floats:
    """Weights (m, size) of so many samples at some places (m,): Lanczos-3, their sum 1."""
    away = places[:, None] - np.arange(size)
    weights = np.where(np.abs(away) < LOBES, np.sinc(away) * np.sinc(away / LOBES), 0.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _groups(header: fits.Header, count: int) -> set[int]:
    return {_whole(header, f"POLGRP{i}") for i in range(1, count + 1)}


def _number(header: fits.Header, key: str) -> float:
    value = header.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadModel(f"has {key} = {value!r}, which is no number")
    return float(value)


def _whole(header: fits.Header, key: str) -> int:
    value = _number(header, key)
    if value != int(value) or value < 0:
        raise BadModel(f"has {key} = {value:g}, which is no count")
    return int(value)
