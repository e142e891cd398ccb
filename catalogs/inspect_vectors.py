"""Look at the vector columns that hold stamps, and the masks and weights beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from catalogs.errors import Fault
from catalogs.vectors import stored_shape

if TYPE_CHECKING:
    from catalogs.survey import Images

__all__ = ["vector_faults"]


def vector_faults(layout: Images, url: str, schema: pa.Schema) -> list[Fault]:
    """Vector columns that are no stamps of the bands, or no planes of those."""
    faults, shapes = [], dict[str, tuple[int, int, int]]()
    columns = {"": layout.column, **{f".{name}": plane.column for name, plane in layout.planes.items()}}
    for table, column in columns.items():
        remedy = f"Check [survey.images{table}] column{'' if table else ' and bands'}"
        kind = schema.field(str(column)).type
        try:
            shapes[table] = stored_shape(schema.field(str(column)), len(layout.bands))
        except ValueError as error:
            faults.append(Fault(url, str(error), remedy, column))
            continue
        if table == ".mask" and not pa.types.is_integer(kind.value_type):
            faults.append(Fault(url, f"the mask is of {kind.value_type}, not of bits", remedy, column))
        if "" in shapes and shapes[table] != shapes[""]:
            said = [f"{shape[2]} x {shape[1]} pixels" for shape in (shapes[table], shapes[""])]
            problem = f"the {table[1:]} has {said[0]}, but {layout.column!r} has {said[1]}"
            faults.append(Fault(url, problem, remedy, column))
    return faults
