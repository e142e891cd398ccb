"""`tuningfork anomalies`: the objects of a run that are like none, those that flags explain after all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catalogs.errors import BadRequest
from catalogs.explained import condition
from pipeline.report.source import open_source
from pipeline.similar.reasons import extremes_of, flags_of, tails

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.report.source import Source

__all__ = ["Odd", "anomalies", "write_sheet"]

COLUMNS = ("ra", "dec", "class", "group")


@dataclass(frozen=True, eq=False)
class Odd:
    """What was found."""

    table: pa.Table
    """`object_id`, `anomaly`, `anomaly_distance`, some columns of the catalog, `explained` by flags or not, and `reasons`."""
    rows: list[dict[str, Any]]
    """All of their columns."""
    source: Source


def anomalies(url: str, count: int = 50, *, flagged: bool = False) -> Odd:
    """The oddest objects of a run.

    Parameters
    ----------
    url : str
        Run directory.
    count : int
    flagged : bool
        Rank by the distance alone, whatever flags say.

    Raises
    ------
    Refused, BadRequest, NoCatalog
        If the run has no catalog yet, or one of a version that did not look for odd objects.
    """
    source = open_source(url, for_plots=False)
    if "anomaly_distance" not in source.columns:
        raise BadRequest(
            f"{url}: its catalog has no column 'anomaly_distance': it was made by an earlier version. Run it again with this one"
        )
    names = ", ".join(f'"{name}"' for name in source.columns if name != "_healpix_29")
    explained = condition(source.columns)
    rows = source.query(
        f"""SELECT {names}, {explained} AS tuningfork_explained FROM objects WHERE anomaly_distance IS NOT NULL
            ORDER BY {"" if flagged else "tuningfork_explained, "}anomaly_distance DESC, object_id LIMIT {int(count)}"""
    )
    ends = tails(source) if rows else {}
    known = ["object_id", "anomaly", "anomaly_distance", *(n for n in COLUMNS if n in source.columns)]
    shown = {name: pa.array([row[name] for row in rows], source.columns[name].type) for name in known}
    shown["explained"] = pa.array([bool(row.pop("tuningfork_explained")) for row in rows], pa.bool_())
    reasons = [", ".join(filter(None, [flags_of(source, row), *extremes_of(row, ends)])) for row in rows]
    shown["reasons"] = pa.array(reasons, pa.string())
    return Odd(pa.table(shown), rows, source)


def write_sheet(found: Odd, file: str, config: Path | None, *, flagged: bool) -> None:
    """Write them as a contact sheet."""
    from pipeline.similar import sheet  # noqa: PLC0415 - which loads torch

    pictures, gone = sheet.pictures_of(found.source, found.rows, config)
    name = found.source.record["config"]["survey"]["name"]
    order = "by the distance alone" if flagged else "those that flags explain after all others"
    about = (
        f"The {len(found.rows)} oddest objects, {order}. `anomaly` is the percentile of the distance to the 20th nearest code of a sample of the release; "
        "reasons are flags, and measured values that one object in a hundred has."
    )
    cards = list(zip(found.table.to_pylist(), pictures, strict=True))
    sheet.write(file, f"{name}: odd objects", about.replace("`", ""), [], cards, gone)
