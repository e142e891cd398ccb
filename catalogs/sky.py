"""From right ascension and declination to the pixels of a tile, whatever sky its WCS is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.coordinates import FK5, ICRS, SkyCoord
from astropy.wcs.utils import wcs_to_celestial_frame

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from catalogs._types import Floats


def sky_to_pixel(wcs: WCS, shape: tuple[int, int], ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
    """0-based pixel positions of sky positions.

    Parameters
    ----------
    wcs : WCS
        Celestial, of two axes.
    shape : tuple of int
        Rows and columns (y, x) of the image.
    ra, dec : (n,) float
        Degrees, ICRS (or FK5 J2000, which is the same within 0.1 arcsec); anything else is allowed too.

    Returns
    -------
    x, y : (n,) float
        NaN where the position is not one, or is more than 80 degrees from the image's centre: a gnomonic
        projection maps the far side of the sky onto the tile too.
    """
    frame = celestial_frame(wcs)
    # Some tiles have the latitude on their first axis.
    order = slice(None, None, 1 if wcs.wcs.lng == 0 else -1)
    valid = np.isfinite(ra) & (np.abs(ra) <= 720.0) & (np.abs(dec) <= 90.0)
    ra, dec = np.where(valid, ra, 0.0), np.where(valid, dec, 0.0)
    if frame is not None:
        sky = SkyCoord(ra, dec, unit="deg").transform_to(frame).spherical
        ra, dec = sky.lon.deg, sky.lat.deg
    x, y = np.full(len(valid), np.nan), np.full(len(valid), np.nan)
    centre = [float(angle) for angle in wcs.wcs_pix2world(shape[1] / 2, shape[0] / 2, 0)[order]]
    near = valid & (_separation(ra, dec, *centre) < 80.0)
    if near.any():
        x[near], y[near] = wcs.all_world2pix(*(ra[near], dec[near])[order], 0, quiet=True)
    return x, y


def _separation(ra: Floats, dec: Floats, ra0: float, dec0: float) -> Floats:
    """Angle between positions, degrees."""
    a, d, a0, d0 = (np.radians(v) for v in (ra, dec, ra0, dec0))
    cosine = np.sin(d) * np.sin(d0) + np.cos(d) * np.cos(d0) * np.cos(a - a0)
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def celestial_frame(wcs: WCS) -> Any:
    """The celestial frame of a WCS; None where it is ICRS to within a pixel."""
    frame = wcs_to_celestial_frame(wcs)
    if isinstance(frame, ICRS) or (isinstance(frame, FK5) and frame.equinox.value == "J2000.000"):
        return None
    return frame


def pixel_to_sky(wcs: WCS, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Sky positions of 0-based pixel positions.

    Parameters
    ----------
    wcs : WCS
        Celestial, of two axes.
    x, y : (n,) float

    Returns
    -------
    ra, dec : (n,) float
        Degrees, ICRS; ra from 0 to 360.
    """
    if len(x) == 0:
        return np.empty(0), np.empty(0)
    order = slice(None, None, 1 if wcs.wcs.lng == 0 else -1)
    ra, dec = (np.asarray(angle, np.float64) for angle in wcs.all_pix2world(x, y, 0)[order])
    frame = celestial_frame(wcs)
    if frame is not None:
        sky = SkyCoord(ra, dec, unit="deg", frame=frame).icrs
        ra, dec = sky.ra.deg, sky.dec.deg
    return np.asarray(ra % 360.0), np.asarray(dec)


def unit_vectors(ra: Floats, dec: Floats) -> Floats:
    """Unit vectors of sky positions in degrees, (n, 3)."""
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)
