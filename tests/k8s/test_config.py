"""The TOML in the ConfigMap is a config that runs, not one that a driver refuses after the nodes have been paid for."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from pipeline.cli.main import REFUSED, app
from tests.k8s.manifests import OVERLAYS, rendered
from tests.k8s.placement import toml


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """`plan(text)` is the exit code and output of `tuningfork plan --offline` for it."""

    def plan(text: str) -> tuple[int, str]:
        path = tmp_path / "survey.toml"
        path.write_text(text, encoding="utf-8")
        from catalogs.errors import Refused

        result = CliRunner().invoke(app, ["plan", str(path), "--offline"])
        if isinstance(result.exception, Refused):
            return REFUSED, str(result.exception)
        return result.exit_code, result.output

    return plan


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_config_that_a_plan_refuses(plan, overlay):
    code, output = plan(toml(rendered(overlay)))
    assert code == 0, output


@pytest.mark.parametrize(
    ("overlay", "old", "new", "words"),
    [
        ("gpu", "gpus = 1", "gpu = 1", "unknown key"),
        ("gpu-served", 'served_by = "tritonserver"\n', "", "come together"),
        ("cpu-small", 'band = "i"', 'band = "z"', "no band of the release"),
        ("cpu-small", 'dec = "DELTA_J2000"\n', "", "ra and dec come together"),
    ],
)
def test_plan_sees(plan, overlay, old, new, words):
    text = toml(rendered(overlay))
    assert old in text
    code, output = plan(text.replace(old, new))
    assert code == REFUSED
    assert words in output


def test_plan_says_that_slices_may_be_too_large_where_it_sees_no_shard(plan):
    code, output = plan(toml(rendered("gpu")).replace("slice_rows = 4096", "slice_rows = 65536"))
    assert code == 0
    assert "whether shards have more than" in output
