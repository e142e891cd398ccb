"""The segmenter and what is encoded of its stamps: the same bits in any slice, and nothing changed where nothing is to be filled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from actors.factory import EncodeAndMeasure
from actors.measurer import Measurer
from actors.segmenter import Segmenter
from tests.actors.test_encoder import table

SIDE = 32
ENCODER: dict[str, Any] = {
    "model": "galaxy-atto",
    "bands": 2,
    "size": SIDE,
    "unwrap": "none",
    "batch_size": 8,
}
SEGMENTER: dict[str, Any] = {"bands": 2, "size": SIDE}
MEASURER: dict[str, Any] = {"bands": 2, "size": SIDE, "band": 1, "quantities": ["gini"]}


def crowded(count: int, bands: int = 2) -> np.ndarray:
    """Galaxies in the middle, each with a brighter one beside it, (n, bands, y, x) float32."""
    random, line = np.random.default_rng(2), np.arange(SIDE)

    def blob(x: float, y: float, peak: float) -> np.ndarray:
        return peak * np.exp(-((line - x) ** 2 + (line[:, None] - y) ** 2) / (2 * 2.0**2))

    stamps = random.normal(size=(count, bands, SIDE, SIDE))
    for i in range(count):
        stamps[i] += blob(15.5, 15.5, 60) + blob(*random.choice([4, 27], 2), 200)
    return stamps.astype(np.float32)


def pixels(objects: pa.Table) -> np.ndarray:
    column = objects["stamp"].combine_chunks()
    return column.flatten().to_numpy().reshape(len(column), 2, SIDE, SIDE)


def test_filling_depends_on_slice_threads_or_order() -> None:
    objects = table(crowded(150))
    segmenter, threads = Segmenter(**SEGMENTER), Segmenter(**SEGMENTER, threads=3)
    whole = pixels(segmenter.filled(objects, segmenter(objects)))
    assert not np.array_equal(whole, pixels(objects))
    assert np.array_equal(whole, pixels(threads.filled(objects, threads(objects))))
    for rows in (slice(3, 70), [149, 7, 60]):
        some = objects.take(np.arange(150)[rows])
        assert np.array_equal(pixels(segmenter.filled(some, segmenter(some))), whole[rows])


def test_row_that_is_not_usable_is_filled() -> None:
    usable = np.array([True, False, True])
    objects = table(crowded(3), usable)
    segmenter = Segmenter(**SEGMENTER)
    seen = segmenter(objects)
    assert seen.rows.tolist() == [0, 2]
    changed = (pixels(segmenter.filled(objects, seen)) != pixels(objects)).any(axis=(1, 2, 3))
    assert changed.tolist() == usable.tolist()
    nobody = table(crowded(3), np.zeros(3, bool))
    assert segmenter.filled(nobody, segmenter(nobody)).equals(nobody)


@pytest.mark.parametrize("measurer", [None, MEASURER])
def test_neighbours_are_encoded(measurer: dict[str, Any] | None) -> None:
    objects = table(crowded(20))
    kept, filled = (EncodeAndMeasure(ENCODER, measurer, s)(objects) for s in (None, SEGMENTER))
    codes = [np.stack(answer["embedding"].to_pylist()) for answer in (kept, filled)]
    assert np.abs(codes[0] - codes[1]).max() > 0.1
    assert kept.drop_columns("embedding").equals(filled.drop_columns("embedding"))  # measuring is the same
    alone = EncodeAndMeasure(ENCODER, None, SEGMENTER)(objects.slice(11, 1))
    assert np.array_equal(codes[1][11], alone["embedding"].to_pylist()[0])


def with_noise(objects: pa.Table, depth: np.ndarray) -> pa.Table:
    """The table with the noise (n, b, y, x) of each pixel."""
    lists = pa.FixedSizeListArray.from_arrays(pa.array(depth.reshape(-1)), objects["stamp"].type.list_size)
    return objects.append_column("stamp_noise", lists)


def stepped(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Galaxies whose noise is five times as large in half of their stamp, which has a hole, and that noise."""
    depth = np.where(np.arange(SIDE) < 20, 1.0, 5.0) * np.ones((count, 2, SIDE, 1))
    stamps = crowded(count) * depth
    depth[:, :, 25, 3:9] = 0
    stamps[depth == 0] = 0
    return stamps.astype(np.float32), depth.astype(np.float32)


def test_noise_of_pixels_depends_on_slice_threads_or_order() -> None:
    objects = with_noise(table(stepped(150)[0]), stepped(150)[1])
    options = {**SEGMENTER, "photons": True}
    segmenter, threads = Segmenter(**options), Segmenter(**options, threads=3)
    seen = segmenter(objects)
    assert seen.noise is not None
    assert np.array_equal(seen.bad.numpy(), stepped(150)[1] == 0)
    whole = pixels(segmenter.filled(objects, seen))
    measured = Measurer(**MEASURER, photons=True)(objects)
    assert np.array_equal(whole, pixels(threads.filled(objects, threads(objects))))
    assert measured.equals(Measurer(**MEASURER, photons=True, threads=3)(objects))
    for rows in (slice(3, 70), [149, 7, 60]):
        which = np.arange(150)[rows]
        some = objects.take(which)
        assert np.array_equal(pixels(segmenter.filled(some, segmenter(some))), whole[rows])
        assert Measurer(**MEASURER, photons=True)(some).equals(measured.take(which))


def test_noise_is_kept_beside_the_embedding() -> None:
    objects = with_noise(table(stepped(20)[0]), stepped(20)[1])
    work = EncodeAndMeasure(ENCODER, MEASURER, SEGMENTER)
    assert not {"stamp_noise", "stamp", "usable"} & {*work(objects).column_names}
