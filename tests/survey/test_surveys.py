"""Every config of docs/surveys.md runs as it stands on files of that survey's structure: all objects, their fluxes in the survey's unit, its masks and weights."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from catalogs.flags import Flag
from pipeline.cli.main import app
from tests.survey.conftest import objects_of
from tests.survey.published import RELEASES
from tests.survey.sky import SPIKE, Sky

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "surveys.md").read_text(encoding="utf-8")
PLANES = {"stamp", "stamp_noise"}
MOST = 15
"""Lines of a config."""
QUICK: dict[str, Any] = {
    "run": {"engine": "local", "slice_rows": 16},
    "encode": {"model": "timm:test_convnext", "input": 32, "workers": 1},
    "reduce": {"components": 4},
    "fit": {"groups": 3, "bags": 1, "families": ["kmeans"]},
}
"""Added to a config, so that a dozen objects are enough and quick; nothing of it is of the survey."""


def sections() -> dict[str, str]:
    """The page's text by its headings."""
    parts = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def configs(heading: str) -> list[str]:
    return re.findall(r"^```toml\n(.*?)^```$", sections()[heading], flags=re.MULTILINE | re.DOTALL)


CASES = [(heading, number) for heading, writers in RELEASES.items() for number in range(len(writers))]


def test_a_section_or_a_config_of_the_page_is_not_tested():
    assert {heading: len(configs(heading)) for heading in sections()} == {
        **{heading: len(writers) for heading, writers in RELEASES.items()},
        "Galaxy Zoo": 0,
    }
    for heading in sections():
        assert f"(#{re.sub(r'[^a-z0-9 -]', '', heading.lower()).replace(' ', '-')})" in PAGE, heading


@pytest.mark.parametrize(("heading", "number"), CASES)
def test_a_config_is_long(heading, number):
    assert len(configs(heading)[number].splitlines()) <= MOST


@pytest.mark.parametrize(("heading", "number"), CASES)
def test_a_survey_is_no_catalog(runner, tmp_path, heading, number):
    expected = RELEASES[heading][number](tmp_path)
    values = tomllib.loads(configs(heading)[number])
    values |= {**QUICK, "measure": {**values.get("measure", {}), "quantities": ["shape"]}}
    band = values["survey"]["images"]["bands"][-1]
    plan = runner({**values, "measure": {**values["measure"], "band": band}}, tmp_path, tmp_path / "run")
    found = objects_of(tmp_path / "run")
    assert found["object_id"].to_pylist() == sorted(expected)
    assert not [note for note in plan.release.notes if "scatter" in note or "beside the tile" in note]

    flags = np.asarray(found["flags"])
    tiles = 2 if len(expected) > 12 else 1
    marks = len({"mask", "weight"} & values["survey"]["images"].keys())
    assert np.count_nonzero(flags & Flag.BAD_PIXELS) == marks * tiles, flags
    assert (flags & ~Flag.BAD_PIXELS == 0).all(), flags
    flux = np.array([expected[key] for key in found["object_id"].to_pylist()])
    np.testing.assert_allclose(np.asarray(found["flux"], float) / flux, 1, atol=0.08)

    unit = flux.mean() / 6500
    for piece in plan.slices():
        read = plan.release.read(piece)
        planes = {
            name: read[name].combine_chunks().flatten().to_numpy() for name in PLANES & {*read.column_names}
        }
        assert planes["stamp"].max() < SPIKE / 10 * unit
        if "weight" in values["survey"]["images"]:
            noise = planes["stamp_noise"]
            assert np.median(noise[noise > 0]) == pytest.approx(unit, rel=0.1)


def test_galaxy_zoos_pictures_are_no_catalog(runner, tmp_path, monkeypatch):
    """The page's first command writes a config, its second one runs it."""
    sky = Sky(0.4, marks=())
    bright = np.arcsinh(sky.image() / 20) * 50
    lines = ["file,id,smooth,disk"]
    for k, (x, y) in enumerate(zip(sky.x, sky.y, strict=True)):
        box = np.s_[round(y) - 36 : round(y) + 36, round(x) - 36 : round(x) + 36]
        picture = np.kron(np.clip(bright[box], 0, 255).astype(np.uint8), np.ones((2, 2), np.uint8))
        Image.fromarray(np.dstack([picture] * 3)).save(tmp_path / f"{k}.jpg")
        lines.append(f"{k}.jpg,{587722981742084000 + k},{k},{12 - k}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    pack, run = re.findall(r"^tuningfork (.+)$", sections()["Galaxy Zoo"], flags=re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(app, pack.split())
    assert answer.exit_code == 0, answer.output
    config = tmp_path / run.split()[1]
    values = tomllib.loads(config.read_text(encoding="utf-8"))
    runner({**values, **QUICK, "measure": {"quantities": ["shape"]}}, config.parent, tmp_path / "run")
    found = objects_of(tmp_path / "run")
    assert found["object_id"].to_pylist() == [587722981742084000 + k for k in range(len(sky))]
    assert found["smooth"].to_pylist() == list(range(len(sky)))
    assert not np.asarray(found["flags"]).any()
    assert (np.asarray(found["flux"], float) > 0).all()
