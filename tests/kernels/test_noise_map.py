"""The noise of each pixel: what a step of depth must not do to segments, filled sky, S/N and fits; and the same bits in any batch."""

from __future__ import annotations

import numpy as np
import torch

from kernels.measure.asymmetry import asymmetry, sky_asymmetry
from kernels.measure.morphology import Optics, measure
from kernels.measure.sersic import SersicFit, fit
from kernels.measure.smoothness import smoothness
from kernels.segmentation.fill import fill
from kernels.segmentation.noise_map import NoiseMap
from kernels.segmentation.segments import Segments, segment
from tests.kernels.test_segmentation import SIDE, disc, star
from tests.kernels.test_sersic import drawn, moffat, population, starts

STEP = 36  # column; ten times the noise to its right
DEPTH = np.where(np.arange(SIDE) < STEP, 1.0, 10.0) * np.ones((SIDE, 1))


def stepped(light: np.ndarray | float, count: int, bands: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Stamps (count, bands, y, x) of this light in noise with a step of depth, and the noise of each pixel."""
    noise = np.random.default_rng(5).normal(size=(count, bands, SIDE, SIDE)) * DEPTH
    depth = torch.from_numpy(np.broadcast_to(DEPTH, noise.shape).copy()).float()
    return torch.from_numpy(light + noise).float(), depth


def good(stamps: torch.Tensor) -> torch.Tensor:
    return torch.zeros(stamps.shape, dtype=torch.bool)


def test_noisy_half_of_a_stamp_is_full_of_neighbours() -> None:
    for bands in (1, 3):
        stamps, depth = stepped(disc(28.5, 31.5, 4, 4000), 40, bands)
        without, known = segment(stamps, good(stamps)), segment(stamps, good(stamps), depth)
        assert float(without.others.sum()) > 20 * 40
        assert float(known.others.sum()) < 0.2 * 40  # pixels a stamp
        assert known.found.all()
        assert known.central[:, 29:35, 26:32].all()
        assert not known.central[:, :12].any()  # nor does the object reach along the step


def test_neighbour_in_the_deep_half_is_lost() -> None:
    """What ten times the noise would hide is seen where the noise is one."""
    light = disc(30.5, 31.5, 4, 4000) + star(12, 50, 150)
    stamps, depth = stepped(light, 10)
    assert segment(stamps, good(stamps), depth).others[:, 50, 12].all()
    other = star(54, 12, 150)  # 12 sigma at its peak there, one here
    hidden, depth = stepped(disc(30.5, 31.5, 4, 4000) + other, 10)
    assert not segment(hidden, good(hidden), depth).others[:, 12, 54].any()


def test_bad_column_cuts_an_object_in_two() -> None:
    light = disc(28.5, 31.5, 5, 20_000)
    stamps, depth = stepped(light, 10)
    bad = good(stamps)
    bad[:, :, :, 25] = True
    bad[:, :, :, 33:35] = True
    stamps[bad], depth[bad] = 0.0, 0.0
    found = segment(stamps, bad, depth)
    assert float(found.others.sum()) < 0.2 * 10
    assert found.central[:, 31, 20:25].all()
    assert found.central[:, 31, 35].all()
    assert not (found.central & bad[:, 0]).any()


def test_threshold_of_even_noise_is_another() -> None:
    stamps = torch.from_numpy(
        disc(31.5, 31.5, 4, 4000) + np.random.default_rng(1).normal(size=(8, 1, SIDE, SIDE))
    )
    stamps = stamps.float()
    found, known = segment(stamps, good(stamps)), segment(stamps, good(stamps), torch.ones(stamps.shape))
    different = (found.central != known.central).float().sum() / found.central.float().sum()
    assert different < 0.1  # the noise of the frame is known to a few percent


def test_filled_sky_has_another_noise_than_its_pixel() -> None:
    light = disc(28.5, 36.5, 3, 3000) + disc(36, 12, 3, 6000) + 0.2
    stamps, depth = stepped(light, 60)
    segments = segment(stamps, good(stamps), depth)
    seeds = np.arange(60, dtype=np.uint64) << np.uint64(20)
    for photons in (False, True):
        total = (depth**2 + torch.from_numpy(light) / 5).sqrt().float() if photons else depth
        noise = NoiseMap.of(total, segments, good(stamps), photons=photons)
        filled = torch.from_numpy(fill(stamps.numpy(), segments, good(stamps), seeds, noise.sky))
        changed = filled != stamps
        away = 6 if photons else 0  # near a step, the nearest sky may lie beyond it
        for columns, sigma in ((slice(0, STEP - away), 1.0), (slice(STEP + away, SIDE), 10.0)):
            there = changed[:, 0, :, columns]
            values = filled[:, 0, :, columns][there]
            assert there.sum() > 200
            assert abs(float(values.std()) / sigma - 1) < (0.2 if photons else 0.1)
            assert abs(float(values.mean())) < 0.5 * sigma


def test_photons_of_an_object_are_the_skys_noise() -> None:
    light = disc(28.5, 31.5, 4, 40_000)
    stamps, depth = stepped(light, 6, 2)
    total = (depth**2 + torch.from_numpy(light)).sqrt().float()
    segments = segment(stamps, good(stamps), total)
    bad = good(stamps)
    bad[:, :, 5] = True
    noise = NoiseMap.of(total, segments, bad, photons=True)
    taken = segments.central[:, None].expand(stamps.shape) & ~bad
    assert (noise.sky[taken] < 0.5 * noise.total[taken]).float().mean() > 0.3
    assert (noise.sky[taken] < 1.1 * 10).all()
    assert torch.equal(noise.sky[~taken], noise.total[~taken])
    assert (noise.sky[bad] == 0).all()
    nowhere = Segments(torch.ones_like(segments.central), *list(vars(segments).values())[1:])
    assert torch.equal(NoiseMap.of(total, nowhere, good(stamps), photons=True).sky, total)


def test_what_is_found_depends_on_other_stamps() -> None:
    light = disc(28.5, 31.5, 4, 6000) + disc(50, 12, 3, 20_000)
    stamps, depth = stepped(light, 40, 2)
    depth = depth * torch.linspace(0.5, 2, 40)[:, None, None, None]
    optics, seeds = Optics(moffat().float(), 3.4, 3.0), np.arange(40, dtype=np.uint64)

    def everything(rows: list[int]) -> list[torch.Tensor]:
        some, noise = stamps[rows], depth[rows]
        segments = segment(some, good(some), noise)
        known = NoiseMap.of(noise, segments, good(some), photons=True)
        found = measure(some[:, 1], good(some)[:, 1], optics, segments=segments, noise=known.band(1))
        after = fill(some.numpy(), segments, good(some), seeds[rows], known.sky)
        return [segments.central, segments.others, known.sky, torch.from_numpy(after), *found.values()]

    whole = everything(list(range(40)))
    for rows in ([7], [39, 3, 20]):
        for ours, theirs in zip(everything(rows), whole, strict=True):
            assert torch.equal(ours.nan_to_num(-9), theirs[rows].nan_to_num(-9))


def test_even_noise_fits_another_profile() -> None:
    galaxies = population(12, 64, seed=3)
    images = torch.from_numpy(
        np.stack([2000 * drawn(g, 64) for g in galaxies]) + np.random.default_rng(2).normal(size=(12, 64, 64))
    ).float()
    masked = good(images)
    masked[:, 20, 10:14] = True
    one, each = (
        fit(images, noise, masked, moffat(), *starts(galaxies), 3.0, 400.0)
        for noise in (torch.ones(12), torch.ones(12, 64, 64))
    )
    for name in SersicFit.__annotations__:
        assert torch.equal(getattr(one, name), getattr(each, name)), name


def test_noisy_pixels_pull_at_a_fit_as_others_do() -> None:
    galaxies = population(40, 64, seed=9)
    galaxies[:, 4] -= 4
    random = np.random.default_rng(2)
    light = np.stack([4000 * drawn(g, 64) for g in galaxies])
    images = torch.from_numpy(light + random.normal(size=light.shape) * DEPTH).float()
    depth = torch.from_numpy(np.broadcast_to(DEPTH, light.shape).copy()).float()
    even, known = (
        fit(images, noise, good(images), moffat(), *starts(galaxies), None, 400.0)
        for noise in (torch.full((40,), 7.0), depth)
    )
    error = [
        float((found.r_e / torch.from_numpy(galaxies[:, 1])).log().abs().median()) for found in (even, known)
    ]
    assert error[1] < 0.6 * error[0]
    assert ((known.chi2 - 1).abs() < 0.1).all()


def test_skys_asymmetry_or_clumps_are_those_of_other_noise() -> None:
    """Light in noise that steps in its middle: with one noise for all the sky, the object takes too little off, or too much."""
    count = 200
    stamps, depth = stepped(disc(31.5, 31.5, 5, 30_000), count)
    images, noise = stamps[:, 0], depth[:, 0]
    images = images - torch.from_numpy(disc(31.5, 31.5, 5, 30_000)).float() * 0.0
    centre, radius = torch.full((count, 2), 31.5), torch.full((count,), 14.0)
    line = torch.arange(SIDE)
    sky = (torch.hypot(line - 31.5, line[:, None] - 31.5) > 22).expand(count, -1, -1) & (line < 60)
    nothing = good(images)
    known = asymmetry(images, nothing, centre, radius, sky_asymmetry(images, sky, noise), noise).value
    assert abs(float(known.median())) < 0.03
    small = torch.full((count,), 12.0)
    clumps = [smoothness(images, nothing, sky, centre, small, depth_) for depth_ in (None, noise)]
    truth = smoothness(
        torch.from_numpy(disc(31.5, 31.5, 5, 30_000)).float()[None] + 1e-6 * images[:1],
        nothing[:1],
        sky[:1],
        centre[:1],
        small[:1],
    )
    errors = [abs(float(found.median() - truth[0])) for found in clumps]
    assert errors[1] < 0.02
    even = torch.ones_like(noise)
    assert torch.equal(smoothness(images, nothing, sky, centre, small, even), clumps[0])
    plain = asymmetry(images, nothing, centre, radius, sky_asymmetry(images, sky)).value
    same = asymmetry(images, nothing, centre, radius, sky_asymmetry(images, sky, even), even).value
    np.testing.assert_allclose(same, plain, atol=0.02)
