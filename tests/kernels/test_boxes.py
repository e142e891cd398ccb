"""Where regions lie and how many pixels they have, beside what NumPy says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernels.measure.boxes import box_of, pixels_in


@pytest.mark.parametrize("share", [1.0, 0.5, 0.01, 0.001])
def test_box_or_count_is_not_numpys(share):
    regions = np.random.default_rng(1).random((50, 33, 70)) < share
    for region in regions:
        rows, columns = np.nonzero(region)
        expected = (
            (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) if rows.size else (0, 0, 0, 0)
        )
        assert box_of(region) == expected
    assert pixels_in(torch.from_numpy(regions)).tolist() == regions.sum(axis=(1, 2)).tolist()


@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_box_leaves_out_a_corner(corner):
    region = np.zeros((5, 7), np.bool_)
    region[corner] = True
    assert region[slice(*box_of(region)[:2]), slice(*box_of(region)[2:])].tolist() == [[True]]
