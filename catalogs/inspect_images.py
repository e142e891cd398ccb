"""Look at every image that a release needs before any work starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from catalogs import headers, images, masks, path_template, segmentation, storage, weights
from catalogs.errors import Fault, Refused
from catalogs.image_header import ImageHeader, NotAnImage
from catalogs.inspect_extensions import extension_faults
from catalogs.pixels import SOFTENING
from catalogs.planes import path_of, plane_path

if TYPE_CHECKING:
    from catalogs.release import Release
    from catalogs.survey import Images

Paths = Sequence[Mapping[str, object]]
"""Distinct values of the columns in the path template."""
Files = tuple[tuple[str, str], ...]
SHOWN = 20
SAME_SCALE = 0.01
FETCH_IMAGE = "Fetch it, or leave its objects out with [survey] where"
ASINH = "pixels are asinh magnitudes (BSOFTEN, BOFFSET): they are brought back to fluxes"
WITHOUT_WCS = 'Use [survey.images] position = "pixel" and give pixel_scale, or mend the header'


def look_at_images(release: Release, paths: Paths | None) -> tuple[float | None, list[str]]:
    """Check the images, and find their pixel scale and what is doubtful in their headers.

    Parameters
    ----------
    release : Release
    paths : sequence of mapping, or None
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
        files = [(row, found) for row in rows for found in _files(release, row)]
        faults = [found for _, found in files if isinstance(found, Fault)]
        there = [(row, dict(found)) for row, found in files if not isinstance(found, Fault)]
        _raise_if_any(faults + extension_faults(layout, there, FETCH_IMAGE))
        return scale, []
    return _look_at_tiles(release, rows, scale)


def image_urls(release: Release, paths: Paths | None) -> list[str]:
    """Every image file that the release needs; none where that is not known or there are none. `paths` as in `image_faults`."""
    layout = release.survey.images
    rows = _named(layout, paths) or []
    found = [files for row in rows for files in _files(release, row) if not isinstance(files, Fault)]
    return sorted({url for files in found for _, url in files})


def _named(layout: Images, paths: Paths | None) -> list[Mapping[str, object]] | None:
    """What fills the path template, once for each image or HDU; None where there are no files, or nobody knows which."""
    unknown = layout.path_columns or layout.layout == "extensions"
    if layout.layout in {"column", "struct"} or (paths is None and unknown):
        return None
    return [{}] if paths is None else list(paths)


def _raise_if_any(faults: list[Fault]) -> None:
    if len(faults) > SHOWN:
        more = f"and {len(faults) - SHOWN} more images"
        faults = [*sorted(faults, key=str)[:SHOWN], Fault("~", more, "They have the same or similar faults")]
    if faults:
        raise Refused(faults)


def _files(release: Release, row: Mapping[str, object]) -> list[Files | Fault]:
    """Where the images of a row and their planes lie: for each band, pairs of `image`, `mask`, `weight` or `segmentation` and a url."""
    layout, files = release.survey.images, list[Files | Fault]()
    for band in layout.bands:
        key = "path"
        try:
            url = path_of(str(layout.path), row, band, release.folder)
            places = [("image", url)]
            for name, plane in layout.planes.items():
                key = f"{name}.path"
                places.append((name, plane_path(name, plane, url, row, band, release.folder)))
            files.append(tuple(places))
        except path_template.BadTemplate as error:
            files.append(Fault(f"[survey.images] {key}", str(error), "Correct it, or the catalog"))
    return files


@dataclass(frozen=True)
class _Tile:
    scale: float
    """Arcsec a pixel; 0 where nobody asks for it."""
    notes: tuple[str, ...]


def _look_at_tiles(
    release: Release, rows: list[Mapping[str, object]], scale: float | None
) -> tuple[float | None, list[str]]:
    layout = release.survey.images
    named = {files for row in rows for files in _files(release, row)}
    faults = [f for f in named if isinstance(f, Fault)]
    every = sorted(files for files in named if not isinstance(files, Fault))
    found = storage.parallel(lambda files: _tile_or_fault(layout, dict(files)), every)
    faults += [f for f in found if isinstance(f, Fault)]
    tiles = [(files[0][1], f) for files, f in zip(every, found, strict=True) if not isinstance(f, Fault)]
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


def _tile_or_fault(layout: Images, urls: dict[str, str]) -> _Tile | Fault:
    """A tile's pixel scale if it is asked for and what is doubtful in its header, or what is wrong with it or with its planes."""
    url = urls["image"]
    image = _opened(url, "image", lambda: images.open_image(url, layout.hdu))
    if isinstance(image, Fault):
        return image
    opening = dict[str, Callable[[], ImageHeader]]()
    if layout.mask is not None:
        opening["mask"] = partial(masks.open_mask, layout.mask, urls["mask"], image)
    if layout.weight is not None:
        opening["weight"] = partial(weights.open_weight, layout.weight, urls["weight"], image)
    if layout.segmentation is not None:
        opening["segmentation"] = partial(
            segmentation.open_map, layout.segmentation, urls["segmentation"], image
        )
    for name, open_plane in opening.items():
        plane = _opened(urls[name], name, open_plane)
        if isinstance(plane, Fault):
            return plane
    asinh = (ASINH,) if SOFTENING in image.header else ()
    if layout.position != "sky" and not layout.scale_in_wcs:
        return _Tile(0.0, asinh)
    try:
        scale, notes = image.pixel_scale, image.wcs_notes
    except NotAnImage as error:
        return Fault(url, str(error), WITHOUT_WCS)
    return Fault(url, "has no WCS", WITHOUT_WCS) if scale is None else _Tile(scale, (*notes, *asinh))


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
