"""The barrier finish: a predictor that learns from the objects that the vote kept, for those that it left over; the papers' second stage."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.embeddings import embeddings_of, rows_of
from catalogs import parts, storage, where
from kernels import bags
from kernels.heads.answers import probabilities
from kernels.heads.assemble import Learned, assembled
from kernels.heads.head import Head
from kernels.heads.predictor import Predictor
from kernels.training.linear_heads import fit_linear_heads
from pipeline.console import console
from pipeline.plan.class_rules import UNCLASSIFIED
from pipeline.plan.predictor_encoder import encoder_of_run
from pipeline.stages.barrier import barrier, on_parts
from pipeline.stages.object_classes import ObjectClasses

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.engine.engine import Engine
    from pipeline.plan.plan import Plan
    from pipeline.rundir.run_directory import RunDirectory

__all__ = ["Finisher", "finish"]

QUESTION = "class"
LEAST = 2
"""Classes, and kept objects of each, that there is something to learn from."""
MOST_OBJECTS = 50_000
"""Kept objects that it learns from, about."""


def finish(plan: Plan, engine: Engine) -> None:
    """Learn the classes of kept objects; where there are not two classes to tell apart, say so and leave the rest unclassified."""
    run, settings = plan.run, plan.config.fit
    if plan.like is not None and storage.exists(run.like.finisher) and not storage.exists(run.finisher):
        storage.write(run.finisher, storage.read(run.like.finisher))
    if not plan.config.classes.finish or storage.exists(run.finisher):
        return
    with barrier(plan, "finish"):
        decided = ObjectClasses.read(run.classes)
        read = [where.existing(n, plan.schema.names) for s in decided.split for n in where.columns_of(s.when)]
        counts: Counter[str] = sum(on_parts(plan, engine, _count, run.votes, decided, read), Counter())
        known = [name for name, count in sorted(counts.items()) if count >= LEAST]
        if len(known) < LEAST:
            there = ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
            console.print(f"note: nothing to finish by: kept objects with a class: {there}", soft_wrap=True)
            storage.write(run.finisher, b"")
            return
        total = sum(counts.values())
        chosen = on_parts(plan, engine, _choose, run.votes, decided, read, total, settings.seed)
        ids, codes, names = (np.concatenate(columns) for columns in zip(*chosen, strict=True))
        order = bags.canonical_order(ids, settings.seed)
        order = order[np.isin(names[order], known)]
        encoder = encoder_of_run(plan.config, plan.weights, plan.features)
        (data,) = engine.map(_learn, [(codes[order], names[order], known, encoder, plan.config.survey.name)])
        storage.write(run.finisher, data)


@dataclass(frozen=True)
class Finisher:
    """What finishes a run's classes."""

    predictor: Predictor | None
    """None where there was nothing to learn from."""

    @classmethod
    def read(cls, run: RunDirectory) -> Finisher | None:
        """The run's, or None where `[classes] finish` is not set."""
        if not storage.exists(run.finisher):
            return None
        data = storage.read(run.finisher)
        return cls(Predictor.from_bytes(data, run.finisher) if data else None)

    def columns(self, embeddings: pa.ChunkedArray, given: pa.Array) -> list[pa.Array]:
        """The columns of `pipeline.plan.class_rules.FINISHED_FIELDS`, given embeddings and the column `class`."""
        by_vote = pc.if_else(pc.equal(given, UNCLASSIFIED), pa.scalar(None, pa.string()), given)
        if self.predictor is None:
            return [by_vote, pa.nulls(len(given), pa.float32())]
        values, usable = embeddings_of(embeddings)
        (taught,) = self.predictor.heads
        names, shares = taught.head.answers, probabilities(self.predictor.layer(values), taught.calibration)
        take = rows_of(usable)
        likeliest = pa.array(np.array(names, dtype=object)[shares.argmax(axis=1)], pa.string()).take(take)
        share = pa.array(shares.max(axis=1), pa.float32()).take(take)
        decided = by_vote.is_valid()
        return [pc.coalesce(by_vote, likeliest), pc.if_else(decided, pa.scalar(None, pa.float32()), share)]


def _classes(folder: str, name: str, votes: str, decided: ObjectClasses, read: list[str]) -> pa.Array:
    """Class of each object of a part, null unless it is kept in a group with a name."""
    objects = parts.read(folder, name, list(dict.fromkeys(["object_id", *read])))
    vote = parts.read(votes, name, ["object_id", "group", "kept", "shares"])
    given = decided.columns(objects, vote)["class"].combine_chunks()
    return pc.if_else(pc.equal(given, UNCLASSIFIED), pa.scalar(None, pa.string()), given)


def _count(
    folder: str, names: list[str], votes: str, decided: ObjectClasses, read: list[str]
) -> Counter[str]:
    counts: Counter[str] = Counter()
    for name in names:
        counts.update(_classes(folder, name, votes, decided, read).drop_null().to_pylist())
    return counts


def _choose(
    folder: str, names: list[str], votes: str, decided: ObjectClasses, read: list[str], total: int, seed: int
) -> tuple[NDArray[Any], NDArray[np.float16], NDArray[np.str_]]:
    found = []
    for name in names:
        given = _classes(folder, name, votes, decided, read)
        part = parts.read(folder, name, ["object_id", "embedding"])
        values, usable = embeddings_of(part["embedding"])
        kept = given.is_valid().to_numpy(zero_copy_only=False) & usable
        ids = part["object_id"].to_numpy()[kept]
        chosen = bags.in_pilot(ids, total, MOST_OBJECTS, seed)
        classes = np.array(given.filter(pa.array(kept)).to_pylist(), dtype=np.str_)
        found.append((ids[chosen], values[kept[usable]][chosen], classes[chosen]))
    columns = [np.concatenate(each) for each in zip(*found, strict=True)]
    return columns[0], columns[1], columns[2]


def _learn(
    codes: NDArray[np.float16],
    names: NDArray[np.str_],
    known: list[str],
    encoder: dict[str, Any],
    survey: str,
) -> bytes:
    values, head = codes.astype(np.float64), Head(QUESTION, "classes", tuple(known))
    targets = (names[:, None] == np.array(known)).astype(float)
    mean, scale = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
    fitted = fit_linear_heads(values, targets, [head], mean, scale)
    held_out = fitted.held_out, targets
    learned = Learned([head], fitted.weight, fitted.bias, codes, held_out, held_out, fitted.strength)
    taught = {
        "from": f"the objects of {survey} that the vote kept",
        "objects": len(codes),
        "held_out": 0,
        "versions": {},
    }
    return assembled(learned, encoder, taught).to_bytes()
