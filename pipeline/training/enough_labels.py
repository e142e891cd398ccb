"""Whether there are enough labels to learn from, and how much each class counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from catalogs.errors import Fault, Refused
from kernels.heads.columns import column_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kernels.heads.head import Head

__all__ = ["check", "with_balance"]

LEAST = 2
"""Labels that at least two answers need, so that one can be learned from while the other is scored on; values need as many objects a side."""


def check(heads: Sequence[Head], targets: NDArray[np.floating], source: str) -> None:
    """Refuse heads for which the targets (n, widths of all heads) hold too little, or whose answers no columns can tell apart.

    Raises
    ------
    Refused
    """
    faults, start = _doubled(heads, source), 0
    for head in heads:
        of = targets[:, start : start + head.width]
        start += head.width
        of = of[np.isfinite(of).all(axis=1)]
        if head.kind in ("classes", "ordinal"):
            counts = np.bincount(of.argmax(axis=1), minlength=head.width)
            if np.count_nonzero(counts >= LEAST) < LEAST:
                there = ", ".join(f"{n} {name}" for name, n in zip(head.answers, counts, strict=True) if n)
                problem = f"has too few labels ({there or 'none'})"
                remedy = f"Label at least {LEAST} objects of each of {LEAST} answers"
                faults.append(Fault(source, problem, remedy, head.name))
        elif len(of) < LEAST * LEAST:
            problem, remedy = f"has {len(of)} labelled objects", f"Label at least {LEAST * LEAST}"
            faults.append(Fault(source, problem, remedy, head.name))
    if faults:
        raise Refused(faults)


def _doubled(heads: Sequence[Head], source: str) -> list[Fault]:
    """Answers whose columns would have one name: capitals and all but letters and digits don't count there."""
    faults = []
    for head in heads:
        columns = Counter(column_name(head.name, answer) for answer in head.answers)
        column, count = max(columns.items(), key=lambda item: item[1], default=("", 0))
        if count > 1 and head.kind in ("classes", "votes"):
            same = ", ".join(repr(a) for a in head.answers if column_name(head.name, a) == column)
            problem = f"has answers that would share the column {column!r}: {same}"
            faults.append(
                Fault(source, problem, "Give them names that differ in letters or digits", head.name)
            )
    return faults


def with_balance(heads: Sequence[Head], targets: NDArray[np.floating]) -> list[Head]:
    """The heads with weights that make classes count the same, however rare each is; ordinals and votes are left as they are."""
    found, start = [], 0
    for head in heads:
        of = targets[:, start : start + head.width]
        start += head.width
        if head.kind == "classes":
            counts = np.nansum(of, axis=0)
            there = counts > 0
            weights = np.where(there, counts.sum() / np.maximum(counts, 1) / there.sum(), 0.0)
            head = replace(head, balance=tuple(weights.tolist()))  # noqa: PLW2901
        found.append(head)
    return found
