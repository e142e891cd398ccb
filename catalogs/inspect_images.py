"""Look at every image that a release needs before any work starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalogs import bounds, headers, images, masks, path_template, storage
from catalogs.errors import Fault, Refused
from catalogs.image_header import ImageHeader, NotAnImage
from catalogs.stamps import mask_path, path_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from catalogs.release import Release
    from catalogs.survey import Images

SHOWN = 20
SAME_SCALE = 0.01
FETCH_IMAGE = "Fetch it, or leave its objects out with [survey] where"
WITHOUT_WCS = 'Use [survey.images] position = "pixel" and give pixel_scale, or mend the header'


def look_at_images(release: Release, paths: pa.Table | None) -> tuple[float | None, list[str]]:
    """Check the images, and find their pixel scale and what is doubtful in their headers.

    Parameters
    ----------
    release : Release
    paths : pa.Table or None
        Distinct values of the columns in the path template; None when the rows were not looked at.

    Returns
    -------
    scale : float or None
        Arcsec a pixel; None when the config says that it is unknown.
    notes : list of str
        Contradictions in the headers, and how they were taken.

    Raises
    ------
    Refused
        With every image that is missing, broken or on another scale.
    """
    layout = release.survey.images
    scale = layout.pixel_scale if isinstance(layout.pixel_scale, float) else None
    rows = _named(layout, paths)
    if rows is None:
        return scale, []
    if layout.layout == "extensions":
        _extension_faults(release, rows)
        return scale, []
    return _look_at_tiles(release, rows, scale)


def image_urls(release: Release, paths: pa.Table | None) -> list[str]:
    """Every image file that the release needs; none where that is not known or there are none. `paths` as in `image_faults`."""
    layout = release.survey.images
    rows = _named(layout, paths) or []
    files = {url for row in rows for pair in _files(release, row) if isinstance(pair, tuple) for url in pair}
    return sorted(files)


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


def _files(release: Release, row: dict[str, object]) -> list[tuple[str, str] | Fault]:
    """The images of a row that names some and their masks, a pair a band; without masks the image twice."""
    layout, files = release.survey.images, list[tuple[str, str] | Fault]()
    for band in layout.bands:
        key = "path"
        try:
            url = path_of(str(layout.path), row, band, release.folder)
            key = "mask.path"
            files.append((url, mask_path(layout, url, row, band, release.folder)))
        except path_template.BadTemplate as error:
            files.append(Fault(f"[survey.images] {key}", str(error), "Correct it, or the catalog"))
    return files


@dataclass(frozen=True)
class _Tile:
    scale: float
    """Arcsec a pixel; 0 where nobody asks for it."""
    notes: tuple[str, ...]


def _look_at_tiles(
    release: Release, rows: list[dict[str, object]], scale: float | None
) -> tuple[float | None, list[str]]:
    layout = release.survey.images
    named = {pair for row in rows for pair in _files(release, row)}
    faults = [f for f in named if isinstance(f, Fault)]
    pairs = sorted(pair for pair in named if isinstance(pair, tuple))
    found = storage.parallel(lambda pair: _tile_or_fault(layout, *pair), pairs)
    faults += [f for f in found if isinstance(f, Fault)]
    tiles = [(url, f) for (url, _), f in zip(pairs, found, strict=True) if not isinstance(f, Fault)]
    if layout.scale_in_wcs:
        scales = [(url, tile.scale) for url, tile in tiles]
        for url, other in scales:
            first = scales[0][1]
            if first and other and abs(other / first - 1.0) > SAME_SCALE:
                problem = f"has {other:.4f} arcsec a pixel, but {scales[0][0]} has {first:.4f}"
                faults.append(Fault(url, problem, "Bring all bands and tiles on one scale first"))
        scale = scales[0][1] if scales else None
    _raise_if_any(faults)
    return scale, _grouped_notes([(url, note) for url, tile in tiles for note in tile.notes])


def _grouped_notes(notes: list[tuple[str, str]]) -> list[str]:
    """One note for what is said of many files."""
    files: dict[str, list[str]] = {}
    for url, note in notes:
        files.setdefault(note, []).append(url)
    return [
        f"{urls[0]}{f' and {len(urls) - 1} more files' if len(urls) > 1 else ''}: {note}."
        for note, urls in files.items()
    ]


def _tile_or_fault(layout: Images, url: str, mask: str) -> _Tile | Fault:
    """A tile's pixel scale if it is asked for and what is doubtful in its header, or what is wrong with it or with its mask."""
    image = _opened(url, "image", lambda: images.open_image(url, layout.hdu))
    if isinstance(image, Fault):
        return image
    settings = layout.mask
    if settings is not None:
        found = _opened(mask, "mask", lambda: masks.open_mask(settings, mask, image))
        if isinstance(found, Fault):
            return found
    if layout.position != "sky" and not layout.scale_in_wcs:
        return _Tile(0.0, ())
    try:
        scale, notes = image.pixel_scale, image.wcs_notes
    except NotAnImage as error:
        return Fault(url, str(error), WITHOUT_WCS)
    return Fault(url, "has no WCS", WITHOUT_WCS) if scale is None else _Tile(scale, notes)


def _opened(url: str, kind: str, opening: Callable[[], ImageHeader]) -> ImageHeader | Fault:
    """An image whose pixels can be read, or what is wrong with it."""
    try:
        image = opening()
        images.try_pixels(image)
    except FileNotFoundError:
        return Fault(url, f"this {kind} is missing", FETCH_IMAGE)
    except NotAnImage as error:
        return Fault(url, str(error), error.remedy)
    except OSError as error:
        return Fault(url, f"cannot be read ({headers.first_line(error)})", "Fetch the file again")
    return image


def _extension_faults(release: Release, rows: list[dict[str, object]]) -> None:
    layout = release.survey.images
    column = str(layout.hdu_column)
    wanted: dict[str, set[int]] = {}
    faults: list[Fault] = []
    for row in rows:
        number = row[column]
        for pair in _files(release, row):
            if isinstance(pair, Fault):
                faults.append(pair)
                continue
            url = pair[0]
            if not isinstance(number, int) or number < 0:
                problem = "the number of an HDU is an integer from 0"
                faults.append(Fault(url, problem, "Correct the column", column, repr(number)))
            else:
                wanted.setdefault(url, set()).add(number)
    checked = storage.parallel(lambda item: _hdu_faults(*item, column), sorted(wanted.items()))
    _raise_if_any(faults + [fault for found in checked for fault in found])


def _check_stamp(image: ImageHeader) -> None:
    bounds.check_stamp(image.hdu, image.header)
    images.try_pixels(image)


def _hdu_faults(url: str, numbers: set[int], column: str) -> list[Fault]:
    """HDUs that are wanted of a file, but are not there or hold no image."""
    faults, last, left = list[Fault](), -1, set(numbers)
    correct = "Fetch the file again, or correct the column"
    try:
        with storage.glancing(url) as (stream, compression):
            for last, header, offset in headers.walk(stream):
                if last not in left:
                    continue
                left.remove(last)
                try:
                    _check_stamp(images.image_in(url, last, header, offset, compression))
                except NotAnImage as error:
                    faults.append(Fault(url, str(error), correct, column, str(last)))
                if not left:
                    if not headers.is_complete(url, offset + headers.data_bytes(header), compression):
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
