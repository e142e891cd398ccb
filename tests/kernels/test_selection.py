"""Selection and the places of marks, beside what NumPy says."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.segmentation.selection import marked, median, select, thinned


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 64, 65, 1000])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_places_of_marks_are_not_numpys(count, share):
    marks = (np.random.default_rng(count).random(count) < share).astype(np.uint8)
    expected, places = np.flatnonzero(marks), np.empty(count + 8, np.int32)
    assert places[: marked(marks, places)].tolist() == expected.tolist()
    for step in (1, 2, 5, 70):
        assert places[: thinned(marks, step, places)].tolist() == expected[::step].tolist()


@pytest.mark.parametrize("count", [1, 2, 3, 10, 257])
def test_selected_value_is_not_numpys(count):
    rng = np.random.default_rng(count)
    for values in (rng.normal(size=count), rng.integers(0, 3, count).astype(float)):
        for k in range(count):
            assert select(values.copy(), count, k) == np.sort(values)[k]
        assert median(values.copy(), count) == np.median(values)
