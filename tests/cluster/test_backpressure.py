"""Encoders that are slower than readers: stamps wait on disk, where they lie anyway, and not in memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.cluster.store import watched_store
from tests.conftest import TinyRelease
from tests.survey.conftest import tuningfork, write_toml

pytestmark = pytest.mark.slow

SIZE = 192


@pytest.fixture
def ray_folder(monkeypatch):
    """Where a command's own Ray keeps its files; a short path, for there are sockets among them."""
    with tempfile.TemporaryDirectory(prefix="tf-") as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        yield Path(folder)


@pytest.mark.parametrize("slice_rows", [64, 192])
def test_slow_encoders_fill_the_object_store(tmp_path, ray_folder, slice_rows):
    """Three times what the store takes goes through it, in slices of 9 MiB, or of 27: a quarter of the store each."""
    tiny = TinyRelease(tmp_path / "release", shards=4, per_side=48)
    slow = {"input": 192, "turns": 4, "workers": 1, "batch_size": 16}
    run = {"engine": "ray", "slice_rows": slice_rows, "object_store_gib": 0.1}
    values = tiny.config(images={"size": SIZE}, run=run, encode=slow)
    config = write_toml(values, tiny.folder / "survey.toml")
    with watched_store(ray_folder) as store:
        done = tuningfork("run", config, "--out", tmp_path / "run", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert store.spilled == store.beside == 0
    assert 0 < store.peak < 0.9 * store.size
