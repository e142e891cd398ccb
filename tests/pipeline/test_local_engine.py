"""The engine of this process: memory stays bounded, nothing goes on after an end, and errors are what Ray makes of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pyarrow as pa
import pytest

from catalogs.errors import TuningforkError
from catalogs.slices import Slice
from pipeline.engine import local_engine
from pipeline.engine.cluster import WorkLost
from pipeline.engine.engine import Actors, Reader, Writer
from pipeline.engine.local_engine import LocalEngine
from pipeline.engine.slice_tasks import OnSlices, written
from pipeline.engine.streams import SlicesFailed, Stream

Work = Callable[[pa.Table], pa.Table]


class Working(OnSlices):
    """An actor that does what it is told."""

    def __init__(self, work: Work | Exception, metrics):
        if isinstance(work, Exception):
            raise work
        super().__init__(work, "work", metrics)


class Recorder:
    """Slices that are read, and those that are written; and how many were in memory at once."""

    def __init__(self) -> None:
        self.lock, self.held, self.most, self.done = threading.Lock(), 0, 0, list[int]()

    def read(self, piece: Slice) -> pa.Table:
        with self.lock:
            self.held += 1
            self.most = max(self.most, self.held)
        return pa.table({"row": list(range(piece.start, piece.stop))})

    def write(self, piece: Slice, rows: pa.Table) -> dict[str, int]:
        assert rows["row"].to_pylist() == list(range(piece.start, piece.stop))
        with self.lock:
            self.held -= 1
            self.done.append(piece.start)
        return {}


def stream(slices: int) -> Stream:
    pieces = [Slice(0, 2 * i, 2 * i + 2) for i in range(slices)]
    return Stream("run", "encode", pieces, 0, 2 * slices, 10.0, str)


def carry(
    recorder: Recorder,
    work: Work | Exception = lambda rows: rows,
    slices: int = 40,
    read=None,
    kind=Working,
) -> None:
    wanted = stream(slices)
    with LocalEngine() as engine:
        engine._cores = 2
        engine.stream(
            wanted,
            Reader(read or recorder.read, 8, 0.5),
            Actors(kind, (work,), 2, 0.5),
            Writer(lambda row: written(row, recorder.write, wanted.metrics)),
        )


def idle() -> bool:
    return not {t.name for t in threading.enumerate()} & {"actor"}


@pytest.mark.parametrize("slices", [1, 2, 40])
def test_slice_is_lost_or_doubled(slices):
    recorder = Recorder()
    carry(recorder, slices=slices)
    assert sorted(recorder.done) == [2 * i for i in range(slices)]
    assert idle()


def test_readers_run_ahead_without_end():
    recorder = Recorder()

    def slow(rows: pa.Table) -> pa.Table:
        time.sleep(0.005)
        return rows

    carry(recorder, slow, slices=60)
    assert 2 < recorder.most <= 5


def test_actors_take_turns():
    together = threading.Barrier(2, timeout=30)

    def work(rows: pa.Table) -> pa.Table:
        together.wait()
        return rows

    carry(recorder := Recorder(), work, slices=8)
    assert len(recorder.done) == 8


def test_fault_of_a_slice_stops_the_others():
    def work(rows: pa.Table) -> pa.Table:
        if rows["row"][0].as_py() == 6:
            raise ValueError("no such network")
        return rows

    def read(piece: Slice) -> pa.Table:
        if piece.start == 10:
            raise OSError("no such file")
        return recorder.read(piece)

    recorder = Recorder()
    with pytest.raises(SlicesFailed, match="encode: 2 slices failed") as failed:
        carry(recorder, work, read=read)
    faults = failed.value.faults
    assert sorted(faults.values()) == ["OSError: no such file", "no such network"]
    assert sorted(recorder.done) == [2 * i for i in range(40) if 2 * i not in {6, 10}]


def test_full_disk_is_met_by_every_slice():
    class Full(Recorder):
        def write(self, piece: Slice, rows: pa.Table) -> dict[str, int]:
            super().write(piece, rows)
            raise OSError("No space left on device")

    recorder = Full()
    with pytest.raises(SlicesFailed, match="No space left"):
        carry(recorder, lambda rows: time.sleep(0.01) or rows, slices=200)
    assert idle()
    assert len(recorder.done) < 10


@pytest.mark.parametrize("error", [RuntimeError("bug"), MemoryError("bug"), AttributeError("bug")])
def test_bug_is_taken_for_a_fault_of_a_slice(error):
    def work(_: pa.Table) -> pa.Table:
        raise error

    with pytest.raises(type(error), match="bug"):
        carry(Recorder(), work)
    assert idle()


def test_actor_that_cannot_start_does_not_say_why():
    with pytest.raises(WorkLost, match=r"an actor cannot start: RuntimeError: no weights\. Nothing is lost"):
        carry(Recorder(), RuntimeError("no weights."))


def test_actors_are_made_at_the_same_time():
    """What a network begins with is drawn by the one random generator that torch has."""
    making, most = [], []

    class Slow(Working):
        def __init__(self, work, metrics):
            making.append(1)
            time.sleep(0.05)
            most.append(len(making))
            making.pop()
            super().__init__(work, metrics)

    carry(Recorder(), kind=Slow)
    assert most == [1, 1]


def test_interrupt_waits_for_slices_that_take_long(monkeypatch):
    """Ctrl-C comes where the stream is followed; an actor is at work, and its slice is not written after that."""
    begun, leave = threading.Event(), threading.Event()

    def work(rows: pa.Table) -> pa.Table:
        begun.set()
        leave.wait(30)
        return rows

    def interrupted(_: Stream, *rest) -> None:
        begun.wait(30)
        raise KeyboardInterrupt

    monkeypatch.setattr(local_engine, "follow", interrupted)
    recorder, start = Recorder(), time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        carry(recorder, work, slices=4)
    assert time.monotonic() - start < 10
    leave.set()
    while not idle():
        time.sleep(0.01)
    assert not recorder.done


def late(number: int, shared: float) -> float:
    time.sleep(0.02 * (number == 0))
    return number + shared


def bad(number: int, error: Exception) -> int:
    if number == 3:
        raise error
    return number


def test_answers_of_tasks_come_as_they_end():
    with LocalEngine() as engine:
        assert list(engine.map(late, [(n,) for n in range(20)], 0.5)) == [n + 0.5 for n in range(20)]
        assert list(engine.map(late, [], 0.5)) == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("no rows"), TuningforkError),
        (WorkLost("no rows"), TuningforkError),
        (KeyError("no rows"), KeyError),
    ],
)
def test_error_of_a_task_is_another_than_on_ray(ray_cluster, error, kind):
    from pipeline.engine.ray_engine import RayEngine

    with LocalEngine() as local:
        for engine in (local, RayEngine()):
            with pytest.raises(kind, match="no rows") as raised:
                list(engine.map(bad, [(n,) for n in range(6)], error))
            if kind is TuningforkError:
                assert type(raised.value) is TuningforkError


def test_arithmetic_of_tasks_takes_more_than_one_thread():
    import torch
    from threadpoolctl import threadpool_info, threadpool_limits

    def threads(_: int) -> tuple[int, set[int]]:
        blas = {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}
        return torch.get_num_threads(), blas

    with threadpool_limits(2):
        before = threadpool_info()
        assert threads(0) == (2, {2})
        with LocalEngine() as engine:
            assert list(engine.map(threads, [(n,) for n in range(4)])) == [(1, {1})] * 4
        assert threadpool_info() == before
