"""Images of point spread functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from catalogs import bounds, headers, storage
from catalogs.silence import silenced

if TYPE_CHECKING:
    from catalogs._types import Floats

__all__ = ["BadPSF", "read_psf"]

LARGEST = 512


class BadPSF(ValueError):
    """The file holds no PSF; the message says why."""


def read_psf(url: str) -> Floats:
    """The PSF in a file's first image, (y, x) float32, its sum 1.

    Raises
    ------
    BadPSF
        If there is none, or it is no PSF: not two-dimensional, not finite, larger than 512 pixels, or without light.
    """
    try:
        bounds.check_file(url)
        with silenced(), storage.reading(url) as stream, fits.open(stream) as hdus:
            shapes = [hdu.shape if hdu.is_image else () for hdu in hdus]
            first = next((k for k, shape in enumerate(shapes) if shape), None)
            if first is None:
                raise BadPSF("holds no image")
            if len(shapes[first]) != 2 or max(shapes[first]) > LARGEST:
                raise BadPSF(f"is an image of shape {shapes[first]}, not of two axes up to {LARGEST} pixels")
            image = np.array(hdus[first].data, np.float64)
    except BadPSF:
        raise
    except FileNotFoundError as error:
        raise BadPSF("is missing") from error
    except Exception as error:  # astropy raises what it happens to over a file that is no FITS
        raise BadPSF(f"cannot be read ({headers.first_line(error)})") from error
    if not np.isfinite(image).all():
        raise BadPSF("has pixels that are not finite")
    if not image.sum() > 0:
        raise BadPSF(f"has no light: its sum is {image.sum():g}")
    return np.asarray(image / image.sum(), np.float32)
