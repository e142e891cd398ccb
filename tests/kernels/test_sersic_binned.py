"""Fits of large galaxies on binned pixels: what would make them differ from fits on the pixels themselves, or from the truth."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from scipy import special

from kernels.measure.binning import bin_factor, binned
from kernels.measure.flags import MeasureFlag
from kernels.measure.morphology import Optics, measure
from kernels.measure.profiles import Camera, camera_of_each
from kernels.measure.psf import PSF
from kernels.measure.sersic import SersicFit, fit_weighted, weighted
from kernels.segmentation.noise_map import NoiseMap
from tests.kernels.test_sersic import CPU, as_shapes, drawn, moffat, starts

SIDE = 192
LARGE = np.array(
    [
        [0.6, 24.0, 0.5, 0.4, 96.3, 95.1],
        [1.0, 30.0, 0.3, -1.2, 94.4, 95.8],
        [2.5, 22.0, 0.9, 1.5, 95.7, 96.6],
        [4.0, 20.0, 0.6, 0.0, 95.2, 94.9],
    ]
)
"""n, r_e, ratio, angle, x, y."""


def pixels(galaxy: np.ndarray) -> np.ndarray:
    """A profile of unit flux on square pixels: means of 3 x 3 points, and of many more in the middle."""
    n, r_e, ratio, angle, x0, y0 = galaxy
    b = special.gammaincinv(2 * n, 0.5)
    total = 2 * math.pi * n * r_e**2 * ratio * b ** (-2 * n) * special.gamma(2 * n)

    def means(first: int, last: int, parts: int) -> np.ndarray:
        place = first - 0.5 + (np.arange((last - first) * parts) + 0.5) / parts
        x, y = place - x0, place[:, None] - y0
        along, across = math.cos(angle) * x + math.sin(angle) * y, math.cos(angle) * y - math.sin(angle) * x
        light = np.exp(-b * (np.hypot(along, across / ratio) / r_e) ** (1 / n))
        return light.reshape(last - first, parts, last - first, parts).mean(axis=(1, 3)) / total

    image = means(0, SIDE, 3)
    for near, parts in ((8, 21), (2, 201)):
        first, last = SIDE // 2 - near, SIDE // 2 + near
        image[first:last, first:last] = means(first, last, parts)
    return image


@cache
def clean(with_psf: bool) -> torch.Tensor:
    """Images of the large galaxies with a flux of 1e5; GalSim's, where they are seen through a PSF."""
    images = [drawn(galaxy, SIDE) if with_psf else pixels(galaxy) for galaxy in LARGE]
    return torch.from_numpy(1e5 * np.stack(images)).float()


def fitted(
    images: torch.Tensor,
    binning: int,
    *,
    noise: torch.Tensor | None = None,
    masked: torch.Tensor | None = None,
    with_psf: bool = True,
    gain: float | None = None,
) -> SersicFit:
    noise = torch.ones(len(images)) if noise is None else noise
    masked = torch.zeros(images.shape, dtype=torch.bool) if masked is None else masked
    psf = moffat() if with_psf else None
    centre, r_e, ratio, angle = starts(LARGE)
    sigma, weights = weighted(images, noise, masked)
    if binning == 1:
        return fit_weighted(images, sigma, weights, psf, centre, r_e, ratio, angle, gain)
    light, weights = binned(images, weights, binning, centre, r_e * ratio.sqrt())
    each, factors = psf if psf is None else [PSF(psf)] * len(images), torch.full((len(images),), binning)
    middle = (binning - 1) / 2
    start = ((centre - middle) / binning, r_e / binning, ratio, angle)
    found = fit_weighted(light, sigma / binning, weights, each, *start, gain, 0.0, factors)
    return replace(
        found,
        centre=found.centre * binning + middle,
        r_e=found.r_e * binning,
        flux=found.flux * binning**2,
    )


def assert_true(found: SersicFit, within: float) -> None:
    assert found.converged.all()
    np.testing.assert_allclose(found.n, LARGE[:, 0], rtol=within)
    np.testing.assert_allclose(found.r_e, LARGE[:, 1], rtol=within)
    np.testing.assert_allclose(found.flux, 1e5, rtol=within)
    np.testing.assert_allclose(found.ratio, LARGE[:, 2], rtol=within)
    np.testing.assert_allclose(found.centre, LARGE[:, 4:], atol=0.02)


@pytest.mark.parametrize("binning", [2, 3])
def test_fit_on_binned_pixels_finds_another_galaxy(binning: int) -> None:
    found, unbinned = (fitted(clean(True), b) for b in (binning, 1))
    assert_true(found, 0.01)
    np.testing.assert_allclose(found.n, unbinned.n, rtol=0.01)
    np.testing.assert_allclose(found.r_e, unbinned.r_e, rtol=0.01)


def test_fit_on_binned_pixels_finds_another_galaxy_without_a_psf() -> None:
    """Steep middles that no PSF has blurred are lost in part, on binned pixels as on others."""
    found, unbinned = (fitted(clean(False), b, with_psf=False) for b in (2, 1))
    for one in (found, unbinned):
        np.testing.assert_allclose(one.n[:2], LARGE[:2, 0], rtol=2e-3)
        np.testing.assert_allclose(one.n[2], LARGE[2, 0], rtol=0.01)
        np.testing.assert_allclose(one.r_e[:3], LARGE[:3, 1], rtol=0.01)
        np.testing.assert_allclose(one.n[3], LARGE[3, 0], rtol=0.06)


def test_model_is_not_the_mean_of_its_pixels() -> None:
    shapes = as_shapes(LARGE)
    pixels = Camera(96, 88, moffat(), CPU).render(shapes)[:, 0]
    shapes[:, :2] = (shapes[:, :2] - 1.5) / 4
    shapes[:, 2] -= math.log(4)
    means = camera_of_each(24, 22, [moffat()] * 4, 2 * math.pi, CPU, factors=[4] * 4).render(shapes)[:, 0]
    wanted = 16 * pixels.reshape(4, 24, 4, 22, 4).mean(dim=(2, 4))
    np.testing.assert_allclose(means, wanted, atol=2e-3 * float(wanted.max()))


def test_masked_column_bends_a_profile() -> None:
    """One through the middle, of pixels that hold anything; and single pixels all over the stamp."""
    masked = torch.zeros(clean(True).shape, dtype=torch.bool)
    masked[:, :, 97] = True
    masked[:, 5::11, 3::13] = True
    spoilt = torch.where(masked, 1e6, clean(True))
    spoilt[:, :, 97] = torch.nan
    for binning in (2, 3):
        assert_true(fitted(spoilt, binning, masked=masked), 0.01)


def test_reduced_chi_squared_is_that_of_unbinned_noise() -> None:
    noise = 3.0 * torch.from_numpy(np.random.default_rng(1).normal(size=clean(True).shape))
    found = fitted(clean(True) + noise.float(), 3, noise=torch.full((4,), 3.0))
    np.testing.assert_allclose(found.chi2, 1.0, atol=0.07)


def test_noise_that_varies_over_the_stamp_counts_as_even() -> None:
    """Noise tenfold on one side; and photons of the object, of which a binned pixel has as many more."""
    random, gain = np.random.default_rng(2), 2.0
    depth = torch.linspace(1, 10, SIDE).expand(SIDE, SIDE).contiguous().expand(4, -1, -1)
    light = torch.from_numpy(random.poisson(clean(True).clamp(min=0).numpy() * gain) / gain)
    images = (light + depth * torch.from_numpy(random.normal(size=depth.shape))).float()
    found = fitted(images, 2, noise=depth, gain=gain)
    np.testing.assert_allclose(found.chi2, 1.0, atol=0.06)
    unbinned = fitted(images, 1, noise=depth, gain=gain)
    np.testing.assert_allclose(found.n, unbinned.n, rtol=0.02)
    np.testing.assert_allclose(found.r_e, unbinned.r_e, rtol=0.02)
    np.testing.assert_allclose(found.flux, unbinned.flux, rtol=0.02)


def test_means_differ_from_slow_twins() -> None:
    random, factor = np.random.default_rng(3), 3
    images, weights = random.normal(size=(2, 31, 37)), random.uniform(0.1, 2, (2, 31, 37))
    weights[random.random(weights.shape) < 0.1] = 0
    images[weights == 0] = np.nan
    centre, radius = np.array([[17.0, 15.0], [5.0, 25.0]]), np.array([12.0, 4.0])
    light, counted = binned(
        *(torch.from_numpy(a) for a in (images, weights)),
        factor,
        *(torch.from_numpy(a) for a in (centre, radius)),
    )
    assert light.shape == counted.shape == (2, 10, 12)
    seen = set()
    for i, row, column in np.ndindex(2, 10, 12):
        part = np.s_[i, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3]
        good = weights[part] > 0
        off = np.argwhere(good).mean(axis=0) - 1 if good.any() else np.full(2, np.inf)
        away = math.hypot(3 * column + 1 - centre[i, 0], 3 * row + 1 - centre[i, 1])
        known = good.all() or (away > radius[i] / 2 and np.hypot(*off) <= 3 / 32)
        seen.add((bool(known), bool(good.all())))
        mean = images[part][good].mean() if known else 0.0
        variance = (1 / weights[part][good]).sum() / good.sum() ** 2 if known else np.inf
        assert float(light[i, row, column]) == pytest.approx(mean, rel=1e-5)
        assert float(counted[i, row, column]) == pytest.approx(1 / (9 * variance), rel=1e-5)
    assert seen == {(True, True), (True, False), (False, False)}


def test_small_objects_or_small_stamps_are_binned() -> None:
    size = torch.tensor([0.0, 11.9, 12.0, 17.9, 18.0, 24.0, 40.0, 96.0, 500.0, torch.nan])
    assert bin_factor(size, 127).unique().tolist() == [1]
    assert bin_factor(size, 200).tolist() == [1, 1, 2, 2, 3, 3, 3, 3, 3, 1]
    assert bin_factor(size, 1024).tolist() == [1, 1, 2, 2, 3, 4, 6, 16, 16, 1]


@cache
def mixed() -> torch.Tensor:
    """Galaxies of many sizes on stamps of 200 pixels, noise of 1."""
    random = np.random.default_rng(4)
    radii = np.array([3.0, 30.0, 11.0, 16.0, 5.0, 21.0, 40.0, 27.0])
    count = len(radii)
    galaxies = np.stack(
        [
            random.uniform(0.6, 3, count),
            radii,
            random.uniform(0.4, 1, count),
            random.uniform(-1.5, 1.5, count),
            *(99.5 + random.uniform(-2, 2, (2, count))),
        ],
        axis=1,
    )
    light = Camera(200, 200, moffat(), CPU).render(as_shapes(galaxies))[:, 0]
    light *= 3000 * torch.from_numpy(radii).float()[:, None, None] / 4
    return light + torch.from_numpy(random.normal(size=light.shape)).float()


@pytest.mark.parametrize("known", [False, True])
def test_bits_depend_on_which_sizes_are_in_the_batch(known: bool) -> None:
    images, optics = mixed(), Optics(moffat(), 3.4, 2.0) if known else Optics()
    bad = torch.zeros(images.shape, dtype=torch.bool)
    bad[:, 30:33, 100] = True
    depth = torch.linspace(0.9, 1.1, 200).expand(images.shape).contiguous()

    def measured(places: list[int]) -> dict[str, torch.Tensor]:
        noise = NoiseMap(depth[places], depth[places]) if known else None
        return measure(images[places], bad[places], optics, ("sersic",), noise=noise)

    whole = measured(list(range(8)))
    assert not (whole["measure_flags"] & (MeasureFlag.NO_OBJECT | MeasureFlag.FIT_FAILED)).any()
    for places in ([0], [1], [6], [7, 3], [5, 4, 3, 2, 1, 0]):
        for name, values in measured(places).items():
            np.testing.assert_array_equal(values, whole[name][places], f"{name} of {places}")
