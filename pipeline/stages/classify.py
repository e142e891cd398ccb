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
import pyarrow.compute as pc

from catalogs import parts, storage, where
from catalogs.errors import CatalogMismatch
from kernels.medians import Tally
from kernels.vote import Ensemble
from pipeline.plan import class_rules
from pipeline.rundir import arrays
from pipeline.rundir.classes_file import read_classes
from pipeline.stages.barrier import barrier, on_parts
from pipeline.stages.object_classes import ObjectClasses, decide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.classes import Classes, Rule
    from pipeline.engine.engine import Engine
    from pipeline.plan.plan import Plan
    from pipeline.rundir.group_labels import Label


DECIDED = ("notes", "author", "date")
"""What is kept of a person's decision on a group, beside the class."""


@dataclass(frozen=True)
class Counts:
    """What is counted of the groups: sums of integers, so that neither order nor sharding matters."""

    objects: NDArray[np.int64]
    """(group,)"""
    kept: NDArray[np.int64]
    """(group,)"""
    tallies: dict[str, Tally]
    """Values of the objects that the vote kept, by column."""
    labels: Counter[tuple[int, bool, str]] = field(default_factory=Counter)
    """Kept objects by group, whether they are held out, and label."""

    def __add__(self, other: Counts) -> Counts:
        """Both together."""
        tallies = {name: tally + other.tallies[name] for name, tally in self.tallies.items()}
        return Counts(
            self.objects + other.objects, self.kept + other.kept, tallies, self.labels + other.labels
        )


@dataclass(frozen=True)
class Outcome:
    """What became of the objects once groups had their classes."""

    kept: NDArray[np.int64]
    """(group,)"""
    split: NDArray[np.int64]
    """(rule,) objects to which a rule of `[classes] split` gave a class."""
    held_out: NDArray[np.int64]
    """Kept objects with held-out labels; those of them that have a class; those whose class is their label."""

    def __add__(self, other: Outcome) -> Outcome:
        """Both together."""
        return Outcome(self.kept + other.kept, self.split + other.split, self.held_out + other.held_out)


def classify(plan: Plan, engine: Engine) -> None:
    """Give the groups their classes, and record the evidence for them."""
    run, classes = plan.run, plan.config.classes
    if storage.exists(run.classes):
        return
    with barrier(plan, "classify"):
        columns = class_rules.medians_needed(classes, plan.schema)
        found = on_parts(plan, engine, count, run.votes, plan.config.fit.groups, columns, classes)
        counts = reduce(add, found)
        frozen = None if plan.like is None else read_classes(run.like.classes)
        groups = named(
            _few_labels(counts, classes), classes, plan.labels, None if frozen is None else frozen["groups"]
        )
        if frozen is not None and not plan.labels:
            decided = ObjectClasses.read(run.like.classes)
        else:
            members = Ensemble.from_arrays(arrays.load(run.ensemble))
            names, pilot = [group["class"] for group in groups], arrays.load(run.components)["pilot"]
            decided = decide(plan.config.vote, names, classes.split, members, pilot)
        read = [where.existing(n, plan.schema.names) for s in classes.split for n in where.columns_of(s.when)]
        outcome = reduce(add, on_parts(plan, engine, outcome_of, run.votes, decided, read, classes))
        values = {
            "by": classes.by,
            "fit": plan.fingerprints["fit"],
            **recorded(groups, decided, outcome),
        }
        storage.write(run.classes, json.dumps(values, indent=1, sort_keys=True).encode())


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
        vote = _votes_on(objects, votes, name, ["group", "kept"])
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


def outcome_of(
    folder: str, names: list[str], votes: str, decided: ObjectClasses, columns: list[str], classes: Classes
) -> Outcome:
    """Count what became of the objects of a chunk of parts, given the columns that rules of `split` read."""
    groups, split = len(decided.names), decided.split
    total = Outcome(np.zeros(groups, np.int64), np.zeros(len(split), np.int64), np.zeros(3, np.int64))
    label = [str(classes.column)] if classes.by == "column" else []
    for name in names:
        objects = parts.read(folder, name, list(dict.fromkeys(["object_id", *label, *columns])))
        vote = _votes_on(objects, votes, name, ["group", "kept", "shares"])
        found, moved = decided.columns_and_moves(objects, vote)
        kept = found["kept"].fill_null(False)
        scored = np.zeros(3, np.int64)
        if label:
            labels = class_rules.labels_of(objects[label[0]], classes)
            held = class_rules.held_out(objects["object_id"].to_numpy(), classes.held_out, classes.seed)
            chosen = pc.and_(pc.and_(kept, pc.is_valid(labels)), pa.array(held))
            given = found["class"].filter(chosen)
            right = pc.equal(given, labels.filter(chosen)).fill_null(False)
            scored += [len(given), len(given) - given.null_count, pc.sum(right).as_py() or 0]
        total += Outcome(
            np.bincount(vote["group"].filter(kept).to_numpy(), minlength=groups),
            np.bincount(moved[moved >= 0], minlength=len(split)),
            scored,
        )
    return total


def _votes_on(objects: pa.Table, votes: str, name: str, columns: list[str]) -> pa.Table:
    vote = parts.read(votes, name, ["object_id", *columns])
    if not objects["object_id"].equals(vote["object_id"]):
        problem = "votes and objects name different ids. Delete both parts and run again."
        raise CatalogMismatch(f"{name}: {problem}")
    return vote


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


def recorded(groups: list[dict[str, Any]], decided: ObjectClasses, outcome: Outcome) -> dict[str, Any]:
    """What `models/classes.json` says of the groups, and of what that meant for their objects.

    Returns
    -------
    dict
        `groups`, each with how many of its objects are kept in the end; `level`, `threshold` and `split` of
        `pipeline.stages.object_classes.ObjectClasses`, each split with how many objects it moved; `held_out`: how many kept objects with
        held-out labels there are, how many of those have a class, and how many have their label's.
    """
    values = decided.to_values()
    values["groups"] = [{**g, "kept": int(kept)} for g, kept in zip(groups, outcome.kept, strict=True)]
    values["split"] = [{**s, "objects": int(n)} for s, n in zip(values["split"], outcome.split, strict=True)]
    values["held_out"] = dict(zip(("objects", "named", "right"), outcome.held_out.tolist(), strict=True))
    return values


def named(
    counts: Counts,
    classes: Classes,
    labels: dict[int, Label],
    frozen: list[dict[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """Each group with its class, what gave it that (`rules`, `column`, `label` or null), its objects, how many the vote kept, and the evidence.

    With the `frozen` groups of another run, classes and what gave them are those, and the evidence is of the objects here.
    """
    groups = len(counts.objects)
    medians = {
        # Five digits: no more is known.
        name: np.array([float(f"{median:.5g}") for median in tally.medians(groups)])
        for name, tally in counts.tallies.items()
    }
    rules: list[Rule | None] = [None] * groups
    if classes.by == "rules" and frozen is None:
        rules = class_rules.by_rules(classes.rules, medians, groups)
    described = []
    for group in range(groups):
        evidence: dict[str, Any] = {
            "medians": {n: None if np.isnan(m[group]) else float(m[group]) for n, m in medians.items()}
        }
        name: str | None = None
        rule = rules[group]
        if rule is not None:
            name = rule.class_
            evidence["rule"] = rule.when
        if classes.by == "column":
            seen, held = _of(counts, group, held=False), _of(counts, group, held=True)
            name = class_rules.by_labels(seen, classes.smallest_share) if frozen is None else None
            evidence["labelled"] = seen.total()
            evidence["labels"] = {k: round(n / seen.total(), 4) for k, n in sorted(seen.items())}
            evidence["held_out"] = dict(sorted(held.items()))
        by: str | None = None if name is None else classes.by
        given: dict[str, Any] = {"class": name, "by": by, **dict.fromkeys(DECIDED)}
        if frozen is not None:
            given = {key: frozen[group][key] for key in given}
            before = frozen[group]["evidence"]
            evidence |= {key: before[key] for key in ("rule", "otherwise") if key in before}
        label = labels.get(group)
        if label is not None:
            evidence["otherwise"] = {"class": given["class"], "by": given["by"]}
            given = {"class": label.name, "by": "label", **{k: getattr(label, k) for k in DECIDED}}
        described.append(
            {
                "group": group,
                **given,
                "objects": int(counts.objects[group]),
                "kept": int(counts.kept[group]),
                "evidence": evidence,
            }
        )
    return described


def _of(counts: Counts, group: int, *, held: bool) -> Counter[str]:
    return Counter({label: n for (g, h, label), n in counts.labels.items() if (g, h) == (group, held)})
