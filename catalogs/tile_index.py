"""Which tile each row of a catalog lies on, where `[survey.images] path` is a glob; made once by the plan, and sent with the release."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from catalogs import images, pixels
from catalogs.errors import CorruptFile
from catalogs.footprints import Footprints
from catalogs.headers import MALFORMED
from catalogs.identity import identities, name_of
from catalogs.image_header import NotAnImage
from catalogs.planes import path_of, plane_path
from catalogs.positions import positions_of
from catalogs.storage import parallel
from catalogs.tile_globs import files_at, tiles_of
from catalogs.weights import noise_of, open_weight

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catalogs._types import Integers
    from catalogs.survey import Images, Survey

__all__ = ["TileIndex", "find_tiles"]

LINES = (0.25, 0.5, 0.75)
"""Heights, as shares of a tile's, of the lines of pixels whose median weight is its depth."""


@dataclass(frozen=True, eq=False)
class TileIndex:
    """The tiles that globs name."""

    files: pa.Table
    """A row a tile: paths by the columns of `catalogs.tile_columns`, below the config's folder where they lie there."""
    footprints: Footprints

    @property
    def digest(self) -> str:
        """Of all that decides which tile a row lies on."""
        digest = hashlib.sha256()
        for name in self.files.column_names:
            digest.update("\0".join([name, *self.files[name].to_pylist()]).encode())
        prints = self.footprints
        for values in (prints.axes, prints.corners, prints.depth):
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    def tiles_of(self, survey: Survey, rows: pa.Table) -> Integers:
        """The number of the tile that each row lies on, (n,) int32; -1 on none."""
        return self.footprints.tile_of(*positions_of(survey, rows), survey.images.size)

    def added_to(self, survey: Survey, rows: pa.Table) -> pa.Table:
        """The rows with the files of the tile that they lie on; null on none."""
        if self.files.column_names[0] in rows.column_names:
            return rows
        tiles = self.tiles_of(survey, rows)
        numbers = pa.array(tiles, mask=tiles < 0)
        for name in self.files.column_names:
            column = pa.DictionaryArray.from_arrays(numbers, self.files[name].combine_chunks())
            rows = rows.append_column(name, column)
        return rows


def find_tiles(survey: Survey, folder: str) -> tuple[TileIndex, dict[str, str]]:
    """Look at the header of every tile that the globs name.

    Returns
    -------
    tiles : TileIndex
    versions : dict
        Identities of their files by URL, as they were before any was opened.

    Raises
    ------
    Refused
        See `catalogs.tile_globs`.
    """
    found = files_at(survey.images, folder)
    versions = identities([url for files in found.values() for url in files.values()], survey.identify)
    tiles, shapes = tiles_of(survey.images, found)
    rows = [{column: name_of(url, folder) for column, url in tile.items()} for tile in tiles]
    files = pa.Table.from_pylist(rows)
    depth = np.full(len(tiles), np.nan)
    if survey.images.weight is not None:
        depth = np.array(parallel(lambda row: _depth(survey.images, row, folder), rows))
    return TileIndex(files, Footprints.of(shapes, depth)), versions


def _depth(layout: Images, values: Mapping[str, str], folder: str) -> float:
    """Inverse variance of a typical good pixel of a tile in the first band; NaN where the weight map cannot be read, of which others complain."""
    band, weight = layout.bands[0], layout.weight
    assert weight is not None
    try:
        url = path_of(str(layout.path), values, band, folder)
        tile = images.open_image(url, layout.hdu)
        plane = open_weight(weight, plane_path("weight", weight, url, values, band, folder), tile)
        heights = sorted({int(share * tile.shape[0]) for share in LINES})
        with pixels.opened(plane.url, plane.compression) as file:
            rows = file.rows(plane)
            lines = np.concatenate([rows.strip(height, height + 1) for height in heights])
    except (NotAnImage, CorruptFile, *MALFORMED):
        return np.nan
    noise, _ = noise_of(lines[None], weight.kind)
    good = noise[np.isfinite(noise)]
    return float(np.median(good)) ** -2 if good.size else 0.0
