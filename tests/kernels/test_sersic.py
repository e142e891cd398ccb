"""Sérsic fits against GalSim's galaxies and a slow twin: what would put a wrong index or radius into a catalog."""

from __future__ import annotations

import math
from dataclasses import fields
from functools import cache

import galsim
import numpy as np
import pytest
import torch
from scipy import ndimage, optimize, special

from kernels.measure.fit_windows import Optics, fit_in_windows
from kernels.measure.profiles import Camera
from kernels.measure.sersic import SersicFit, fit
from kernels.measure.shapes import Ellipse

EXACT = galsim.GSParams(folding_threshold=1e-3, maxk_threshold=3e-4, maximum_fft_size=20_000)
MOFFAT = galsim.Moffat(beta=3.0, fwhm=3.4, gsparams=EXACT)
CPU = torch.device("cpu")


@cache
def moffat() -> torch.Tensor:
    return torch.from_numpy(MOFFAT.drawImage(nx=49, ny=49, scale=1, dtype=float).array.copy())


def drawn(galaxy: np.ndarray, side: int, *, through: galsim.GSObject | None = MOFFAT) -> np.ndarray:
    """GalSim's image of n, r_e, ratio, angle, x, y with unit flux."""
    n, r_e, ratio, angle, x, y = (float(value) for value in galaxy)
    light = galsim.Sersic(n, half_light_radius=r_e * math.sqrt(ratio), flux=1.0, gsparams=EXACT)
    light = light.shear(q=ratio, beta=angle * galsim.radians).shift(x - (side - 1) / 2, y - (side - 1) / 2)
    if through is not None:
        light = galsim.Convolve(light, through, gsparams=EXACT)
    return light.drawImage(nx=side, ny=side, scale=1, dtype=float).array


def population(count: int, side: int, seed: int) -> np.ndarray:
    """Galaxies (count, 6) with n from 0.5 to 5 and r_e from 2 to 8 pixels."""
    random = np.random.default_rng(seed)
    n = np.exp(random.uniform(math.log(0.5), math.log(5), count))
    shapes = [random.uniform(*span, count) for span in ((2, 8), (0.25, 1), (-math.pi / 2, math.pi / 2))]
    return np.stack([n, *shapes, *((side - 1) / 2 + random.uniform(-1.5, 1.5, (2, count)))], axis=1)


def starts(galaxies: np.ndarray) -> tuple[torch.Tensor, ...]:
    """What moments of the light would say, roughly."""
    _, r_e, ratio, angle, x, y = galaxies.T
    blurred = (np.stack([x + 0.4, y - 0.3], axis=1), np.hypot(r_e, 1.7), ratio**0.7, angle + 0.2)
    return tuple(torch.from_numpy(value) for value in blurred)


def fitted(images: np.ndarray | torch.Tensor, galaxies: np.ndarray, gain: float | None = None) -> SersicFit:
    images = torch.as_tensor(images)
    masked = torch.zeros(images.shape, dtype=torch.bool)
    return fit(images.float(), torch.ones(len(images)), masked, moffat(), *starts(galaxies), gain)


def as_shapes(galaxies: np.ndarray) -> torch.Tensor:
    n, r_e, ratio, angle, x, y = galaxies.T
    e = -np.log(ratio)
    parts = [x, y, np.log(r_e * np.sqrt(ratio)), np.log(n), e * np.cos(2 * angle), e * np.sin(2 * angle)]
    return torch.from_numpy(np.stack(parts, axis=1))


@pytest.mark.parametrize("side", [64, 96])
def test_noiseless_galaxy_is_not_recovered(side: int) -> None:
    galaxies = np.array(
        [
            [0.5, 3.0, 0.5, 0.4, 0.3, -0.2],
            [1.0, 8.0, 0.3, -1.2, 1.4, 0.1],
            [2.5, 4.0, 0.9, 1.5, -0.7, 0.6],
            [4.0, 6.0, 0.6, 0.0, 0.2, 0.2],
            [5.0, 2.5, 0.8, 0.8, -1.1, -0.4],
        ]
    )
    galaxies[:, 4:] += (side - 1) / 2
    images = 7.0 + 1e5 * np.stack([drawn(galaxy, side) for galaxy in galaxies])
    found = fitted(images, galaxies)
    assert found.converged.all()
    assert not found.at_limit.any()
    np.testing.assert_allclose(found.n, galaxies[:, 0], rtol=1e-3)
    np.testing.assert_allclose(found.r_e, galaxies[:, 1], rtol=1e-3)
    np.testing.assert_allclose(found.ratio, galaxies[:, 2], rtol=1e-3)
    np.testing.assert_allclose(found.angle, galaxies[:, 3], atol=2e-3)
    np.testing.assert_allclose(found.centre, galaxies[:, 4:], atol=1e-3)
    np.testing.assert_allclose(found.flux, 1e5, rtol=1e-3)
    np.testing.assert_allclose(found.sky, 7.0, atol=0.05)


def bright(side: int, galaxies: np.ndarray, sn: float) -> tuple[np.ndarray, np.ndarray]:
    """Images over noise of 1 whose pixels above 1.5 have this signal on average, and their fluxes."""
    images, fluxes = [], []
    for galaxy in galaxies:
        light = drawn(galaxy, side)

        def excess(log_flux: float, light: np.ndarray = light) -> float:
            seen = light * math.exp(log_flux)
            return float(seen[seen > 1.5].mean()) - sn

        fluxes.append(math.exp(optimize.brentq(excess, math.log(2 / light.max()), 16, xtol=1e-3)))
        images.append(light * fluxes[-1])
    return np.stack(images), np.array(fluxes)


def off(found: torch.Tensor, true: np.ndarray | float) -> np.ndarray:
    return found.numpy() / true - 1


def within(found: torch.Tensor, true: np.ndarray, share: float) -> float:
    return float((np.abs(off(found, true)) < share).mean())


def test_noisy_galaxies_are_biased() -> None:
    """Signal to noise of 12 a pixel; scatter below that is what the noise leaves of the information, not the fit."""
    galaxies = population(40, 64, seed=8)
    images, _ = bright(64, galaxies, 12.0)
    found = fitted(images + np.random.default_rng(1).normal(size=images.shape), galaxies)
    assert found.converged.all()
    assert np.median(np.abs(off(found.n, galaxies[:, 0]))) < 0.03
    assert abs(np.median(off(found.n, galaxies[:, 0]))) < 0.015
    assert abs(np.median(off(found.r_e, galaxies[:, 1]))) < 0.01
    assert within(found.n, galaxies[:, 0], 0.1) >= 0.9
    assert within(found.r_e, galaxies[:, 1], 0.05) >= 0.9
    assert float(found.chi2.mean()) == pytest.approx(1.0, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("side", [64, 96])
def test_scatter_exceeds_what_the_noise_explains(side: int) -> None:
    """Errors of ln n over those that the curvature of chi-squared foretells (Cramér & Rao)."""
    galaxies = population(200, side, seed=2)
    images, fluxes = bright(side, galaxies, 10.0)
    shapes, camera = as_shapes(galaxies), Camera(side, side, moffat(), CPU)
    found = fitted(images + np.random.default_rng(2).normal(size=images.shape), galaxies)
    pulls = []
    for shape, n, true, flux in zip(shapes, found.n, galaxies[:, 0], fluxes, strict=True):
        model = camera.render(shape[None], slopes=True)[0].flatten(1).double().numpy()
        columns = np.concatenate([model[:1], flux * model[1:], np.ones_like(model[:1])])
        error = math.sqrt(np.linalg.inv(columns @ columns.T)[4, 4])
        pulls.append(math.log(float(n) / true) / error)
    assert found.converged.float().mean() > 0.99
    assert np.std(pulls) < 1.15
    assert abs(np.mean(pulls)) < 0.2
    assert np.median(np.abs(off(found.n, galaxies[:, 0]))) < 0.05
    assert within(found.n, galaxies[:, 0], 0.1) > 0.9


@pytest.mark.parametrize("n", [0.5, 1.0, 2.5, 4.0, pytest.param(6.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize("ratio", [1.0, 0.3])
def test_model_differs_from_galsims(n: float, ratio: float) -> None:
    galaxies = np.array([[n, r_e, ratio, 0.6, 33.0, 31.1] for r_e in (1.0, 4.0, 16.0)])
    models = Camera(64, 64, moffat(), CPU).render(as_shapes(galaxies))[:, 0].numpy()
    for model, galaxy in zip(models, galaxies, strict=True):
        wanted = drawn(galaxy, 64)
        np.testing.assert_allclose(model, wanted, atol=1e-3 * wanted.max())
        assert np.median(np.abs(model / wanted - 1)[wanted > 0.01 * wanted.max()]) < 2e-3


def test_pixels_are_points_without_a_psf() -> None:
    galaxy = np.array([1.0, 3.0, 0.6, 0.6, 16.2, 15.1])
    model = Camera(32, 32, None, CPU).render(as_shapes(galaxy[None]))[0, 0].numpy()
    wanted = drawn(galaxy, 32, through=None)
    np.testing.assert_allclose(model, wanted, atol=2e-3 * wanted.max())


@pytest.mark.parametrize("binned", [False, True])
def test_slopes_are_not_those_of_the_model(binned: bool) -> None:
    camera = Camera(40, 48, moffat(), CPU, binned=binned)
    shapes = as_shapes(population(6, 40, seed=4))
    images = camera.render(shapes, slopes=True).double()
    np.testing.assert_allclose(camera.render(shapes)[:, 0], images[:, 0], atol=1e-8)
    for i in range(6):
        step = torch.zeros(6, dtype=torch.float64)
        step[i] = 0.01
        slope = (camera.render(shapes + step)[:, 0].double() - camera.render(shapes - step)[:, 0]) / 0.02
        largest = slope.abs().amax(dim=(1, 2), keepdim=True)
        assert ((images[:, 1 + i] - slope) / largest).abs().max() < 1e-3


def slow_model(parameters: np.ndarray, side: int, sigma: float) -> np.ndarray:
    """A profile on pixels of 1/5, blurred by a Gaussian."""
    parts, margin = 5, 8
    x0, y0, log_radius, log_n, e1, e2 = parameters[:6]
    n, b = math.exp(log_n), special.gammaincinv(2 * math.exp(log_n), 0.5)
    e = math.hypot(e1, e2)
    r_e, ratio, angle = math.exp(log_radius + e / 2), math.exp(-e), math.atan2(e2, e1) / 2
    place = (np.arange((side + 2 * margin) * parts) + 0.5) / parts - 0.5 - margin
    x, y = place - x0, place[:, None] - y0
    along = math.cos(angle) * x + math.sin(angle) * y
    across = (math.cos(angle) * y - math.sin(angle) * x) / ratio
    light = np.exp(-b * ((np.hypot(along, across) / r_e) ** (1 / n)))
    total = 2 * math.pi * n * r_e**2 * ratio * b ** (-2 * n) * special.gamma(2 * n)
    seen = ndimage.gaussian_filter(light / total, sigma * parts, truncate=5, mode="nearest")
    return seen[margin * parts + parts // 2 :: parts, margin * parts + parts // 2 :: parts][:side, :side]


def test_fit_differs_from_slow_twins() -> None:
    side, sigma = 28, 1.4
    line = np.arange(21) - 10.0
    psf = np.exp(-(line**2 + line[:, None] ** 2) / (2 * sigma**2)) / (2 * math.pi * sigma**2)
    galaxies = np.array([[0.8, 3.0, 0.6, 0.5, 13.2, 14.1], [1.5, 2.5, 0.8, -0.9, 14.0, 13.1]])
    shapes = as_shapes(galaxies).numpy()
    noise = np.random.default_rng(6).normal(size=(2, side, side))
    images = 4.0 + 4000 * np.stack([slow_model(shape, side, sigma) for shape in shapes]) + noise
    masked = np.random.default_rng(7).random(images.shape) < 0.1
    found = fit(
        torch.from_numpy(images),
        torch.ones(2),
        torch.from_numpy(masked),
        torch.from_numpy(psf),
        *starts(galaxies),
    )
    for i in range(2):

        def left(parameters: np.ndarray, i: int = i) -> np.ndarray:
            model = parameters[6] * slow_model(parameters, side, sigma) + parameters[7]
            return (images[i] - model)[~masked[i]]

        first = np.concatenate([shapes[i], [4000.0, 4.0]])
        wanted = optimize.least_squares(left, first, x_scale=[1, 1, 1, 1, 1, 1, 1e3, 1], diff_step=1e-4)
        assert float(found.chi2[i]) == pytest.approx(2 * wanted.cost / (len(wanted.fun) - 8), rel=1e-4)
        assert float(found.n[i]) == pytest.approx(math.exp(wanted.x[3]), rel=5e-3)
        assert float(found.flux[i]) == pytest.approx(wanted.x[6], rel=2e-3)
        np.testing.assert_allclose(found.centre[i], wanted.x[:2], atol=3e-3)


@pytest.mark.parametrize("side", [48, 65, 84])
def test_fit_depends_on_its_batch(side: int) -> None:
    galaxies = population(21, side, seed=5)
    camera = Camera(side, side, moffat(), CPU)
    images = 3000 * camera.render(as_shapes(galaxies))[:, 0] + torch.from_numpy(
        np.random.default_rng(3).normal(size=(21, side, side))
    )
    images[3] = torch.nan
    together = fitted(images, galaxies)
    for rows in ([0], [7], [3, 20], list(range(20, -1, -1))):
        apart = fitted(images[rows], galaxies[rows])
        for field in fields(SersicFit):
            torch.testing.assert_close(
                getattr(apart, field.name),
                getattr(together, field.name)[rows],
                rtol=0,
                atol=0,
                equal_nan=True,
            )


def test_photons_of_the_object_count_as_misfit() -> None:
    galaxies, gain = population(16, 48, seed=9), 0.5
    light = 2e4 * Camera(48, 48, moffat(), CPU).render(as_shapes(galaxies))[:, 0].double().numpy()
    random = np.random.default_rng(4)
    images = random.poisson(light.clip(0) * gain) / gain + random.normal(size=light.shape)
    with_gain, without = fitted(images, galaxies, gain), fitted(images, galaxies)
    assert float(with_gain.chi2.mean()) == pytest.approx(1.0, abs=0.05)
    assert without.chi2.min() > 2
    error, careless = (np.abs(off(found.n, galaxies[:, 0])).mean() for found in (with_gain, without))
    assert error < careless
    assert abs(np.median(off(with_gain.flux, 2e4))) < 0.02


def test_neighbour_or_bad_pixel_is_fitted() -> None:
    galaxies = population(4, 48, seed=10)
    images = 1e4 * Camera(48, 48, moffat(), CPU).render(as_shapes(galaxies))[:, 0]
    masked = torch.zeros(images.shape, dtype=torch.bool)
    masked[:, 30:40, 5:15] = True
    masked[:, :, 26:28] = True
    spoilt = images.clone()
    spoilt[masked] = 1e6
    spoilt[:, 22, 20] = torch.nan  # counts for nothing without being masked
    before = spoilt.clone()
    found = fit(spoilt, torch.ones(4), masked, moffat(), *starts(galaxies))
    np.testing.assert_allclose(found.n, galaxies[:, 0], rtol=2e-3)
    torch.testing.assert_close(spoilt, before, rtol=0, atol=0, equal_nan=True)


def test_stamp_without_a_galaxy_has_a_profile() -> None:
    side, light = 64, torch.from_numpy(drawn(np.array([1.5, 4.0, 0.6, 0.5, 31.5, 31.5]), 64)) * 3e4
    noise = torch.from_numpy(np.random.default_rng(5).normal(size=(10, side, side)))
    images, masked = noise.clone(), torch.zeros(10, side, side, dtype=torch.bool)
    level, start = torch.ones(10), torch.tensor([[31.5, 31.5, 5.0, 0.8, 0.2]]).repeat(10, 1)
    images[0] = 0.0
    masked[1] = True
    images[2] = torch.nan
    images[3] -= light
    images[4] += light
    start[4, 0] = torch.nan
    images[5] += light
    level[5] = torch.nan
    images[6] += light
    masked[6] = True
    masked[6, 30:33, 30:34] = False
    images[7] += 1e4 * torch.from_numpy(
        MOFFAT.shift(0.2, 0.4).drawImage(nx=side, ny=side, scale=1, dtype=float).array.copy()
    )
    images[8, 31, 31:34] += 80
    images[9] += light + 0.9 * light.roll((9, 5), (0, 1))
    found = fit(images, level, masked, moffat(), start[:, :2], *start[:, 2:].unbind(1))
    for field in fields(SersicFit):
        values = getattr(found, field.name)[:7]
        assert not values.any() if values.dtype == torch.bool else values.isnan().all()
    assert found.at_limit[7:9].all()
    assert not found.converged[7:9].any()
    assert found.chi2[9] > 10


def test_point_of_no_size_has_a_profile() -> None:
    for shape in ((0, 8, 8), (2, 1, 1), (2, 3, 5)):
        count = torch.ones(shape[0])
        found = fit(
            torch.ones(shape),
            count,
            torch.zeros(shape, dtype=torch.bool),
            None,
            torch.ones(shape[0], 2),
            count,
            count,
            count,
        )
        assert found.n.shape == (shape[0],)
        assert found.n.isnan().all()


def test_object_without_noise_has_a_chi2() -> None:
    galaxies = population(2, 40, seed=11)
    images = 50 * Camera(40, 40, moffat(), CPU).render(as_shapes(galaxies))[:, 0]
    found = fit(
        images, torch.zeros(2), torch.zeros(images.shape, dtype=torch.bool), moffat(), *starts(galaxies), 3.0
    )
    np.testing.assert_allclose(found.n, galaxies[:, 0], rtol=2e-3)
    assert found.chi2.isnan().all()


def test_known_sky_pulls_at_a_profile_whose_wings_fill_the_stamp() -> None:
    galaxies = np.array([[4.0, 14.0, 0.8, 0.4, 31.7, 31.2]] * 12)
    image = drawn(galaxies[0], 64)
    random = np.random.default_rng(4)
    images = torch.from_numpy(60 * image / image.max() + random.normal(size=(12, 64, 64))).float()
    masked, noise = torch.zeros(images.shape, dtype=torch.bool), torch.ones(12)
    free, known = (fit(images, noise, masked, moffat(), *starts(galaxies), None, sky) for sky in (0.0, 400.0))
    assert (known.sky.abs() < free.sky.abs()).float().mean() > 0.8
    spread = [float((found.r_e.log() - math.log(14)).abs().median()) for found in (free, known)]
    assert spread[1] < 0.7 * spread[0]
    # zero is what the level is pulled to: as 400 pixels of nothing would
    level = fit(images + 1.0, noise, masked, moffat(), *starts(galaxies), None, 1e9).sky
    assert level.abs().max() < 1e-4


def test_window_moves_a_profile_or_cuts_it_off() -> None:
    """Small objects in large stamps are fitted on windows: of 64 pixels, of 96, or on the whole stamp."""
    galaxies = population(24, 160, 7)
    random = np.random.default_rng(3)
    galaxies[:, 4:] += random.uniform(-50, 50, (24, 2))
    galaxies[:, 0] = galaxies[:, 0].clip(0.7, 3)
    images = np.stack([2000 * drawn(g, 160) for g in galaxies]) + 0.5 * random.normal(size=(24, 160, 160))
    images = torch.from_numpy(images).float()
    masked, noise = torch.zeros(images.shape, dtype=torch.bool), torch.full((24,), 0.5)
    optics, (centre, size, ratio, angle) = Optics(moffat(), 3.4), starts(galaxies)
    shape, reach = Ellipse(centre, ratio, angle), 2.2 * torch.from_numpy(galaxies[:, 1])
    size = size * ratio.sqrt()
    near, far = (
        fit_in_windows(images, noise, masked, optics, centre, size, far_away, shape)
        for far_away in (reach, torch.full_like(reach, torch.nan))
    )
    np.testing.assert_allclose(near.centre, galaxies[:, 4:], atol=0.2)
    np.testing.assert_allclose(near.centre, far.centre, atol=0.05)
    assert near.converged.all()
    assert far.converged.all()
    for one, other in ((near.r_e, far.r_e), (near.n, far.n)):
        np.testing.assert_allclose(one, other, rtol=0.06)
        assert float((one / other - 1).abs().median()) < 0.01
    # as close to one as that of thousands of pixels, though hundreds of bins are fitted
    np.testing.assert_allclose(near.chi2, 1, atol=0.07)
    np.testing.assert_allclose(far.chi2, 1, atol=0.035)
    assert float((near.r_e / torch.from_numpy(galaxies[:, 1]) - 1).abs().median()) < 0.05
