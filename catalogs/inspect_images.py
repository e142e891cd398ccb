"""Look at every image that a release needs before any work starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalogs import bounds, headers, images, storage
from catalogs.errors import Fault, Refused
from catalogs.stamps import path_of

if TYPE_CHECKING:
    import pyarrow as pa

    from catalogs.release import Release
    from catalogs.survey import Images

SHOWN = 20
SAME_SCALE = 0.01
FETCH_IMAGE = "Fetch it, or leave its objects out with [survey] where"
WITHOUT_WCS = 'Use [survey.images] position = "pixel" and give pixel_scale, or mend the header'


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
    rows = _named(layout, paths)
    if rows is None:
        return scale
    if layout.layout == "extensions":
        _extension_faults(release, rows)
        return scale
    return _tile_faults(release, rows, scale)


def image_urls(release: Release, paths: pa.Table | None) -> list[str]:
    """Every image file that the release needs; none where that is not known or there are none. `paths` as in `image_faults`."""
    layout = release.survey.images
    rows = _named(layout, paths) or []
    return sorted(
        {path_of(str(layout.path), row, band, release.folder) for row in rows for band in layout.bands}
    )


def _named(layout: Images, paths: pa.Table | None) -> list[dict[str, object]] | None:
    """What fills the path template, once for each image or HDU; None where there are no files, or nobody knows which."""
    unknown = layout.path_columns or layout.layout == "extensions"
    if layout.layout == "column" or (paths is None and unknown):
        return None
    return [{}] if paths is None else paths.to_pylist()


def _raise_if_any(faults: list[Fault]) -> None:
    if len(faults) > SHOWN:
        more = f"and {len(faults) - SHOWN} more images"
        faults = [*sorted(faults, key=str)[:SHOWN], Fault("~", more, "They have the same or similar faults")]
    if faults:
        raise Refused(faults)


def _tile_faults(release: Release, rows: list[dict[str, object]], scale: float | None) -> float | None:
    layout = release.survey.images
    urls = sorted(
        {path_of(str(layout.path), row, band, release.folder) for row in rows for band in layout.bands}
    )
    found = storage.parallel(lambda url: _scale_or_fault(layout, url), urls)
    faults = [f for f in found if isinstance(f, Fault)]
    if layout.scale_in_wcs:
        scales = [(url, f) for url, f in zip(urls, found, strict=True) if not isinstance(f, Fault)]
        for url, other in scales:
            first = scales[0][1]
            if first and other and abs(other / first - 1.0) > SAME_SCALE:
                problem = f"has {other:.4f} arcsec a pixel, but {scales[0][0]} has {first:.4f}"
                faults.append(Fault(url, problem, "Bring all bands and tiles on one scale first"))
        scale = scales[0][1] if scales else None
    _raise_if_any(faults)
    return scale


def _scale_or_fault(layout: Images, url: str) -> float | Fault | None:
    """A tile's pixel scale if it is asked for, or what is wrong with the tile."""
    try:
        image = images.open_image(url, layout.hdu)
    except FileNotFoundError:
        return Fault(url, "this image is missing", FETCH_IMAGE)
    except images.NotAnImage as error:
        return Fault(url, str(error), error.remedy)
    except OSError as error:
        return Fault(url, f"cannot be read ({headers.first_line(error)})", "Fetch the file again")
    try:
        scale = image.pixel_scale if layout.position == "sky" or layout.scale_in_wcs else 0.0
    except images.NotAnImage as error:
        return Fault(url, str(error), WITHOUT_WCS)
    return Fault(url, "has no WCS", WITHOUT_WCS) if scale is None else scale


def _extension_faults(release: Release, rows: list[dict[str, object]]) -> None:
    layout = release.survey.images
    column = str(layout.hdu_column)
    wanted: dict[str, set[int]] = {}
    faults: list[Fault] = []
    for row in rows:
        number = row[column]
        for band in layout.bands:
            url = path_of(str(layout.path), row, band, release.folder)
            if not isinstance(number, int) or number < 0:
                problem = "the number of an HDU is an integer from 0"
                faults.append(Fault(url, problem, "Correct the column", column, repr(number)))
            else:
                wanted.setdefault(url, set()).add(number)
    checked = storage.parallel(lambda item: _hdu_faults(*item, column), sorted(wanted.items()))
    _raise_if_any(faults + [fault for found in checked for fault in found])


def _hdu_faults(url: str, numbers: set[int], column: str) -> list[Fault]:
    """HDUs that are wanted of a file, but are not there or hold no image."""
    faults, last, left = [], -1, set(numbers)
    correct = "Fetch the file again, or correct the column"
    try:
        with storage.glancing(url) as stream:
            for last, header, offset in headers.walk(stream):
                if last not in left:
                    continue
                left.remove(last)
                compressed = bool(header.get("ZIMAGE", False))
                image = compressed or header.get("XTENSION", "IMAGE").strip() == "IMAGE"
                if not image or int(header.get("ZNAXIS" if compressed else "NAXIS", 0)) != 2:
                    problem = "this HDU is no two-dimensional image"
                    faults.append(Fault(url, problem, correct, column, str(last)))
                else:
                    bounds.check_stamp(last, header)
                if not left:
                    if not headers.is_complete(url, offset + headers.data_bytes(header)):
                        faults.append(
                            Fault(url, f"is truncated: it ends inside HDU {last}", "Fetch the file again")
                        )
                    break
    except FileNotFoundError:
        return [Fault(url, "this image is missing", FETCH_IMAGE)]
    except bounds.TooLarge as error:
        return [*faults, Fault(url, str(error), error.remedy, column, str(last))]
    except headers.MALFORMED as error:
        told = headers.first_line(error)
        told = told if isinstance(error, headers.NotFits) else f"cannot be read ({told})"
        return [*faults, Fault(url, told, "Fetch the file again")]
    if left:
        problem = f"the file has only {last + 1} HDUs (counted from 0)"
        faults.append(Fault(url, problem, correct, column, str(max(left))))
    return faults
