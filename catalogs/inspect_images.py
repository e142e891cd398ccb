"""Look at every image that a release needs before any work starts."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from astropy.io import fits

from catalogs import images, storage
from catalogs.errors import Fault, Refused
from catalogs.stamps import path_of

if TYPE_CHECKING:
    import pyarrow as pa

    from catalogs.release import Release

SHOWN = 20
SAME_SCALE = 0.01


def image_faults(release: Release, paths: pa.Table | None) -> float | None:
    """Check the images and find their pixel scale.

    Parameters
    ----------
    release : Release
    paths : pa.Table or None
        Distinct values of the columns in the path template; None when the rows were not looked at.

    Returns
    -------
    float or None
        Arcsec a pixel; None when the config says that it is unknown.

    Raises
    ------
    Refused
        With every image that is missing, broken or on another scale.
    """
    layout = release.survey.images
    scale = layout.pixel_scale if isinstance(layout.pixel_scale, float) else None
    if layout.layout == "column" or (paths is None and layout.path_columns):
        return scale
    rows = [{}] if paths is None else paths.to_pylist()
    if layout.layout == "extensions":
        _extension_faults(release, rows)
        return scale
    return _tile_faults(release, rows, scale)


def _raise_if_any(faults: list[Fault]) -> None:
    if len(faults) > SHOWN:
        more = f"and {len(faults) - SHOWN} more images"
        faults = [*sorted(faults)[:SHOWN], Fault("~", more, "They have the same or similar faults")]
    if faults:
        raise Refused(faults)


def _tile_faults(release: Release, rows: list[dict[str, object]], scale: float | None) -> float | None:
    layout = release.survey.images
    urls = sorted(
        {path_of(str(layout.path), row, band, release.folder) for row in rows for band in layout.bands}
    )

    def opened(url: str) -> tuple[str, float | None] | Fault:
        try:
            image = images.open_image(url, layout.hdu)
        except FileNotFoundError:
            return Fault(
                url, "this image is missing", "Fetch it, or leave its objects out with [survey] where"
            )
        except (images.NotAnImage, OSError) as error:
            return Fault(url, str(error), "Fetch the file again")
        if (layout.position == "sky" or layout.scale_in_wcs) and image.wcs is None:
            return Fault(url, "has no WCS", 'Use position = "pixel" and give pixel_scale')
        return url, image.pixel_scale if layout.scale_in_wcs else scale

    found = storage.parallel(opened, urls)
    faults = [f for f in found if isinstance(f, Fault)]
    scales = [f for f in found if not isinstance(f, Fault)]
    if scales and layout.scale_in_wcs:
        scale = scales[0][1]
        for url, other in scales:
            if scale and other and abs(other / scale - 1.0) > SAME_SCALE:
                problem = f"has {other:.4f} arcsec a pixel, but {scales[0][0]} has {scale:.4f}"
                faults.append(Fault(url, problem, "Bring all bands and tiles on one scale first"))
    _raise_if_any(faults)
    return scale


def _extension_faults(release: Release, rows: list[dict[str, object]]) -> None:
    layout = release.survey.images
    column = str(layout.hdu_column)
    faults: list[Fault] = []
    highest: dict[str, int] = {}
    for row in rows:
        for band in layout.bands:
            url = path_of(str(layout.path), row, band, release.folder)
            number = row[column]
            highest[url] = max(highest.get(url, 0), number if isinstance(number, int) else 0)
            if not isinstance(number, int) or number < 0:
                faults.append(
                    Fault(url, "an HDU number must be 0 or more", "Correct it", column, str(number))
                )
    for url, number in sorted(highest.items()):
        try:
            local = storage.is_local(url)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                file = fits.open(url, memmap=local) if local else fits.open(url, use_fsspec=True)
                with file:
                    count = len(file)
        except FileNotFoundError:
            faults.append(Fault(url, "this image is missing", "Fetch it"))
            continue
        except OSError as error:
            faults.append(Fault(url, f"cannot be read as FITS ({error})", "Fetch the file again"))
            continue
        if number >= count:
            problem = f"the file has only {count} HDUs"
            faults.append(
                Fault(url, problem, "Fetch the file again, or correct the column", column, str(number))
            )
    _raise_if_any(faults)
