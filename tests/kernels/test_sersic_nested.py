"""Fits on nested bins: what would make their model another than the profile that it stands for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import special

from kernels.measure.nested_bins import SIDE, nested, outer_grids
from kernels.measure.nested_fit import _bins, _room
from kernels.measure.order import sort
from kernels.measure.profile_points import at_points, scales
from kernels.measure.profile_waves import FAR, by_waves, coefficients, polynomials, scratch, waves_to
from kernels.measure.profiles import Camera
from kernels.measure.sersic_transform import TERMS, profile_scale
from kernels.measure.transfer import FARTHEST
from tests.kernels.test_sersic import CPU, moffat

HALF = SIDE // 2


def chebyshev(log_n: float) -> np.ndarray:
    found = np.zeros((2, TERMS))
    polynomials(log_n, found)
    return found


@pytest.mark.parametrize("n", [0.6, 1.0, 4.0])
@pytest.mark.parametrize("radius", [1.5, 9.0])
def test_waves_on_a_small_grid_sum_up_to_another_profile(n: float, radius: float) -> None:
    """Beside those of a stamp that is much larger: in the middle with all slopes, around it the means of bins."""
    shape = np.array([0.3, -0.4, math.log(radius), math.log(n), 0.5, -0.3])
    side = 193
    middle = side // 2
    there = shape.copy()
    there[:2] += middle - 0.5
    wanted = Camera(side, side, moffat(), CPU).render(torch.from_numpy(there)[None], slopes=True)[0].numpy()
    images = np.zeros((7, SIDE, SIDE), np.float32)
    for grid, reach in ((0, FARTHEST), (1, FAR)):
        waves = waves_to(reach)
        response = waves.response(moffat(), 1 << grid, far=grid > 0)
        by_waves(
            shape,
            grid,
            chebyshev(shape[3]),
            coefficients(),
            waves.arrays,
            response,
            7,
            scratch(waves),
            images.reshape(7, -1),
        )
        reach_of = HALF << grid
        part = wanted[:, middle - reach_of : middle + reach_of, middle - reach_of : middle + reach_of]
        part = part.reshape(7, SIDE, 1 << grid, SIDE, 1 << grid).mean(axis=(2, 4))
        if grid == 0:
            off = np.abs(images - part).max(axis=(1, 2)) / np.abs(part).max(axis=(1, 2))
            assert (off < 3e-3).all(), off
        else:
            around = np.ones((SIDE, SIDE), bool)
            around[SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4] = False
            off = np.abs(images[0] / (1 << 2 * grid) - part[0])[around]
            assert off.max() < 2e-4 * wanted[0].max()


def test_profile_at_points_is_not_its_formula() -> None:
    random, count = np.random.default_rng(0), 640
    place = random.uniform(-90, 90, (2, count)).astype(np.float32)
    waves = waves_to(FAR)

    def formula(shape: np.ndarray) -> np.ndarray:
        n, e = math.exp(shape[3]), math.hypot(*shape[4:])
        bent = np.array([[shape[4], shape[5]], [shape[5], -shape[4]]]) * math.sinh(e) / e
        x = place.astype(float) - shape[:2, None]
        square = (x * ((math.cosh(e) * np.eye(2) - bent) @ x)).sum(axis=0) * math.exp(-2 * shape[2])
        b = float(profile_scale(np.array([n]))[0])
        total = 2 * math.pi * n * b ** (-2 * n) * special.gamma(2 * n) * math.exp(2 * shape[2])
        return np.exp(-b * square ** (0.5 / n)) / total

    for n in (0.5, 1.0, 6.0):
        shape = np.array([0.3, -0.4, math.log(7), math.log(n), 0.5, -0.3])
        found = np.zeros((7, count), np.float32)
        at_points(
            shape, chebyshev(shape[3]), scales(), place, 0, count, 7, _room(count, waves, waves)[4], found
        )
        np.testing.assert_allclose(found[0], formula(shape), rtol=1e-4, atol=1e-30)
        for k in range(6):
            step = np.zeros(6)
            step[k] = 1e-4
            slope = (formula(shape + step) - formula(shape - step)) / 2e-4
            np.testing.assert_allclose(found[k + 1], slope, atol=1e-5 * np.abs(slope).max())


def test_nested_bins_are_not_means_of_their_pixels() -> None:
    random = np.random.default_rng(1)
    images = random.normal(size=(2, 90, 70)).astype(np.float32)
    masked = random.random(images.shape) < 0.02
    weights = random.uniform(0.5, 2, images.shape).astype(np.float32)
    frames = np.array([[33, 44, 1, 60], [20, 50, 2, 44]])
    size, grids = np.array([5.0, 14.0]), outer_grids(frames[:, 3].astype(float), frames[:, 2])
    assert grids.tolist() == [3, 1]
    light, weight, place, where, counts = _bins(2, 3)
    nested(images, masked, weights, np.arange(2), frames, size, grids, light, weight, place, where, counts)
    for i in range(2):
        across, down, factor, _ = frames[i]
        assert (weight[i, int(counts[i, 0]) :] == 0).all()
        left_out = 0
        for k in range(int(counts[i, 0])):
            side = factor << where[i, k, 0]
            row, column = divmod(where[i, k, 1], SIDE)
            x, y = across + (column - HALF) * side, down + (row - HALF) * side
            np.testing.assert_allclose(
                place[i, :, k], [(x + side / 2 - across) / factor, (y + side / 2 - down) / factor]
            )
            if weight[i, k] == 0:
                left_out += 1
                continue
            part = np.s_[i, y : y + side, x : x + side]
            good = ~masked[part]
            assert light[i, k] * counts[i, 1] == pytest.approx(images[part][good].mean(), rel=1e-4, abs=1e-6)
            variance = (1 / weights[part][good]).sum() / good.sum() ** 2
            assert weight[i, k] == pytest.approx(1 / (variance * factor**2), rel=1e-4)
        assert left_out > 0


def test_numbers_are_in_another_order() -> None:
    random = np.random.default_rng(2)
    values = np.concatenate(
        [random.normal(size=500), random.integers(-3, 3, 200), [0.0, 1e-42, -1e-42, 3e38, -3e38]]
    )
    values = values.astype(np.float32)
    wanted = np.sort(values[:690])
    rest = values[690:].copy()
    sort(values, np.empty_like(values), 690)
    np.testing.assert_array_equal(values[:690], wanted)
    np.testing.assert_array_equal(values[690:], rest)
