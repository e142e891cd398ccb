"""Partitions of a catalog are those of the `hats` library, found without walking the empty sky."""

from __future__ import annotations

import numpy as np
import pytest
from hats.pixel_math.partition_stats import generate_alignment

from catalogs import hats_catalog


@pytest.mark.parametrize(("patch", "most_rows"), [(500, 100), (500, 10**6), (40_000, 3)])
def test_partitions_differ_from_those_of_hats(monkeypatch, patch, most_rows):
    monkeypatch.setattr(hats_catalog, "ORDER", 6)
    rng = np.random.default_rng(patch)
    pixels, numbers = np.unique(rng.integers(0, patch, 3000), return_counts=True)
    counts = dict(zip(pixels.tolist(), numbers.tolist(), strict=True))
    histogram = np.zeros(12 * 4**6, np.int64)
    histogram[pixels] = numbers
    threshold = max(most_rows, int(numbers.max()))
    alignment = generate_alignment(histogram, highest_order=6, threshold=threshold)
    found = hats_catalog.partitions(counts, most_rows)
    placed = {pixel: (p.order, p.pixel) for p, held in found.items() for pixel in held}
    assert placed == {pixel: tuple(alignment[pixel][:2]) for pixel in counts}
