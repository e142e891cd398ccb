"""A trial of a plan's stamps: what encoding and measuring them takes on one core."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from actors.extents import of_one_size
from actors.factory import EncodeAndMeasure
from actors.measurer import Measurer
from pipeline.plan.timing import seconds

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.plan.plan import Plan

__all__ = ["encoding", "measuring"]

LONGEST_BATCH, MEASURING = 0.5, 1.0
"""Seconds: no batch that would take longer is tried, and as long stamps are measured."""
LARGEST_BATCH = 32
BATCH_BYTES = 256 << 20
SEVERAL, FEW = 8, 4
"""Stamps of one side that there are at least, and as many in the first call of several; two, where stamps are slow."""


def measuring(plan: Plan, options: dict[str, Any], objects: pa.Table) -> tuple[float, float]:
    """Seconds on one core that the calls of a slice take, and that each object in it takes more."""
    torch.set_num_threads(1)  # as an encoder beside it does
    found: dict[int, tuple[float, float]] = {}
    sides = len(np.unique(objects["stamp_side"].to_numpy())) if "stamp_side" in objects.column_names else 1

    def measured(part: pa.Table, side: int) -> pa.Table:
        measurer = Measurer(**{**options, "threads": 1, "size": side})
        found[side] = _calls(measurer, part, MEASURING / sides)
        return part

    of_one_size(objects, options["bands"], options["size"], measured)
    counts = dict.fromkeys(found, 1) if plan.release.extents is None else plan.release.extents.sides
    shares = {side: count / max(1, sum(counts.values())) for side, count in counts.items() if count}
    each = 0.0
    for side, share in shares.items():
        # One that the trial has not met costs as much a pixel as the nearest that it has.
        near = min(found, key=lambda tried: abs(tried - side))
        each += share * found[near][1] * (side / near) ** 2
    return sum(call for call, _ in found.values()), each


def _calls(measurer: Measurer, objects: pa.Table, budget: float) -> tuple[float, float]:
    """Seconds that a call takes, and that each object in it takes more; about so many are spent on finding out."""
    # A few of one side are taken again and again: a call of one takes as long as one of several.
    objects = objects.take(np.arange(max(objects.num_rows, SEVERAL)) % objects.num_rows)
    measurer(objects.slice(0, 1))
    begun = time.perf_counter()
    one = seconds(measurer, objects.slice(0, 1), time.process_time)
    # One alone says little: a call takes time that does not depend on how many stamps are in it.
    number = FEW if FEW * one < budget else 2
    while True:
        several = seconds(measurer, objects.slice(0, number), time.process_time)
        each = (several - one) / (number - 1)
        each = each if each > 0 else several / number
        fit = int(number * (budget - (time.perf_counter() - begun)) / several)
        if number == objects.num_rows or fit < 2 * number:
            return max(0.0, one - each), each
        number = min(fit, objects.num_rows)


def encoding(plan: Plan, objects: pa.Table) -> float:
    """Seconds on one core (or of one sender, where servers encode) for a place in a batch, its neighbours' filling included."""
    options, segmenter = plan.encoder_options, plan.segmenter_options
    fit = max(1, BATCH_BYTES * objects.num_rows // max(1, objects.nbytes))
    most = min(LARGEST_BATCH, options["batch_size"], fit)
    alone = _batch(options, segmenter, objects, 1)
    # One alone takes longer than each of several, so no batch takes longer than was meant.
    several = min(most, int(LONGEST_BATCH / alone))
    return _batch(options, segmenter, objects, several) if several > 1 else alone


def _batch(options: dict[str, Any], segmenter: dict[str, Any] | None, objects: pa.Table, size: int) -> float:
    """Seconds for a place in a batch of this size."""
    served = "endpoints" in options
    alone = {**options, "batch_size": size, **({} if served else {"threads": 1})}
    encoder = EncodeAndMeasure(alone, None, None if segmenter is None else {**segmenter, "threads": 1})
    some = objects.take(np.arange(size) % objects.num_rows)
    clock = time.perf_counter if served else time.process_time
    try:
        return min(seconds(encoder, some, clock), seconds(encoder, some, clock)) / size
    finally:
        encoder.close()
