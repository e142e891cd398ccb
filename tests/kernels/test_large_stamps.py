"""Loops that read large stamps once, against the obvious way with whole arrays: what would put a wrong number or flag into a catalog."""

from __future__ import annotations

import numpy as np
import torch

from kernels.measure.flags import MeasureFlag
from kernels.measure.multimode import _brightest_first
from kernels.measure.shapes import Ellipse
from kernels.measure.signal import light_in, sn_per_pixel
from kernels.measure.surroundings import blend_fraction, surroundings
from kernels.segmentation.segments import Segments

N, HEIGHT, WIDTH = 12, 37, 45


def patches(random: np.random.Generator, share: float) -> torch.Tensor:
    return torch.from_numpy(random.random((N, HEIGHT, WIDTH)) < share)


def test_light_or_its_signal_to_noise_is_another_than_that_of_whole_arrays() -> None:
    random = np.random.default_rng(1)
    images = torch.from_numpy(random.normal(1, 2, (N, HEIGHT, WIDTH))).float()
    region, gain = patches(random, 0.3), torch.from_numpy(random.uniform(0.5, 4, N))
    region[3] = False
    images[4] = -1
    np.testing.assert_allclose(light_in(images, region), (images.double() * region).sum(dim=(1, 2)))
    even = torch.from_numpy(random.uniform(0.5, 2, (N, 1, 1)))
    uneven = torch.from_numpy(random.uniform(0.5, 2, (N, HEIGHT, WIDTH)))
    uneven[5, 20] = 0  # no photons there either
    images[5, 20, :] = 0
    region[5, 20, 20] = True
    for noise in (even, uneven):
        for known in (gain, None):
            found = sn_per_pixel(images, region, noise, known)
            for i in range(N):
                where = (region[i] & (images[i] >= 0)).numpy()
                light = images[i].double().numpy()[where]
                variance = (noise[i] ** 2).expand(HEIGHT, WIDTH).numpy()[where]
                variance = variance + (0 if known is None else light / float(known[i]))
                lost = not where.any() or (variance == 0).any()
                wanted = np.nan if lost else np.mean(light / np.sqrt(variance))
                np.testing.assert_allclose(found[i], wanted, rtol=1e-12)
    assert sn_per_pixel(images, region, uneven, None)[3:6].isnan().all()


def test_order_of_pixels_is_not_that_of_a_stable_sort() -> None:
    random = np.random.default_rng(2)
    light = np.exp(random.normal(0, 20, (HEIGHT, WIDTH))).astype(np.float32)
    light[::3] = np.round(light[::3] % 7)  # many alike, and none
    light[1, 1], light[2, 2] = np.float32(1e-42), np.finfo(np.float32).max
    values = light.ravel()
    wanted = np.flatnonzero(values > 0)
    wanted = wanted[np.argsort(-values[wanted], kind="stable")]
    np.testing.assert_array_equal(_brightest_first(light), wanted)


def test_what_is_around_an_object_is_counted_another_way() -> None:
    random = np.random.default_rng(3)
    own, others, bad = patches(random, 0.02), patches(random, 0.01), patches(random, 0.002)
    others[:, :, : WIDTH // 2] &= patches(random, 0.1)[:, :, : WIDTH // 2]
    own[6], others[7] = False, False
    frame = torch.ones(HEIGHT, WIDTH, dtype=torch.bool)
    frame[3:-3, 3:-3] = False
    others &= ~frame  # where the twin would turn the object over the border
    segments = Segments(own, others & ~own, torch.ones(N, dtype=torch.bool), torch.zeros(N, 2).int())
    centre = torch.from_numpy(random.uniform(-2, 47, (N, 2)))
    radius, angle = (torch.from_numpy(random.uniform(*span, N)) for span in ((0.5, 14), (-1.5, 1.5)))
    ratio = torch.from_numpy(random.uniform(0.2, 1, N))
    centre[8], radius[9] = torch.nan, torch.nan
    flags = surroundings(segments, bad, centre, radius, radius / 2, torch.zeros(N))
    covered = blend_fraction(segments, centre, radius, Ellipse(centre, ratio, angle))
    seen = set()
    for i in range(N):
        x, y = np.arange(WIDTH) - float(centre[i, 0]), (np.arange(HEIGHT) - float(centre[i, 1]))[:, None]
        away, theirs, mine = np.hypot(x, y), segments.others[i].numpy(), own[i].numpy()
        circle = away <= 1.5 * float(radius[i])
        near = any(
            (theirs & np.roll(mine, (down, across), (0, 1))).any()
            for down in range(-3, 4)
            for across in range(-3, 4)
        )
        crowded = (circle & theirs).sum() > 0.1 * circle.sum()
        assert bool(flags[MeasureFlag.NEIGHBOUR][i]) == (near or crowded)
        assert bool(flags[MeasureFlag.BAD_PIXELS][i]) == bool(
            (bad[i].numpy() & (away <= float(radius[i]))).any()
        )
        if not (mine & (away <= 1)).any():
            assert bool(flags[MeasureFlag.OFF_CENTRE][i])
        c, s = np.cos(float(angle[i])), np.sin(float(angle[i]))
        within = np.hypot(c * x + s * y, (c * y - s * x) / float(ratio[i])) <= float(radius[i])
        if np.isfinite(float(radius[i])):
            np.testing.assert_allclose(covered[i], (within & theirs).sum() / max(1, within.sum()))
        seen.add((bool(flags[MeasureFlag.NEIGHBOUR][i]), bool(flags[MeasureFlag.BAD_PIXELS][i])))
    assert len(seen) > 2
