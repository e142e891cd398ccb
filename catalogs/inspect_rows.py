"""Look at every catalog row before any work starts: ids, `where` and the columns that name images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catalogs import storage, where
from catalogs.errors import CorruptFile, Fault, Refused, grouped
from catalogs.inspect_tiles import astray_faults, astray_notes, look_at_tiles
from catalogs.positions import are_usable, in_degrees, is_negative, positions_of
from catalogs.same_images import one_of_each

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from catalogs.inspect_tiles import OnTiles
    from catalogs.release import Release
    from catalogs.shard_table import ShardTable
    from catalogs.slices import Shard

LOOKED_AT = 4 << 30
"""Bytes of catalog rows up to which a plan reads every row, not just the headers."""

CHUNK = 64 << 20
LEAST_ROW = 64
"""Bytes that a row takes at least once it is read, however few it has in the file."""
DOUBLES_SHOWN = 5


@dataclass(frozen=True)
class Rows:
    """What is read from the rows of a release before any work starts."""

    paths: pa.Table | None
    """Distinct values of the columns that name images; None where there are none, or too many rows to look at."""
    selected: int | None
    """Objects that `where` selects; None where there are too many rows to look at."""
    notes: list[str]
    """What is unusual in them, and how it is taken."""
    psfs: pa.Table | None = None
    """Distinct values of the columns that say which PSF an object has, and how many objects have them (`count_all`); None as for `paths`."""


@dataclass(frozen=True)
class _Looked:
    """What is read from the selected rows of one shard."""

    ids: pa.Table
    paths: pa.Table
    psfs: pa.Table | None
    negative: int
    """Right ascensions from -180 to 0."""
    nowhere: int
    """Positions that are none."""
    tiles: OnTiles | None
    """On which tiles they lie, where footprints say so."""


def look_at_rows(release: Release) -> Rows:
    """Check that ids are there and unique, and that the columns that name images have values.

    Raises
    ------
    Refused
        With everything that is wrong.
    """
    layout = release.survey.images
    naming = [] if layout.by_footprint else list(dict.fromkeys([*layout.path_columns, *layout.hdu_columns]))
    psf = release.psf.columns if release.psf is not None else []
    columns = _columns(release, [*naming, *psf])
    if not may_be_looked_at([shard.table for shard in release.shards], columns):
        return Rows(None if release.tiles is None else release.tiles.files, None, [])
    answers = storage.parallel(lambda shard: _looked(release, shard, naming, psf), release.shards)
    found = [f for f in answers if not isinstance(f, Fault)]
    if len(found) < len(answers):
        raise Refused(grouped([f for f in answers if isinstance(f, Fault)]))
    ids = pa.concat_tables([f.ids for f in found])
    faults = _id_faults(release, ids)
    if ids.num_rows == 0:
        problem = "selects no object of the release"
        faults.append(Fault("[survey] where", problem, "Loosen the condition", None, release.survey.where))
    on_tiles = [f.tiles for f in found if f.tiles is not None]
    faults += astray_faults(release, on_tiles)
    if faults:
        raise Refused(faults)
    paths = None
    if naming:
        paths = one_of_each(pa.concat_tables([f.paths for f in found]), layout.naming, layout.hdu_columns)
    if release.tiles is not None:
        paths = release.tiles.files.take(np.unique(np.concatenate([each.tiles for each in on_tiles])))
    psfs = None
    if psf:
        psfs = pa.concat_tables([f.psfs for f in found if f.psfs is not None])
        psfs = psfs.group_by(psf, use_threads=False).aggregate([("count_all", "sum")])
        psfs = psfs.rename_columns([*psf, "count_all"])
    return Rows(paths, ids.num_rows, [*_position_notes(found), *astray_notes(release, on_tiles)], psfs)


def _position_notes(found: Sequence[_Looked]) -> list[str]:
    negative, nowhere = sum(f.negative for f in found), sum(f.nowhere for f in found)
    notes = []
    if negative:
        notes.append(f"{negative:,} right ascensions are from -180 to 0: they are taken modulo 360.")
    if nowhere:
        notes.append(
            f"{nowhere:,} objects have no usable position: they go to unplaced.parquet, with a flag."
        )
    return notes


def selected_ids(release: Release) -> pa.ChunkedArray:
    """Ids of the objects that `where` selects, in the release's order; every row is read for them."""
    pieces = [piece for shard in release.shards for piece in _pieces(release, shard, [])]
    return pa.concat_tables(pieces)[release.survey.id]


def may_be_looked_at(tables: Sequence[ShardTable], columns: Sequence[str]) -> bool:
    """Whether a plan reads every row of some columns of some shards."""
    return sum(table.rows * max(table.bytes_of(columns), LEAST_ROW) for table in tables) <= LOOKED_AT


def steps(table: ShardTable, columns: Sequence[str]) -> Iterator[tuple[int, int]]:
    """First rows, and those behind the last ones, of pieces of a shard that fit into memory."""
    step = max(1, CHUNK // max(table.bytes_of(columns), LEAST_ROW))
    for start in range(0, table.rows, step):
        yield start, min(start + step, table.rows)


def _looked(release: Release, shard: Shard, naming: list[str], psf: list[str]) -> _Looked | Fault:
    """Ids and positions of a shard's selected objects, and the distinct values of the columns that name their images."""
    url, name = shard.table.url, release.survey.id
    try:
        pieces = list(_pieces(release, shard, [*naming, *psf]))
    except CorruptFile as error:
        return Fault(url, str(error).removeprefix(f"{url}: ").split(". ")[0], "Fetch the file again")
    except where.BadCondition as error:
        return Fault(url, str(error), "Correct [survey] where", None, release.survey.where)
    rows = (
        pa.concat_tables(pieces)
        if pieces
        else shard.table.empty.select(list(dict.fromkeys([name, *naming, *psf, *_position(release)])))
    )
    for column in naming:
        if rows[column].null_count:
            problem = f"{rows[column].null_count} objects have no value here, which names their image"
            return Fault(url, problem, "Leave them out with [survey] where", column, "null")
    number = pa.array([shard.number] * rows.num_rows, pa.int32())
    ids = pa.table({"id": rows[name], "shard": number})
    paths = rows.select([])
    if naming:
        images = release.survey.images
        paths = one_of_each(rows, images.naming, images.hdu_columns)
    psfs = rows.select(psf).group_by(psf).aggregate([([], "count_all")]) if psf else None
    if not _position(release):
        return _Looked(ids, paths, psfs, 0, 0, None)
    usable = are_usable(*positions_of(release.survey, rows))
    # by the columns themselves: what positions_of makes of them is not negative any more
    negative = is_negative(in_degrees(release.survey, rows)[0])
    tiles = look_at_tiles(release, rows, usable)
    return _Looked(ids, paths, psfs, int((negative & usable).sum()), int((~usable).sum()), tiles)


def _position(release: Release) -> list[str]:
    return [name for name in (release.survey.ra, release.survey.dec) if name is not None]


def _columns(release: Release, naming: list[str]) -> list[str]:
    survey = release.survey
    condition = where.columns_of(survey.where) if survey.where is not None else []
    return list(dict.fromkeys([survey.id, *naming, *_position(release), *condition]))


def _pieces(release: Release, shard: Shard, naming: list[str]) -> Iterator[pa.Table]:
    table, columns = shard.table, _columns(release, naming)
    wanted = list(dict.fromkeys([release.survey.id, *naming, *_position(release)]))
    for start, stop in steps(table, columns):
        rows = table.read(start, stop, columns)
        yield rows.filter(pa.array(release.selected_rows(rows))).select(wanted)


def _id_faults(release: Release, ids: pa.Table) -> list[Fault]:
    name = release.survey.id
    remedy = "An id names one object: choose a unique column, or select with [survey] where"
    faults = []
    nameless = pc.is_null(ids["id"])
    if pa.types.is_string(ids["id"].type):
        nameless = pc.fill_null(pc.equal(ids["id"], ""), fill_value=True)  # FITS strings know no other null
    without = ids.filter(nameless)
    if without.num_rows:
        url = release.shards[without["shard"][0].as_py()].table.url
        value = "null" if without["id"][0].as_py() is None else "''"
        faults.append(
            Fault(url, f"{without.num_rows} objects of the release have no id", remedy, name, value)
        )
    ids = ids.filter(pc.invert(nameless))
    if pc.count_distinct(ids["id"]).as_py() < ids.num_rows:
        counts = ids.group_by("id", use_threads=False).aggregate([("id", "count"), ("shard", "max")])
        twice = counts.filter(pc.greater(counts["id_count"], 1))
        for row in twice.slice(0, DOUBLES_SHOWN).to_pylist():
            url = release.shards[row["shard_max"]].table.url
            problem = f"this id stands {row['id_count']} times in the release ({twice.num_rows} such ids)"
            faults.append(Fault(url, problem, remedy, name, repr(row["id"])))
    return faults
