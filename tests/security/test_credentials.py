"""URLs that carry credentials are refused wherever a user can write one, and the refusal does not show them."""

from __future__ import annotations

import pytest

from catalogs.errors import Refused
from catalogs.storage import carries_credentials
from pipeline.config.check import read_toml
from pipeline.config.file import parse
from pipeline.validation.validate import validate
from tests.survey.conftest import typed, write_toml

SECRET = "pLaNtEd/SeCrEt+0"
URL = f"s3://AKIAPLANTED:{SECRET}@bucket/catalogs/*.fits"


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "https://user:pw@example.org/x.fits",
        "https://ghp_token@example.org/x.fits",
        "simplecache::s3://key:secret@bucket/x.fits",
        "ftp://user:1234@example.org/x.fits",
        "https://bucket.s3.amazonaws.com/x.fits?X-Amz-Algorithm=A&X-Amz-Signature=0a1b",
        "https://account.blob.core.windows.net/c/x.fits?sv=1&sig=abc",
    ],
)
def test_a_url_with_a_secret_is_told_from_others(url):
    assert carries_credentials(url)


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/x@2x.fits",
        "abfs://container@account.dfs.core.windows.net/x.fits",
        "http://localhost:8080/a@b/x.fits",
        "grpc://127.0.0.1:8001",
        "https://example.org/x.fits?download=1",
        "/data/user:name@host/x.fits",
        "images/{TILE}_{band}.fits",
        "MAG < 24 AND CLASS = 'a@b'",
    ],
)
def test_what_only_looks_like_one_is_let_pass(url):
    assert not carries_credentials(url)


@pytest.mark.parametrize(
    ("section", "keys", "key"),
    [
        ("survey", {"catalogs": [URL]}, "survey.catalogs"),
        ("images", {"path": URL}, "survey.images.path"),
        ("encode", {"checkpoint": URL}, "encode.checkpoint"),
        ("measure", {"quantities": ["gini"], "psf": URL}, "measure.psf"),
        ("run", {"no_such_key": URL}, "run.no_such_key"),
    ],
)
def test_a_config_with_a_secret_in_a_url_is_refused_without_showing_it(tiny, section, keys, key):
    with pytest.raises(Refused) as refused:
        parse(tiny.config(**{section: keys}), "survey.toml")
    (fault,) = refused.value.faults
    assert fault.key == key
    assert "environment" in fault.remedy
    assert "PLANTED" not in str(fault).upper()


def test_a_map_of_a_published_catalog_is_too(tmp_path):
    path = write_toml({"objects": "SELECT * FROM stars", "tables": {"stars": URL}}, tmp_path / "map.toml")
    assert read_toml(path)
    with pytest.raises(Refused) as refused:
        validate(str(path), None)
    assert "PLANTED" not in str(refused.value).upper()


@pytest.mark.parametrize("command", [["run", "survey.toml", "--out"], ["status"], ["report"], ["query"]])
def test_a_command_with_a_secret_in_a_url_is_refused_without_showing_it(command):
    done = typed(*command, URL)
    assert done.returncode == 2
    assert "credentials" in done.stdout + done.stderr
    assert "PLANTED" not in (done.stdout + done.stderr).upper()
