"""FITS files from strangers that would take all memory are refused, by name and number, before they take it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits

from catalogs import bounds
from catalogs.errors import Refused
from catalogs.psf import BadPSF, read_psf
from catalogs.published import connect
from pipeline.config.file import parse
from pipeline.plan import config_faults
from pipeline.plan.make_plan import make_plan
from tests.security import bombs

ROOM = 700
"""MiB: strips of half a thousand rows and their copies; the smallest of the bombs is of a gibibyte."""
HARMLESS = {"scaled_image_of_gigabytes", "thin_rows"}
"""What is large and well-formed is read, in little memory."""
INFLATE = {"compressed_tile_that_inflates", "stamp_that_inflates"}
"""What no header tells: the plan sees it because it tries to decode."""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What came of every bomb, by its name."""
    folder = tmp_path_factory.mktemp("bombs")
    command = [sys.executable, "-m", "tests.security.bombs", str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=1000, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


@pytest.mark.parametrize("name", bombs.BOMBS)
def test_a_bomb_takes_little_memory_and_time(told, name):
    assert name in told, "killed: it took more than its time or its memory"
    assert told[name]["mebibytes"] < ROOM, told[name]


@pytest.mark.parametrize("name", sorted({*bombs.BOMBS} - HARMLESS))
def test_a_bomb_is_refused_with_one_error_that_names_it(told, name):
    assert (told[name]["kind"], len(told[name]["faults"])) == ("refused", 1), told[name]
    (fault,) = told[name]["faults"]
    assert ".fits" in fault["file"]
    assert fault["remedy"]
    if name in INFLATE:
        asked = "HDU 1 asks for too much memory: COMPRESSED_DATA of row 1 inflates to more than 1.0 GiB"
        assert asked in fault["problem"]
        assert any(word in fault["problem"] for word in ("HDU", "truncated", "END")), fault


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("image_of_a_yottabyte", "HDU 0 axes [1000000000000, 1000000000000]"),
        ("gzip_of_long_rows", "HDU 0 NAXIS1 = 268435456"),
        ("one_compression_tile_for_all", "HDU 1 ZNAXIS1 = 100000 ZTILE2 = 100000"),
        ("distortions_of_a_high_order", "HDU 0 A_ORDER = 100000"),
        ("row_of_gigabytes_that_is_there", "HDU 1 NAXIS1 = 8589934592"),
        ("rows_of_no_length", "HDU 1 NAXIS2 = 1000000000000000"),
        ("heap_of_an_exabyte", "HDU 0 PCOUNT = 1000000000000000000"),
        ("stamp_of_ten_gigapixels", "HDU 1 NAXIS1 = 100000 NAXIS2 = 100000"),
    ],
)
def test_the_error_says_which_key_has_which_value(told, name, words):
    (fault,) = told[name]["faults"]
    missing = [
        word for word in words.replace(" = ", "=").split() if word.replace("=", " = ") not in fault["problem"]
    ]
    assert not missing, fault


@pytest.mark.parametrize("name", sorted(HARMLESS))
def test_what_is_only_large_is_read(told, name):
    assert told[name]["kind"] == "passed", told[name]


@pytest.mark.parametrize("kind", ["no end", "inflates"])
def test_a_psf_is_looked_at_before_it_is_opened(tmp_path, kind):
    path = tmp_path / "psf.fits"
    if kind == "no end":
        path.write_bytes(b"SIMPLE  =                    T".ljust(80) + b"COMMENT x".ljust(80) * 100_000)
    else:
        path.write_bytes(bombs.compressed(80, 80, (80, 80), bombs.zeros(2 << 30)))
    with pytest.raises(BadPSF, match="no END" if kind == "no end" else "too much memory"):
        read_psf(str(path))


def test_a_published_table_is_looked_at_before_it_is_opened(tmp_path):
    start = bombs.table(8, 10**9, "K")
    bombs.sparse(tmp_path / "table.fits", start, len(start) + 8 * 10**9)
    with pytest.raises(Refused, match="too much memory"):
        connect({"stars": "table.fits"}, "SELECT * FROM stars", str(tmp_path), "map.toml")


def test_slices_of_long_rows_are_refused_however_small_their_stamps(tiny, monkeypatch):
    monkeypatch.setattr(
        config_faults, "LARGEST_SLICE", 200_000
    )  # as a thousand times as many rows would take
    tiny.table["SPECTRUM"] = np.zeros((64, 2000), np.float32)
    tiny.write()
    config = parse(tiny.config(run={"slice_rows": 200_000}), "survey.toml")
    with pytest.raises(Refused) as refused:
        make_plan(config, str(tiny.folder), "survey.toml", str(tiny.folder / "run"))
    (fault,) = refused.value.faults
    assert "GiB of catalog rows" in fault.problem
    assert fault.key == "run.slice_rows"


def test_compressed_images_that_are_sound_are_still_read(tmp_path):
    """Else the bounds would refuse everything, and every test here would pass."""
    data = bombs.zeros(1 << 24)
    path = tmp_path / "sound.fits"
    path.write_bytes(bombs.compressed(80, 80, (80, 80), data))
    with fits.open(path, disable_image_compression=True) as hdus:
        assert hdus[1].header["ZNAXIS1"] == 80
    bounds.check_file(str(path))
