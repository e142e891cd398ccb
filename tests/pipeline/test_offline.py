"""`plan --offline` finds what is wrong with a config where its release is out of reach, and opens nothing."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from catalogs.errors import Refused
from pipeline.cli.main import app
from pipeline.plan.offline import check

FAR = """
[survey]
catalogs = "s3://nowhere/catalogs/*.fits"
id = "ID"
ra = "RA"
dec = "DEC"

[survey.images]
layout = "tiles"
path = "s3://nowhere/{TILE}_{band}.fits"
bands = ["g", "r", "i"]
size = 64
"""


@pytest.fixture
def config(tmp_path):
    """`config(more)` writes a config of a release that is out of reach."""

    def config(more: str = "") -> str:
        path = tmp_path / "survey.toml"
        path.write_text(FAR + more, encoding="utf-8")
        return str(path)

    return config


def test_sound_config_passes_though_nothing_that_it_names_is_there(config):
    away = '[encode]\nserved_by = "tritonserver"\nendpoints = ["grpc://127.0.0.1:1"]\ncheckpoint = "/nowhere/w.safetensors"'
    unseen = check(config(away))
    assert unseen == [
        "s3://nowhere/catalogs/*.fits",
        "images",
        "/nowhere/w.safetensors",
        "grpc://127.0.0.1:1",
    ]


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ("[encode]\nworker = 2", "encode.worker"),
        ("[reduce]\ncomponents = 100000", "reduce.components"),
        ('[measure]\nband = "u"', "measure.band"),
        ('[encode]\nmodel = "timm:no_such_net"', "encode.model"),
        ('[augment]\nbalance = true\nmodel = "nobody"', "augment.model"),
    ],
)
def test_config_that_no_release_could_mend_is_refused(config, more, key):
    with pytest.raises(Refused) as refused:
        check(config(more))
    assert [fault.key for fault in refused.value.faults] == [key]


def test_command_says_what_it_did_not_look_at(config):
    result = CliRunner().invoke(app, ["plan", config(), "--offline"])
    assert result.exit_code == 0, result.output
    assert "sound. Not looked at: s3://nowhere/catalogs/*.fits, images" in result.output


def test_slices_that_only_a_large_shard_would_fill_are_not_refused_unseen(config):
    assert "whether shards have more than 21,756 rows" in check(config("[run]\nslice_rows = 900000"))
    assert not any("rows" in unseen for unseen in check(config("[run]\nslice_rows = 21000")))
