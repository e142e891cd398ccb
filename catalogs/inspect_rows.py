"""Look at every catalog row before any work starts: ids, `where` and the columns that name images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from catalogs import storage, where
from catalogs.errors import CorruptFile, Fault, Refused, grouped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catalogs.release import Release
    from catalogs.slices import Shard

LOOKED_AT = 4 << 30
"""Bytes of catalog rows up to which a plan reads every row, not just the headers."""

CHUNK = 64 << 20
LEAST_ROW = 64
"""Bytes that a row takes at least once it is read, however few it has in the file."""
DOUBLES_SHOWN = 5


def look_at_rows(release: Release) -> tuple[pa.Table | None, int | None]:
    """Check that ids are there and unique, and that the columns that name images have values.

    Returns
    -------
    paths : pa.Table or None
        Distinct values of the columns that name images; None where there are none, or too many rows to look at.
    selected : int or None
        Objects that `where` selects; None where there are too many rows to look at.

    Raises
    ------
    Refused
        With everything that is wrong.
    """
    if sum(shard.table.rows * max(shard.table.row_bytes, LEAST_ROW) for shard in release.shards) > LOOKED_AT:
        return None, None
    naming = list(release.survey.images.path_columns)
    if release.survey.images.layout == "extensions":
        naming.append(str(release.survey.images.hdu_column))
    naming = list(dict.fromkeys(naming))
    answers = storage.parallel(lambda shard: _looked(release, shard, naming), release.shards)
    found = [f for f in answers if not isinstance(f, Fault)]
    if len(found) < len(answers):
        raise Refused(grouped([f for f in answers if isinstance(f, Fault)]))
    ids = pa.concat_tables([f[0] for f in found])
    faults = _id_faults(release, ids)
    if ids.num_rows == 0:
        problem = "selects no object of the release"
        faults.append(Fault("[survey] where", problem, "Loosen the condition", None, release.survey.where))
    if faults:
        raise Refused(faults)
    if not naming:
        return None, ids.num_rows
    paths = pa.concat_tables([f[1] for f in found]).group_by(naming, use_threads=False).aggregate([])
    return paths, ids.num_rows


def selected_ids(release: Release) -> pa.ChunkedArray:
    """Ids of the objects that `where` selects, in the release's order; every row is read for them."""
    pieces = [piece for shard in release.shards for piece in _pieces(release, shard, [])]
    return pa.concat_tables(pieces)[release.survey.id]


def _looked(release: Release, shard: Shard, naming: list[str]) -> tuple[pa.Table, pa.Table] | Fault:
    """Ids of a shard's selected objects, and the distinct values of the columns that name their images."""
    url, name = shard.table.url, release.survey.id
    try:
        pieces = list(_pieces(release, shard, naming))
    except CorruptFile as error:
        return Fault(url, str(error).removeprefix(f"{url}: ").split(". ")[0], "Fetch the file again")
    except where.BadCondition as error:
        return Fault(url, str(error), "Correct [survey] where", None, release.survey.where)
    rows = (
        pa.concat_tables(pieces)
        if pieces
        else shard.table.empty.select(list({name: 0} | dict.fromkeys(naming)))
    )
    for column in naming:
        if rows[column].null_count:
            problem = f"{rows[column].null_count} objects have no value here, which names their image"
            return Fault(url, problem, "Leave them out with [survey] where", column, "null")
    number = pa.array([shard.number] * rows.num_rows, pa.int32())
    ids = pa.table({"id": rows[name], "shard": number})
    return ids, rows.select(naming).group_by(naming).aggregate([]) if naming else rows.select([])


def _pieces(release: Release, shard: Shard, naming: list[str]) -> Iterator[pa.Table]:
    survey, table = release.survey, shard.table
    condition = where.columns_of(survey.where) if survey.where is not None else []
    wanted = list(dict.fromkeys([survey.id, *naming]))
    step = max(1, CHUNK // max(table.row_bytes, LEAST_ROW))
    for start in range(0, table.rows, step):
        rows = table.read(start, min(start + step, table.rows), list(dict.fromkeys([*wanted, *condition])))
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
