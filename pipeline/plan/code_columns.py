"""What is wrong with `[reduce] columns`, given the columns that the catalog will have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalogs import computed, where
from catalogs.errors import Fault
from pipeline.plan.class_rules import meant, without_votes

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.config.file import Config

__all__ = ["column_faults"]


def column_faults(config: Config, schema: pa.Schema, source: str) -> list[Fault]:
    """Expressions that are none or name no column, and columns that synthetic galaxies don't have.

    Parameters
    ----------
    config : Config
    schema : pa.Schema
        Of the catalog.
    source : str
        Path of the config.
    """
    expressions, own = config.reduce.columns, without_votes(schema)
    faults = [_fault(f"reduce.columns.{i}", each, own, source) for i, each in enumerate(expressions)]
    if expressions and config.augment.balance:
        problem = "synthetic galaxies that balance bags are not measured, so they have no [reduce] columns"
        faults.append(Fault(source, problem, "Leave out one of the two", value="true", key="augment.balance"))
    return [fault for fault in faults if fault is not None]


def _fault(key: str, expression: str, columns: pa.Schema, source: str) -> Fault | None:
    try:
        for name in computed.columns_of(expression):
            if where.resolved(name, columns.names) is None:
                problem = "this run measures or keeps no such column"
                return Fault(source, problem, meant(name, columns.names), name, key=key)
        computed.check(expression, columns)
    except where.BadCondition as error:
        remedy = "Write one SQL expression on the kept and measured columns of an object"
        return Fault(source, str(error).rstrip("."), remedy, value=expression, key=key)
    return None
