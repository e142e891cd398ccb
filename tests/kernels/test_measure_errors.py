"""Errors of measured values: each is what repeated noise does to the value, and none of them changes a value."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernels.measure.morphology import Optics, measure
from kernels.measure.psf import gaussian
from kernels.measure.quantities import columns_of, error_of
from kernels.measure.resampling import noisier
from kernels.segmentation.noise_map import NoiseMap

SIDE, REPEATS, NOISE, GAIN = 48, 120, 1.0, 4.0
OPTICS = Optics(gaussian(2.5), 2.5, GAIN)
QUANTITIES = ("gini", "cas", "sersic")


def light(peak: float) -> np.ndarray:
    """An inclined disc with a core, without noise."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    x = x - 0.3
    along, across = 0.8 * x + 0.6 * y, (0.8 * y - 0.6 * x) / 0.6
    radius = np.hypot(np.hypot(along, across), 0.5)
    return peak * (np.exp(-radius / 3.5) + 0.6 * np.exp(-((radius / 1.8) ** 2)))


def draws(peak: float, count: int = REPEATS, seed: int = 1) -> torch.Tensor:
    random = np.random.default_rng(seed)
    clean = np.broadcast_to(light(peak), (count, SIDE, SIDE))
    noisy = random.poisson(clean * GAIN) / GAIN + random.normal(0, NOISE, clean.shape)
    return torch.from_numpy(noisy.astype(np.float32))


def nothing(images: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(images, dtype=torch.bool)


@pytest.fixture(scope="module")
def repeated() -> dict[str, torch.Tensor]:
    images = draws(60.0)
    return measure(images, nothing(images), OPTICS, QUANTITIES, errors="fast")


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        *((name, 0.75, 1.3) for name in ("flux", "r_petro", "r_petro_circ", "r20", "r50", "r80", "concentration")),
        *((name, 0.7, 1.4) for name in ("ellipticity", "position_angle", "gini", "asymmetry")),
        # the sky's level is not certain to the fit, but is always the same here
        *((name, 0.65, 1.25) for name in ("sersic_n", "sersic_r_e", "sersic_flux", "sersic_sky")),
        *((name, 0.8, 1.25) for name in ("sersic_ellipticity", "sersic_angle")),
        *((name, 0.4, 1.6) for name in ("m20", "smoothness")),
        *((name, 0.1, 1.5) for name in ("x_centre", "y_centre")),
    ],
)  # fmt: skip
def test_error_is_not_the_scatter_of_repeated_noise(repeated, name: str, low: float, high: float) -> None:
    values, errors = repeated[name].numpy(), repeated[error_of(name)].numpy()
    known = np.isfinite(values) & np.isfinite(errors)
    assert known.sum() > 0.9 * REPEATS
    below, above = np.percentile(values[known], [15.87, 84.13])
    assert low < (above - below) / 2 / np.median(errors[known]) < high


def test_errors_change_a_value(repeated) -> None:
    images = draws(60.0)[:8]
    plain = measure(images, nothing(images), OPTICS, QUANTITIES)
    for name, values in plain.items():
        if name != "measure_flags":
            assert torch.equal(values, repeated[name][:8]), name


def test_error_depends_on_the_batch(repeated) -> None:
    images = draws(60.0)
    rows = [70, 3, 41]
    alone = measure(images[rows], nothing(images[rows]), OPTICS, QUANTITIES, errors="fast")
    for name, values in alone.items():
        assert torch.equal(values.nan_to_num(-1.0), repeated[name][rows].nan_to_num(-1.0)), name


def test_errors_do_not_grow_with_the_noise() -> None:
    """Each pixel's own noise is taken: twice of it, without photons, gives errors twice as large."""
    images = draws(300.0, 4)
    dark, errors = Optics(gaussian(2.5), 2.5), []
    for noise in (2.0, 4.0):
        known = torch.full_like(images, noise)
        found = measure(
            images, nothing(images), dark, QUANTITIES, noise=NoiseMap(known, known), errors="fast"
        )
        errors.append(found)
    for name in ("flux_error", "r50_error", "gini_error", "sersic_n_error", "sersic_flux_error"):
        assert torch.allclose(
            errors[1][name] / errors[0][name], torch.tensor(2.0, dtype=torch.float64), rtol=0.1
        ), name


def test_values_without_noise_have_errors() -> None:
    clean = torch.from_numpy(np.where(light(60.0) > 1, light(60.0), 0).astype(np.float32))[None]
    found = measure(clean, nothing(clean), OPTICS, ("gini", "cas", "mid", "sersic"), errors="fast")
    for column in columns_of(("gini", "cas", "mid", "sersic"), "fast"):
        if column.name.endswith("_error"):
            assert found[column.name].isnan().all(), column.name


@pytest.fixture(scope="module")
def resampled() -> tuple[dict[str, torch.Tensor], np.ndarray]:
    images, seeds = draws(60.0, 12, seed=2), np.arange(12, dtype=np.uint64) + np.uint64(5)
    quantities = ("gini", "cas", "mid", "multiplicity", "g2", "asymmetries")
    return measure(images, nothing(images), OPTICS, quantities, errors="full", seeds=seeds), seeds


def test_resampled_errors_are_others_than_propagated_ones(resampled, repeated) -> None:
    found, _ = resampled
    for name in ("flux", "r50", "r_petro_circ", "gini", "concentration"):
        ratio = found[error_of(name)].median() / repeated[error_of(name)].median()
        assert 0.6 < ratio < 1.5, name
    for name in ("deviation", "multiplicity", "outer_asymmetry", "rms_asymmetry2"):
        assert (found[error_of(name)] > 0).all(), name


def test_resampled_errors_depend_on_the_batch(resampled) -> None:
    found, seeds = resampled
    images, rows = draws(60.0, 12, seed=2), [7, 2]
    quantities = ("gini", "cas", "mid", "multiplicity", "g2", "asymmetries")
    alone = measure(images[rows], nothing(images[rows]), OPTICS, quantities, errors="full", seeds=seeds[rows])
    for name, values in alone.items():
        assert torch.equal(values.nan_to_num(-1.0), found[name][rows].nan_to_num(-1.0)), name


def test_drawn_noise_is_not_normal_or_the_same_for_two_objects() -> None:
    blank = torch.zeros(2, 64, 64)
    one, other = (noisier(blank, blank + 2, np.array([3, 4], np.uint64), draw) for draw in (0, 1))
    for drawn in (one[0], one[1], other[0]):
        assert abs(float(drawn.mean())) < 0.15
        assert 1.9 < float(drawn.std()) < 2.1
    for pair in ((one[0], one[1]), (one[0], other[0])):
        assert abs(np.corrcoef(*(drawn.flatten().numpy() for drawn in pair))[0, 1]) < 0.06


def test_errors_from_noisier_stamps_need_no_seeds() -> None:
    images = draws(60.0, 1)
    with pytest.raises(ValueError, match="seeds"):
        measure(images, nothing(images), OPTICS, (), errors="full")
