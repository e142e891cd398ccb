"""PSFs of their own for every object: what would give one the fit of another's PSF, or other bits in another batch."""

from __future__ import annotations

import math
from dataclasses import fields
from functools import cache

import galsim
import numpy as np
import pytest
import torch
from scipy import ndimage

from kernels.measure.fit_windows import Optics, fit_in_windows
from kernels.measure.flags import MeasureFlag
from kernels.measure.morphology import measure
from kernels.measure.profiles import Camera
from kernels.measure.psf import PSF, full_width, gaussian
from kernels.measure.sersic import SersicFit, fit
from kernels.measure.shapes import Ellipse
from kernels.measure.transfer import FARTHEST, reach
from tests.kernels.test_sersic import CPU, as_shapes, drawn, off, population, starts

SIDE = 48
WIDTHS = (2.0, 2.6, 3.3, 4.1, 5.0)


@cache
def moffat(fwhm: float, side: int = 41) -> torch.Tensor:
    light = galsim.Moffat(beta=3.0, fwhm=fwhm)
    return torch.from_numpy(light.drawImage(nx=side, ny=side, scale=1, dtype=float).array.copy()).float()


def odd_psfs() -> list[torch.Tensor]:
    """Round and long ones, off the centre, with noise, of even and oblong shape, larger than a period of the transform."""
    random = np.random.default_rng(3)
    found = [gaussian(fwhm) for fwhm in (0.3, 1.0, 1.7, 2.5, 3.6, 5.0, 8.0, 20.0, 70.0)]
    found += [moffat(fwhm) for fwhm in WIDTHS] + [moffat(3.0, 40), moffat(6.0, 140)]
    found += [moffat(3.0)[4:-3, 9:], moffat(2.5) + torch.from_numpy(random.normal(0, 1e-4, (41, 41))).float()]
    light = galsim.Moffat(beta=2.5, fwhm=3).shear(q=0.4, beta=0.6 * galsim.radians).shift(0.4, -0.3)
    found.append(torch.from_numpy(light.drawImage(nx=31, ny=31, scale=1).array.copy()))
    return found


def test_width_or_reach_is_another_than_the_slow_formula_says() -> None:
    for psf in odd_psfs():
        image = psf.double().numpy()
        fine = ndimage.zoom(image, 8, order=3, grid_mode=True, mode="nearest")
        assert full_width(psf) == 2 * np.sqrt((fine > fine.max() / 2).sum() / math.pi) / 8
        k = np.linspace(-math.pi, math.pi, 129)
        y, x = (np.arange(size) - (size - 1) / 2 for size in image.shape)
        seen = (
            np.abs(np.exp(-1j * k[64:, None] * y) @ image @ np.exp(-1j * x[:, None] * k)) > 1e-4 * image.sum()
        )
        farthest = np.maximum(k[64:, None], np.abs(k))[seen].max()
        assert reach(psf.double()) == pytest.approx(farthest + math.pi / 64, abs=1e-12)
        assert (
            0.8 * PSF(psf).reach
            <= reach(psf) * (1 + 1e-9)
            <= PSF(psf).reach * (1 + 2e-9)
            <= FARTHEST * (1 + 3e-9)
        )


def seen_through(psfs: list[torch.Tensor], galaxies: np.ndarray, flux: float = 3000.0) -> torch.Tensor:
    """Galaxies each through its PSF, over noise of 1."""
    light = [
        Camera(SIDE, SIDE, psf.double(), CPU).render(as_shapes(galaxies[i : i + 1]))[0, 0]
        for i, psf in enumerate(psfs)
    ]
    noise = np.random.default_rng(9).normal(size=(len(psfs), SIDE, SIDE))
    return flux * torch.stack(light) + torch.from_numpy(noise).float()


def fitted(images: torch.Tensor, galaxies: np.ndarray, optics: Optics) -> SersicFit:
    centre, size, ratio, angle = starts(galaxies)
    none, masked = torch.full_like(size, torch.nan), torch.zeros(images.shape, dtype=torch.bool)
    shape = Ellipse(centre, ratio, angle)
    return fit_in_windows(
        images, torch.ones(len(images)), masked, optics, centre, size * ratio.sqrt(), none, shape
    )


def same(found: SersicFit, wanted: SersicFit, rows: list[int]) -> None:
    for field in fields(SersicFit):
        one, other = getattr(found, field.name), getattr(wanted, field.name)[rows]
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


def test_fit_depends_on_what_other_psfs_are_in_the_batch() -> None:
    galaxies = population(49, SIDE, seed=12)
    images = [*(moffat(fwhm) for fwhm in WIDTHS), gaussian(4.4), gaussian(7.0)] * 7
    psfs: list[PSF | None] = [PSF(image) for image in images]
    psfs[7] = psfs[0]  # one file serves both
    psfs[9] = None
    stamps = seen_through(images, galaxies)
    together = fitted(stamps, galaxies, Optics(psfs=tuple(psfs)))
    assert together.n.isnan().nonzero().flatten().tolist() == [9]
    assert len({psf.reach for psf in psfs if psf is not None}) == 3
    for rows in ([0], [6], [9], [5, 12, 3], list(range(48, -1, -1))):
        apart = fitted(stamps[rows], galaxies[rows], Optics(psfs=tuple(psfs[row] for row in rows)))
        same(apart, together, rows)


def test_own_psf_gives_another_fit_than_the_same_one_for_all() -> None:
    """The same bits, where the transform reaches the Nyquist frequency; else the grids differ, and values by far less than noise leaves open."""
    galaxies = population(7, SIDE, seed=13)
    images = [*(moffat(fwhm) for fwhm in WIDTHS[:4]), gaussian(3.7), gaussian(4.4), gaussian(7.0)]
    stamps = seen_through(images, galaxies)
    each = fitted(stamps, galaxies, Optics(psfs=tuple(PSF(image) for image in images)))
    for i, image in enumerate(images):
        alone = fitted(stamps[i : i + 1], galaxies[i : i + 1], Optics(image, full_width(image)))
        if i < 4:
            assert PSF(image).reach == reach(image.double()) == FARTHEST
            same(alone, each, [i])
        np.testing.assert_allclose(alone.n, each.n[i], rtol=2e-3)
        np.testing.assert_allclose(alone.r_e, each.r_e[i], rtol=2e-3)
    masked, two = torch.zeros(2, SIDE, SIDE, dtype=torch.bool), [PSF(images[0]), PSF(images[6])]
    with pytest.raises(ValueError, match="too many values"):
        fit(stamps[[0, 6]], torch.ones(2), masked, two, *starts(galaxies[[0, 6]]))


def test_galaxies_are_biased_by_psfs_that_differ() -> None:
    """GalSim's galaxies through PSFs of 2 to 5 pixels: with each one's own, as with the same for all; with the mean one, far off."""
    count = 30
    galaxies = population(count, SIDE, seed=14)
    galaxies[:, 0], galaxies[:, 1] = galaxies[:, 0].clip(0.7, 4), galaxies[:, 1].clip(2.5, 6)
    widths = np.random.default_rng(15).uniform(2, 5, count)
    noise = np.random.default_rng(16).normal(size=(count, SIDE, SIDE))

    def bias(own: np.ndarray, assumed: list[torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
        light = [
            drawn(g, SIDE, through=galsim.Moffat(beta=3.0, fwhm=w))
            for g, w in zip(galaxies, own, strict=True)
        ]
        peaks = np.array([image.max() for image in light])[:, None, None]
        images = torch.from_numpy(150 * np.stack(light) / peaks + noise).float()
        found = fitted(images, galaxies, Optics(psfs=tuple(PSF(psf) for psf in assumed)))
        return off(found.n, galaxies[:, 0]), off(found.r_e, galaxies[:, 1])

    same_for_all = bias(np.full(count, 3.4), [moffat(3.4)] * count)
    own = bias(widths, [moffat(float(w)) for w in widths])
    mean = bias(widths, [torch.stack([moffat(float(w)) for w in widths]).mean(dim=0)] * count)
    for k, (near, spread) in enumerate(((0.02, 0.05), (0.01, 0.02))):
        assert abs(np.median(own[k])) < near
        assert np.median(np.abs(own[k])) < spread
        assert np.median(np.abs(own[k])) < 1.7 * np.median(np.abs(same_for_all[k]))
        assert np.median(np.abs(mean[k])) > 3 * np.median(np.abs(own[k]))


def test_object_without_a_psf_is_fitted_or_its_width_is_anothers() -> None:
    galaxies = np.array([[1.0, 3.0, 0.8, 0.3, 23.6, 23.4]] * 3)
    stamps = seen_through([moffat(3.3)] * 3, galaxies)
    bad = torch.zeros(stamps.shape, dtype=torch.bool)
    psfs = (PSF(moffat(3.3)), None, PSF(gaussian(12.0)))
    found = measure(stamps, bad, Optics(psfs=psfs), ("sersic",))
    flags = found["measure_flags"].numpy()
    assert found["sersic_n"].isnan().tolist() == [False, True, False]
    assert ((flags & MeasureFlag.NO_PSF) > 0).tolist() == [False, True, False]
    assert ((flags & MeasureFlag.FIT_FAILED) > 0).tolist() == [False, False, False]
    assert ((flags & MeasureFlag.BELOW_PSF) > 0).tolist() == [False, False, True]
    plain = measure(stamps, bad, Optics(moffat(3.3), 3.3), ("sersic",))
    for name in ("r50", "sersic_n"):
        assert found[name][0] == plain[name][0]
