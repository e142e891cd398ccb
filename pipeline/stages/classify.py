"""The barrier classify: groups get the names of classes by rules, by a column of labels, or by what people said."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from catalogs import parts, storage
from catalogs.errors import CatalogMismatch
from kernels.medians import Tally
from pipeline.plan import class_rules
from pipeline.rundir.classes_file import read_classes
from pipeline.stages.barrier import barrier, on_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.classes import Classes
    from pipeline.plan.plan import Plan
    from pipeline.rundir.group_labels import Label


@dataclass(frozen=True)
class Counts:
    """What is counted of the groups: sums of integers, so that neither order nor sharding matters."""

    objects: NDArray[np.int64]
    """(group,)"""
    kept: NDArray[np.int64]
    """(group,)"""
    tallies: dict[str, Tally]
    """Values of the kept objects, by column."""
    labels: Counter[tuple[int, bool, str]] = field(default_factory=Counter)
    """Kept objects by group, whether they are held out, and label."""

    def __add__(self, other: Counts) -> Counts:
        """Both together."""
        tallies = {name: tally + other.tallies[name] for name, tally in self.tallies.items()}
        return Counts(
            self.objects + other.objects, self.kept + other.kept, tallies, self.labels + other.labels
        )


def classify(plan: Plan) -> None:
    """Give the groups their classes, and record the evidence for them."""
    run, classes = plan.run, plan.config.classes
    if storage.exists(run.classes):
        return
    with barrier(plan, "classify"):
        columns = class_rules.medians_needed(classes, plan.schema)
        found = on_parts(plan, count, run.votes, plan.config.fit.groups, columns, classes)
        counts = reduce(add, found)
        values = named(_few_labels(counts, classes), classes, plan.labels)
        values["fit"] = plan.fingerprints["fit"]
        storage.write(run.classes, json.dumps(values, indent=1, sort_keys=True).encode())


def names_of(url: str) -> list[str | None]:
    """The class of each group of a run, by the file that the barrier left."""
    return [group["class"] for group in read_classes(url)["groups"]]


def count(
    folder: str, names: list[str], votes: str, groups: int, columns: list[str], classes: Classes
) -> Counts:
    """Count a chunk of parts, objects beside votes.

    Parameters
    ----------
    folder, votes : str
        Where the parts of the objects and of the votes lie.
    names : list of str
        Of the parts.
    groups : int
    columns : list of str
        Columns to tally; one that a part lacks has no values there.
    classes : Classes
    """
    nothing = np.zeros(groups, np.int64)
    empty = Tally.of(np.array([], np.int64), np.array([], np.float32))
    counted = Counts(nothing, nothing, dict.fromkeys(columns, empty))
    label = [str(classes.column)] if classes.by == "column" else []
    for name in names:
        objects = parts.read_known(folder, name, ["object_id", *columns, *label])
        vote = parts.read(votes, name, ["object_id", "group", "kept"])
        if not objects["object_id"].equals(vote["object_id"]):
            problem = "votes and objects name different ids. Delete both parts and run again."
            raise CatalogMismatch(f"{name}: {problem}")
        voted = vote["group"].drop_null().to_numpy()
        kept = vote["kept"].fill_null(False)
        objects, group = objects.filter(kept), vote["group"].filter(kept).to_numpy()
        tallies = {
            column: Tally.of(group, objects[column].cast(pa.float64(), safe=False).to_numpy())
            if column in objects.column_names
            else empty
            for column in columns
        }
        counted += Counts(
            np.bincount(voted, minlength=groups),
            np.bincount(group, minlength=groups),
            tallies,
            _labels(objects, group, classes) if label else Counter(),
        )
        _few_labels(counted, classes)
    return counted


def _few_labels(counts: Counts, classes: Classes) -> Counts:
    if len(counts.labels) > class_rules.MOST_LABELS:
        raise class_rules.BadLabels(f"[classes] column {classes.column!r} has too many values to be labels.")
    return counts


def _labels(
    objects: pa.Table, group: NDArray[np.integer[Any]], classes: Classes
) -> Counter[tuple[int, bool, str]]:
    labels = class_rules.labels_of(objects[str(classes.column)], classes)
    held = class_rules.held_out(objects["object_id"].to_numpy(), classes.held_out, classes.seed)
    table = pa.table({"group": group, "held": held, "label": labels}).drop_null()
    cells = table.group_by(["group", "held", "label"], use_threads=False).aggregate([([], "count_all")])
    return Counter({(c["group"], c["held"], c["label"]): c["count_all"] for c in cells.to_pylist()})


def named(counts: Counts, classes: Classes, labels: dict[int, Label]) -> dict[str, Any]:
    """What `models/classes.json` says.

    Returns
    -------
    dict
        `by`; `groups`, each with its class, what gave it that (`rules`, `column`, `label` or null), its objects, how many
        of them are kept, and the evidence; `held_out`: how many objects with held-out labels there are among the kept, how many of
        those are in a group with a class, and how many have their group's class for label.
    """
    groups = len(counts.objects)
    medians = {
        # Five digits: no more is known.
        name: np.array([float(f"{median:.5g}") for median in tally.medians(groups)])
        for name, tally in counts.tallies.items()
    }
    rules = class_rules.by_rules(classes.rules, medians, groups) if classes.by == "rules" else [None] * groups
    described, scored = [], Counter({"objects": 0, "named": 0, "right": 0})
    for group in range(groups):
        evidence: dict[str, Any] = {
            "medians": {n: None if np.isnan(m[group]) else float(m[group]) for n, m in medians.items()}
        }
        name: str | None = None
        rule = rules[group]
        held: Counter[str] = Counter()
        if rule is not None:
            name = rule.class_
            evidence["rule"] = rule.when
        if classes.by == "column":
            seen, held = _of(counts, group, held=False), _of(counts, group, held=True)
            name = class_rules.by_labels(seen, classes.smallest_share)
            evidence["labelled"] = seen.total()
            evidence["labels"] = {k: round(n / seen.total(), 4) for k, n in sorted(seen.items())}
            evidence["held_out"] = dict(sorted(held.items()))
        by: str | None = None if name is None else classes.by
        label = labels.get(group)
        if label is not None:
            evidence["otherwise"] = {"class": name, "by": by}
            name, by = label.name, "label"
        scored += Counter(
            objects=held.total(), named=held.total() if name else 0, right=held[name] if name else 0
        )
        described.append(
            {
                "group": group,
                "class": name,
                "by": by,
                "objects": int(counts.objects[group]),
                "kept": int(counts.kept[group]),
                "evidence": evidence,
                "notes": label.notes if label else None,
                "author": label.author if label else None,
                "date": label.date if label else None,
            }
        )
    return {
        "by": classes.by,
        "groups": described,
        "held_out": {k: scored[k] for k in ("objects", "named", "right")},
    }


def _of(counts: Counts, group: int, *, held: bool) -> Counter[str]:
    return Counter({label: n for (g, h, label), n in counts.labels.items() if (g, h) == (group, held)})
