"""The map: a sample of the objects among the principal components, by UMAP too, with every column to colour it by."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from actors.embeddings import embeddings_of
from catalogs import readers, storage
from kernels.moments import Components, project
from pipeline.report.palette import ordered
from pipeline.report.source import VOTED, quoted
from pipeline.rundir import arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.report.source import Column, Source

MOST_AXES = 10
MOST_WORDS = 24
"""Different values of a column of texts that is still a column of categories."""
UMAP_OBJECTS = 5000
FEWEST = 16
"""Objects that UMAP needs."""


def chart(source: Source, sample: int, *, umap: bool = True) -> dict[str, Any]:
    """Everything that the map draws.

    Parameters
    ----------
    source : Source
    sample : int
        Objects at most, chosen by a hash of their ids.
    umap : bool
        Compute UMAP's coordinates too, if `umap-learn` is there.

    Returns
    -------
    dict
        `ids`; `axes` (label and values each); `columns` (name, label, and either numbers, or codes and their
        categories); `notes`.
    """
    rows = _sampled(source, sample)
    if not rows.num_rows:
        return {
            "ids": [],
            "axes": [],
            "columns": [],
            "notes": ["No object has an embedding: there is no map."],
        }
    components = Components.from_arrays(arrays.load(source.run.components))
    values, _ = embeddings_of(rows["embedding"])
    codes = project(values, components)
    shares = components.variances / components.total_variance
    axes = [
        {"label": f"PC {i + 1} ({share:.0%} of the variance)", "values": _short(codes[:, i])}
        for i, share in enumerate(shares[:MOST_AXES])
    ]
    which = "chosen by a hash of their ids" if rows.num_rows == sample else "all that have a group"
    notes = [f"{rows.num_rows:,} objects, {which}."]
    extra, note = _umap(codes) if umap else ([], "UMAP was left out (--no-umap).")
    columns = [_categories(rows, name) for name in ("group", "class", "kept") if name in source.columns]
    numbers = [source.columns["agreement"], source.columns["distance"], *_numbers(source)]
    columns += [_measure(rows, column) for column in numbers]
    words = [c for c in source.columns.values() if c.is_text and c.name not in VOTED]
    found = [_categories(rows, column.name) for column in words]
    columns += [column for column in found if len(column["categories"]) <= MOST_WORDS]
    ids = [str(value) for value in rows["object_id"].to_pylist()]
    return {"ids": ids, "axes": axes + extra, "columns": columns, "notes": [*notes, note]}


def _numbers(source: Source) -> list[Column]:
    position = [source.columns[name] for name in ("ra", "dec") if name in source.columns]
    return source.parameters + source.answers + position


def _sampled(source: Source, sample: int) -> pa.Table:
    """Rows of the sample with their embeddings, which are read from the parts where none were published."""
    embeddings = "embeddings"
    if not storage.exists(source.run.embeddings):
        embeddings = readers.parquet(source.run.objects, "*.parquet")
    columns = ", ".join("o." + quoted(name) for name in source.columns)
    sql = f"""
        WITH chosen AS (SELECT * FROM objects WHERE "group" IS NOT NULL ORDER BY md5(object_id::VARCHAR) LIMIT {int(sample)})
        SELECT {columns}, e.embedding::FLOAT[] AS embedding FROM chosen o
        JOIN (SELECT object_id, embedding FROM {embeddings} WHERE embedding IS NOT NULL) e
        ON e.object_id = o.object_id ORDER BY md5(o.object_id::VARCHAR)"""
    return _fixed(source.table(sql))


def _fixed(rows: pa.Table) -> pa.Table:
    """DuckDB gives lists; the embeddings of one run are all of one length."""
    lists = rows["embedding"].combine_chunks()
    if not len(lists):
        return rows
    fixed = pa.FixedSizeListArray.from_arrays(lists.flatten(), len(lists[0]))
    return rows.set_column(rows.column_names.index("embedding"), "embedding", fixed)


def _umap(codes: NDArray[np.float32]) -> tuple[list[dict[str, Any]], str]:
    few = codes[:UMAP_OBJECTS]
    if len(few) < FEWEST:
        return [], f"{len(few)} objects are too few for UMAP."
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # umap warns that TensorFlow is absent, and its dependencies of one another
        try:
            from umap import UMAP  # noqa: PLC0415 - an extra
        except ImportError:
            return [], "UMAP needs the extra: pip install 'tuningfork[umap]'."
        found = UMAP(random_state=0, n_jobs=1).fit_transform(few)
    padded = np.full((len(codes), 2), np.nan, np.float32)
    padded[: len(few)] = found
    axes = [{"label": f"UMAP {i + 1}", "values": _short(padded[:, i])} for i in range(2)]
    return axes, f"UMAP of the principal components, for {len(few):,} of these objects."


def _measure(rows: pa.Table, column: Column) -> dict[str, Any]:
    values = np.asarray(
        rows[column.name].cast("double", safe=False).to_numpy(zero_copy_only=False), np.float64
    )
    return {"name": column.name, "label": column.label, "about": column.description, "values": _short(values)}


def _categories(rows: pa.Table, name: str) -> dict[str, Any]:
    values = rows[name].to_pylist()
    distinct = {value for value in values if value is not None}
    present = ordered(distinct) if name == "class" else sorted(distinct)
    codes = {value: number for number, value in enumerate(present)}
    return {
        "name": name,
        "label": name,
        "about": "",
        "categories": [str(value).lower() if isinstance(value, bool) else str(value) for value in present],
        "values": [-1 if value is None else codes[value] for value in values],
    }


def _short(values: NDArray[np.floating[Any]]) -> list[float | None]:
    """Four digits are more than a map shows; what is not finite is null."""
    return [float(f"{v:.4g}") if np.isfinite(v) else None for v in values.tolist()]
