"""Weight maps: the noise of each pixel, one standard deviation in the images' unit, from whichever number a survey publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from catalogs import images, planes
from catalogs.cleaning import in_cache

if TYPE_CHECKING:
    from catalogs._types import Array, Floats, Integers
    from catalogs.image_header import ImageHeader
    from catalogs.survey import Weight

Kind = Literal["inverse-variance", "variance", "rms"]

__all__ = ["KINDS", "Kind", "noise_of", "number_of", "open_weight", "weighed"]

KINDS: tuple[Kind, ...] = ("inverse-variance", "variance", "rms")
_POWER = {"inverse-variance": -0.5, "variance": 0.5, "rms": 1.0}


def open_weight(weight: Weight, url: str, tile: ImageHeader) -> ImageHeader:
    """Read the header of a tile's weight map.

    Raises
    ------
    NotAnImage
        If there is none, or it is not on the tile's pixels.
    FileNotFoundError
    """
    return planes.open_on(weight, "weight", url, tile)


def noise_of(values: Array, kind: Kind) -> tuple[Floats, Integers]:
    """The noise that the numbers of a weight map mean.

    Parameters
    ----------
    values : (n, y, x) array
    kind : {"inverse-variance", "variance", "rms"}

    Returns
    -------
    noise : (n, y, x) float32
        NaN where there is none: the number is zero, negative or not finite, or float32 cannot hold the noise.
    negative : (n,) int
        How many numbers are negative.
    """
    noise = np.empty(values.shape, np.float32)
    negative = np.zeros(len(values), np.int64)
    for now in in_cache(len(values), values.shape[1] * values.shape[2]):
        some = values[now].astype(np.float64)
        negative[now] = (some < 0).sum(axis=(1, 2))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
            found = (some if kind == "rms" else some ** _POWER[kind]).astype(np.float32)
        found[~((found > 0) & (found < np.inf))] = np.nan
        noise[now] = found
    return noise, negative


def number_of(noise: Array, kind: Kind) -> Array:
    """The numbers that stand for some noise in a weight map."""
    return np.asarray(noise, np.float64) ** (1 / _POWER[kind])


def weighed(weight: Weight, image: ImageHeader, x: Floats, y: Floats, size: int) -> tuple[Floats, Integers]:
    """Noise of stamps cut from a weight map, see `noise_of`; positions as in `catalogs.images.cut`."""
    # float32 holds no variance of a noise below 1e-19, as that of fluxes in physical units may be
    wide = np.float64 if planes.is_wide(image) else np.float32
    values, _ = images.cut(image, x, y, size, out=np.empty((len(x), size, size), wide))
    return noise_of(values, weight.kind)
