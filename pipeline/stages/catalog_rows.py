"""Rows of the catalog: objects, votes, classes and what predictors say, put together from parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from catalogs import parts
from catalogs.errors import CatalogMismatch
from pipeline.plan.class_rules import FINISHED_FIELDS
from pipeline.rundir.run_directory import RunDirectory
from pipeline.stages.finish import Finisher
from pipeline.stages.object_classes import ObjectClasses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["joined"]

ROWS = 16_384
"""Parts are worked on together until they have so many."""


def joined(
    url: str,
    names: Sequence[str],
    predictions: Sequence[str] = (),
    *,
    with_embeddings: bool,
    keep: Callable[[pa.Table], tuple[pa.Table, pa.Array]] | None = None,
) -> pa.Table:
    """Objects, their votes, their classes and their predictions, part beside part; the ids must agree row by row.

    `predictions` are the folders of the predictors' parts. `keep` gives a part's objects, with columns of its own, and which of them are wanted: at least one
    of all. It comes first, so that a partition neither holds nor works out more than its own rows, however many parts it reads.
    """
    run, made = RunDirectory(url), []
    classes, finisher = ObjectClasses.read(run.classes), Finisher.read(run)
    for tables in _read(run.objects, names, (run.votes, *predictions)):
        objects, wanted = (tables[0], None) if keep is None else keep(tables[0])
        if wanted is not None and not wanted.true_count:
            continue
        rows, votes, *predicted = (
            table if wanted is None else table.filter(wanted) for table in (objects, *tables[1:])
        )
        decided = classes.columns(rows, votes)
        added = _voted(rows, votes, decided)
        if finisher is not None:
            columns = finisher.columns(rows["embedding"], decided["class"].combine_chunks())
            added += zip(FINISHED_FIELDS, columns, strict=True)
        for table in predicted:
            added += [(field, table[field.name]) for field in list(table.schema)[1:]]
        made.append(_with(rows if with_embeddings else rows.drop_columns("embedding"), added))
    return pa.concat_tables(made)


def _with(rows: pa.Table, added: Sequence[tuple[pa.Field, pa.ChunkedArray]]) -> pa.Table:
    for field, column in added:
        rows = rows.append_column(field, column)
    return rows


def _read(objects: str, names: Sequence[str], folders: Sequence[str]) -> Iterator[list[pa.Table]]:
    """Objects and what lies beside them in other folders, of a few parts at once: what is done to a table costs as much for two thousand rows as for ten."""
    few: list[list[pa.Table]] = []
    for name in names:
        rows = parts.read(objects, name)
        tables = [rows, *(_beside(rows, folder, name) for folder in folders)]
        few.append([table.replace_schema_metadata(None) for table in tables])
        if sum(each[0].num_rows for each in few) >= ROWS:
            yield _together(few)
            few = []
    if few:
        yield _together(few)


def _together(few: list[list[pa.Table]]) -> list[pa.Table]:
    return [pa.concat_tables(tables).combine_chunks() for tables in zip(*few, strict=True)]


def _beside(objects: pa.Table, folder: str, name: str) -> pa.Table:
    """The part of the same slice in another folder."""
    part = parts.read(folder, name)
    if not objects["object_id"].equals(part["object_id"]):
        stage = folder.rstrip("/").rpartition("/")[2]
        raise CatalogMismatch(
            f"{name}: {stage} and objects name different ids. Delete both parts and run again."
        )
    return part


def _voted(objects: pa.Table, votes: pa.Table, decided: pa.Table) -> list[tuple[pa.Field, pa.ChunkedArray]]:
    """What the vote adds, as the classes have it where they say otherwise."""
    own = {*objects.column_names, "shares"}
    columns = {field.name: (field, votes[field.name]) for field in votes.schema if field.name not in own}
    columns |= {field.name: (field, decided[field.name]) for field in decided.schema}
    return list(columns.values())
