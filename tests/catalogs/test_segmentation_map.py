"""A survey's own segmentation map: an object's pixels are those that the map gives it; and a map that is not the tile's is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from actors.factory import EncodeAndMeasure
from actors.segmenter import Segmenter
from catalogs.flags import Flag
from pipeline.config.file import parse
from pipeline.plan.make_plan import make_plan

PIXEL = {"position": "pixel", "pixel_scale": 0.2}
WIDE, BIG = 6, 1000  # half the side of an object's square in the map; its label is BIG more than its number
MAP = {**PIXEL, "segmentation": {"path": "images/{TILE}_segm.fits", "id": "LABEL"}}


def with_map(tiny: Any, dtype: Any = np.int32, **header: Any) -> np.ndarray:
    """Write a map in which each object is a square, and the first one's has a neighbour's square to the right."""
    labels = np.zeros((320, 320), dtype)
    for x, y, number in zip(tiny.table["X_IMAGE"], tiny.table["Y_IMAGE"], tiny.table["NUMBER"], strict=True):
        middle = int(y) - 1, int(x) - 1
        square = tuple(slice(place - WIDE, place + WIDE) for place in middle)
        labels[square] = int(number) + BIG
    labels[14:26, 26:32] = 7
    fits.PrimaryHDU(labels, fits.Header(list(header.items()))).writeto(
        tiny.folder / "images" / "t0_segm.fits", overwrite=True
    )
    tiny.table["LABEL"] = tiny.table["NUMBER"] + BIG
    tiny.write(2)
    return labels


def owners(found: Any, row: int = 0) -> np.ndarray:
    return np.asarray(found["stamp_owners"][row].as_py()).reshape(32, 32)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.int64])
def test_pixels_are_another_ones(objects, tiny, dtype):
    labels = with_map(tiny, dtype)
    found = objects(images=MAP)
    stamp = labels[4:36, 4:36]  # of the first object, which lies at (20, 20)
    wanted = np.where(stamp == BIG + 1, 1, np.where(stamp != 0, 2, 0))
    np.testing.assert_array_equal(owners(found), wanted)
    assert not (found["flags"].to_numpy() & Flag.NO_SEGMENT).any()


def test_segments_are_not_the_maps(objects, tiny):
    with_map(tiny)
    found = objects(images=MAP)
    seen = Segmenter(bands=1, size=32)(found)
    for row in range(len(found)):
        np.testing.assert_array_equal(seen.segments.central[row].numpy(), owners(found, row) == 1)
        np.testing.assert_array_equal(seen.segments.others[row].numpy(), owners(found, row) == 2)
    assert seen.segments.found.all()
    assert (np.abs(seen.segments.peak.numpy() - 16) <= 2).all()  # blobs lie on pixel 16


def test_object_that_the_map_lacks_is_lost_or_not_flagged(objects, tiny):
    with_map(tiny)
    tiny.table["LABEL"][5] = 99_999
    tiny.write(2)
    found = objects(images=MAP)
    lacking = found["flags"].to_numpy() & Flag.NO_SEGMENT != 0
    assert lacking.tolist() == [row == 5 for row in range(64)]
    without = Segmenter(bands=1, size=32)(objects(images=PIXEL)).segments
    seen = Segmenter(bands=1, size=32)(found).segments
    for theirs, ours in zip(without.tensors, seen.tensors, strict=True):
        np.testing.assert_array_equal(theirs[5].numpy(), ours[5].numpy())


@pytest.mark.parametrize("extent", [{}, {"extent": "RADIUS * 8"}])
def test_bits_depend_on_the_slice(tiny, extent):
    tiny.table["RADIUS"] = np.tile([2.0, 5.0, 6.5, np.nan], 16)
    with_map(tiny)
    parts = []
    for rows in (64, 5):
        config = parse(tiny.config(images={**MAP, **extent}, run={"slice_rows": rows}), "survey.toml")
        plan = make_plan(config, str(tiny.folder), "survey.toml", str(tiny.folder.parent / "run"))
        work = EncodeAndMeasure(plan.encoder_options, plan.measurer_options, plan.segmenter_options)
        found = [work(plan.release.read(piece)).replace_schema_metadata() for piece in plan.slices()]
        parts.append([column for part in found for column in part.to_pylist()])
        assert "stamp_owners" not in found[0].column_names
    assert parts[0] == parts[1]


def test_map_of_another_release_is_taken(fails, tiny):
    with_map(tiny)
    fault = fails(images={**MAP, "segmentation": {**MAP["segmentation"], "id": "NUMBER"}})
    assert "none of the" in fault.problem
    assert fault.key == "survey.images.segmentation.id"


def test_object_without_a_segment_goes_without_a_note(look, tiny):
    with_map(tiny)
    tiny.table["LABEL"][::2] = 99_999
    tiny.write(2)
    assert any("segmentation map lacks" in note for note in look(images=MAP).notes)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda path: fits.PrimaryHDU(np.zeros((320, 320), np.float32)).writeto(path, overwrite=True), "of floats"),
        (lambda path: fits.PrimaryHDU(np.zeros((320, 300), np.int32)).writeto(path, overwrite=True), "300 x 320"),
        (lambda path: path.unlink(), "missing"),
    ],
)  # fmt: skip
def test_plane_that_is_no_map_is_taken(fails, tiny, change, says):
    with_map(tiny)
    change(Path(tiny.folder / "images" / "t0_segm.fits"))
    assert says in str(fails(images=MAP))


def test_label_that_is_no_integer_is_taken(fails, tiny):
    with_map(tiny)
    assert (
        "must be an integer"
        in fails(images={**MAP, "segmentation": {**MAP["segmentation"], "id": "RA"}}).problem
    )


@pytest.mark.parametrize(
    ("images", "says"),
    [
        ({"layout": "column", "column": "S", "pixel_scale": 1.0, "segmentation": {"column": "M", "id": "L"}}, "layout"),
        ({"bands": ["g", "r"], "segmentation": {"path": "{band}.fits", "id": "L"}}, "one map serves all bands"),
        ({"bands": ["g", "r"], "segmentation": {"hdu": 2, "id": "L"}}, "one map serves all bands"),
    ],
)  # fmt: skip
def test_map_in_a_place_of_no_sense_is_taken(look, images, says):
    with pytest.raises(ValueError, match=says):
        look(images={**PIXEL, **images})
