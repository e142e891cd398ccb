"""Objects of the catalog by their places in an index, and the other way round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalogs import readers, storage
from catalogs.canned import literal
from catalogs.errors import BadRequest
from pipeline.report.source import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.report.source import Source
    from pipeline.similar.layout import Layout

__all__ = ["places_of", "rows_of"]

FILE, ROW = "tuningfork_file", "file_row_number"
SHOWN = 5


def places_of(source: Source, layout: Layout, ids: Sequence[str]) -> list[tuple[int, int]]:
    """Shard and row of the objects with these ids.

    Raises
    ------
    BadRequest
        If one is not in the index, with the reason.
    """
    kind = str(source.query("SELECT typeof(object_id) AS kind FROM objects LIMIT 1")[0]["kind"])
    # as a number of its own type, so that DuckDB can pass over what cannot hold it
    wanted = ", ".join(f"TRY_CAST({literal(each)} AS {kind})" for each in ids)
    names = [name for shard in layout.shards for name, _ in shard.parts]
    found = source.query(
        f"SELECT object_id::VARCHAR AS id, {FILE} AS file, {ROW} AS row FROM {_reading(source, names)} WHERE object_id IN ({wanted})"
    )
    where = {each["id"]: _place(layout, each["file"], each["row"]) for each in found}
    missing = [each for each in ids if each not in where]
    if missing:
        known = source.query(f"SELECT object_id::VARCHAR AS id FROM objects WHERE object_id IN ({wanted})")
        unplaced = {each["id"] for each in known}
        lost = [each for each in missing if each not in unplaced] or missing
        problem = (
            "has no position, and so no published embedding"
            if lost[0] in unplaced
            else "is not in the catalog"
        )
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise BadRequest(
            f"{source.run.url}: object {lost[0]!r} {problem}{more}. Give the object_id of others"
        )
    return [where[each] for each in ids]


def rows_of(
    source: Source, layout: Layout, places: Sequence[tuple[int, int]], columns: Sequence[str]
) -> list[dict[str, Any]]:
    """Some columns of the objects at these places (shard, row), in their order."""
    if not places:
        return []
    by_file: dict[str, list[int]] = {}
    for shard, number in places:
        name, row = layout.shards[shard].place(number)
        by_file.setdefault(name, []).append(row)
    conditions = " OR ".join(
        f"({FILE} LIKE {literal('%/' + name)} AND {ROW} IN ({', '.join(map(str, rows))}))"
        for name, rows in by_file.items()
    )
    names = ", ".join(map(quoted, columns))
    every = sorted({row for rows in by_file.values() for row in rows})
    narrow = f"{ROW} IN ({', '.join(map(str, every))})"  # which DuckDB can tell from what a row group holds
    found = source.query(
        f"SELECT {names}, {FILE}, {ROW} FROM {_reading(source, by_file)} WHERE {narrow} AND ({conditions})"
    )
    where = {_place(layout, each[FILE], each[ROW]): each for each in found}
    rows = [where[place] for place in places]
    return [{name: value for name, value in row.items() if name not in (FILE, ROW)} for row in rows]


def _reading(source: Source, names: Iterable[str]) -> str:
    catalog = source.run.catalog
    folder = str(storage.local_path(catalog).resolve()) if storage.is_local(catalog) else catalog
    files = ", ".join(literal(readers.path(storage.join(folder, name))) for name in names)
    return f"read_parquet([{files}], {readers.PLAIN}, filename = {literal(FILE)}, file_row_number = true)"


def _place(layout: Layout, file: str, row: int) -> tuple[int, int]:
    for shard in layout.shards:
        for name, _ in shard.parts:
            if file.endswith(f"/{name}"):
                mine = shard.row(name, row)
                assert mine is not None
                return shard.number, mine
    raise KeyError(file)
