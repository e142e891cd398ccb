"""A folder of pictures becomes a release that holds the same pixels and labels."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from astropy.table import Table, vstack
from PIL import Image, PngImagePlugin

from catalogs import pack as packing
from catalogs import pictures
from catalogs.errors import Refused
from catalogs.inspect import inspect
from catalogs.pack import pack
from catalogs.slices import Slice
from pipeline.config.file import load


@pytest.fixture
def folder(tmp_path):
    """Six colour pictures of two sizes, and a table with gaps in it."""
    rng = np.random.default_rng(0)
    (tmp_path / "pics").mkdir()
    lines = ["file,t_type,bar,note,Ra,dec"]
    for i in range(6):
        side = 20 if i % 2 else 15
        Image.fromarray(rng.integers(0, 255, (side, side, 3), dtype=np.uint8)).save(
            tmp_path / "pics" / f"g{i}.png"
        )
        bar = "" if i == 2 else 0.25 * i
        t_type = "" if i == 4 else i - 3
        lines.append(f"pics/g{i}.png,{t_type},{bar},naïve {i},{150 + i},{2 - i}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def packed(folder, **options):
    pack(folder / "labels.csv", folder / "release", **options)
    return vstack([Table.read(p) for p in sorted((folder / "release" / "catalogs").iterdir())])


def test_pixels_and_labels_come_back(folder):
    table = packed(folder, shards=4)
    assert [s.decode() if isinstance(s, bytes) else s for s in table["id"]] == [f"g{i}" for i in range(6)]
    assert table["t_type"].filled(-99).tolist() == [-3, -2, -1, 0, -99, 2]
    assert table["bar"].mask.tolist() == [False, False, True, False, False, False]
    for i in range(6):
        original = np.asarray(Image.open(folder / "pics" / f"g{i}.png"))
        expected = np.zeros((3, 20, 20), np.uint8)
        side, before = len(original), 10 - len(original) // 2
        expected[:, before : before + side, before : before + side] = np.moveaxis(original, -1, 0)[:, ::-1]
        np.testing.assert_array_equal(np.asarray(table["IMAGE"][i]), expected)


def test_its_config_reads_the_release_with_labels_and_positions(folder):
    packed(folder, shards=2)
    config, where = load(folder / "release" / "survey.toml")
    assert (config.survey.ra, config.survey.dec) == ("Ra", "dec")
    assert config.encode.stretch == "linear"
    release = inspect(config.survey, where)
    rows = release.read(Slice(0, 0, 3))
    assert rows["note"].to_pylist() == ["naïve 0", "naïve 1", "naïve 2"]
    assert rows["ra"].to_pylist() == [150.0, 151.0, 152.0]


@pytest.mark.parametrize(("size", "fit"), [(10, "pad"), (32, "pad"), (12, "resize")])
def test_every_stamp_has_the_size_that_was_asked_for(folder, size, fit):
    assert packed(folder, size=size, fit=fit)["IMAGE"].shape == (6, 3, size, size)


@pytest.mark.parametrize(("mode", "dtype"), [("L", np.uint8), ("I;16", np.uint16), ("F", np.float32)])
def test_grey_and_deep_images_keep_their_values(tmp_path, mode, dtype):
    values = (np.arange(64).reshape(8, 8) * (900 if dtype is np.uint16 else 3)).astype(dtype)
    Image.fromarray(values).save(tmp_path / "a.tif")
    (tmp_path / "labels.csv").write_text("file\na.tif\n")
    table = packed(tmp_path)
    assert np.asarray(table["IMAGE"][0]).shape in {(1, 8, 8)}
    np.testing.assert_array_equal(np.asarray(table["IMAGE"][0])[0], values[::-1].astype(np.float32))


def change(folder, old, new):
    path = folder / "labels.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("file,", "path,", "no such column"),
        ("pics/g3.png", "pics/none.png", "line 5"),
        ("pics/g3.png", "labels.csv", "no JPEG"),
        ("pics/g3.png", "pics/g2.png", "more than once"),
        ("pics/g3.png", "", "names no file"),
    ],
)
def test_bad_tables_and_images_are_refused_and_leave_nothing(folder, old, new, words):
    change(folder, old, new)
    with pytest.raises(Refused, match=words):
        packed(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["labels.csv", "pics"]


def test_damaged_picture_and_mixed_colours_are_refused(folder):
    path = folder / "pics" / "g3.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(Refused, match="g3.png"):
        packed(folder)
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(path)
    with pytest.raises(Refused, match=r"mixes colour \(.*g0.png\) and grey"):
        packed(folder)
    assert not (folder / "release").exists()


def test_empty_tables_and_full_folders_are_refused(folder):
    (folder / "release").mkdir()
    (folder / "release" / "mine").touch()
    with pytest.raises(Refused, match="not empty"):
        packed(folder)
    (folder / "labels.csv").write_text("file\n")
    with pytest.raises(Refused, match="no row"):
        pack(folder / "labels.csv", folder / "other")


def label(folder, header, *cells):
    """A table of the six pictures with one more column."""
    lines = [f"pics/g{i}.png,{cells[i % len(cells)]}" for i in range(6)]
    (folder / "labels.csv").write_text("\n".join([f"file,{header}", *lines]) + "\n", encoding="utf-8")


def test_long_integers_beside_empty_cells_keep_their_last_digits(folder):
    label(folder, "objid", 588848901530583233, "")
    assert packed(folder)["objid"].tolist()[:2] == [588848901530583233, None]


def test_leading_zeros_belong_to_a_name(folder):
    label(folder, "id", "7", "07", "007", "70", "071", "72")
    assert packed(folder)["id"].tolist()[:3] == ["7", "07", "007"]


def test_integers_that_64_bits_cannot_hold_stay_as_written(folder):
    label(folder, "x", 2**64 - 1, 2)
    assert packed(folder)["x"].tolist()[:2] == [str(2**64 - 1), "2"]


@pytest.mark.parametrize(
    ("header", "cells", "words"),
    [
        ("id", ("a", ""), "line 3 has no id"),
        ("image", (1,), "IMAGE"),
        ("IMAGE", (1,), "IMAGE"),
        ("ID", (1,), "the same as id"),
        ("größe", (1,), "ASCII"),
        ("x", ("1,2",), "cannot be read as CSV"),
    ],
)
def test_columns_that_a_release_cannot_hold_are_refused(folder, header, cells, words):
    label(folder, header, *cells)
    with pytest.raises(Refused, match=words):
        packed(folder)
    assert not (folder / "release").exists()


@pytest.mark.parametrize("size", [-3, 0, 7, 1025])
def test_sizes_that_no_run_accepts_are_refused(folder, size):
    with pytest.raises(Refused, match="8 to 1024"):
        packed(folder, size=size)


def test_all_shards_have_one_pixel_type(tmp_path):
    Image.fromarray(np.full((8, 8), 900.5, np.float32)).save(tmp_path / "a.tif")
    Image.fromarray(np.full((8, 8), 9, np.uint8)).save(tmp_path / "b.png")
    (tmp_path / "labels.csv").write_text("file\na.tif\nb.png\n")
    pack(tmp_path / "labels.csv", tmp_path / "release", shards=2)
    tables = [Table.read(p)["IMAGE"] for p in sorted((tmp_path / "release" / "catalogs").iterdir())]
    assert [t.dtype.kind for t in tables] == ["f", "f"]


def picture(side: int, radius: float, neighbour: bool = False) -> np.ndarray:
    """A disc of light in the centre of a noisy picture."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[0:side, 0:side] - (side - 1) / 2
    light = rng.normal(20, 2, (side, side)) + 150 * (np.hypot(x, y) < radius)
    if neighbour:
        light += 200 * (np.hypot(x - 0.4 * side, y) < 0.06 * side)
    return np.repeat(light.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("radius", [30, 60, 90])
@pytest.mark.parametrize("neighbour", [False, True])
def test_galaxies_of_any_size_fill_their_frames(tmp_path, radius, neighbour):
    Image.fromarray(picture(300, radius, neighbour)).save(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("file\na.png\n", encoding="utf-8")
    table = packed(tmp_path, fit="galaxy")
    stamp = np.asarray(table["IMAGE"][0])
    assert stamp.shape == (3, 88, 88)
    filled = (stamp[0] > 90).any(axis=1)  # the neighbour is beside it, not above or below
    assert 0.65 < filled.mean() < 0.95
    assert abs(float(np.flatnonzero(filled).mean()) - 43.5) < 1.5


def test_dark_centre_or_empty_picture_leaves_no_stamp(tmp_path):
    Image.fromarray(np.zeros((200, 200, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("file\na.png\n", encoding="utf-8")
    assert np.asarray(packed(tmp_path, fit="galaxy", size=64)["IMAGE"][0]).shape == (3, 64, 64)


def test_all_faulty_pictures_are_listed_at_once(folder, monkeypatch):
    """Headers, pixels and sizes alike, whichever shows first; a truncated picture shows only when it is decoded."""
    pics = folder / "pics"
    (pics / "g0.png").unlink()
    (pics / "g1.png").write_bytes(b"SIMPLE  =                    T")
    whole = (pics / "g2.png").read_bytes()
    (pics / "g2.png").write_bytes(whole[:-30])
    Image.fromarray(np.zeros((300, 300), np.uint8)).save(pics / "g3.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    with pytest.raises(Refused) as refused:
        packed(folder)
    told = [str(fault) for fault in refused.value.faults]
    for number, words in enumerate(["missing", "is FITS", "damaged", "too large to be a stamp"]):
        assert f"g{number}.png" in told[number]
        assert f"value line {number + 2}" in told[number]
        assert words in told[number]
    assert len(told) == 4
    for i in (0, 1, 3):
        (pics / f"g{i}.png").write_bytes(whole)
    (pics / "g5.png").write_bytes(whole[:-40])
    with pytest.raises(Refused) as refused:
        packed(folder)
    assert [fault.value for fault in refused.value.faults] == ["line 4", "line 7"]
    assert sorted(p.name for p in folder.iterdir()) == ["labels.csv", "pics"]


def test_many_faulty_pictures_are_counted(tmp_path):
    (tmp_path / "labels.csv").write_text("file\n" + "".join(f"{i}.png\n" for i in range(50)))
    with pytest.raises(Refused, match="and 30 more images"):
        packed(tmp_path)


@pytest.mark.parametrize(
    "error", [SyntaxError, IndexError, struct.error, zlib.error, OverflowError, MemoryError]
)
def test_whatever_a_decoder_raises_is_the_fault_of_its_picture(folder, monkeypatch, error):
    def load(self):
        raise error("odd")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)
    with pytest.raises(Refused, match=r"g3.png.*line 5"):
        packed(folder)


def test_decoding_happens_once(folder, monkeypatch):
    seen = []
    read = pictures.pixels
    monkeypatch.setattr(pictures, "pixels", lambda path: seen.append(path.name) or read(path))
    packed(folder, shards=2)
    assert seen == [f"g{i}.png" for i in range(6)]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, []),
        ({"size": 16}, ["3 of 6 pictures are larger than 16 pixels: their borders are cut off"]),
        ({"size": 16, "fit": "resize"}, []),
    ],
)
def test_what_pad_cuts_off_is_told(folder, options, told):
    notes = pack(folder / "labels.csv", folder / "release", **options).notes
    assert [note.split(". ")[0] for note in notes] == told


def test_what_resize_stretches_is_told(tmp_path):
    Image.fromarray(np.zeros((9, 12), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("file\na.png\n")
    notes = pack(tmp_path / "labels.csv", tmp_path / "release", size=8, fit="resize").notes
    assert notes == ["1 of 1 pictures are not square, and were stretched to be"]


def test_nan_pixels_do_not_hide_the_galaxy(tmp_path):
    light = picture(300, 60)[..., 0].astype(np.float32)
    light[5, 5] = np.nan
    for name, values in {"a": light, "b": np.nan_to_num(light, nan=20)}.items():
        Image.fromarray(values).save(tmp_path / f"{name}.tif")
    (tmp_path / "labels.csv").write_text("file\na.tif\nb.tif\n")
    stamps = np.asarray(packed(tmp_path, fit="galaxy")["IMAGE"])
    np.testing.assert_array_equal(stamps[0], stamps[1])


def test_picture_of_nothing_but_nan_has_no_galaxy(tmp_path):
    Image.fromarray(np.full((200, 200), np.nan, np.float32)).save(tmp_path / "a.tif")
    (tmp_path / "labels.csv").write_text("file\na.tif\n")
    assert np.isnan(np.asarray(packed(tmp_path, fit="galaxy")["IMAGE"])).all()


def test_no_shard_takes_all_memory(folder, monkeypatch):
    monkeypatch.setattr(packing, "SHARD_BYTES", 3 * 20 * 20 * 2)
    assert len(packed(folder)) == 6
    assert len(list((folder / "release" / "catalogs").iterdir())) == 3


@pytest.mark.parametrize("name", ["a [1]", "naïve", "tab\there", "del\x7f", 'quote"', "odd\udcff"])
def test_folders_of_any_name_hold_a_release_that_can_be_read(folder, name):
    pack(folder / "labels.csv", folder / name)
    config, _ = load(folder / name / "survey.toml")
    assert config.survey.name
