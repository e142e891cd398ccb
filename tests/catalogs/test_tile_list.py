"""Tiles are known from the names of files: of those and of no others."""

from __future__ import annotations

import pytest

from catalogs.tile_list import NoTiles, named_template, tiles_of

FILES = [
    "images/T10_i.fits",
    "images/T9_i.fits",
    "images/T9_g.fits",
    "images/odd_name_i.fits",
    "bricks/abc/abc12/img-abc12-i.fits",
    "bricks/abc/abc13/img-abc12-i.fits",
    "bricks/abd/abc14/img-abc14-i.fits",
    "runs/000012-3.fits",
    "runs/000101-1.fits",
    "runs/12-3.fits",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("some [odd] folder")
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return str(folder)


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("images/{TILE}_{band}.fits", [{"TILE": "T10"}, {"TILE": "T9"}, {"TILE": "odd_name"}]),
        ("images/T*_i.fits", [{"TILE": "10"}, {"TILE": "9"}]),
        ("bricks/{b[:3]}/{b}/img-{b}-{band}.fits", [{"b": "abc12"}]),
        ("runs/{run:06d}-{camcol}.fits", [{"run": 12, "camcol": "3"}, {"run": 101, "camcol": "1"}]),
        ("images/T9_{band}.fits", [{}]),
    ],
)
def test_another_file_is_a_tile(folder, template, found, absolute):
    if absolute:
        template = f"{folder}/{template}"
    assert tiles_of(named_template(template), ["i", "g"], folder) == found


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("images/{T[0]}.fits", "in pieces only"),
        ("images/{TILE}_r.fits", "no image of band 'i' is at"),
        ("*/*.fits", "has 2 asterisks"),
    ],
)
def test_no_tile_is_no_fault(folder, template, told):
    with pytest.raises(NoTiles, match=told) as error:
        tiles_of(named_template(template), ["i"], folder)
    assert error.value.remedy
