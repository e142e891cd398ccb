"""Training in this process, on its CPUs, without Ray."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch
from threadpoolctl import threadpool_limits

from catalogs.packed import read_slice
from pipeline.engine.cores import usable_cores
from pipeline.training.group import Group
from pipeline.training.trainables import TRAINABLES
from pipeline.training.worker import learn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from catalogs.errors import Fault
    from catalogs.packed import SliceTable
    from catalogs.slices import Slice
    from pipeline.training.job import TrainingJob

__all__ = ["finish", "fit", "lacking", "read_here"]


def lacking(job: TrainingJob, source: str) -> list[Fault]:
    """Nothing: threads share the cores that there are."""
    del job, source
    return []


def fit(job: TrainingJob, show: Callable[[float], None]) -> None:
    """See `pipeline.training.train.Trainer`."""
    before = torch.get_num_threads()
    try:
        with threadpool_limits(job.settings.threads, user_api="blas"):
            learn(job, Group(0, 1, torch.device("cpu"), read_here, lambda line: show(line["epoch"])))
    finally:
        torch.set_num_threads(before)


def finish(job: TrainingJob) -> None:
    """See `pipeline.training.train.Trainer`."""
    TRAINABLES[job.network].finish(job)


def read_here(
    read: Callable[[Slice], pa.Table],
    pieces: Sequence[Slice],
    bytes_each: int,  # noqa: ARG001 - all that is read is kept
) -> Iterator[SliceTable]:
    """Slices, read by threads, in order."""
    with ThreadPoolExecutor(usable_cores(), "reader", lambda: torch.set_num_threads(1)) as readers:
        yield from readers.map(lambda piece: read_slice(read, piece), pieces)
