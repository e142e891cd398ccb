"""A run over a catalog of any kind that was stopped between slices goes on and ends with the bytes of one that never was."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from pipeline.engine import local_engine
from tests.catalogs.test_any_catalog import KINDS, with_catalogs, write_structs
from tests.conftest import TinyRelease
from tests.survey.conftest import Runner, files_of, tuningfork, write_toml
from tests.survey.test_resume import by, kill, started, wait_for_parts

STRUCTS = {"layout": "struct", "column": "image", "pixel_scale": 0.2}
NAMES = ["one Parquet file", "HATS", "CSV", "VOTable", "structs"]


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> TinyRelease:
    """The tiny release with its catalog of every kind."""
    tiny = with_catalogs(TinyRelease(tmp_path_factory.mktemp("kinds") / "release"))
    write_structs(tiny, tiny.folder / "struct")
    return tiny


def config(release: TinyRelease, kind: str) -> dict[str, Any]:
    """Ten slices or more, whose borders are not those of row groups."""
    values = release.config(run={"slice_rows": 7})
    values["survey"] |= {"catalogs": KINDS.get(kind, "struct/*.parquet")}
    values["survey"] |= {"id": "object_id"} if kind == "HATS" else {}
    if kind == "structs":
        images = {key: value for key, value in values["survey"]["images"].items() if key != "path"}
        values["survey"]["images"] = images | STRUCTS
    return values


@pytest.mark.parametrize("kind", NAMES)
def test_a_run_interrupted_between_slices_goes_on_to_the_same_bytes(
    release, runner, tmp_path, monkeypatch, kind
):
    values = config(release, kind)
    runner(values, release.folder, tmp_path / "undisturbed")
    real = local_engine.follow

    def interrupted(stream: Any, rows: Iterable[Any], under_way: Any) -> None:
        real(stream, islice(rows, 3), under_way)
        raise KeyboardInterrupt

    monkeypatch.setattr(local_engine, "follow", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runner(values, release.folder, tmp_path / "run")
    monkeypatch.setattr(local_engine, "follow", real)
    done = len(list((tmp_path / "run").glob("objects/part-*.parquet")))
    assert 3 <= done < len(list((tmp_path / "undisturbed").glob("objects/part-*.parquet")))
    runner(values, release.folder, tmp_path / "run")
    assert files_of(tmp_path / "run") == files_of(tmp_path / "undisturbed")


@pytest.mark.slow
@pytest.mark.parametrize("kind", NAMES)
def test_a_run_of_ray_that_was_killed_goes_on_to_the_same_bytes(release, tmp_path: Path, kind):
    values = config(release, kind)
    Runner()(values, release.folder, tmp_path / "undisturbed")
    path = by("ray", write_toml(values, release.folder / f"{kind.split()[0]}.toml"))
    process = started(path, tmp_path / "run")
    try:
        wait_for_parts(tmp_path / "run", 3)
    finally:
        kill(process)
    assert not (tmp_path / "run" / "published.json").exists()
    done = tuningfork("run", path, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert files_of(tmp_path / "run") == files_of(tmp_path / "undisturbed")
