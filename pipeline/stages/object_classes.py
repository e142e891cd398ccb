"""The class of every object: its group's, where enough of its votes are for groups of that class, or what a rule on its own values says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catalogs import where
from kernels.confidence import branches, level_share
from kernels.vote import Ensemble, vote
from pipeline.config.classes import Split
from pipeline.plan.class_rules import CLASS_FIELD, SHARE_FIELD, UNCLASSIFIED
from pipeline.rundir import arrays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.config.fit import Vote

__all__ = ["ObjectClasses", "class_level", "decide", "threshold_of"]


def class_level(names: Sequence[str | None], branch: NDArray[np.integer]) -> NDArray[np.int16]:
    """Which groups count as one, (groups,): those of one class, and of those without a class the ones on one branch."""
    places: dict[tuple[str | None, int], int] = {}
    keys = [(name, -1 if name is not None else int(b)) for name, b in zip(names, branch, strict=True)]
    return np.array([places.setdefault(key, len(places)) for key in keys], np.int16)


def threshold_of(settings: Vote, values: NDArray[np.floating]) -> float:
    """Smallest value that keeps an object, given the pilot's (n,)."""
    if settings.share is None:
        return settings.least
    return float(np.sort(values)[::-1][math.ceil(settings.share * len(values)) - 1])


def decide(
    settings: Vote,
    names: list[str | None],
    split: list[Split],
    ensemble: Ensemble,
    pilot: NDArray[np.float32],
) -> ObjectClasses:
    """What follows from the names of the groups; the threshold, like the vote's own, from the pilot (n, c)."""
    level = class_level(names, branches(ensemble, pilot, settings.branches))
    threshold = None
    if settings.rule == "classes":
        ballot = vote(pilot, ensemble)
        threshold = threshold_of(settings, level_share(ballot.shares, ballot.group, level))
    return ObjectClasses(names, level, threshold, split)


@dataclass(frozen=True, eq=False)
class ObjectClasses:
    """What gives objects their classes, once groups have theirs.

    Attributes
    ----------
    names
        Class of each group; None where it has none.
    level
        (groups,) from `class_level`.
    threshold
        Share of an object's votes for its level that keeps it; None where the vote has decided what is kept.
    split
        Rules that give kept objects of a class another one; the first that holds counts.
    """

    names: list[str | None]
    level: NDArray[np.int16]
    threshold: float | None
    split: list[Split]

    @classmethod
    def read(cls, url: str) -> ObjectClasses:
        """Those of a run, from its `models/classes.json`; a damaged one is a `CorruptFile`."""
        return arrays.read_with(url, cls.from_values)

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> ObjectClasses:
        """Inverse of `to_values`, beside `groups`."""
        names = [group["class"] for group in values["groups"]]
        split = [
            Split.model_validate({k: each[k] for k in ("class", "when", "into")}) for each in values["split"]
        ]
        level = np.array(values["level"], np.int16)
        if level.shape != (len(names),):
            raise ValueError("level must have a number for each group")
        return cls(names, level, values["threshold"], split)

    def to_values(self) -> dict[str, Any]:
        """What `models/classes.json` has of them beside the groups."""
        return {
            "level": self.level.tolist(),
            "threshold": self.threshold,
            "split": [each.model_dump(by_alias=True) for each in self.split],
        }

    def columns(self, objects: pa.Table, votes: pa.Table) -> pa.Table:
        """The columns `kept`, `class` and `class_share`, given votes with `group`, `kept` and `shares`."""
        return self.columns_and_moves(objects, votes)[0]

    def columns_and_moves(self, objects: pa.Table, votes: pa.Table) -> tuple[pa.Table, NDArray[np.int64]]:
        """The same, and for each object the position of the rule in `split` that holds for it, (n,), or -1."""
        share, voted = self._shares(votes)
        kept = votes["kept"].combine_chunks()
        if self.threshold is not None:
            kept = pa.array(share >= np.float32(self.threshold), mask=~voted)
        named = pc.take(pa.array(self.names, pa.string()), votes["group"].combine_chunks())
        moved = self._moved(objects, pc.if_else(kept, named, pa.scalar(None, pa.string())))
        given = pc.if_else(kept, _renamed(named, moved, self.split), pa.scalar(UNCLASSIFIED, pa.string()))
        shares = pa.array(share, mask=~voted | pc.is_null(named).to_numpy(zero_copy_only=False))
        fields = [votes.schema.field("kept"), CLASS_FIELD, SHARE_FIELD]
        return pa.Table.from_arrays([kept, given, shares], schema=pa.schema(fields)), moved

    def _moved(self, objects: pa.Table, classes: pa.Array) -> NDArray[np.int64]:
        chosen = np.full(len(classes), -1)
        for number, rule in reversed(list(enumerate(self.split))):
            of_class = pc.equal(classes, rule.class_).fill_null(False).to_numpy(zero_copy_only=False)
            chosen[of_class & where.selected(rule.when, objects)] = number
        return chosen

    def _shares(self, votes: pa.Table) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Share of the votes for an object's own level, (n,), and whether anybody voted on it."""
        voted = votes["group"].is_valid().to_numpy()
        group = votes["group"].drop_null().to_numpy()
        flat = votes["shares"].combine_chunks().filter(pa.array(voted)).flatten()
        shares = flat.to_numpy(zero_copy_only=False).reshape(-1, len(self.level))
        found = np.zeros(len(voted), np.float32)
        found[voted] = level_share(shares, group, self.level)
        return found, voted


def _renamed(named: pa.Array, moved: NDArray[np.int64], split: Sequence[Split]) -> pa.Array:
    into = pa.array([rule.into for rule in split], pa.string()).take(pa.array(moved, mask=moved < 0))
    return pc.coalesce(into, named)
