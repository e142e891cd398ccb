"""`tuningfork groups`: how many groups, how stable they are, and which are alike."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from catalogs import storage
from catalogs.errors import BadRequest, Fault, Refused
from kernels.confidence import branches
from kernels.group_tree import GroupTree, group_tree
from kernels.stability import ROWS, Stability, most_groups, stability
from kernels.vote import vote
from pipeline.config.fit import Vote
from pipeline.rundir.classes_file import read_classes
from pipeline.rundir.fitted import read_fitted
from pipeline.rundir.run_directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.rundir.fitted import Fitted

NUMBERS = (5, 10, 15, 20, 25, 30, 40, 50, 60)
"""Numbers of groups that are tried."""
MOST = 1000
"""Groups that a run may have."""


@dataclass(frozen=True)
class Group:
    """One group of the run."""

    group: int
    class_: str | None
    branch: int
    share: float
    """Of the pilot's objects."""
    objects: int | None
    """Of the whole release, once its groups are counted."""
    kept: int | None
    agreement: float | None
    """Mean over the pilot's objects; None where it has none."""
    jaccard: float | None
    """How much of it other halves of the pilot find again; None where the pilot is too small to be halved."""


@dataclass(frozen=True, eq=False)
class Findings:
    """All that is known of a run's groups."""

    run: str
    pilot: int
    """Objects that this rests on."""
    own: int
    """Number of the run's groups."""
    numbers: list[Stability]
    groups: list[Group]
    """In the order of the tree's leaves."""
    tree: GroupTree
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        members = self.tree.members()
        return {
            "run": self.run,
            "pilot": self.pilot,
            "own": self.own,
            "numbers": [
                {
                    "groups": found.groups,
                    "stability": found.agreement,
                    "spread": found.spread,
                    "silhouette": found.silhouette,
                    "davies_bouldin": found.davies_bouldin,
                    "smallest": found.smallest,
                }
                for found in self.numbers
            ],
            "groups": [
                {"class" if name == "class_" else name: value for name, value in vars(group).items()}
                for group in self.groups
            ],
            "merges": [
                {"groups": members[first], "with": members[second], "loses": float(height)}
                for (first, second), height in zip(self.tree.merges, self.tree.heights, strict=True)
            ],
            "notes": self.notes,
        }


def numbers_of(text: str | None) -> tuple[int, ...]:
    """Numbers of groups as they are typed, or the usual ones.

    Raises
    ------
    BadRequest
        If they are none.
    """
    if text is None:
        return NUMBERS
    words = [word.strip() for word in text.split(",")]
    wrong = [word for word in words if not (re.fullmatch("[0-9]{1,4}", word) and 2 <= int(word) <= MOST)]
    if wrong:
        remedy = f"Write them as 5,10,20, from 2 to {MOST}"
        raise BadRequest(f"--numbers: {wrong[0][:20]!r} is no number of groups. {remedy}")
    return tuple(int(word) for word in words)


def groups(url: str, numbers: Iterable[int] = NUMBERS) -> Findings:
    """Look at the groups that a run has fitted; nothing is started or changed.

    Parameters
    ----------
    url : str
        Run directory. It need not have voted yet.
    numbers : iterable of int
        Numbers of groups to try, 2 or more; the run's own is always among them.

    Raises
    ------
    Refused
        If there is no run, or it has fitted nothing yet.
    CorruptFile
        If a file of it is damaged.
    """
    run = RunDirectory(url)
    record = run.record()
    if record is None:
        raise Refused([Fault(url, "there is no run here", f"Start one: tuningfork run CONFIG --out {url}")])
    fitted = read_fitted(run, record)
    own, seed = fitted.ensemble.groups, int(record["config"]["fit"].get("seed", 0))
    wanted = sorted({*numbers, own})
    with threadpool_limits(
        1
    ):  # many small products: threads that wait for each other take five times as long
        most = most_groups(fitted.pilot, seed, wanted[-1])
        carried = [number for number in wanted if number <= most]
        found = stability(fitted.pilot, carried, seed, fitted.ensemble.centres)
        tree = group_tree(fitted.ensemble.centres, fitted.weights)
        jaccard = next((tried.jaccard for tried in found if tried.groups == own), None)
        branch_count = Vote.model_construct(**record["config"].get("vote", {})).branches
        each = _groups(fitted, jaccard, _named(run), branch_count)
    rows = min(len(fitted.pilot), ROWS)
    return Findings(
        url, rows, own, found, [each[group] for group in tree.order], tree, _left_out(wanted, most, rows)
    )


def _named(run: RunDirectory) -> dict[int, dict[str, Any]]:
    """What is counted of each group, and its class; empty before that."""
    if not storage.exists(run.classes):
        return {}
    return {group["group"]: group for group in read_classes(run.classes)["groups"]}


def _groups(fitted: Fitted, jaccard: Any, named: dict[int, dict[str, Any]], branch_count: int) -> list[Group]:
    """Every group, by its number."""
    ballot = vote(fitted.pilot, fitted.ensemble)
    level = branches(fitted.ensemble, fitted.pilot, branch_count)
    counts = np.bincount(ballot.group, minlength=fitted.ensemble.groups)
    agreed = np.bincount(ballot.group, ballot.agreement, minlength=fitted.ensemble.groups)
    return [
        Group(
            group,
            named.get(group, {}).get("class"),
            int(level[group]),
            float(count / len(fitted.pilot)),
            named.get(group, {}).get("objects"),
            named.get(group, {}).get("kept"),
            float(agreed[group] / count) if count else None,
            None if jaccard is None else float(jaccard[group]),
        )
        for group, count in enumerate(counts)
    ]


def _left_out(wanted: list[int], most: int, rows: int) -> list[str]:
    beyond = [str(number) for number in wanted if number > most]
    if not beyond:
        return []
    carries = f"carry {most} groups at most" if most > 1 else "are too few to be halved"
    return [f"{rows:,} objects {carries} (five that differ in each half): left out are {', '.join(beyond)}."]
