"""A Ray Data source over slices: every row of the dataset is one whole slice, which no block split can tear."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import ray
from ray.data import Datasource
from ray.data.block import BlockMetadata
from ray.data.datasource import ReadTask

from catalogs.packed import SLICE, pack, read_slice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa
    from ray.data.context import DataContext

    from catalogs.slices import Slice

MOST_TASKS = 20_000


class SliceSource(Datasource):
    """Reads slices with a function, each into one row: where it is, and its table as Arrow IPC bytes.

    Parameters
    ----------
    read : callable
        `read(slice) -> pa.Table`, sent to every worker.
    slices : sequence of Slice
    bytes_each : int
        About how large a slice is in memory, for Ray's back-pressure.
    """

    def __init__(self, read: Callable[[Slice], pa.Table], slices: Sequence[Slice], bytes_each: int) -> None:
        super().__init__()
        # A release of 200,000 shards takes tens of MiB: one copy for all tasks, not one in each of them.
        self._read = ray.put(read)
        self._slices, self._bytes_each = slices, bytes_each

    def get_name(self) -> str:
        """The operator's name on the Ray dashboard."""
        return "Slices"

    def estimate_inmemory_data_size(self) -> int | None:
        """Bytes of all slices together."""
        return self._bytes_each * len(self._slices)

    def get_read_tasks(
        self,
        parallelism: int,  # noqa: ARG002 - the slices say how many tasks there are
        per_task_row_limit: int | None = None,
        data_context: DataContext | None = None,  # noqa: ARG002
    ) -> list[ReadTask]:
        """One task a slice, or a few slices a task where there are very many."""
        step = -(-len(self._slices) // MOST_TASKS)
        groups = [self._slices[i : i + step] for i in range(0, len(self._slices), step)]
        return [
            ReadTask(
                _Reading(self._read, group),
                BlockMetadata(len(group), self._bytes_each * len(group), None, None),
                SLICE,
                per_task_row_limit,
            )
            for group in groups
        ]


@functools.lru_cache(maxsize=1)
def _fetched(read: ray.ObjectRef) -> Callable[[Slice], pa.Table]:
    """The function, which a worker unpickles once for all of its tasks."""
    function: Callable[[Slice], pa.Table] = ray.get(read)
    return function


class _Reading:
    def __init__(self, read: ray.ObjectRef, slices: Sequence[Slice]) -> None:
        self._read, self._slices = read, slices

    def __call__(self) -> Iterator[pa.Table]:
        read = _fetched(self._read)
        for piece in self._slices:
            yield pack(read_slice(read, piece))
