"""Synthetic releases: shards whose header says that a diffusion model drew their stamps; and who may read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalogs.errors import Fault
from catalogs.headers import SYNTHETIC

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalogs.shard_table import ShardTable
    from catalogs.survey import Survey


def faults(survey: Survey, tables: Sequence[ShardTable]) -> list[Fault]:
    """What keeps a release from being run: it is synthetic and the config does not say so, or says so and it is not, or is both."""
    drawn = [table for table in tables if table.synthetic]
    if drawn and len(drawn) < len(tables):
        real = next(table for table in tables if not table.synthetic)
        problem = f"is synthetic ({SYNTHETIC} in its header), but {real.url} of the same release is not"
        return [
            Fault(table.url, problem, "Keep synthetic and real shards in releases of their own")
            for table in drawn
        ]
    if drawn and not survey.synthetic:
        problem = f"is synthetic ({SYNTHETIC} in its header): a diffusion model drew it, and nothing of it was observed"
        remedy = "Say [survey] synthetic = true if you mean it"
        return [Fault(table.url, problem, remedy) for table in drawn]
    if survey.synthetic and not drawn:
        problem = f"is not synthetic (no {SYNTHETIC} in its header), but [survey] synthetic = true"
        return [Fault(table.url, problem, "Leave that key out") for table in tables]
    return []
