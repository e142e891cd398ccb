"""How many workers there are is nobody's business but the clock's."""

from __future__ import annotations

import pytest

from tests.cluster.nodes import machines
from tests.cluster.runs import Run
from tests.conftest import TinyRelease
from tests.survey.conftest import write_toml

pytestmark = pytest.mark.slow


def test_catalog_depends_on_the_number_of_workers(tmp_path):
    """One, two and four nodes, with an encoder each."""
    tiny = TinyRelease(tmp_path / "release", per_side=24)
    files = []
    for workers in (1, 2, 4):
        config = write_toml(tiny.config(encode={"workers": workers}), tiny.folder / f"{workers}.toml")
        with machines() as cluster:
            for _ in range(workers):
                cluster.add("--num-cpus=1")
            run = Run(config, tmp_path / f"run{workers}", cluster)
            run.begin()
            run.finish()
        files.append(run.files())
    assert files[0] == files[1] == files[2]
