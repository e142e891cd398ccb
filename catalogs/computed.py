"""A number for every row: an SQL expression over a catalog's columns, with the names, the missing values and the locked doors of `where`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from catalogs import where

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from catalogs._types import Floats

__all__ = ["check", "columns_of", "numbers"]

KINDS = (
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER"),
    *("UBIGINT", "FLOAT", "DOUBLE", "DECIMAL"),
)
"""DuckDB's numbers."""


def columns_of(expression: str) -> list[str]:
    """Names of the columns that the expression reads; see `catalogs.where.columns_of`.

    Raises
    ------
    catalogs.where.BadCondition
        If it is not one plain expression.
    """
    with _worded():
        return where.columns_of(expression)


def check(expression: str, columns: pa.Schema) -> None:
    """Try the expression on the catalog's columns, before any row of them is read.

    Raises
    ------
    catalogs.where.BadCondition
        As `catalogs.where.check`, but where it gives no number.
    """
    with _worded():
        kind = where.kind_of(expression, columns)
    if not kind.startswith(KINDS) or kind.endswith("]"):
        raise where.BadCondition(f"must give a number, but gives {kind}")


def numbers(expression: str, rows: pa.Table) -> Floats:
    """The expression's value for each row, (n,) float64; NaN where it is null or NaN."""
    with _worded(), where.locked_database() as connection:
        query = where.registered(connection, expression, rows)
        with where.limited(connection):
            answer = connection.execute(f"SELECT CAST(selected AS DOUBLE) AS number FROM ({query})")
            found = answer.fetchnumpy()["number"]
    return np.ma.filled(np.ma.asarray(found, dtype=np.float64), fill_value=np.nan)


@contextmanager
def _worded() -> Iterator[None]:
    """Call it an expression in messages."""
    try:
        yield
    except where.BadCondition as error:
        text = str(error).replace("a condition", "an expression").replace("condition", "expression")
        raise where.BadCondition(text) from error
