"""The stage augment, where bags are balanced: rare groups get synthetic neighbours, drawn like the objects that they keep.

Which groups are rare is counted in the first vote. What is drawn rests on object ids and on the objects' own rows and stamps, so it
depends neither on shards and slices nor on who draws it; a piece of it is drawn, encoded and written at a time. Stamps stay in
the process that draws them: embeddings are written, for the bags of the second fit and for nothing else.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.factory import EncodeAndMeasure
from catalogs import parts, storage
from catalogs.slices import Slice
from kernels import bags
from kernels.diffusion_model import BATCH
from pipeline.console import console
from pipeline.engine.engine import Actors, Reader
from pipeline.engine.slice_tasks import OnSlices
from pipeline.engine.streams import Stream
from pipeline.rundir import arrays
from pipeline.stages.barrier import barrier, on_parts
from pipeline.stages.neighbours import requests
from pipeline.stages.part_writer import part_writer

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from pipeline.config.augment import Augment
    from pipeline.engine.engine import Engine
    from pipeline.engine.metrics import RunMetrics
    from pipeline.plan.plan import Plan

    Counts = NDArray[np.int64]

PIECE = 2 * BATCH
"""Synthetic objects in a part."""


def augment(plan: Plan, engine: Engine) -> None:
    """Draw and encode the synthetic neighbours of rare groups, in every piece that has no part yet."""
    run, settings = plan.run, plan.config.augment
    if not storage.exists(run.balance):
        _decide(plan, engine)
    decided = arrays.read_with(run.balance, lambda values: {**values, "synthetic": int(values["synthetic"])})
    done = parts.done(run.synthetic)
    missing = [piece for piece in pieces(decided["synthetic"]) if piece.name not in done]
    if not missing:
        return
    config = plan.config
    stream = Stream(
        plan.run_id,
        "augment",
        missing,
        len(done),
        decided["synthetic"],
        config.run.interval,
        lambda _: "synthetic neighbours",
    )
    with barrier(plan, "balance"):
        wanted = requests(plan, engine, np.array([group["synthetic"] for group in decided["groups"]]))
    options = plan.generator_options, plan.encoder_options, plan.segmenter_options
    gpus = max(settings.gpus, config.encode.gpus)
    engine.stream(
        stream,
        Reader(functools.partial(_piece_of, wanted), 1024, config.run.read_cpus),
        Actors(DrawAndEncode, options, settings.workers, config.encode.cpus, gpus),
        part_writer(plan, stream, run.synthetic),
    )


def pieces(total: int) -> list[Slice]:
    """So many synthetic objects, cut up."""
    return [Slice(0, start, min(start + PIECE, total)) for start in range(0, total, PIECE)]


def shortfall(
    objects: Counts, kept: Counts, settings: Augment, bag_rows: int, *, resampled: bool = True
) -> Counts:
    """How many synthetic neighbours each group gets.

    Parameters
    ----------
    objects, kept : (groups,) int64
        Of the first vote.
    settings : Augment
    bag_rows : int
        Objects in a bag, at most about.
    resampled : bool
        Whether a bag is a draw, or everything.

    Returns
    -------
    (groups,) int64
        0 but for groups that keep some objects, and less than a share `rare` of all that are kept. Real objects enter a large release's
        bags at a smaller rate than synthetic ones do, so it takes fewer of those to `fill` a group in the bags than in the release.
    """
    usable = int(objects.sum())
    rare = (kept > 0) & (kept < settings.rare * kept.sum())
    own = bags.FRACTION if resampled else 1.0
    rate = min(own, bag_rows / usable) if resampled else 1.0
    wanted = np.where(rare, np.ceil((settings.fill * usable - kept) * rate / own), 0).clip(min=0)
    if wanted.sum() > settings.most:
        wanted = np.floor(wanted * (settings.most / wanted.sum()))
    return wanted.astype(np.int64)


def _decide(plan: Plan, engine: Engine) -> None:
    """Record and print which groups are rare and how many neighbours they get."""
    config, groups = plan.config, plan.config.fit.groups
    counted = on_parts(plan, engine, _counts, plan.run.first_votes, groups)
    objects, kept = functools.reduce(np.add, counted)
    wanted = shortfall(
        objects, kept, config.augment, config.fit.bag_rows, resampled=config.fit.resample != "none"
    )
    described = [
        {"group": g, "objects": int(objects[g]), "kept": int(kept[g]), "synthetic": int(wanted[g])}
        for g in range(groups)
    ]
    values = {"groups": described, "synthetic": int(wanted.sum())}
    storage.write(plan.run.balance, json.dumps(values, indent=1, sort_keys=True).encode())
    console.print(summary(values), soft_wrap=True)


def summary(decided: dict[str, Any]) -> str:
    """One line on which groups are rare."""
    rare = [str(group["group"]) for group in decided["groups"] if group["synthetic"]]
    lost = [str(group["group"]) for group in decided["groups"] if not group["kept"]]
    nothing = f" Nothing is kept in {', '.join(lost)}: there is nothing to draw like." if lost else ""
    if not rare:
        return f"balanced bags: no group is under-populated, bags stay as they are.{nothing}"
    which = f"group {rare[0]} is" if len(rare) == 1 else f"groups {', '.join(rare)} are"
    return f"balanced bags: {which} under-populated; {decided['synthetic']:,} synthetic neighbours join the bags.{nothing}"


def _counts(_folder: str, names: list[str], votes: str, groups: int) -> Counts:
    """Objects and kept ones of each group, (2, groups)."""
    counted = np.zeros((2, groups), np.int64)
    for name in names:
        vote = parts.read(votes, name, ["group", "kept"])
        kept = vote["group"].filter(vote["kept"].fill_null(False))
        for i, column in enumerate((vote["group"].drop_null(), kept)):
            counted[i] += np.bincount(column.to_numpy(), minlength=groups)
    return counted


def _piece_of(wanted: pa.Table, piece: Slice) -> pa.Table:
    return wanted.slice(piece.start, piece.rows)


class DrawAndEncode(OnSlices):
    """The generator and the encoder, on slices: what is drawn is encoded where it is drawn, and then forgotten."""

    def __init__(
        self,
        generator: dict[str, Any],
        encoder: dict[str, Any],
        segmenter: dict[str, Any] | None,
        metrics: RunMetrics,
    ) -> None:
        from actors.generator import StampGenerator  # noqa: PLC0415

        encode = EncodeAndMeasure(encoder, None, segmenter)
        generate = StampGenerator(
            **generator
        )  # after the encoder: drawing takes longer, so its number of threads holds
        super().__init__(
            lambda requests: encode(generate(requests)), "augment", metrics, lambda: encode.effort
        )
