"""A run is seen at work while a slice takes long, by either engine."""

from __future__ import annotations

import json
import time

import pyarrow as pa
import pytest

from catalogs.slices import Slice
from pipeline.engine import under_way
from pipeline.engine.engine import Actors, Reader, Writer
from pipeline.engine.local_engine import LocalEngine
from pipeline.engine.progress import StageProgress
from pipeline.engine.slice_tasks import OnSlices, written
from pipeline.engine.streams import Stream
from pipeline.engine.under_way import LocalUnderWay, RayUnderWay

ROWS = 8


class Slow:
    """Takes two seconds over a slice, and says how far it is."""

    def __init__(self) -> None:
        self.progress = lambda share: None

    def __call__(self, rows: pa.Table) -> pa.Table:
        for step in (2, 4, 6):
            self.progress(step / ROWS)
            time.sleep(0.7)
        return rows


class Working(OnSlices):
    """The actor around it."""

    def __init__(self, metrics):
        super().__init__(Slow(), "work", metrics)


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_a_slice_that_takes_long_stands_still(engine, request, capsys, monkeypatch):
    monkeypatch.setattr(under_way, "SECONDS", 0.1)
    wanted = Stream("run", "encode", [Slice(0, 0, ROWS)], 0, ROWS, 0.0, str)
    work = (
        Reader(lambda piece: pa.table({"row": range(piece.rows)}), 8, 0.5),
        Actors(Working, (), 1, 0.5),
        Writer(lambda row: written(row, lambda piece, rows: {}, wanted.metrics)),
    )
    if engine == "ray":
        request.getfixturevalue("ray_cluster")
        from pipeline.engine.ray_engine import RayEngine

        RayEngine().stream(wanted, *work)
        assert RayUnderWay("run encode").total() == 0
    else:
        with LocalEngine() as local:
            local.stream(wanted, *work)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    through = [line["objects"] for line in lines]
    assert through == sorted(through)
    assert {0, 2, 4, 6, ROWS} >= set(through) >= {0, ROWS}
    assert len(set(through) & {2, 4, 6}) >= 2
    assert lines[-1]["state"] == "done"


def test_what_is_under_way_is_counted_twice_or_runs_back(capsys):
    with StageProgress("encode", 10, done=2, interval=0.0) as progress:
        progress.under_way(3)
        progress.advance(4)
        progress.under_way(0)
        progress.under_way(1)
        progress.under_way(99)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["objects"] for line in lines] == [2, 5, 6, 6, 7, 10, 10]
    assert progress.done == 6


def test_slices_that_are_done_with_stay_under_way():
    local = LocalUnderWay()
    local.tell("a", 3)
    local.tell("b", 4)
    local.tell("a", 5)
    assert local.total() == 9
    local.tell("b", 0)
    local.tell("never", 0)
    assert local.total() == 5
