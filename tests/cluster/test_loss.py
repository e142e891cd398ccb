"""Whatever dies during a run, it ends with the bytes of a run in which nothing did."""

from __future__ import annotations

import contextlib

import psutil
import pytest

from pipeline.engine.interrupts import FAULTS
from tests.cluster.conftest import SLICES, write_config
from tests.cluster.copies import primary_copies
from tests.cluster.nodes import machines, until
from tests.cluster.runs import Run

pytestmark = pytest.mark.slow


@pytest.fixture
def run(undisturbed, cluster, tmp_path):
    run = Run(undisturbed.config, tmp_path / "run", cluster)
    run.begin()
    return run


def encoders(run: Run) -> list[psutil.Process]:
    """Processes of the encoders that are at work."""
    found = []
    for process in (process for node in run.machines.workers for process in node.processes()):
        with contextlib.suppress(psutil.NoSuchProcess):
            if any("MapBatches(Encode)" in word for word in process.cmdline()):
                found.append(process)
    return found


def test_worker_node_lost_in_each_third(run, undisturbed, cost):
    for share in (1 / 6, 1 / 2, 5 / 6):
        run.wait_for_parts("objects", int(share * SLICES))
        run.machines.workers[0].kill()
        run.machines.add("--num-cpus=2")
    cost(run.finish(), 3)
    assert run.files() == undisturbed.files


def test_worker_node_lost_while_votes_are_cast(run, undisturbed, cost):
    run.wait_for_parts("votes", SLICES // 4)
    run.machines.workers[0].kill()
    run.machines.add("--num-cpus=2")
    cost(run.finish())
    assert run.files() == undisturbed.files


def test_worker_node_lost_for_good(run, undisturbed, cost):
    run.wait_for_parts("objects", SLICES // 2)
    run.machines.workers[0].kill()
    cost(run.finish())
    assert run.files() == undisturbed.files


def test_encoder_killed(run, undisturbed, cost):
    run.wait_for_parts("objects", SLICES // 3)
    before = {process.pid for process in encoders(run)}
    min(encoders(run), key=lambda process: process.pid).kill()
    until(lambda: {process.pid for process in encoders(run)} - before, 120, lambda: "another encoder")
    cost(run.finish())
    assert run.files() == undisturbed.files


def test_node_with_the_only_copies_of_blocks_lost(release, undisturbed, tmp_path, cost):
    """Readers work on one node, encoders on others: what waits for encoders lies on the first one alone."""
    config = write_config(release, "apart", "workers = 2\ncpus = 3")
    with machines() as cluster:
        readers = cluster.add("--num-cpus=2")
        for _ in range(2):
            cluster.add("--num-cpus=3")
        run = Run(config, tmp_path / "run", cluster)
        run.begin()
        run.wait_for_parts("objects", SLICES // 3)
        until(lambda: primary_copies(cluster, readers) > 0, 60, run.said)
        readers.kill()
        cluster.add("--num-cpus=2")
        cost(run.finish())
    assert run.files() == undisturbed.files


def test_driver_killed(run, undisturbed, cost):
    run.wait_for_parts("objects", SLICES // 2)
    run.kill()
    run.begin()
    cost(run.finish())
    assert run.files() == undisturbed.files


def test_head_lost(run, undisturbed, tmp_path, cost):
    """The run ends with it, and goes on with a new cluster."""
    run.wait_for_parts("objects", SLICES // 2)
    run.machines.head.kill()
    assert run.wait() == FAULTS
    assert "the head of the Ray cluster" in run.said()
    run.machines.stop()
    with machines() as anew:
        for _ in range(3):
            anew.add("--num-cpus=2")
        run.machines = anew
        run.begin()
        cost(run.finish())
    assert run.files() == undisturbed.files
