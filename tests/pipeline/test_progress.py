"""What a log or a terminal shows of a run, and the name that the run has there."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from pipeline.engine import progress
from pipeline.engine.progress import StageProgress
from pipeline.rundir.run_directory import run_id


def test_run_id_does_not_depend_on_how_its_directory_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = run_id("tiny", "run", "0")
    assert {run_id("tiny", out, "0") for out in ("./run", "run/", str(tmp_path / "run"))} == {first}
    others = [
        ("tiny", "other", "0"),
        ("tiny", "run", "1"),
        ("other", "run", "0"),
        ("tiny", "s3://a/run", "0"),
    ]
    assert len({first, *(run_id(*other) for other in others)}) == 5


def test_fault_is_one_json_line_in_a_log(capsys):
    with StageProgress("encode", 10, run="tiny-1") as shown:
        shown.fault("s00.fits", 4, 8, "no [such] file")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == {
        "event": "slice_fault",
        "run": "tiny-1",
        "stage": "encode",
        "shard": "s00.fits",
        "rows": [4, 8],
        "fault": "no [such] file",
    }
    assert [line["run"] for line in lines] == ["tiny-1"] * 3


@pytest.fixture
def terminal(monkeypatch):
    console = Console(force_terminal=True, width=120, record=True)
    monkeypatch.setattr(progress, "console", console)
    return console


def test_fault_is_readable_on_a_terminal(terminal, capsys):
    with StageProgress("encode", 10, run="tiny-1") as shown:
        shown.fault("s00.fits", 4, 8, "no [such] file")
    assert "encode: s00.fits, rows 4 to 8: no [such] file\n" in terminal.export_text()
    assert "{" not in capsys.readouterr().out


def test_rate_of_many_or_few_objects_cannot_be_read(terminal, monkeypatch):
    monkeypatch.setattr(StageProgress, "rate", 1234.5)
    with StageProgress("encode", 10_000) as shown:
        shown.advance(2000)
        assert shown._bar.tasks[0].fields["rate"] == "1,234/s"
        monkeypatch.setattr(StageProgress, "rate", 0.51)
        shown.under_way(3)
        assert shown._bar.tasks[0].fields == {"count": "2,003/10,000", "rate": "0.51/s"}
