"""The engine that works on Ray: streams are datasets of Ray Data, whose rows are slices; tasks of barriers are Ray's."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

import ray
import ray.data

from catalogs.errors import BadRequest, TuningforkError
from catalogs.packed import pack, unpack
from catalogs.source import SliceSource
from pipeline.console import console
from pipeline.engine.cluster import OWN_STORE
from pipeline.engine.slice_tasks import Read
from pipeline.engine.streams import follow
from pipeline.engine.under_way import RayUnderWay

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    import pyarrow as pa

    from catalogs.packed import SliceTable
    from pipeline.engine.engine import Actors, Reader, Writer
    from pipeline.engine.slice_tasks import OnSlices
    from pipeline.engine.streams import Stream

__all__ = ["RayEngine"]

READ_AT_ONCE = 4
"""The part of a small store that slices may fill which are being read: one so many-th."""
TRIES = 20
# One row is one slice: it is handed over whole, and without a copy.
ONE_SLICE: dict[str, Any] = {"batch_size": 1, "batch_format": "pyarrow", "zero_copy_batch": True}


class RayEngine:
    """Works on the Ray that this process is connected to, see `pipeline.engine.cluster.cluster`."""

    def stream(self, stream: Stream, reader: Reader, actors: Actors, writer: Writer) -> None:
        """See `pipeline.engine.engine.Engine`."""
        under_way = RayUnderWay(f"{stream.run} {stream.stage}")
        written = (
            _slices(stream, reader)
            .map_batches(
                _on_workers(actors.kind, under_way),
                # They travel once, and lie in a node's store once.
                fn_constructor_args=(ray.put((*actors.arguments, stream.metrics)),),
                compute=_pool(actors, reader, len(stream.missing)),
                num_cpus=actors.cpus,
                num_gpus=actors.gpus or None,
                **ONE_SLICE,
            )
            .map_batches(_on_rows(writer.write), num_cpus=writer.cpus, **ONE_SLICE)
        )
        # The dashboard lists datasets by their names.
        written.set_name(f"{stream.run} {stream.stage}")
        with contextlib.closing(_rows(written)) as rows:
            follow(stream, rows, under_way.total)

    def map(
        self,
        function: Callable[..., Any],
        each: Iterable[tuple[Any, ...]],
        *shared: Any,
        names: Sequence[str] | None = None,
    ) -> Iterator[Any]:
        """See `pipeline.engine.engine.Engine`."""
        kept, calls = [ray.put(argument) for argument in shared], list(each)
        # Ray's dashboard lists tasks by their names.
        names = [function.__name__.lstrip("_")] * len(calls) if names is None else names
        return _in_order(
            [
                _call.options(name=name).remote(function, *arguments, *kept)
                for name, arguments in zip(names, calls, strict=True)
            ]
        )


def _slices(stream: Stream, reader: Reader) -> ray.data.Dataset:
    """Every slice that is left, as one row each.

    Ray Data reads on while the slices that are on their way fill no more than half of the object stores. It judges by slices
    that it has seen, and would begin with as many as there are CPUs for: too many large ones for the small store of one machine.
    """
    bytes_each = reader.row_bytes * max(piece.rows for piece in stream.missing)
    source = SliceSource(Read(reader.read, stream.metrics), stream.missing, bytes_each)
    store = ray.data.DataContext.get_current().get_config(OWN_STORE)
    fit = None if store is None else max(1, store // (READ_AT_ONCE * bytes_each))
    return ray.data.read_datasource(
        source,
        num_cpus=reader.cpus,
        override_num_blocks=len(stream.missing),
        concurrency=None if fit is None else min(fit, len(stream.missing)),
    )


def _rows(dataset: ray.data.Dataset) -> Generator[dict[str, Any]]:
    """Rows of the dataset as they come, whose execution ends where this is closed.

    Ray Data's own iterators fetch in a thread, which nobody waits for where a run stops early. If it lets go of something
    after Ray was shut down, Ray's library ends the process: code 1, without a word.
    """
    for bundle in dataset.iter_internal_ref_bundles():
        for block in bundle.block_refs:
            yield from ray.get(block).to_pylist()


def _pool(actors: Actors, reader: Reader, slices: int) -> ray.data.ActorPoolStrategy:
    """No more actors than slices, for Ray warns of those that would idle; and on one machine no more than leave a reader its CPUs."""
    most, own = min(actors.most, slices), ray.data.DataContext.get_current().get_config(OWN_STORE) is not None
    cpus = ray.cluster_resources().get("CPU", 0.0)
    if actors.grows:
        # Ray Data takes as many as there is room for; somebody's cluster may grow.
        return ray.data.ActorPoolStrategy(
            min_size=1, max_size=min(most, max(1, int(cpus) - 1)) if own else most
        )
    room = int((cpus - reader.cpus) / actors.cpus) if own else most
    if room < 1:
        raise BadRequest(
            f"an encoder of [encode] cpus = {actors.cpus:g} and a reader of [run] read_cpus = {reader.cpus:g} "
            f"don't fit on the {cpus:g} CPUs of this machine: lower them."
        )
    if room < most:
        console.print(
            f"note: encoders: {room} instead of {most}, so that readers have room on {cpus:g} CPUs."
        )
    size = min(most, room)
    # Ray Data queues two slices at an actor, so that it never waits; of few slices the first one would get all.
    return ray.data.ActorPoolStrategy(
        size=size, max_tasks_in_flight_per_actor=1 if slices <= 2 * size else None
    )


def _on_workers(kind: type[OnSlices], under_way: RayUnderWay) -> type[OnSlices]:
    """An actor whose arguments come out of Ray's store; the dashboard lists it by its name."""

    def start(self: OnSlices, arguments: ray.ObjectRef) -> None:
        kind.__init__(self, *ray.get(arguments))
        self.tell = under_way.tell

    def on_row(self: OnSlices, row: pa.Table) -> pa.Table:
        return pack(kind.__call__(self, unpack(row)))

    return type(kind.__name__, (kind,), {"__init__": start, "__call__": on_row})


def _on_rows(write: Callable[[SliceTable], pa.Table]) -> Callable[[pa.Table], pa.Table]:
    """What writes slices, for rows of the dataset; the dashboard lists it by its name."""

    def on_row(row: pa.Table) -> pa.Table:
        return write(unpack(row))

    named: Any = write.func if isinstance(write, functools.partial) else write
    on_row.__name__ = getattr(named, "__name__", type(named).__name__)
    return on_row


def _in_order(tasks: list[ray.ObjectRef]) -> Iterator[Any]:
    """Results of tasks, which leave Ray's store as they are dealt with; an error of ours comes back as itself, not wrapped in Ray's."""
    try:
        while tasks:
            yield ray.get(tasks.pop(0))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ValueError | TuningforkError):
            raise TuningforkError(str(error.cause)) from error
        raise


@ray.remote(num_cpus=1, max_retries=TRIES, scheduling_strategy="SPREAD")
def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """A barrier's task. A node on which everything dies is always free: tasks that are not spread would all be tried there."""
    return function(*arguments)
