"""The columns of `keep`, under names that the catalog that comes out has free."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from catalogs.errors import Fault, Refused

if TYPE_CHECKING:
    from catalogs.shard_table import ShardTable
    from catalogs.survey import Survey

__all__ = ["RENAMED", "RESERVED", "kept_columns", "reserved"]

RENAMED = re.compile(r"(.+?)\s+as\s+(\S.*?)\s*", re.IGNORECASE)
"""`NAME as other` in `keep`."""
RESERVED = {
    *(
        "object_id",
        "ra",
        "dec",
        "shard",
        "row",
        "flags",
        "usable",
        "stamp",
        "stamp_side",
        "stamp_extent",
        "stamp_noise",
        "stamp_owners",
        "stamp_psf",
        "stamp_fwhm",
        "embedding",
        "class",
        "class_share",
        "_healpix_29",
    ),
    *("group", "kept", "agreement", "confidence", "branch", "branch_confidence"),
    *("runner_up", "distance", "anomaly", "anomaly_distance", "reference_group", "norder", "dir", "npix"),
}


def reserved(name: str) -> bool:
    """Whether every catalog has a column of that name of its own, whatever a run measures."""
    return name.lower() in RESERVED or name.lower().startswith("vote_")


def kept_columns(survey: Survey, table: ShardTable) -> dict[str, str]:
    """Output name of each kept column, and its name in the catalog.

    Raises
    ------
    Refused
        If an output name is taken.
    """
    names = set(table.names)
    kept: dict[str, str] = {}
    faults = []
    for entry in survey.keep:
        renamed = None if entry in names else RENAMED.fullmatch(entry)
        source, name = (renamed[1], renamed[2]) if renamed else (entry, entry)
        problem = None
        if reserved(name):
            problem = f"the catalog that comes out has a column {name.lower()!r} of its own"
        elif name.lower() in {other.lower() for other in kept}:
            other = next(other for other in kept if other.lower() == name.lower())
            problem = f"two kept columns would be called {other!r} and {name!r}, which are one name in SQL"
        if problem:
            faults.append(
                Fault(table.url, problem, f'Rename it: keep = ["{source} as survey_{name}"]', source)
            )
        kept[name] = source
    if faults:
        raise Refused(faults)
    return kept
