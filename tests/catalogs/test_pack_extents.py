"""Pictures that keep their pixels: each says how much of it its galaxy fills, and that is what a run encodes."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

from catalogs.inspect import inspect
from catalogs.pack import pack
from catalogs.slices import Slice
from pipeline.config.file import load
from tests.catalogs.test_pack import picture

RADII = (20, 60, 90)


@pytest.fixture
def pictures(tmp_path):
    for number, radius in enumerate(RADII):
        Image.fromarray(picture(300, radius)).save(tmp_path / f"{number}.png")
    rows = "".join(f"{number}.png,{number}\n" for number in range(len(RADII)))
    (tmp_path / "labels.csv").write_text(f"file,extent\n{rows}", encoding="utf-8")
    return tmp_path


def test_galaxies_are_measured_in_the_picture_s_pixels_and_encoded_as_they_fill_it(pictures):
    pack(pictures / "labels.csv", pictures / "release", fit="extent")
    config, folder = load(pictures / "release" / "survey.toml")
    assert config.survey.images.size == 88
    release = inspect(config.survey, folder)
    found = release.read(Slice(0, 0, 3))
    extents = found["stamp_extent"].to_numpy()
    assert extents[0] == 88, "a small galaxy was enlarged"
    assert np.allclose(
        extents[1:] / np.array(RADII[1:]), 2.7, atol=0.1
    )  # 1.3 times what holds 95 % of a disc's pixels
    assert found["stamp_side"].to_pylist() == [88, 176, 264]
    last = np.reshape(found["stamp"][2].as_py(), (3, 264, 264))
    lit = (last[0] > 75).sum()
    assert lit == pytest.approx(np.pi * 90**2, rel=0.02), "not in the picture's own pixels"
    assert found["extent"].to_pylist() == [0, 1, 2], "the label of that name is lost"


def test_pictures_and_the_column_keep_their_sizes(pictures):
    pack(pictures / "labels.csv", pictures / "release", fit="extent", size=64)
    table = Table.read(pictures / "release" / "catalogs" / "shard-0000.fits")
    assert table["IMAGE"].shape == (3, 3, 300, 300)
    assert table["EXTENT_"].dtype.kind == "f"
    assert table["extent"].tolist() == [0, 1, 2]


def test_size_beyond_the_pictures_pads_them(pictures):
    pack(pictures / "labels.csv", pictures / "release", fit="extent", size=320)
    config, folder = load(pictures / "release" / "survey.toml")
    found = inspect(config.survey, folder).read(Slice(0, 0, 3))
    assert found["stamp_side"].to_pylist() == [320] * 3
