"""A release that a diffusion model drew is never taken for an observed one, nor the other way round."""

from __future__ import annotations

import pytest
from astropy.io import fits

from catalogs.flags import Flag


def mark(path, *, primary: bool = False) -> None:
    """Say in a shard's header that it is synthetic."""
    with fits.open(path, mode="update") as file:
        file[0 if primary else 1].header["SYNTH"] = True


@pytest.fixture
def shards(tiny):
    return sorted((tiny.folder / "catalogs").glob("*.fits"))


@pytest.mark.parametrize("primary", [True, False])
def test_synthetic_release_is_published_as_observed(fails, shards, primary):
    """Tools that rewrite a table may keep the card in one of its headers only."""
    for shard in shards:
        mark(shard, primary=primary)
    fault = fails()
    assert fault.file == str(shards[0])
    assert "SYNTH in its header" in fault.problem
    assert "the same in 1 more file" in fault.problem
    assert fault.remedy == "Say [survey] synthetic = true if you mean it"


def test_observed_release_is_published_as_synthetic(fails):
    assert "no SYNTH in its header" in fails(survey={"synthetic": True}).problem


@pytest.mark.parametrize("said", [True, False])
def test_synthetic_shard_hides_among_observed_ones(fails, shards, said):
    mark(shards[1])
    fault = fails(survey={"synthetic": said})
    assert fault.file == str(shards[1])
    assert f"but {shards[0]} of the same release is not" in fault.problem


def test_synthetic_objects_look_like_any_other(objects, shards):
    assert not (objects()["flags"].to_numpy() & Flag.SYNTHETIC).any()
    for shard in shards:
        mark(shard)
    found = objects(survey={"synthetic": True})
    assert (found["flags"].to_numpy() & Flag.SYNTHETIC == Flag.SYNTHETIC).all()
    assert found["usable"].to_pylist() == [True] * 64


def test_a_header_that_denies_it_is_believed(look, shards):
    with fits.open(shards[0], mode="update") as file:
        file[1].header["SYNTH"] = False
    assert look().rows == 64
