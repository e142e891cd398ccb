"""The same objects give the same catalog however they are cut up and in whatever order they come."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import TinyRelease
from tests.survey.conftest import Runner, objects_of


def groups_of(out):
    table = objects_of(out)
    columns = ["object_id", "group", "kept", "agreement", "runner_up", "distance", "reference_group"]
    columns += ["confidence", "branch", "branch_confidence", "anomaly", "anomaly_distance"]
    return table.select(columns)


@pytest.fixture(scope="module")
def in_one_piece(tmp_path_factory):
    """Groups of the tiny release in one shard and one slice."""
    base = tmp_path_factory.mktemp("one")
    tiny = TinyRelease(base / "release", shards=1)
    Runner()(tiny.config(run={"slice_rows": 64}), tiny.folder, base / "run")
    return groups_of(base / "run")


@pytest.mark.parametrize(
    ("shards", "slice_rows"),
    [(3, 7), pytest.param(16, 1, marks=pytest.mark.slow), pytest.param(2, 16384, marks=pytest.mark.slow)],
)
def test_groups_do_not_depend_on_shards_slices_or_order(
    in_one_piece, tiny, runner, tmp_path, shards, slice_rows
):
    tiny.table = tiny.table[np.random.default_rng(shards).permutation(len(tiny.table))]
    tiny.write(shards)
    runner(tiny.config(run={"slice_rows": slice_rows}), tiny.folder, tmp_path / "many")
    assert groups_of(tmp_path / "many").equals(in_one_piece)
