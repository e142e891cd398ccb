"""Stamps of several sides: measured in their own pixels, encoded with one number of them, the same bits in any slice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from actors.extents import of_one_size
from actors.factory import EncodeAndMeasure
from actors.measurer import Measurer
from actors.segmenter import Segmenter
from actors.stamps import stamps_of
from kernels.resample import resample
from tests.actors.test_encoder import table

SIZE = 32
SIDES = (32, 48, 64)
ENCODER: dict[str, Any] = {
    "model": "galaxy-atto",
    "bands": 2,
    "size": SIZE,
    "unwrap": "none",
    "batch_size": 8,
}
SEGMENTER: dict[str, Any] = {"bands": 2, "size": SIZE}
MEASURER: dict[str, Any] = {"bands": 2, "size": SIZE, "band": 1, "quantities": ["gini", "cas"]}


def galaxy(side: int, width: float, random: np.random.Generator) -> np.ndarray:
    """A galaxy in the middle, a brighter and smaller one beside it, and noise, (2, y, x)."""
    line = np.arange(side) - (side - 1) / 2
    r2 = line**2 + 2 * line[:, None] ** 2
    beside = (line - 0.8 * side / 2) ** 2 + (line[:, None] + 0.8 * side / 2) ** 2
    light = 60 * np.exp(-r2 / (2 * width**2)) + 200 * np.exp(-beside / 8)
    return (light + random.normal(size=(2, side, side))).astype(np.float32)


def extended(count: int) -> tuple[pa.Table, list[np.ndarray]]:
    """Objects whose stamps have sides in turn, and those stamps."""
    random = np.random.default_rng(4)
    sides = np.array([SIDES[i % 3] for i in range(count)], np.int32)
    extents = np.where(sides > SIZE, sides - random.uniform(0, 10, count), SIZE).astype(np.float32)
    stamps = [galaxy(side, side / 9, random) for side in sides]
    offsets = np.concatenate([[0], np.cumsum([stamp.size for stamp in stamps])])
    values = np.concatenate([stamp.ravel() for stamp in stamps])
    objects = pa.table(
        {
            "object_id": np.arange(count),
            "flags": np.zeros(count, np.int32),
            "stamp_side": sides,
            "stamp_extent": extents,
            "usable": np.arange(count) % 7 != 3,
            "stamp": pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values)),
        }
    )
    return objects.replace_schema_metadata({"made of": "images"}), stamps


def test_each_stamp_shows_its_extent_in_order():
    objects, stamps = extended(11)
    found = of_one_size(objects, 2, SIZE)
    assert found.drop_columns("stamp").equals(objects.drop_columns("stamp"))
    assert found.schema.metadata == objects.schema.metadata, "which images were read is forgotten"
    for row, stamp in enumerate(stamps):
        extent = objects["stamp_extent"].to_numpy()[row : row + 1]
        expected = resample(stamp[None], extent, SIZE)
        assert np.array_equal(np.reshape(found["stamp"][row].as_py(), (2, SIZE, SIZE)), expected[0])


def test_table_without_extents_is_as_it_was():
    objects = table(np.stack([galaxy(SIZE, 3, np.random.default_rng(i)) for i in range(3)]))
    assert of_one_size(objects, 2, SIZE) is objects


@pytest.mark.parametrize("segmenter", [SEGMENTER, None])
def test_objects_are_measured_in_their_own_pixels(segmenter: dict[str, Any] | None):
    objects, stamps = extended(12)
    found = EncodeAndMeasure(ENCODER, MEASURER, segmenter)(objects)
    assert set(found.column_names) - set(objects.column_names) >= {
        "r50",
        "gini",
        "measure_flags",
        "embedding",
    }
    assert found["object_id"].equals(objects["object_id"])
    for row in (0, 1, 2, 10):  # 3 and 10 are not usable
        side = stamps[row].shape[-1]
        alone = table(stamps[row][None], objects["usable"].to_numpy()[row : row + 1], np.array([row]))
        alone = alone.append_column("flags", pa.array([0], pa.int32()))
        expected = Measurer(**{**MEASURER, "size": side})(alone)
        for name in ("r50", "gini", "x_centre", "measure_flags"):
            assert found[name][row] == expected[name][0]
    r50 = found["r50"].to_numpy()
    assert r50[1] / r50[0] == pytest.approx(1.5, rel=0.1)
    assert r50[2] / r50[0] == pytest.approx(2, rel=0.1)


def test_neighbours_are_filled_before_stamps_are_brought_to_size():
    objects, stamps = extended(3)
    found = EncodeAndMeasure(ENCODER, None, SEGMENTER)(objects)
    alone = table(stamps[2][None], ids=np.array([2]))
    segmenter = Segmenter(bands=2, size=64)
    filled = stamps_of(segmenter.filled(alone, segmenter(alone))["stamp"], 2, 64)
    shown = resample(filled, objects["stamp_extent"].to_numpy()[2:], SIZE)
    assert not np.array_equal(filled, stamps[2][None])
    expected = EncodeAndMeasure(ENCODER, None, None)(table(shown))
    assert found["embedding"][2] == expected["embedding"][0]


def test_no_bit_depends_on_the_other_objects():
    objects, _ = extended(40)
    work = EncodeAndMeasure(ENCODER, MEASURER, SEGMENTER)
    whole = work(objects)
    for rows in (slice(7, 8), slice(3, 30), [39, 2, 12, 13]):
        some = objects.take(np.arange(40)[rows])
        assert work(some).equals(whole.take(np.arange(40)[rows]))
        assert EncodeAndMeasure(ENCODER, {**MEASURER, "threads": 3}, SEGMENTER)(some).equals(work(some))


def test_slice_without_objects_has_the_same_columns():
    objects, _ = extended(4)
    work = EncodeAndMeasure(ENCODER, MEASURER, SEGMENTER)
    assert work(objects.slice(0, 0)).schema.equals(work(objects).schema)


def test_rows_of_part_of_a_table_have_their_own_stamps():
    objects, _ = extended(9)
    whole = of_one_size(objects, 2, SIZE)
    assert of_one_size(objects.slice(4, 3), 2, SIZE).equals(whole.slice(4, 3))
    parts = pa.concat_tables([objects.slice(0, 5), objects.slice(5)])
    assert of_one_size(parts, 2, SIZE).combine_chunks().equals(whole.combine_chunks())
