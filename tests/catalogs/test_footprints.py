"""Objects beside the tiles that they name are told of before any work starts."""

from __future__ import annotations

import numpy as np
import pytest

from catalogs.errors import Refused
from catalogs.inspect import inspect
from pipeline.config.file import parse


def looked_at(tiny, **sections):
    config = parse(tiny.config(**sections), "survey.toml")
    return inspect(config.survey, str(tiny.folder))


def of_footprints(release) -> list[str]:
    return [note for note in release.notes if "beside the tile" in note]


def test_objects_on_their_tile_are_complained_of(tiny):
    tiny.table["RA"][3] = np.nan
    tiny.write(2)
    assert of_footprints(looked_at(tiny)) == []


@pytest.mark.parametrize("position", ["sky", "pixel"])
def test_some_objects_beside_their_tile_go_unnoticed(tiny, position):
    tiny.table["DEC"][[5, 40]] += 1.0
    tiny.table["Y_IMAGE"][[5, 40]] += 18_000
    tiny.write(2)
    (note,) = of_footprints(looked_at(tiny, images={"position": position, "pixel_scale": 0.2}))
    assert "2 of 64 objects" in note
    assert "(t0_r.fits: 2), such as 6, 41" in note


def test_objects_that_are_not_selected_count(tiny):
    tiny.table["DEC"][[5, 40]] += 1.0
    tiny.write(2)
    assert of_footprints(looked_at(tiny, survey={"where": "NUMBER NOT IN (6, 41)"})) == []


@pytest.mark.parametrize("fault", ["swapped", "hours"])
def test_a_release_without_a_single_object_on_its_tile_is_run(tiny, fault):
    if fault == "swapped":
        tiny.table["RA"], tiny.table["DEC"] = tiny.table["DEC"].copy(), tiny.table["RA"] - 100
    else:
        tiny.table["RA"] /= 15
    tiny.write(2)
    with pytest.raises(
        Refused, match=r"none of 64 objects lies on the tile.*t0_r\.fits: 64.*such as 1, 33.*position_unit"
    ):
        looked_at(tiny)
