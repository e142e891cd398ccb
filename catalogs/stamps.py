"""The stamps of a slice, whichever of the image layouts they come from."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from catalogs import images, masks, path_template, planes, segmentation, tile_cache, weights
from catalogs.cleaning import centre, clean, in_cache
from catalogs.errors import CorruptFile
from catalogs.flags import Flag
from catalogs.image_header import ImageHeader, NotAnImage
from catalogs.positions import numbers, positions_of
from catalogs.record_stamps import from_records
from catalogs.same_images import groups
from catalogs.sky import sky_to_pixel
from catalogs.stamp_file import StampFile
from catalogs.vectors import is_vector, planes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa

    from catalogs._types import Array, Floats, Integers
    from catalogs.identity import Watched
    from catalogs.survey import Images, Plane, Survey


@dataclass(frozen=True)
class Stamps:
    """The pixels of some objects."""

    stamps: Floats
    """(n, band, y, x) float32: background-subtracted, native byte order, every value finite."""
    flags: Integers
    """(n,) int32: bits of `Flag` that concern pixels."""
    noise: Floats | None
    """(n, band, y, x) float32: one standard deviation of each pixel, zero where there is no data; None where the survey has no weight maps."""
    negative: Integers
    """(n,) int: how many of the weights are negative."""
    owners: Array | None = None
    """(n, y, x) uint8: whose the pixels are, see `catalogs.segmentation`; None where the survey has no segmentation map."""

    @property
    def planes(self) -> dict[str, Array]:
        """What there is for each pixel, under the names of a slice's columns."""
        every = {"stamp": self.stamps, "stamp_noise": self.noise, "stamp_owners": self.owners}
        return {name: planes for name, planes in every.items() if planes is not None}


def stamps_of(survey: Survey, rows: pa.Table, folder: str, watched: Watched | None = None) -> Stamps:
    """Read the stamps of some catalog rows.

    Parameters
    ----------
    survey : Survey
    rows : pa.Table
        Rows with the columns that `image_columns` names; where `path` is a glob, with those of `catalogs.tile_columns` too.
    folder : str
        What relative paths in `extensions` and `tiles` templates are relative to.
    watched : Watched, optional
        Is told of every image before it is opened.

    Raises
    ------
    CorruptFile
        If a file cannot be read as what it is.
    """
    side, bands = survey.images.size, len(survey.images.bands)
    shape = (rows.num_rows, bands, side, side)
    found = Stamps(
        np.zeros(shape, np.float32),
        np.zeros(rows.num_rows, np.int32),
        None if survey.images.weight is None else np.zeros(shape, np.float32),
        np.zeros(rows.num_rows, np.int64),
        None if survey.images.segmentation is None else np.zeros((len(rows), side, side), np.uint8),
    )
    nested = survey.images.column is not None and not is_vector(rows, survey.images.column)
    if survey.images.layout == "struct" or (survey.images.layout == "column" and nested):
        from_records(survey.images, rows, found.stamps, found.flags, found.noise, found.negative)
    elif survey.images.layout == "column":
        _from_column(survey.images, rows, found)
    else:
        tile_cache.begin_slice()
        read = _from_tiles if survey.images.layout == "tiles" else _from_extensions
        opening = watched.opening if watched is not None else (lambda url: None)  # noqa: ARG005
        read(survey, rows, folder, found, opening)
    return found


def image_columns(survey: Survey) -> list[str]:
    """Catalog columns that reading the stamps needs; where `path` is a glob, `TileIndex.added_to` makes the others of these."""
    layout = survey.images
    if layout.layout == "struct":
        return [str(layout.column)]
    if layout.layout == "column":
        return [
            str(column) for column in (layout.column, *(plane.column for plane in layout.planes.values()))
        ]
    columns = [] if layout.by_footprint else list(layout.path_columns)
    if layout.layout == "extensions":
        columns += layout.hdu_columns
    elif layout.position == "pixel":
        columns += [layout.x, layout.y]
    else:
        columns += [str(survey.ra), str(survey.dec)]
    return columns if layout.segmentation is None else [*columns, layout.segmentation.id]


def _path(layout: Images, values: Mapping[str, object], band: str, folder: str) -> str:
    try:
        return planes.path_of(str(layout.path), values, band, folder)
    except path_template.BadTemplate as error:
        raise CorruptFile(f"[survey.images] path: {error}. Correct it, or the catalog.") from error


def _run(rows: Integers) -> slice | Integers:
    """Ascending row numbers as a slice if they follow one another."""
    return slice(rows[0], rows[-1] + 1) if rows[-1] - rows[0] + 1 == len(rows) else rows


def _from_tiles(
    survey: Survey,
    rows: pa.Table,
    folder: str,
    found: Stamps,
    opening: Callable[[str], None],
) -> None:
    layout = survey.images
    for values, which in groups(rows, layout.naming):
        if _on_no_tile(layout, values):
            found.flags[which] |= Flag.OFF_IMAGE
            if found.owners is not None:
                found.owners[which] = segmentation.UNKNOWN
            continue
        part = rows.take(which)
        for b, band in enumerate(layout.bands):
            url = _path(layout, values, band, folder)
            opening(url)
            beside = partial(planes.beside, url=url, values=values, band=band, folder=folder, opening=opening)
            tile = _opened(url, layout.hdu)
            x, y = pixel_positions(survey, part, tile)
            run, noise = _run(which), None
            cleaned = found.stamps[run, b]  # a view where the rows stand together: then nothing is copied
            _, covered = images.cut(tile, x, y, layout.size, out=cleaned)
            if layout.mask is not None:
                with beside("mask", layout.mask) as place:
                    mask = masks.open_mask(layout.mask, place, tile)
                cleaned[masks.masked(layout.mask, mask, x, y, layout.size)] = np.nan
            if layout.weight is not None:
                with beside("weight", layout.weight) as place:
                    weight = weights.open_weight(layout.weight, place, tile)
                noise, negative = weights.weighed(layout.weight, weight, x, y, layout.size)
                found.negative[run] += negative
            if b == 0 and layout.segmentation is not None and found.owners is not None:
                with beside("segmentation", layout.segmentation) as place:
                    image = segmentation.open_map(layout.segmentation, place, tile)
                labels = part[layout.segmentation.id]
                found.owners[run], flags = segmentation.owned(image, labels, x, y, layout.size, covered)
                found.flags[run] |= flags
            found.flags[run] |= clean(cleaned, layout, covered, noise)
            if found.noise is not None:
                found.noise[run, b] = noise
            if not isinstance(run, slice):
                found.stamps[run, b] = cleaned


def _opened(url: str, hdu: int | str | None) -> ImageHeader:
    try:
        return images.open_image(url, hdu)
    except FileNotFoundError as error:
        raise CorruptFile(f"{url}: this image is missing. Fetch it.") from error
    except NotAnImage as error:
        raise CorruptFile(f"{url}: {error}. Fetch the file again.") from error


def _on_no_tile(layout: Images, values: Mapping[str, object]) -> bool:
    """Whether no tile was found for rows, which then have no names of files."""
    return layout.by_footprint and None in values.values()


def pixel_positions(survey: Survey, rows: pa.Table, tile: ImageHeader) -> tuple[Floats, Floats]:
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
    for values, which in groups(rows, layout.naming):
        if _on_no_tile(layout, values):
            continue
        tile = images.open_image(_path(layout, values, band, folder), layout.hdu)
        x[which], y[which] = pixel_positions(survey, rows.take(which), tile)
    half = (layout.size - 1) / 2
    return np.ceil(x - layout.size / 2) + half, np.ceil(y - layout.size / 2) + half


def _from_column(layout: Images, rows: pa.Table, found: Stamps) -> None:
    values, bad = planes_of(rows, str(layout.column), layout)
    noises = None
    if layout.mask is not None:
        bits, missing = planes_of(rows, str(layout.mask.column), layout)
        bad |= masks.are_bad(layout.mask, bits, masks.bits_of(layout.mask, None)) | missing
    if layout.weight is not None:
        noises, _ = planes_of(rows, str(layout.weight.column), layout)
    holes = bool(bad.any())
    for now in in_cache(len(values), values.shape[2] * values.shape[3]):
        for b in range(len(layout.bands)):
            planes, noise = _float32(values[now, b]), None
            if holes:
                planes[bad[now, b]] = np.nan
            if layout.weight is not None and noises is not None:
                noise, negative = weights.noise_of(noises[now, b], layout.weight.kind)
                found.negative[now] += negative
            found.flags[now] |= clean(planes, layout, noise=noise)
            centre(planes, found.stamps[now, b])
            if noise is not None and found.noise is not None:
                centre(noise, found.noise[now, b])


def _from_extensions(
    survey: Survey,
    rows: pa.Table,
    folder: str,
    found: Stamps,
    opening: Callable[[str], None],
) -> None:
    layout = survey.images
    for values, which in groups(rows, layout.naming):
        part = rows.take(which)
        own = part[str(layout.hdu_column)].to_pylist()
        for b, band in enumerate(layout.bands):
            url = _path(layout, values, band, folder)
            opening(url)
            beside = partial(planes.beside, url=url, values=values, band=band, folder=folder, opening=opening)
            with ExitStack() as stack:
                files, hdus = {"image": StampFile(url, own, stack)}, {"image": own}
                for name, plane in layout.planes.items():
                    with beside(name, plane) as place:
                        hdus[name] = _hdus_of(plane, part, own)
                        files[name] = StampFile(place, hdus[name], stack)
                # in the file's order, which a compressed one is read in once
                for k in sorted(range(len(which)), key=lambda k: own[k]):
                    _add(
                        layout, files, {name: theirs[k] for name, theirs in hdus.items()}, found, which[k], b
                    )


def _hdus_of(plane: Plane, rows: pa.Table, numbers: list[int]) -> list[int | str]:
    """The HDUs of the planes of stamps that are in HDUs of these numbers."""
    if plane.hdu is not None:
        return [plane.hdu] * len(numbers)
    return list(numbers) if plane.hdu_column is None else rows[plane.hdu_column].to_pylist()


def _add(
    layout: Images,
    files: Mapping[str, StampFile],
    hdus: Mapping[str, int | str],
    found: Stamps,
    i: int,
    b: int,
) -> None:
    """Read and clean one band of one stamp."""
    image = files["image"].header(hdus["image"])
    plane, noise = _float32(files["image"].read(hdus["image"]))[None], None
    try:
        if layout.mask is not None:
            header = files["mask"].header(hdus["mask"])
            masks.check(layout.mask, header)
            values = files["mask"].read_on("mask", hdus["mask"], image)
            plane[0][masks.are_bad(layout.mask, values, masks.bits_of(layout.mask, header))] = np.nan
        if layout.weight is not None:
            values = files["weight"].read_on("weight", hdus["weight"], image)
            noise, negative = weights.noise_of(values[None], layout.weight.kind)
            found.negative[i] += negative[0]
    except NotAnImage as error:
        raise CorruptFile(f"{image.url}, HDU {image.hdu}: {error}. {error.remedy}.") from error
    found.flags[i] |= clean(plane, layout, noise=noise)[0]
    centre(plane, found.stamps[i : i + 1, b])
    if noise is not None and found.noise is not None:
        centre(noise, found.noise[i : i + 1, b])


def _float32(pixels: Array) -> Floats:
    """A copy; what float32 cannot hold becomes infinite, and is flagged as such."""
    with np.errstate(over="ignore"):
        return np.array(pixels, np.float32, order="C")
