"""Measured morphology against slow twins: what would put a wrong number into a catalog."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from kernels.measure.asymmetry import asymmetry, sky_asymmetry
from kernels.measure.flood import flood
from kernels.measure.gini import gini, m20
from kernels.measure.growth import grow
from kernels.measure.shapes import ellipse
from kernels.segmentation.segments import segment

SIDE = 48


def draw() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def galaxies(n: int, noise: float = 0.0) -> torch.Tensor:
    """Inclined exponential discs off the middle of their stamps, central surface brightness 100."""
    generator = draw()
    line = torch.arange(SIDE) - (SIDE - 1) / 2
    x0, y0 = (6 * torch.rand(2, n, 1, 1, generator=generator) - 3).unbind(0)
    turn = math.pi * torch.rand(n, 1, 1, generator=generator)
    ratio, scale = (
        0.3 + 0.6 * torch.rand(n, 1, 1, generator=generator),
        2 + 2 * torch.rand(n, 1, 1, generator=generator),
    )
    x, y = line - x0, line[:, None] - y0
    along, across = turn.cos() * x + turn.sin() * y, (turn.cos() * y - turn.sin() * x) / ratio
    light = 100 * torch.exp(-torch.hypot(along, across) / scale)
    return light + noise * torch.randn(light.shape, generator=generator)


def nothing(images: torch.Tensor) -> torch.Tensor:
    return torch.zeros(images.shape, dtype=torch.bool)


def test_region_grows_over_a_gap_or_stops_short() -> None:
    within = (
        torch.rand(30, SIDE, SIDE - 5, generator=draw()) < 0.45
    )  # near the percolation threshold: long, thin regions
    seeds = torch.rand(within.shape, generator=draw()) < 0.002
    found = (seeds & within).numpy()
    flood(found, within.numpy())
    for region, seed, allowed in zip(found, seeds.numpy(), within.numpy(), strict=True):
        labels, _ = ndimage.label(allowed, structure=np.ones((3, 3)))
        wanted = np.isin(labels, np.unique(labels[seed & allowed])) & allowed
        np.testing.assert_array_equal(region, wanted)


def test_neighbour_is_taken_for_the_object() -> None:
    images = galaxies(20, noise=1.0)
    images[:, 2:6, 2:6] += 60
    parts = segment(images[:, None], nothing(images)[:, None])
    assert parts.found.all()
    assert parts.others[:, 3:5, 3:5].all()
    assert not parts.central[:, :7, :7].any()
    assert parts.central[galaxies(20) > 10].all()
    assert not (parts.central & parts.others).any()


def test_noise_is_an_object() -> None:
    images = torch.randn(300, SIDE, SIDE, generator=draw())
    parts = segment(images[:, None], nothing(images)[:, None])
    assert parts.found.float().mean() < 0.1
    assert not parts.others.any()
    blank = segment(torch.zeros(2, 1, SIDE, SIDE), nothing(images[:2])[:, None])
    assert not blank.found.any()
    assert not blank.central.any()


def exact(image: np.ndarray, centre: np.ndarray, radius: float, parts: int = 25) -> float:
    """Flux in a circle, pixels in parts."""
    fine = np.repeat(np.repeat(image, parts, 0), parts, 1) / parts**2
    place = (np.arange(SIDE * parts) + 0.5) / parts - 0.5
    return float(fine[np.hypot(place - centre[0], place[:, None] - centre[1]) <= radius].sum())


@pytest.mark.parametrize(("radius", "percent"), [(1.0, 2.0), (2.5, 0.6), (6.0, 0.5), (15.0, 0.4)])
def test_pixels_on_the_circle_count_in_full(radius: float, percent: float) -> None:
    images = galaxies(12, noise=2.0)
    centre = 23.5 + 4 * torch.rand(12, 2, generator=draw()) - 2
    curve = grow(images, nothing(images), centre)
    flux, area = curve.within(torch.full((12,), radius))
    wanted = [exact(image.numpy(), c.numpy(), radius) for image, c in zip(images, centre, strict=True)]
    np.testing.assert_allclose(flux.numpy(), wanted, rtol=percent / 100)
    np.testing.assert_allclose(area.numpy(), math.pi * radius**2, rtol=percent / 100)


def test_radii_of_an_exponential_disc() -> None:
    """Half of the flux within 1.678 scale lengths; the Petrosian radius by its definition."""
    line = torch.arange(101) - 50.0
    scale = torch.tensor([3.0, 5.0])[:, None, None]
    images = torch.exp(-torch.hypot(line, line[:, None]) / scale)
    curve = grow(images, torch.zeros(images.shape, dtype=torch.bool), torch.full((2, 2), 50.0))
    half = curve.radius(0.5, torch.full((2,), 49.0))
    np.testing.assert_allclose(half.numpy(), 1.678 * scale[:, 0, 0].numpy(), rtol=0.01)
    u = np.linspace(0.1, 10, 100_000)
    eta = np.exp(-u) * u**2 / (2 * (1 - (1 + u) * np.exp(-u)))
    wanted = u[np.argmax(eta < 0.2)] * scale[:, 0, 0].numpy()
    np.testing.assert_allclose(curve.petrosian.numpy(), wanted, rtol=0.01)


@pytest.mark.parametrize("guess", [0.0, 6.0, 13.0, 1000.0])
def test_guess_of_the_reach_changes_a_curve_where_it_is_read(guess: float) -> None:
    """Too small, about right, or beyond the stamp: up to 1.75 Petrosian radii, where there is one, each bit is that of the whole curve."""
    images = galaxies(12, noise=2.0)
    images[0] = 0  # no radius: looked at whole
    centre, ratio, angle = torch.full((12, 2), 23.2), torch.linspace(0.3, 1, 12), torch.linspace(-1, 1, 12)
    whole = grow(images, nothing(images), centre, ratio, angle)
    part = grow(images, nothing(images), centre, ratio, angle, torch.full((12,), guess))
    assert whole.petrosian.isfinite().sum() > 6
    assert torch.equal(part.petrosian.nan_to_num(-1), whole.petrosian.nan_to_num(-1))
    for times in (0.3, 1.0, 1.75):
        for one, other in zip(
            part.within(times * whole.petrosian), whole.within(times * whole.petrosian), strict=True
        ):
            assert torch.equal(one.nan_to_num(-1), other.nan_to_num(-1))


def test_masked_pixels_count() -> None:
    images = galaxies(5)
    masked = torch.rand(images.shape, generator=draw()) < 0.2
    centre = torch.full((5, 2), 23.5)
    spoilt = torch.where(masked, torch.nan, images)
    flux, area = grow(spoilt, masked, centre).within(torch.full((5,), 40.0))
    np.testing.assert_allclose(
        flux.numpy(), torch.where(masked, 0, images).sum(dim=(1, 2)).numpy(), rtol=1e-5
    )
    np.testing.assert_allclose(area.numpy(), (~masked).sum(dim=(1, 2)).numpy(), rtol=1e-5)


def test_blank_stamp_has_radii() -> None:
    curve = grow(
        torch.zeros(1, SIDE, SIDE), torch.zeros(1, SIDE, SIDE, dtype=torch.bool), torch.full((1, 2), 20.0)
    )
    petrosian = curve.petrosian
    assert petrosian.isnan().all()
    assert curve.radius(0.5, 1.5 * petrosian).isnan().all()
    nowhere = grow(galaxies(2), nothing(galaxies(2)), torch.tensor([[20.0, 20.0], [torch.nan, torch.nan]]))
    assert nowhere.petrosian.isfinite().tolist() == [True, False]


def test_gini_differs_from_its_definition() -> None:
    images = galaxies(6, noise=3.0)
    region = torch.rand(images.shape, generator=draw()) < 0.1
    for image, pixels, found in zip(images.numpy(), region.numpy(), gini(images, region), strict=True):
        values = np.abs(image[pixels]).astype(float)
        apart = np.abs(values[:, None] - values).sum()
        assert float(found) == pytest.approx(
            apart / (2 * values.mean() * len(values) * (len(values) - 1)), rel=1e-6
        )
    assert gini(images, nothing(images)).isnan().all()
    assert gini(torch.ones(1, 4, 4), torch.ones(1, 4, 4, dtype=torch.bool)).item() == pytest.approx(
        0, abs=1e-12
    )


def test_m20_differs_from_its_definition() -> None:
    images = galaxies(6, noise=1.0)
    region = images > 5
    y, x = np.mgrid[:SIDE, :SIDE]
    for image, pixels, found in zip(
        images.double().numpy(), region.numpy(), m20(images, region), strict=True
    ):
        light = np.where(pixels, image, 0)
        moments = light * (
            (x - (light * x).sum() / light.sum()) ** 2 + (y - (light * y).sum() / light.sum()) ** 2
        )
        brightest, flux = 0.0, 0.0
        for place in np.argsort(-light.ravel()):
            if flux >= 0.2 * light.sum():
                break
            flux, brightest = flux + light.ravel()[place], brightest + moments.ravel()[place]
        assert float(found) == pytest.approx(np.log10(brightest / moments.sum()), abs=0.03)
    assert m20(-images, region).isnan().all()


def test_ellipse_is_turned_or_flattened() -> None:
    line = torch.arange(SIDE) - (SIDE - 1) / 2
    angle = torch.tensor([0.3, -1.2, 1.5])
    c, s = angle.cos()[:, None, None], angle.sin()[:, None, None]
    x, y = line - 1.25, line[:, None] + 0.5
    images = torch.exp(-((c * x + s * y) ** 2 / 50 + (c * y - s * x) ** 2 / 18))
    found = ellipse(images, torch.ones(images.shape, dtype=torch.bool))
    np.testing.assert_allclose(found.centre.numpy(), [[24.75, 23.0]] * 3, atol=1e-4)
    np.testing.assert_allclose(found.ratio.numpy(), 0.6, atol=1e-3)
    np.testing.assert_allclose(found.angle.numpy(), angle.numpy(), atol=1e-3)


def test_shape_without_light_is_a_number() -> None:
    empty = ellipse(torch.ones(1, 8, 8), torch.zeros(1, 8, 8, dtype=torch.bool))
    assert empty.ratio.isnan().all()
    assert empty.centre.isnan().all()
    pixel = torch.zeros(1, 8, 8)
    pixel[0, 3, 4] = 2.0
    one = ellipse(pixel, pixel > 0)
    assert one.ratio.item() == pytest.approx(1.0)


def everywhere(images: torch.Tensor, value: float) -> torch.Tensor:
    return torch.full((len(images),), value)


def test_symmetric_galaxy_is_asymmetric_or_its_centre_is_missed() -> None:
    sharp = galaxies(20).numpy()  # cusps that no interpolation turns well
    images = torch.from_numpy(ndimage.gaussian_filter(sharp, (0, 1.5, 1.5)))
    weight = images / images.sum(dim=(1, 2), keepdim=True)
    line = torch.arange(SIDE, dtype=torch.float32)
    middle = torch.stack(
        [(weight.sum(dim=1) * line).sum(dim=1), (weight.sum(dim=2) * line).sum(dim=1)], dim=1
    )
    found = asymmetry(
        images, nothing(images), middle + 1.4, everywhere(images, 12.0), everywhere(images, 0.0)
    )
    assert found.value.max() < 0.05
    assert (found.centre - middle).abs().max() < 0.3


def test_asymmetry_differs_from_its_definition() -> None:
    """At the centre that was found, and no other place on a fine grid is better by more than the grid."""
    images = galaxies(4)
    images[:, 20:26, 30:34] += 40
    radius, masked = 15.0, nothing(images)
    found = asymmetry(
        images, masked, torch.full((4, 2), 23.0), everywhere(images, radius), everywhere(images, 0.0)
    )
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    for image, value, centre in zip(
        images.double().numpy(), found.value, found.centre.double().numpy(), strict=True
    ):

        def at(cx: float, cy: float, image: np.ndarray = image) -> float:
            turned = ndimage.map_coordinates(image, [2 * cy - y, 2 * cx - x], order=1)
            inside = np.clip(radius + 0.5 - np.hypot(x - cx, y - cy), 0, 1)
            return float((np.abs(image - turned) * inside).sum() / (np.abs(image) * inside).sum())

        assert float(value) == pytest.approx(at(*centre), rel=1e-3)
        grid = [at(cx, cy) for cx in np.arange(20, 28, 0.5) for cy in np.arange(20, 28, 0.5)]
        assert float(value) < min(grid) + 0.01


def test_asymmetry_of_the_sky_is_the_objects() -> None:
    images = galaxies(60, noise=1.0)
    sky = sky_asymmetry(images, galaxies(60) < 0.1)
    np.testing.assert_allclose(
        sky.mean().item(), 2 / math.sqrt(math.pi), rtol=0.02
    )  # E |a - b| of two Gaussians
    centre, radius = torch.full((60, 2), 23.5), everywhere(images, 14.0)
    with_sky, without = (
        asymmetry(images, nothing(images), centre, radius, level).value for level in (sky, 0 * sky)
    )
    assert without.median() > 0.05
    assert with_sky.median().abs() < 0.05


def test_asymmetry_without_light_or_centre_is_a_number() -> None:
    images = torch.stack([torch.zeros(SIDE, SIDE), galaxies(1)[0], galaxies(1)[0]])
    centre = torch.tensor([[20.0, 20.0], [torch.nan, 20.0], [23.0, 23.0]])
    masked = nothing(images)
    masked[2, 10:14] = True
    images[2, 12, 12] = torch.nan
    found = asymmetry(images, masked, centre, everywhere(images, 8.0), everywhere(images, 0.0))
    assert found.value.isfinite().tolist() == [False, False, True]
    assert found.centre[1].isnan().all()
