"""Do objects lie on the tiles that globs name? Looked at before any work starts, as `catalogs.inspect_footprints` does where objects name their tile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from catalogs.errors import Fault
from catalogs.tile_index import find_tiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalogs._types import Bools, Integers
    from catalogs.release import Release

__all__ = ["OnTiles", "astray_faults", "astray_notes", "look_at_tiles", "with_tiles"]

SHOWN = 3
"""Objects on no tile that are named."""
REMEDY = "Check [survey] ra, dec and position_unit, and [survey.images] path"


@dataclass(frozen=True)
class OnTiles:
    """On which tiles the selected objects of a shard lie."""

    tiles: Integers
    """Numbers of the tiles, ascending."""
    placed: int
    """Objects that have a position."""
    astray: int
    """Of these, those that lie on no tile."""
    examples: list[object]
    """Ids of some of them."""


def with_tiles(release: Release) -> tuple[Release, dict[str, str]]:
    """The release with its tiles, where globs name them; and the identities of their files, see `find_tiles`."""
    if not release.survey.images.by_footprint:
        return release, {}
    tiles, versions = find_tiles(release.survey, release.folder)
    return replace(release, tiles=tiles), versions


def look_at_tiles(release: Release, rows: pa.Table, usable: Bools) -> OnTiles | None:
    """On which tiles some rows lie; `usable`, (n,) bool, says which have a position. None where they name their tile."""
    if release.tiles is None:
        return None
    tiles = release.tiles.tiles_of(release.survey, rows)
    astray = usable & (tiles < 0)
    examples = rows[release.survey.id].filter(pa.array(astray)).slice(0, SHOWN).to_pylist()
    return OnTiles(np.unique(tiles[tiles >= 0]), int(usable.sum()), int(astray.sum()), examples)


def astray_notes(release: Release, found: Sequence[OnTiles]) -> list[str]:
    """A note on objects that lie on no tile."""
    count, placed = _counted(found)
    if not count:
        return []
    return [
        f"{count:,} of {placed:,} objects with a position lie on {_none(release, found)}: flag off_image."
    ]


def astray_faults(release: Release, found: Sequence[OnTiles]) -> list[Fault]:
    """What is wrong with a release none of whose objects lies on a tile."""
    count, placed = _counted(found)
    if not placed or count < placed:
        return []
    return [
        Fault("[survey]", f"all {placed:,} objects with a position lie on {_none(release, found)}", REMEDY)
    ]


def _counted(found: Sequence[OnTiles]) -> tuple[int, int]:
    return sum(each.astray for each in found), sum(each.placed for each in found)


def _none(release: Release, found: Sequence[OnTiles]) -> str:
    tiles = 0 if release.tiles is None else release.tiles.files.num_rows
    ids = [str(id_) for each in found for id_ in each.examples]
    return f"none of the {tiles:,} tiles at {release.survey.images.path}, such as {', '.join(ids[:SHOWN])}"
