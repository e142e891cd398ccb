"""Stamps on fewer pixels: against a slow twin, and against what the light of a galaxy is there."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.resample import resample


def twin(image: np.ndarray, extent: float, size: int) -> np.ndarray:
    """Integrals over the new pixels, from the image's cumulated light."""
    side = len(image)
    edges = (side - extent) / 2 + extent / size * np.arange(size + 1)
    summed = np.zeros((side + 1, side + 1))
    summed[1:, 1:] = image.astype(np.float64).cumsum(0).cumsum(1)
    along = np.stack([np.interp(edges, np.arange(side + 1), line) for line in summed.T], axis=1)
    both = np.stack([np.interp(edges, np.arange(side + 1), line) for line in along], axis=0)
    return np.diff(np.diff(both, axis=0), axis=1)


def gaussian(side: int, width: float, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """Light of a Gaussian in pixels, at an offset from the middle."""
    line = np.arange(side) - (side - 1) / 2
    return np.exp(-((line - x) ** 2 + (line[:, None] - y) ** 2) / (2 * width**2)).astype(np.float32)


EXTENTS = [16.0, 16.5, 20.25, 23.9, 24.0]


@pytest.mark.parametrize("side", [24, 25])
def test_new_pixels_hold_the_light_that_fell_on_them(side):
    random = np.random.default_rng(1)
    stamps = random.normal(size=(len(EXTENTS), 2, side, side)).astype(np.float32)
    found = resample(stamps, np.array(EXTENTS), 16)
    for stamp, extent, answer in zip(stamps, EXTENTS, found, strict=True):
        for plane, made in zip(stamp, answer, strict=True):
            np.testing.assert_allclose(made, twin(plane, extent, 16), atol=3e-6)


@pytest.mark.parametrize("extent", [64.0, 70.3, 96.0, 111.1, 128.0])
def test_flux_of_an_object_within_the_extent_is_kept(extent):
    stamps = gaussian(128, 5.0, 3.3, -2.1)[None, None]
    found = resample(stamps, np.array([extent]), 64)
    assert found.sum(dtype=np.float64) == pytest.approx(stamps.sum(dtype=np.float64), rel=1e-6)


def test_place_and_width_of_an_object_scale_with_the_extent():
    stamps = gaussian(192, 9.0, 12.0, -6.0)[None, None]
    found = resample(stamps, np.array([192.0]), 64)[0, 0].astype(np.float64)
    line, light = np.arange(64) - 31.5, found.sum()
    x, y = (found * line).sum() / light, (found * line[:, None]).sum() / light
    assert (x, y) == pytest.approx((4.0, -2.0), abs=1e-3)
    # The pixels' own width is added: three of one pixel are one, whose variance is (9 - 1) / 12 more, in old pixels.
    variance = (found * (line - x) ** 2).sum() / light
    assert variance == pytest.approx((81 + (9 - 1) / 12) / 9, rel=1e-3)


def test_waves_finer_than_new_pixels_do_not_alias():
    line = np.arange(128)
    fine = np.cos(
        np.pi * line * 0.99
    )  # just below the old pixels' own limit: on every second pixel it would be a slow wave
    stamps = np.tile(fine, (128, 1)).astype(np.float32)[None, None]
    assert np.abs(stamps[..., ::2]).max() > 0.9
    assert np.abs(resample(stamps, np.array([128.0]), 64) / 4).max() < 0.02


def test_stamps_of_the_size_are_themselves():
    stamps = np.random.default_rng(2).normal(size=(3, 1, 32, 32)).astype(np.float32)
    assert resample(stamps, np.full(3, 32.0), 32) is stamps
    larger = np.pad(stamps, ((0, 0), (0, 0), (8, 8), (8, 8)), constant_values=5)
    assert np.array_equal(resample(larger, np.full(3, 32.0), 32), stamps)


def test_no_bit_depends_on_the_other_stamps():
    random = np.random.default_rng(3)
    stamps, extents = random.normal(size=(40, 2, 48, 48)).astype(np.float32), random.uniform(32, 48, 40)
    whole = resample(stamps, extents, 32)
    for rows in (slice(7, 8), slice(3, 21), [39, 0, 12]):
        assert np.array_equal(resample(stamps[rows], extents[rows], 32), whole[rows])


def test_sums_beyond_float32_stay_finite():
    stamps = np.full((1, 1, 32, 32), 3e38, np.float32)
    stamps[0, 0, :, 16:] *= -1
    found = resample(stamps, np.array([32.0]), 16)
    assert np.isfinite(found).all()
    assert np.abs(found).min() > 3e38


@pytest.mark.parametrize("extent", [15.9, 24.1, np.nan])
def test_extents_that_no_stamp_can_show_are_refused(extent):
    with pytest.raises(ValueError, match="they are 16 to 24"):
        resample(np.zeros((2, 1, 24, 24), np.float32), np.array([20.0, extent]), 16)
