"""The few smallest of a row are those that a sort gives, however many there are and however often they occur."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.smallest import smallest


@pytest.mark.parametrize(
    ("columns", "count"),
    [(1, 1), (21, 21), (40, 5), (64, 64), (255, 3), (256, 63), (256, 64), (1000, 21), (4096, 21)],
)
def test_another_number_than_a_sort_gives(columns, count):
    rng = np.random.default_rng(columns)
    rows = [
        rng.normal(size=columns) * 1000,
        rng.integers(-3, 3, columns),  # the same ones often
        np.zeros(columns),
        np.arange(columns),
        -np.arange(columns),
    ]
    values = np.array(rows, np.float32)
    before = values.copy()
    assert (smallest(values, count) == np.sort(values, axis=1)[:, :count]).all()
    assert (values == before).all()


def test_no_rows_have_smallest_ones():
    assert smallest(np.empty((0, 30), np.float32), 4).shape == (0, 4)
