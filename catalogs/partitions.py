"""Columns that stand in the names of folders, as Hive, Spark and pyarrow partition datasets: `band=r/field=7/part-0.parquet`."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pyarrow as pa

__all__ = ["Partition", "partitions_of"]

Partition = tuple[tuple[pa.Field, int | str | None], ...]
"""Columns, each with the value that it has in all rows of a file."""

PAIR = re.compile(r"([^=/]+)=([^=/]*)")
NULL = "__HIVE_DEFAULT_PARTITION__"
INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")


def partitions_of(urls: list[str]) -> dict[str, Partition]:
    """The columns that each file's folders name: integers where all files of a release have some there, else texts."""
    found = {url: _pairs(url) for url in urls}
    values: dict[str, set[str]] = {}
    for pairs in found.values():
        for name, text in pairs.items():
            values.setdefault(name, set()).add(text)
    whole = {name for name, texts in values.items() if all(INTEGER.fullmatch(t) or t == NULL for t in texts)}
    fields = {name: pa.field(name, pa.int64() if name in whole else pa.string()) for name in values}
    return {
        url: tuple(
            (fields[name], None if text == NULL else int(text) if name in whole else text)
            for name, text in pairs.items()
        )
        for url, pairs in found.items()
    }


def _pairs(url: str) -> dict[str, str]:
    folders = (PAIR.fullmatch(folder) for folder in url.split("/")[:-1])
    return {unquote(pair[1]): unquote(pair[2]) for pair in folders if pair is not None}
