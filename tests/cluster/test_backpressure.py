"""Encoders that are slower than readers: stamps wait on disk, where they lie anyway, and not in memory."""

from __future__ import annotations

import pytest

from tests.cluster.watch import Store, Watch, one_node
from tests.conftest import TinyRelease
from tests.survey.conftest import tuningfork, write_toml

pytestmark = pytest.mark.slow

STORE = 100 << 20
SIZE = 192


@pytest.mark.parametrize("slice_rows", [64, 128])
def test_slow_encoders_do_not_fill_the_object_store(tmp_path, slice_rows):
    """Twenty times what the store takes goes through it: a slice of 64 rows is 9 MiB, one of 128 a fifth of the store."""
    tiny = TinyRelease(tmp_path / "release", shards=4, per_side=48)
    slow = {"input": 192, "turns": 4, "workers": 1, "batch_size": 16}
    values = tiny.config(images={"size": SIZE}, run={"slice_rows": slice_rows}, encode=slow)
    config = write_toml(values, tiny.folder / "survey.toml")
    with one_node(store=STORE) as cluster:
        store = Store(cluster)
        with Watch(store.look):
            done = tuningfork("run", config, "--out", tmp_path / "run", "--address", cluster.address)
    assert done.returncode == 0, done.stdout + done.stderr
    assert store.spilled == store.beside == 0
    assert 0 < store.peak < 0.9 * STORE
