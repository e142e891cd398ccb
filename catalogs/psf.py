"""Files of point spread functions: images, and PSFEx models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from catalogs import bounds, headers, storage
from catalogs.psfex import BadModel, PSFExModel
from catalogs.silence import silenced

if TYPE_CHECKING:
    from catalogs._types import Floats

__all__ = ["BadPSF", "read_psf"]

LARGEST = 512
MODEL = "PSF_MASK"
"""Column of a PSFEx model."""


class BadPSF(ValueError):
    """The file holds no PSF; the message says why."""


def read_psf(url: str) -> Floats | PSFExModel:
    """The PSF in a file: its PSFEx model, if it has a table with one, else its first image.

    Returns
    -------
    (y, x) float32, its sum 1, or PSFExModel

    Raises
    ------
    BadPSF
        If there is none, or it is no PSF: not two-dimensional, not finite, larger than 512 pixels, or without light; or a model that cannot be evaluated.
    """
    try:
        bounds.check_file(url)
        with silenced(), storage.reading(url) as stream, fits.open(stream) as hdus:
            models = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU) and MODEL in hdu.columns.names]
            if models:
                return _model(models)
            image = _image(hdus)
    except BadPSF:
        raise
    except BadModel as error:
        raise BadPSF(str(error)) from error
    except FileNotFoundError as error:
        raise BadPSF("is missing") from error
    except Exception as error:  # astropy raises what it happens to over a file that is no FITS
        raise BadPSF(f"cannot be read ({headers.first_line(error)})") from error
    if not np.isfinite(image).all():
        raise BadPSF("has pixels that are not finite")
    if not image.sum() > 0:
        raise BadPSF(f"has no light: its sum is {image.sum():g}")
    return np.asarray(image / image.sum(), np.float32)


def _image(hdus: fits.HDUList) -> Floats:
    shapes = [hdu.shape if hdu.is_image else () for hdu in hdus]
    first = next((k for k, shape in enumerate(shapes) if shape), None)
    if first is None:
        raise BadPSF("holds no image, and no PSFEx model")
    if len(shapes[first]) != 2 or max(shapes[first]) > LARGEST:
        raise BadPSF(f"is an image of shape {shapes[first]}, not of two axes up to {LARGEST} pixels")
    return np.array(hdus[first].data, np.float64)


def _model(tables: list[fits.BinTableHDU]) -> PSFExModel:
    if len(tables) > 1:
        msg = f"holds {len(tables)} PSFEx models, one for each chip: give files with one"
        raise BadModel(msg)
    (table,) = tables
    if len(table.data) != 1:
        raise BadModel(f"has {len(table.data)} rows in its table of the PSFEx model, not one")
    masks = np.array(table.data[MODEL][0], np.float64)
    if masks.ndim == 2:  # of one image: not every writer keeps the axis
        masks = masks[None]
    if max(masks.shape[1:], default=0) > LARGEST:
        raise BadModel(f"has a {MODEL} of shape {masks.shape}, larger than {LARGEST} pixels")
    return PSFExModel.of(table.header, masks)
