"""Do objects lie on the tiles that they name? Looked at before any work starts: a swapped column costs a whole run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from catalogs import images, path_template, planes, where
from catalogs.errors import CorruptFile, Fault, Refused
from catalogs.image_header import NotAnImage
from catalogs.inspect_rows import may_be_looked_at
from catalogs.positions import are_usable, positions_of
from catalogs.same_images import groups
from catalogs.stamps import image_columns, pixel_positions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catalogs._types import Bools
    from catalogs.release import Release
    from catalogs.survey import Survey

__all__ = ["look_at_footprints"]

MOST = 200_000
"""Rows that are looked at, as many of each shard, from its first on."""
SHOWN = 3
"""Tiles and objects that are named."""
REMEDY = "Check [survey] ra, dec and position_unit, and [survey.images] path"


class _Beside(NamedTuple):
    """Objects whose centre is not on their tile."""

    tile: str
    ids: list[object]


def look_at_footprints(release: Release) -> list[str]:
    """A note on objects whose centre is not on the tile that they name; where they name none, `look_at_rows` has found their tiles.

    Raises
    ------
    Refused
        If that are all that have a position.
    """
    survey = release.survey
    columns = _columns(survey)
    tables = [shard.table for shard in release.shards]
    if survey.images.layout != "tiles" or survey.images.by_footprint or not may_be_looked_at(tables, columns):
        return []
    looked, beside = 0, list[_Beside]()
    for rows in _rows(release, columns):
        looked += rows.num_rows
        beside += _beside(survey, rows, release.folder)
    count = sum(len(each.ids) for each in beside)
    if not count:
        return []
    tiles = Counter({each.tile: 0 for each in beside})
    for each in beside:
        tiles[each.tile] += len(each.ids)
    named = ", ".join(f"{tile}: {number:,}" for tile, number in tiles.most_common(SHOWN))
    named += ", …" if len(tiles) > SHOWN else ""
    examples = ", ".join(str(id_) for each in beside[:SHOWN] for id_ in each.ids[:1])
    if count == looked:
        problem = f"none of {looked:,} objects lies on the tile that it names ({named}), such as {examples}"
        raise Refused([Fault("[survey]", problem, REMEDY)])
    return [
        f"{count:,} of {looked:,} objects that were looked at have their centre beside the tile that they name ({named}), such as {examples}: flags edge and off_image."
    ]


def _columns(survey: Survey) -> list[str]:
    condition = where.columns_of(survey.where) if survey.where else []
    return list(dict.fromkeys([survey.id, *image_columns(survey), *condition]))


def _rows(release: Release, columns: list[str]) -> Iterator[pa.Table]:
    """Selected rows with a position, of every shard."""
    survey, most = release.survey, max(1, MOST // len(release.shards))
    for shard in release.shards:
        rows = shard.table.read(0, min(shard.table.rows, most), columns)
        chosen = release.selected_rows(rows)
        if survey.images.position == "sky":
            chosen = chosen & are_usable(*positions_of(survey, rows))
        yield rows.filter(pa.array(chosen))


def _beside(survey: Survey, rows: pa.Table, folder: str) -> Iterator[_Beside]:
    layout = survey.images
    for values, which in groups(rows, layout.naming):
        try:
            url = planes.path_of(str(layout.path), values, layout.bands[0], folder)
            tile = images.open_image(url, layout.hdu)
        except (path_template.BadTemplate, NotAnImage, CorruptFile, OSError):
            continue  # whoever looks at the images says so
        part = rows.take(which)
        outside = ~_on(tile.shape, *pixel_positions(survey, part, tile))
        if outside.any():
            yield _Beside(url.rsplit("/", 1)[-1], part[survey.id].filter(pa.array(outside)).to_pylist())


def _on(shape: tuple[int, int], x: np.ndarray, y: np.ndarray) -> Bools:
    """Which 0-based pixel positions are on an image."""
    return np.asarray((x >= -0.5) & (y >= -0.5) & (x < shape[1] - 0.5) & (y < shape[0] - 0.5))
