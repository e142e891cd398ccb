"""What a report is made from: the run's record, its catalog through DuckDB, and what its columns mean."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catalogs import described, views
from catalogs.errors import Fault, Refused
from kernels.heads.columns import answer_columns
from pipeline.plan.run_predictors import predictors_of
from pipeline.rundir.run_directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from pipeline.plan.run_predictors import RunPredictor

LARGEST = 2**53
"""Up to which every whole number is a float of its own, in JavaScript too."""
BITS = re.compile(r"(\d+) (\w+)")
MEASURED = (
    *("sn_pixel", "x_centre", "y_centre", "flux", "r_petro", "r_petro_circ", "r20", "r50", "r80"),
    *("ellipticity", "position_angle", "gini", "m20", "concentration", "asymmetry", "smoothness"),
    *("multimode", "intensity", "deviation", "sersic_n", "sersic_r_e", "sersic_ellipticity"),
    *("sersic_angle", "sersic_flux", "sersic_magnitude", "sersic_sky", "sersic_chi2"),
)
VOTED = {
    *(
        "object_id",
        "shard",
        "row",
        "flags",
        "measure_flags",
        "_healpix_29",
        "group",
        "kept",
        "class",
        "class_share",
    ),
    *(
        "agreement",
        "confidence",
        "branch",
        "branch_confidence",
        "runner_up",
        "distance",
        "anomaly",
        "anomaly_distance",
        "reference_group",
        "vote_kmeans",
        "vote_birch",
        "vote_ward",
    ),
}


@dataclass(frozen=True)
class Column:
    """One column of the catalog."""

    name: str
    type: pa.DataType
    unit: str = ""
    description: str = ""
    is_identifier: bool = False
    """Whether its values are integers too large for the axis of a plot: identifiers."""

    @property
    def is_number(self) -> bool:
        """Whether its values can be put on an axis."""
        return not self.is_identifier and (pa.types.is_integer(self.type) or pa.types.is_floating(self.type))

    @property
    def is_text(self) -> bool:
        """Whether its values are words."""
        return pa.types.is_string(self.type) or pa.types.is_large_string(self.type)

    @property
    def label(self) -> str:
        """Name and unit, as axes and table heads show it."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def bits(self) -> dict[str, int]:
        """Name and value of each bit, where the description says `bits: 1 name; 2 name…`."""
        _, marked, bits = self.description.partition("bits:")
        return {name: int(bit) for bit, name in BITS.findall(bits)} if marked else {}


@dataclass(frozen=True)
class Source:
    """An open run."""

    run: RunDirectory
    record: dict[str, Any]
    connection: duckdb.DuckDBPyConnection
    columns: dict[str, Column] = field(default_factory=dict)
    """Of the view `objects`, by name."""

    predictors: list[RunPredictor] = field(default_factory=list)
    """Whose answers are among the columns."""
    predictors_gone: list[str] = field(default_factory=list)
    """Why others cannot be judged."""

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Answer of a query, a dictionary a row."""
        return self.table(sql, values).to_pylist()

    def table(self, sql: str, values: Sequence[Any] = ()) -> pa.Table:
        """Answer of a query."""
        return self.connection.sql(sql, params=list(values)).to_arrow_table()

    @property
    def has_classes(self) -> bool:
        """Whether some object has a class."""
        if "class" not in self.columns:
            return False
        return bool(self.query('SELECT count("class") AS named FROM objects')[0]["named"])

    @property
    def parameters(self) -> list[Column]:
        """Measured columns, then the kept ones that are numbers: what medians are taken of; answers of predictors have tables of their own."""
        measured = [self.columns[name] for name in MEASURED if name in self.columns]
        predicted = [name for of in self.predictors for name in of.column_names]
        known = {*MEASURED, *VOTED, "ra", "dec", *predicted}
        kept = [c for c in self.columns.values() if c.name not in known and c.is_number]
        return measured + kept

    @property
    def answers(self) -> list[Column]:
        """Probabilities, fractions, levels and values that predictors gave."""
        names = [
            name
            for of in self.predictors
            for each in of.predictor.heads
            for name in answer_columns(each.head)
        ]
        return [self.columns[name] for name in names]

    @property
    def is_measured(self) -> bool:
        """Whether anything was measured."""
        return any(name in self.columns for name in MEASURED)

    def mapped(self, quantity: str) -> Column | None:
        """The column that holds a quantity: the one that `[validate] columns` names, else that of the same name."""
        named = (self.record["config"].get("validate") or {}).get("columns") or {}
        return self.columns.get(str(named.get(quantity) or quantity))


def quoted(name: str) -> str:
    """A column's name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def open_source(url: str, *, for_plots: bool = True) -> Source:
    """Open a run that has published its catalog.

    Parameters
    ----------
    url : str
    for_plots : bool
        Whether columns go on axes: then all of their values are looked at, for identifiers among them.

    Raises
    ------
    Refused
        If there is no run.
    NoCatalog
        If it has published nothing yet.
    """
    run = RunDirectory(url)
    record = run.record()
    if record is None:
        raise Refused([Fault(url, "there is no run here", f"Start one: tuningfork run CONFIG --out {url}")])
    connection = views.connect(url)
    known = described.fields(url, *described.OBJECTS)
    columns = {}
    schema = connection.sql("SELECT * FROM objects LIMIT 0").to_arrow_table().schema
    identifiers = _identifiers(connection, schema) if for_plots else set()
    for item in schema:
        metadata = described.texts(known[item.name]) if item.name in known else {}
        metadata = {"unit": metadata.get("unit", ""), "description": metadata.get("description", "")}
        columns[item.name] = Column(item.name, item.type, **metadata, is_identifier=item.name in identifiers)
    predictors, gone = predictors_of(url, record, columns)
    return Source(run, record, connection, columns, predictors, gone)


def _identifiers(connection: duckdb.DuckDBPyConnection, schema: pa.Schema) -> set[str]:
    """Columns of integers that floats cannot hold."""
    names = [item.name for item in schema if item.type in (pa.int64(), pa.uint64())]
    if not names:
        return set()
    ends = ", ".join(
        f"coalesce(max({quoted(n)}) > {LARGEST} OR min({quoted(n)}) < -{LARGEST}, false)" for n in names
    )
    (beyond,) = connection.sql(f"SELECT {ends} FROM objects").fetchall()
    return {name for name, is_beyond in zip(names, beyond, strict=True) if is_beyond}
