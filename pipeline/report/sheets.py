"""Contact sheets: which objects show what a group is, and where its edge is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.report.source import quoted

if TYPE_CHECKING:
    from pipeline.report.source import Source

KINDS = {
    "nearest": "Nearest to the centre",
    "median": "Median distance",
    "least": "Least agreed",
}
_CHOSEN = {
    "nearest": """
        SELECT shard, "row", "group", row_number() OVER (PARTITION BY "group" ORDER BY distance, shard, "row") AS place
        FROM objects WHERE kept QUALIFY place <= $count""",
    "median": """
        WITH middle AS (SELECT "group", median(distance) AS centre FROM objects WHERE kept GROUP BY 1)
        SELECT shard, "row", "group",
               row_number() OVER (PARTITION BY "group" ORDER BY abs(distance - centre), shard, "row") AS place
        FROM objects JOIN middle USING ("group") WHERE kept QUALIFY place <= $count""",
    "least": """
        SELECT shard, "row", "group",
               row_number() OVER (PARTITION BY "group" ORDER BY agreement, distance DESC, shard, "row") AS place
        FROM objects WHERE "group" IS NOT NULL QUALIFY place <= $count""",
}


@dataclass(frozen=True)
class Sheets:
    """What stands on every group's sheets."""

    keys: dict[int, dict[str, list[str]]]
    """Group, kind (of `KINDS`), and the keys of its objects in order."""
    objects: dict[str, dict[str, Any]]
    """Each object once, by key: all of its columns but the embedding."""


def choose(source: Source, count: int) -> Sheets:
    """Take `count` objects of each kind for every group; nearest and median are of kept objects only."""
    keys: dict[int, dict[str, list[str]]] = {}
    objects: dict[str, dict[str, Any]] = {}
    numbers: dict[str, int] = {}
    columns = ", ".join("o." + quoted(name) for name in source.columns if name != "_healpix_29")
    for kind, chosen in _CHOSEN.items():
        sql = f"""WITH chosen AS ({chosen.replace("$count", str(int(count)))})
                  SELECT {columns} FROM chosen c JOIN objects o ON o.shard = c.shard AND o."row" = c."row"
                  ORDER BY c."group", c.place"""
        for row in source.query(sql):
            shard = numbers.setdefault(row["shard"], len(numbers))
            key = f"{shard}-{row['row']}"
            objects[key] = row
            keys.setdefault(row["group"], {name: [] for name in KINDS})[kind].append(key)
    return Sheets(keys, objects)
