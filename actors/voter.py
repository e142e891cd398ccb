"""The voter: holds every member at once and lets them all vote on each object of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from actors.embeddings import embeddings_of, rows_of, to_arrow
from kernels.anomaly import NEIGHBOUR, Oddness
from kernels.codes import Codes
from kernels.confidence import Calibration, level_share
from kernels.vote import Ensemble, kept, vote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from kernels.rules import Rule


class Voter:
    """One vote of every member on every object.

    Parameters
    ----------
    components : mapping of arrays
        `Codes.to_arrays()`.
    ensemble : mapping of arrays
        `Ensemble.to_arrays()`.
    rule : {"classes", "branches", "confidence", "agreement", "unanimous"}
        "classes" goes by the share of an object's branch: groups have no classes yet.
    threshold : float
        Smallest value that keeps an object: of that share, or of its `branch_confidence`, `confidence` or `agreement`.
    level : array
        (groups,) branch of each group, from `kernels.confidence.branches`.
    groups, branches : mapping of arrays, optional
        `Calibration.to_arrays()` of the groups and of their branches; None where there is one bag, and so no confidence.
    oddness : mapping of arrays, optional
        `Oddness.to_arrays()`; without it nobody learns how odd objects are.
    """

    def __init__(
        self,
        *,
        components: Mapping[str, NDArray[np.float64]],
        ensemble: Mapping[str, NDArray[np.generic]],
        rule: Rule,
        threshold: float,
        level: NDArray[np.int16],
        groups: Mapping[str, NDArray[np.generic]] | None = None,
        branches: Mapping[str, NDArray[np.generic]] | None = None,
        oddness: Mapping[str, NDArray[np.generic]] | None = None,
    ) -> None:
        self._codes = Codes.from_arrays(components)
        self._ensemble = Ensemble.from_arrays(ensemble)
        self._rule, self._threshold, self._level = rule, threshold, level
        self._oddness = None if oddness is None else Oddness.from_arrays(oddness)
        self._calibrations = None
        if groups is not None and branches is not None:
            self._calibrations = Calibration.from_arrays(groups), Calibration.from_arrays(branches)
        elif rule in ("branches", "confidence"):
            raise ValueError(f"the rule {rule!r} needs calibrations of the groups and of their branches")

    def __call__(self, objects: pa.Table) -> pa.Table:
        """Vote on a batch.

        Parameters
        ----------
        objects : pa.Table
            With `object_id` and `embedding`; the latter is null where an object is unusable. `numbers`, where codes have columns beside
            the components: fixed-size lists of float64, NaN where unknown.

        Returns
        -------
        pa.Table
            `object_id`, the columns of `Voter.columns` and, for `class_share`, `shares`: each group's share of the object's votes
            (float16 lists); null where an object is unusable.
        """
        values, usable = embeddings_of(objects["embedding"])
        ballot = vote(self._codes(values, _numbers(objects)[usable]), self._ensemble)
        unknown = np.ma.masked_all(len(values), np.float32)
        confidence, branch_confidence = unknown, unknown
        if self._calibrations is not None:
            of_groups, of_branches = self._calibrations
            confidence, branch_confidence = of_groups(ballot), of_branches(ballot)
        decides = {"branches": branch_confidence, "confidence": confidence}.get(self._rule, ballot.agreement)
        if self._rule == "classes":
            decides = level_share(ballot.shares, ballot.group, self._level)
        anomaly, far = (unknown, unknown) if self._oddness is None else self._oddness(values)
        found = {
            "group": ballot.group,
            "kept": kept(decides, self._rule, self._threshold),
            "agreement": ballot.agreement,
            "confidence": confidence,
            "branch": self._level[ballot.group],
            "branch_confidence": branch_confidence,
            "runner_up": ballot.runner_up,
            "distance": ballot.distance,
            "anomaly": anomaly,
            "anomaly_distance": far,
            "reference_group": ballot.reference_group,
            **{f"vote_{family}": groups for family, groups in ballot.family_groups.items()},
        }
        columns = self.columns(list(ballot.family_groups))
        take = rows_of(usable)
        arrays = [
            to_arrow(found[name], columns.schema.field(name).type).take(take) for name in columns.column_names
        ]
        shares = pa.field("shares", pa.list_(pa.float16(), self._ensemble.groups))
        flat = pa.array(ballot.shares.astype(np.float16).reshape(-1))
        arrays.append(pa.FixedSizeListArray.from_arrays(flat, type=shares.type).take(take))
        return pa.Table.from_arrays(
            [objects["object_id"].combine_chunks(), *arrays],
            schema=pa.schema([objects.schema.field("object_id"), *columns.schema, shares]),
        )

    @staticmethod
    def columns(families: Sequence[str]) -> pa.Table:
        """The columns that a vote adds, as an empty table."""
        described = [
            ("group", pa.int16(), "group with the most votes"),
            ("kept", pa.bool_(), "whether the vote is sure enough, by the run's rule"),
            ("agreement", pa.float32(), "fraction of members that voted for the group"),
            ("confidence", pa.float32(), "probability that other bags would give the same group"),
            ("branch", pa.int16(), "branch of the groups' tree that the group is on"),
            (
                "branch_confidence",
                pa.float32(),
                "probability that other bags would give a group on the same branch",
            ),
            ("runner_up", pa.int16(), "group with the second most votes, null if there is none"),
            ("distance", pa.float32(), "distance to the group's centre among the principal components"),
            (
                "anomaly",
                pa.float32(),
                "how odd: percentile, 0 to 100, of anomaly_distance among a sample of the release",
            ),
            (
                "anomaly_distance",
                pa.float32(),
                f"distance of the code to the {NEIGHBOUR}th nearest of a sample; one object in a hundred exceeds 1",
            ),
            ("reference_group", pa.int16(), "group by the single reference k-means, which does not vote"),
            *(
                (f"vote_{f}", pa.int16(), f"group with the most votes among the {f} members")
                for f in families
            ),
        ]
        ucds = {
            "agreement": "stat.fit.goodness",
            "confidence": "stat.probability",
            "branch_confidence": "stat.probability",
            "kept": "meta.code.qual",
            "anomaly": "stat.rank",
            "anomaly_distance": "stat.value",
        }
        return pa.schema(
            [
                pa.field(name, kind, metadata={"description": text, "ucd": ucds.get(name, "meta.code.class")})
                for name, kind, text in described
            ]
        ).empty_table()


def _numbers(objects: pa.Table) -> NDArray[np.float64]:
    """(n, k); k is 0 where there are none."""
    if "numbers" not in objects.column_names:
        return np.empty((objects.num_rows, 0))
    lists = objects["numbers"].combine_chunks()
    return lists.flatten().to_numpy().reshape(-1, lists.type.list_size)
