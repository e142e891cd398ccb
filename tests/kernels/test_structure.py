"""Psi, G2, other asymmetries and colours: against slow twins, and what must not move them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from kernels.measure.asymmetry import sky_asymmetry
from kernels.measure.colours import matched
from kernels.measure.g2 import g2
from kernels.measure.growth import grow
from kernels.measure.multiplicity import multiplicity
from kernels.measure.other_asymmetries import other_asymmetries
from kernels.measure.shapes import Ellipse
from kernels.segmentation.segments import segment

SIDE = 33
MIDDLE = (SIDE - 1) / 2


def blob(x: float, y: float, sigma: float, peak: float) -> torch.Tensor:
    line = torch.arange(SIDE)
    return peak * torch.exp(-((line - x) ** 2 + (line[:, None] - y) ** 2) / (2 * sigma**2))[None]


ONE = blob(MIDDLE, MIDDLE, 3.0, 100.0)
TWO = blob(10, MIDDLE, 2.0, 100.0) + blob(22, MIDDLE, 2.0, 90.0) + blob(MIDDLE, MIDDLE, 6.0, 5.0)


def energy(values: np.ndarray, places: np.ndarray) -> float:
    apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    return float((values[:, None] * values[None] / apart).sum())


@pytest.mark.parametrize("image", [ONE, TWO])
def test_psi_is_another_than_that_of_all_pairs(image: torch.Tensor) -> None:
    region = image > 2
    places = np.argwhere(region[0].numpy())
    values = image[0].numpy()[region[0].numpy()]
    grid = np.argwhere(np.ones((61, 61))) - 30
    inside = grid[np.lexsort((grid[:, 1], grid[:, 0], (grid**2).sum(axis=1)))][: len(values)]
    expected = 100 * np.log10(energy(np.sort(values)[::-1], inside) / energy(values, places))
    assert float(multiplicity(image, region)) == pytest.approx(expected, rel=1e-4, abs=1e-3)


def test_two_nuclei_are_as_compact_as_one() -> None:
    assert float(multiplicity(ONE, ONE > 2)) < 1.0
    assert float(multiplicity(TWO, TWO > 2)) > 5.0


def test_psi_of_a_large_region_is_another_than_that_of_the_same_one_small() -> None:
    large = torch.from_numpy(ndimage.zoom(TWO[0].numpy(), 3, order=1))[None]
    small = float(multiplicity(TWO, TWO > 2))
    assert float(multiplicity(large, large > 2)) == pytest.approx(small, rel=0.1)


def test_psi_or_g2_of_nothing() -> None:
    none = torch.zeros_like(ONE, dtype=torch.bool)
    assert multiplicity(ONE, none).isnan().all()
    assert g2(ONE, none, torch.tensor([[MIDDLE, MIDDLE]])).isnan().all()


def test_g2_of_a_symmetric_galaxy_is_not_zero_nor_that_of_noise_large() -> None:
    centre = torch.tensor([[MIDDLE, MIDDLE]])
    everywhere = torch.ones_like(ONE, dtype=torch.bool)
    assert float(g2(ONE, everywhere, centre)) < 0.05
    noise = torch.randn(ONE.shape, generator=torch.Generator().manual_seed(1))
    assert float(g2(noise, everywhere, centre)) > 1.8


def others(image: torch.Tensor, noise: float = 1.0) -> dict[str, float]:
    centre = torch.tensor([[MIDDLE, MIDDLE]], dtype=torch.float64)
    shape = Ellipse(
        centre, torch.tensor([0.8], dtype=torch.float64), torch.tensor([0.3], dtype=torch.float64)
    )
    none = torch.zeros_like(image, dtype=torch.bool)
    ellipses = grow(image, none, centre, shape.ratio, shape.angle)
    level = torch.full((1, 1, 1), noise, dtype=torch.float64)
    sky = torch.zeros(1, dtype=torch.float64)
    found = other_asymmetries(image, none, level, shape, torch.tensor([12.0]), ellipses, sky)
    return {name: float(values) for name, values in vars(found).items()}


def test_symmetric_light_is_asymmetric() -> None:
    for name, value in others(ONE).items():
        assert abs(value) < 1e-2, name


def test_shape_asymmetry_is_another_than_that_of_the_mask() -> None:
    image = ONE + blob(26, 20, 1.5, 30.0)
    mask = ndimage.label(ndimage.uniform_filter(image[0].numpy(), 3, mode="constant") > 1, np.ones((3, 3)))[0]
    mask = (mask == mask[16, 16]).astype(float)
    expected = np.abs(mask - mask[::-1, ::-1]).sum() / mask.sum()
    found = others(image)
    assert found["shape_asymmetry"] == pytest.approx(expected, abs=0.02)
    assert found["outer_asymmetry"] > 0.2
    assert found["rms_asymmetry2"] > 0


def test_noise_alone_makes_outskirts_asymmetric() -> None:
    noisy = ONE + torch.randn(ONE.shape, generator=torch.Generator().manual_seed(3))
    noisy = torch.cat([noisy, ONE])
    sky = torch.hypot(torch.arange(SIDE) - MIDDLE, torch.arange(SIDE)[:, None] - MIDDLE)[None] > 13
    centre = torch.tensor([[MIDDLE + 0.25, MIDDLE - 0.1]], dtype=torch.float64).expand(2, 2)
    shape = Ellipse(centre, torch.ones(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64))
    none = torch.zeros_like(noisy, dtype=torch.bool)
    ellipses = grow(noisy, none, centre, shape.ratio, shape.angle)
    level = torch.tensor([1.0, 0.0], dtype=torch.float64).view(2, 1, 1)
    turned = sky_asymmetry(noisy, sky.expand(2, -1, -1))
    found = other_asymmetries(noisy, none, level, shape, torch.full((2,), 12.0), ellipses, turned)
    assert abs(float(found.rms_asymmetry2[0] - found.rms_asymmetry2[1])) < 0.01


def together(stamps: torch.Tensor, noise: float = 1.0) -> object:
    bad = torch.zeros_like(stamps, dtype=torch.bool)
    centre, radius = torch.full((1, 2), MIDDLE), torch.tensor([9.0])
    return matched(stamps, bad, segment(stamps, bad), centre, radius, [None] * stamps.shape[1])


def test_object_of_one_colour_has_a_dispersion_or_its_flux_is_lost() -> None:
    random = torch.Generator().manual_seed(2)
    noise = torch.randn(1, 3, SIDE, SIDE, generator=random)
    stamps = torch.stack([ONE, 2 * ONE, 0.5 * ONE + blob(20, MIDDLE, 1.5, 20.0)], dim=1) + noise
    found = together(stamps)
    inside = torch.hypot(torch.arange(SIDE) - MIDDLE, torch.arange(SIDE)[:, None] - MIDDLE) < 9
    true = [float(ONE[0][inside].sum()) * scale for scale in (1, 2)]
    for band in (0, 1):
        assert abs(float(found.flux[0, band]) - true[band]) < 4 * float(found.flux_error[0, band])
    assert float(found.flux_error[0, 0]) == pytest.approx((np.pi * 81) ** 0.5, rel=0.1)
    assert abs(float(found.dispersion[0, 0])) < 5 * float(found.dispersion_error[0, 0]) < 0.01
    assert float(found.dispersion[0, 1]) > 0.02
