"""A plain catalog for an image that came without one: `python examples/detect.py IMAGE.fits CATALOG.fits`.

Pixels above a multiple of the noise are joined into sources; no deblending. For science use SExtractor, `sep` or photutils;
this is here so that the KiDS example can be typed as it stands.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from scipy import ndimage


def detect(image: np.ndarray, sigma: float = 4.0, pixels: int = 10) -> Table:
    """Sources of an image (y, x): NUMBER, X_IMAGE, Y_IMAGE (FITS convention), FLUX_ISO, ISOAREA_IMAGE."""
    image = np.nan_to_num(np.asarray(image, np.float32))
    sky = np.median(image)
    noise = 1.4826 * np.median(np.abs(image - sky))
    smooth = ndimage.gaussian_filter(image - sky, 1.5)
    spread = 1.4826 * np.median(np.abs(smooth - np.median(smooth)))
    labels, count = ndimage.label(smooth > max(sigma * spread, 0.1 * noise))
    index = np.arange(1, count + 1)
    area = ndimage.sum_labels(np.ones_like(image), labels, index)
    index = index[area >= pixels]
    y, x = np.array(ndimage.center_of_mass(np.clip(smooth, 0, None), labels, index)).T
    return Table(
        {
            "NUMBER": np.arange(1, len(index) + 1),
            "X_IMAGE": x + 1,
            "Y_IMAGE": y + 1,
            "FLUX_ISO": ndimage.sum_labels(image - sky, labels, index),
            "ISOAREA_IMAGE": area[area >= pixels].astype(np.int32),
        }
    )


if __name__ == "__main__":
    source, catalog = sys.argv[1:]
    with fits.open(source) as hdus:
        pixels = next(hdu.data for hdu in hdus if hdu.data is not None and hdu.data.ndim == 2)
    found = detect(pixels)
    Path(catalog).parent.mkdir(parents=True, exist_ok=True)
    found.write(catalog, overwrite=True)
    print(f"{len(found)} sources in {catalog}")  # noqa: T201
