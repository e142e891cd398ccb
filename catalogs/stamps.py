"""The stamps of a slice, whichever of the three image layouts they come from."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from astropy.io import fits

from catalogs import bounds, headers, images, storage
from catalogs.errors import CorruptFile
from catalogs.flags import Flag
from catalogs.quiet import quiet
from catalogs.sky import sky_to_pixel
from catalogs.survey import PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from catalogs._types import Array, Floats, Integers
    from catalogs.identity import Watched
    from catalogs.survey import Images, Survey


def stamps_of(
    survey: Survey, rows: pa.Table, folder: str, watched: Watched | None = None
) -> tuple[Floats, Integers]:
    """Read the stamps of some catalog rows.

    Parameters
    ----------
    survey : Survey
    rows : pa.Table
        Rows with the columns that `image_columns` names.
    folder : str
        What relative paths in `extensions` and `tiles` templates are relative to.
    watched : Watched, optional
        Is told of every image before it is opened.

    Returns
    -------
    stamps : (n, band, y, x) float32
        Background-subtracted, native byte order, every value finite.
    flags : (n,) int32
        Bits of `Flag` that concern pixels.
    """
    side, bands = survey.images.size, len(survey.images.bands)
    stamps = np.zeros((rows.num_rows, bands, side, side), np.float32)
    flags = np.zeros(rows.num_rows, np.int32)
    if survey.images.layout == "column":
        _from_column(survey.images, rows, stamps, flags)
    else:
        read = _from_tiles if survey.images.layout == "tiles" else _from_extensions
        opening = watched.opening if watched is not None else (lambda url: None)  # noqa: ARG005
        read(survey, rows, folder, stamps, flags, opening)
    return stamps, flags


def image_columns(survey: Survey) -> list[str]:
    """Catalog columns that reading the stamps needs."""
    layout = survey.images
    if layout.layout == "column":
        return [str(layout.column)]
    columns = list(layout.path_columns)
    if layout.layout == "extensions":
        columns.append(str(layout.hdu_column))
    elif layout.position == "pixel":
        columns += [layout.x, layout.y]
    else:
        columns += [str(survey.ra), str(survey.dec)]
    return columns


def path_of(template: str, values: Mapping[str, object], band: str, folder: str) -> str:
    """Fill a path template with a band and the catalog's values."""
    path = PLACEHOLDER.sub(lambda m: band if m[1] == "band" else str(values[m[1]]), template)
    return storage.absolute(path, folder)


def numbers(column: pa.ChunkedArray) -> Floats:
    """A numeric column as float64 with null as NaN."""
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def _groups(rows: pa.Table, columns: list[str]) -> list[tuple[dict[str, object], Integers]]:
    """Distinct values of some columns and the rows that have them, in order of first appearance."""
    if not columns:
        return [({}, np.arange(rows.num_rows))] if rows.num_rows else []
    found: dict[tuple[object, ...], list[int]] = {}
    values = [rows[name].to_pylist() for name in columns]
    for i, key in enumerate(zip(*values, strict=True)):
        found.setdefault(key, []).append(i)
    return [(dict(zip(columns, key, strict=True)), np.array(which)) for key, which in found.items()]


def _run(rows: Integers) -> slice | Integers:
    """Ascending row numbers as a slice if they follow one another."""
    return slice(rows[0], rows[-1] + 1) if rows[-1] - rows[0] + 1 == len(rows) else rows


def _from_tiles(
    survey: Survey,
    rows: pa.Table,
    folder: str,
    stamps: Floats,
    flags: Integers,
    opening: Callable[[str], None],
) -> None:
    layout = survey.images
    for values, which in _groups(rows, layout.path_columns):
        part = rows.take(which)
        for b, band in enumerate(layout.bands):
            url = path_of(str(layout.path), values, band, folder)
            opening(url)
            try:
                tile = images.open_image(url, layout.hdu)
            except FileNotFoundError as error:
                raise CorruptFile(f"{url}: this image is missing. Fetch it.") from error
            except images.NotAnImage as error:
                raise CorruptFile(f"{url}: {error}. Fetch the file again.") from error
            x, y = _pixels(survey, part, tile)
            run = _run(which)
            cleaned = stamps[run, b]  # a view where the rows stand together: then nothing is copied
            _, covered = images.cut(tile, x, y, layout.size, out=cleaned)
            flags[run] |= clean(cleaned, layout, covered)
            if not isinstance(run, slice):
                stamps[run, b] = cleaned


def _pixels(survey: Survey, rows: pa.Table, tile: images.ImageHeader) -> tuple[Floats, Floats]:
    """0-based pixel positions of objects on a tile; NaN where there is none."""
    layout = survey.images
    if layout.position == "pixel":
        return numbers(rows[layout.x]) - 1.0, numbers(rows[layout.y]) - 1.0
    try:
        wcs = tile.wcs
    except images.NotAnImage as error:
        raise CorruptFile(f"{tile.url}: {error}. Fetch the file again.") from error
    if wcs is None:
        raise CorruptFile(f'{tile.url}: has no WCS. Use position = "pixel", or give the tile a WCS.')
    return sky_to_pixel(wcs, tile.shape, numbers(rows[str(survey.ra)]), numbers(rows[str(survey.dec)]))


def _from_column(layout: Images, rows: pa.Table, stamps: Floats, flags: Integers) -> None:
    column = rows[str(layout.column)].combine_chunks()
    shape = stored_shape(rows.schema.field(str(layout.column)), len(layout.bands))
    values = column.values.to_numpy(zero_copy_only=False).reshape(rows.num_rows, *shape)
    for b in range(len(layout.bands)):
        planes = _float32(values[:, b])
        flags |= clean(planes, layout)
        centre(planes, stamps[:, b])


def stored_shape(field: pa.Field, bands: int) -> tuple[int, int, int]:
    """Shape (band, y, x) of the stamps in a vector column, from its TDIM, or a square if there is none."""
    if not pa.types.is_fixed_size_list(field.type) or pa.types.is_string(field.type.value_type):
        raise ValueError(f"is {field.type}, not a vector of pixels")
    dims = (field.metadata or {}).get(b"dim", b"").decode()
    length = field.type.list_size
    if dims:
        axes = tuple(int(d) for d in dims.strip("()").split(","))[::-1]
        axes = axes if len(axes) == 3 else (1, *axes)
    else:
        side = round((length / bands) ** 0.5)
        axes = (bands, side, side)
    if len(axes) != 3 or axes[0] != bands or int(np.prod(axes)) != length:
        raise ValueError(f"holds {dims or length} pixels, not stamps of {bands} band(s)")
    return axes[0], axes[1], axes[2]


def _from_extensions(
    survey: Survey,
    rows: pa.Table,
    folder: str,
    stamps: Floats,
    flags: Integers,
    opening: Callable[[str], None],
) -> None:
    layout = survey.images
    hdus = rows[str(layout.hdu_column)].to_pylist()
    for values, which in _groups(rows, layout.path_columns):
        for b, band in enumerate(layout.bands):
            url = path_of(str(layout.path), values, band, folder)
            opening(url)
            _check_planes(url, {hdus[i] for i in which})
            with _opened(url) as file:
                for i in which:
                    plane = _plane(file, url, hdus[i])[None]
                    flags[i] |= clean(plane, layout)[0]
                    centre(plane, stamps[i : i + 1, b])


def _check_planes(url: str, wanted: set[int | None]) -> None:
    """Headers before pixels: the plan has not looked at the files of a large release."""
    try:
        with storage.reading(url) as stream:
            for number, header, offset in headers.walk(stream):
                if number in wanted:
                    bounds.check_stamp(number, header)
                    if header.get("ZIMAGE", False):
                        bounds.check_cells(url, number, offset)
                    wanted = wanted - {number}
                if not wanted:
                    break
    except headers.MALFORMED as error:
        remedy = getattr(error, "remedy", "Fetch the file again")
        raise CorruptFile(
            f"{url}: cannot be read as FITS ({headers.first_line(error)}). {remedy}."
        ) from error


@contextmanager
def _opened(url: str) -> Iterator[fits.HDUList]:
    try:
        local = storage.is_local(url)
        with quiet():
            file = fits.open(url, memmap=local) if local else fits.open(url, use_fsspec=True)
    except headers.MALFORMED as error:
        told = headers.first_line(error)
        raise CorruptFile(f"{url}: cannot be read as FITS ({told}). Fetch the file again.") from error
    with file:
        yield file


def _plane(file: fits.HDUList, url: str, number: int | None) -> Floats:
    try:
        with quiet():
            plane = file[number].data
    except Exception as error:  # astropy's decoders raise classes of their own, which it does not export
        told = headers.first_line(error)
        raise CorruptFile(f"{url}: HDU {number} cannot be read ({told}). Fetch the file again.") from error
    if plane is None or plane.ndim != 2 or not plane.size:
        raise CorruptFile(f"{url}: HDU {number} is no two-dimensional image. Correct the catalog.")
    return _float32(plane)


def _float32(pixels: Array) -> Floats:
    """A copy; what float32 cannot hold becomes infinite, and is flagged as such."""
    with np.errstate(over="ignore"):
        return np.array(pixels, np.float32, order="C")


def centre(planes: Floats, stamps: Floats) -> None:
    """Crop or pad (n, h, w) planes into (n, side, side) stamps of zeros, around their centres.

    The centre pixel of a side n is n // 2, so odd and even sides keep their galaxy on the same pixel.
    """
    side = stamps.shape[-1]
    source, target = [slice(None)], [slice(None)]
    for length in planes.shape[1:]:
        offset = length // 2 - side // 2
        first, last = max(offset, 0), min(offset + side, length)
        source.append(slice(first, last))
        target.append(slice(first - offset, last - offset))
    stamps[tuple(target)] = planes[tuple(source)]


def clean(stamps: Floats, layout: Images, covered: Integers | None = None) -> Integers:
    """Subtract the background and make every pixel finite, in place, and say what was wrong.

    Parameters
    ----------
    stamps : (n, y, x) float32
        One band; pixels off the image are NaN. Pixels that are not finite become zero, which is the
        background's level.
    layout : Images
    covered : (n,) int, optional
        Pixels of each stamp that lie on the image; all of them by default.

    Returns
    -------
    flags : (n,) int32
    """
    flags = np.zeros(len(stamps), np.int32)
    covered = np.full(len(stamps), stamps.shape[1] * stamps.shape[2]) if covered is None else covered
    for first in range(0, len(stamps), images.CHUNK):
        now = slice(first, first + images.CHUNK)
        flags[now] = _clean(stamps[now], layout, covered[now])
    return flags


def _clean(stamps: Floats, layout: Images, covered: Integers) -> Integers:
    flags = np.zeros(len(stamps), np.int32)
    pixels = stamps.shape[1] * stamps.shape[2]
    low, high = stamps.min(axis=(1, 2)), stamps.max(axis=(1, 2))
    whole = np.isfinite(low) & np.isfinite(high)  # min and max hand on NaN, and are the infinities if any
    border = layout.background == "border"
    background = _border(stamps) if border else np.zeros(len(stamps), np.float32)
    for i in np.flatnonzero(~whole):
        good = stamps[i][np.isfinite(stamps[i])]
        low[i], high[i] = (good.min(), good.max()) if len(good) else (np.nan, np.nan)
        background[i] = 0.0
        if border and len(good):
            frame = stamps[i].ravel()[_frame(stamps.shape[1:])]
            frame = frame[np.isfinite(frame)]
            background[i] = np.median(frame if len(frame) else good)
        flags[i] |= Flag.BAD_PIXELS if len(good) < covered[i] else 0
        flags[i] |= Flag.NO_PIXELS if len(good) == 0 < covered[i] else 0
    flags[covered < pixels] |= Flag.EDGE
    flags[covered == 0] ^= Flag.EDGE | Flag.OFF_IMAGE
    flags[low == high] |= Flag.BLANK
    if layout.saturation is not None:
        flags[high >= layout.saturation] |= Flag.SATURATED
    with np.errstate(over="ignore", invalid="ignore"):
        stamps -= background[:, None, None]
        # Sentinels near float32's limits are finite, but need not be so any more above their background.
        known = np.isfinite(low) & np.isfinite(high)
        burst = known & ~(np.isfinite(low - background) & np.isfinite(high - background))
    flags[burst] |= Flag.BAD_PIXELS
    for i in np.flatnonzero(~whole | burst):
        stamps[i][~np.isfinite(stamps[i])] = 0.0
    return flags


@cache
def _frame(shape: tuple[int, ...]) -> Integers:
    """Flat indices of the outer frame of a stamp, a sixteenth of its side wide."""
    width = max(1, min(shape) // 16)
    frame = np.ones(shape, bool)
    frame[width:-width, width:-width] = False
    return np.flatnonzero(frame)


def _border(stamps: Floats) -> Floats:
    """Median of each stamp's outer frame, (n,); of no meaning where a pixel is not finite."""
    pixels = stamps.reshape(len(stamps), -1).take(_frame(stamps.shape[1:]), axis=1, mode="clip")
    middle = pixels.shape[-1] // 2
    pixels.partition(middle, axis=-1)
    return np.asarray(pixels[:, middle])
