"""Numbers that stand beside embeddings in codes, `[reduce] columns`: read from the objects' parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from catalogs import computed, parts, where
from catalogs.errors import BadRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from catalogs.slices import Slice
    from pipeline.plan.plan import Plan

__all__ = ["NO_COLUMNS", "CodeColumns", "code_columns", "rows_of_slice"]

NUMBERS = "numbers"
"""The column that has them all, for `actors.voter.Voter`."""


@dataclass(frozen=True)
class CodeColumns:
    """What is computed, and the columns that it is computed from."""

    expressions: tuple[str, ...]
    needed: tuple[str, ...]

    def read(self, folder: str, name: str) -> pa.Table:
        """Ids and embeddings of a part, and what is needed beside them."""
        return parts.read(folder, name, ["object_id", "embedding", *self.needed])

    def numbers(self, rows: pa.Table) -> NDArray[np.float64]:
        """The numbers (n, k) of n objects, NaN where there is none.

        Raises
        ------
        BadRequest
            If an expression cannot be computed for one of them.
        """
        found = np.empty((rows.num_rows, len(self.expressions)))
        for number, expression in enumerate(self.expressions):
            try:
                found[:, number] = computed.numbers(expression, rows)
            except where.BadCondition as error:
                raise BadRequest(
                    f"[reduce] columns, {expression!r}: {error}. Correct it, or leave it out."
                ) from error
        return found


NO_COLUMNS = CodeColumns((), ())


def code_columns(plan: Plan) -> CodeColumns:
    """Those of a plan."""
    expressions = tuple(plan.config.reduce.columns)
    names = [
        where.existing(name, plan.schema.names) for each in expressions for name in computed.columns_of(each)
    ]
    return CodeColumns(expressions, tuple(name for name in dict.fromkeys(names) if name != "object_id"))


def rows_of_slice(folder: str, columns: CodeColumns, piece: Slice) -> pa.Table:
    """Ids and embeddings of a slice's objects, and the numbers beside them, if there are any, as fixed-size lists."""
    rows = columns.read(folder, piece.name)
    found = rows.select(["object_id", "embedding"])
    if not columns.expressions:
        return found
    numbers = pa.array(columns.numbers(rows).reshape(-1))
    return found.append_column(NUMBERS, pa.FixedSizeListArray.from_arrays(numbers, len(columns.expressions)))
