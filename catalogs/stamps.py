"""The stamps of a slice, whichever of the three image layouts they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from catalogs import bounds, headers, images, masks, path_template, pixels, storage
from catalogs.cleaning import centre, clean
from catalogs.errors import CorruptFile
from catalogs.image_header import ImageHeader, NotAnImage
from catalogs.positions import numbers, positions_of
from catalogs.sky import sky_to_pixel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    """Fill a path template with a band and the catalog's values; raises `BadTemplate` where a value does not fit."""
    return storage.absolute(path_template.filled(template, values, band), folder)


def _path(layout: Images, values: Mapping[str, object], band: str, folder: str) -> str:
    try:
        return path_of(str(layout.path), values, band, folder)
    except path_template.BadTemplate as error:
        raise CorruptFile(f"[survey.images] path: {error}. Correct it, or the catalog.") from error


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
            url = _path(layout, values, band, folder)
            opening(url)
            try:
                tile = images.open_image(url, layout.hdu)
            except FileNotFoundError as error:
                raise CorruptFile(f"{url}: this image is missing. Fetch it.") from error
            except NotAnImage as error:
                raise CorruptFile(f"{url}: {error}. Fetch the file again.") from error
            x, y = _pixels(survey, part, tile)
            run = _run(which)
            cleaned = stamps[run, b]  # a view where the rows stand together: then nothing is copied
            _, covered = images.cut(tile, x, y, layout.size, out=cleaned)
            if layout.mask is not None:
                mask = _mask_of(layout, values, band, folder, tile, opening)
                cleaned[masks.masked(layout.mask, mask, x, y, layout.size)] = np.nan
            flags[run] |= clean(cleaned, layout, covered)
            if not isinstance(run, slice):
                stamps[run, b] = cleaned


def mask_path(layout: Images, url: str, values: Mapping[str, object], band: str, folder: str) -> str:
    """Where the mask of a tile lies; raises `BadTemplate` where a value does not fit."""
    template = layout.mask.path if layout.mask is not None else None
    return url if template is None else path_of(template, values, band, folder)


def _mask_of(
    layout: Images,
    values: Mapping[str, object],
    band: str,
    folder: str,
    tile: ImageHeader,
    opening: Callable[[str], None],
) -> ImageHeader:
    try:
        url = mask_path(layout, tile.url, values, band, folder)
        if url != tile.url:
            opening(url)
        assert layout.mask is not None
        return masks.open_mask(layout.mask, url, tile)
    except path_template.BadTemplate as error:
        raise CorruptFile(f"[survey.images.mask] path: {error}. Correct it, or the catalog.") from error
    except FileNotFoundError as error:
        raise CorruptFile(f"{url}: this mask is missing. Fetch it.") from error
    except NotAnImage as error:
        raise CorruptFile(f"{url}: {error}. {error.remedy}.") from error


def _pixels(survey: Survey, rows: pa.Table, tile: ImageHeader) -> tuple[Floats, Floats]:
    """0-based pixel positions of objects on a tile; NaN where there is none."""
    layout = survey.images
    if layout.position == "pixel":
        return numbers(rows[layout.x]) - 1.0, numbers(rows[layout.y]) - 1.0
    try:
        wcs = tile.wcs
    except NotAnImage as error:
        raise CorruptFile(f"{tile.url}: {error}. Fetch the file again.") from error
    if wcs is None:
        raise CorruptFile(f'{tile.url}: has no WCS. Use position = "pixel", or give the tile a WCS.')
    return sky_to_pixel(wcs, tile.shape, *positions_of(survey, rows))


def pixels_on_tiles(survey: Survey, rows: pa.Table, band: str, folder: str) -> tuple[Floats, Floats]:
    """0-based place of the middle of each row's stamp on a band's tile, (n,) each, half a pixel or less from the object; NaN where there is none.

    Not the object's own: what a WCS with distortions says of that depends in its last digits on the others that it is asked for.
    """
    layout = survey.images
    x, y = np.full(rows.num_rows, np.nan), np.full(rows.num_rows, np.nan)
    for values, which in _groups(rows, layout.path_columns):
        tile = images.open_image(_path(layout, values, band, folder), layout.hdu)
        x[which], y[which] = _pixels(survey, rows.take(which), tile)
    half = (layout.size - 1) / 2
    return np.ceil(x - layout.size / 2) + half, np.ceil(y - layout.size / 2) + half


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
            url = _path(layout, values, band, folder)
            opening(url)
            found = _images_of(url, {hdus[i] for i in which})
            try:
                with pixels.opened(url, found[hdus[which[0]]].compression) as file:
                    # in the file's order, which a compressed one is read in once
                    for i in sorted(which, key=lambda row: hdus[row]):
                        image = found[hdus[i]]
                        plane = _float32(file.rows(image).strip(0, image.shape[0]))[None]
                        flags[i] |= clean(plane, layout)[0]
                        centre(plane, stamps[i : i + 1, b])
            except headers.MALFORMED as error:
                told = headers.first_line(error)
                raise CorruptFile(f"{url}: pixels cannot be read ({told}). Fetch the file again.") from error


def _images_of(url: str, wanted: set[int | None]) -> dict[int | None, ImageHeader]:
    """Headers before pixels: the plan has not looked at the files of a large release."""
    found: dict[int | None, ImageHeader] = {}
    try:
        with storage.glancing(url) as (stream, compression):
            for number, header, offset in headers.walk(stream):
                if number in wanted:
                    bounds.check_stamp(number, header)
                    found[number] = images.image_in(url, number, header, offset, compression)
                if len(found) == len(wanted):
                    break
    except headers.MALFORMED as error:
        remedy = getattr(error, "remedy", "Fetch the file again")
        raise CorruptFile(
            f"{url}: cannot be read as FITS ({headers.first_line(error)}). {remedy}."
        ) from error
    if missing := wanted - found.keys():
        problem = f"has no HDU {min(missing, key=str)}"
        raise CorruptFile(f"{url}: {problem}. Correct the catalog, or fetch the file again.")
    return found


def _float32(pixels: Array) -> Floats:
    """A copy; what float32 cannot hold becomes infinite, and is flagged as such."""
    with np.errstate(over="ignore"):
        return np.array(pixels, np.float32, order="C")
