"""What operators see of a run: its metrics, its faults when they happen, and the dashboard."""

from __future__ import annotations

import gzip
import json
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from catalogs.flags import Flag
from pipeline.engine import metrics
from pipeline.rundir.status import status
from tests.cluster.watch import EXPORT, Dashboard, Metrics, Watch, one_node
from tests.conftest import TinyRelease
from tests.survey.conftest import objects_of, tuningfork, write_toml

pytestmark = pytest.mark.slow

ROWS, SLICES, BROKEN = 144, 9, 3


@dataclass
class Watched:
    """A run that stopped with faults, went on to its end when they were mended, and was watched all the time."""

    out: Path
    metrics: Metrics
    dashboard: Dashboard
    lines: list[list[dict[str, Any]]]
    """JSON lines of both starts."""
    seconds: float

    @property
    def run(self) -> str:
        return status(str(self.out)).run_id

    def total(self, name: str, *tags: str) -> dict[Any, float]:
        """A counter's value by tags, of all processes together."""
        found = {key: sum(values) for key, values in self.metrics.by(name, *tags).items()}
        return {key[0] if len(key) == 1 else key: value for key, value in found.items()}


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    base = tmp_path_factory.mktemp("watched")
    tiny = TinyRelease(base / "release", per_side=12)
    tiny.table["TILE"][96:] = "t1"
    tiny.table["RA"][5], tiny.table["DEC"][6] = np.nan, 3.0
    tiny.write(3)
    images = tiny.folder / "images"
    whole = gzip.compress((images / "t0_r.fits").read_bytes(), compresslevel=1)
    (images / "t0_r.fits.gz").write_bytes(whole)
    # the trailer is there: no plan sees that the middle is not
    (images / "t1_r.fits.gz").write_bytes(whole[: len(whole) // 2] + whole[-8:])
    values = tiny.config(images={"path": "images/{TILE}_{band}.fits.gz"})
    command = ["run", write_toml(values, tiny.folder / "survey.toml"), "--out", base / "run", "--address"]
    with one_node(dashboard=True) as cluster:
        seen, dashboard = Metrics(cluster), Dashboard(cluster)
        with Watch(seen.scrape), Watch(dashboard.look):
            start = time.monotonic()
            first = tuningfork(*command, cluster.address, timeout=900)
            assert first.returncode == 3, first.stdout + first.stderr
            shutil.copy(images / "t0_r.fits.gz", images / "t1_r.fits.gz")
            second = tuningfork(*command, cluster.address, timeout=900)
            assert second.returncode == 0, second.stdout + second.stderr
            seconds = time.monotonic() - start
            time.sleep(3 * EXPORT)
    lines = [
        [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        for done in (first, second)
    ]
    return Watched(base / "run", seen, dashboard, lines, seconds)


def test_every_metric_is_exported_with_its_tags(watched):
    endings = {"Counter": "_total", "Gauge": "", "Histogram": "_count"}
    for metric in metrics.EVERY:
        name = f"ray_{metric.name}{endings[metric.kind.__name__]}"
        assert name in watched.metrics.names()
        assert set(metric.tags) <= watched.metrics.tags(name)
        assert set(watched.metrics.by(name, "run")) == {(watched.run,)}


def test_counters_hold_what_the_catalog_holds(watched):
    flags = objects_of(watched.out)["flags"]
    flagged = {
        str(flag.name).lower(): pc.sum(pc.not_equal(pc.bit_wise_and(flags, flag.value), 0)).as_py()
        for flag in Flag
    }
    assert watched.total("ray_tuningfork_objects_total", "stage") == {"encode": ROWS, "vote": ROWS}
    assert watched.total("ray_tuningfork_flagged_objects_total", "flag") == {
        name: count for name, count in flagged.items() if count
    }
    assert watched.total("ray_tuningfork_slice_faults_total", "stage") == {"encode": BROKEN}
    assert watched.total("ray_tuningfork_read_bytes_total", "run") == {watched.run: ROWS * 32 * 32 * 4}


def test_slices_go_from_waiting_to_done(watched):
    def ever(stage, state):
        return watched.metrics.ever("ray_tuningfork_slices", stage=stage, state=state)

    assert BROKEN in ever("encode", "failed")
    assert {SLICES - BROKEN, SLICES} <= ever("encode", "done")
    assert 0 in ever("encode", "waiting")
    assert SLICES in ever("vote", "done")
    for states in zip(*(ever("vote", state) for state in ("done", "waiting", "failed"))):
        assert max(states) <= SLICES


def test_every_step_is_timed_once_a_slice(watched):
    steps = watched.total("ray_tuningfork_step_seconds_count", "step")
    assert steps == {
        "read": 2 * SLICES,  # of the release, and of embeddings
        "encode": SLICES,
        "vote": SLICES,
        "write": 2 * SLICES,
        "reduce": 1,
        "fit": 1,
        "classify": 1,
        "publish": 1,
    }


def test_encoders_tell_how_busy_and_how_full_they_are(watched):
    busy = watched.total("ray_tuningfork_busy_seconds_total", "device")
    assert set(busy) == {"cpu"}
    assert 0 < busy["cpu"] < watched.seconds
    # 16 rows a slice, and batches of 16: two of all objects have no stamp
    assert all(14 / 16 <= fill <= 1 for fill in watched.metrics.ever("ray_tuningfork_batch_fill"))


def test_faults_are_told_when_they_happen_with_shard_and_rows(watched):
    first, second = watched.lines
    faults = [line for line in first if line.get("event") == "slice_fault"]
    assert [line for line in second if "event" in line] == []
    assert sorted((line["shard"], *line["rows"]) for line in faults) == [
        ("s02.fits", start, start + 16) for start in (0, 16, 32)
    ]
    for line in faults:
        assert (line["run"], line["stage"]) == (watched.run, "encode")
        assert "t1_r.fits.gz" in line["fault"]
    assert first.index(faults[0]) < first.index(next(x for x in first if x.get("state") == "done"))


def test_run_has_one_name_in_lines_jobs_and_datasets(watched):
    assert {line["run"] for lines in watched.lines for line in lines} == {watched.run}
    assert watched.run.startswith("tiny-")
    assert {job["metadata"].get("run") for job in watched.dashboard.jobs.values()} == {watched.run}
    stages = Counter(name.split("_")[0] for name in watched.dashboard.datasets)
    assert stages == {f"{watched.run} encode": 2, f"{watched.run} vote": 1}


def test_dashboard_reads_like_the_flow(watched):
    for name, dataset in watched.dashboard.datasets.items():
        operators = [operator["operator"] for operator in dataset["operators"]]
        work = "Encode" if "encode" in name else "Vote"
        flow = ["Input_0", "ReadSlices_1", f"MapBatches({work})_2", "MapBatches(write_part)_3"]
        assert operators == flow
        assert dataset["total"] == dataset["progress"] in (SLICES, BROKEN)
    actors = {actor["repr_name"] for actor in watched.dashboard.actors.values()}
    assert {"MapWorker(MapBatches(Encode))", "MapWorker(MapBatches(Vote))"} <= actors
    assert {"moments_and_pilot", "draw", "fit kmeans", "fit ward"} <= watched.dashboard.tasks
