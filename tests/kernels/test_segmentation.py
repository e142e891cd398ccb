"""Whose pixels are whose: what would give a neighbour's light to the object, take the object's own away, or fill with what depends on others."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kernels.bags import hash_ids
from kernels.segmentation.fill import fill
from kernels.segmentation.segments import Segments, segment
from kernels.segmentation.selection import median
from kernels.segmentation.watershed import part

SIDE = 64


def disc(x: float, y: float, size: float, flux: float, ratio: float = 1.0, turn: float = 0.0) -> np.ndarray:
    """An exponential disc, round in the middle as a PSF makes it."""
    line = np.arange(SIDE)
    c, s = math.cos(turn), math.sin(turn)
    along = c * (line - x) + s * (line[:, None] - y)
    across = (c * (line[:, None] - y) - s * (line - x)) / ratio
    light = np.exp(-np.sqrt(along**2 + across**2 + 1) / (0.6 * size))
    return flux * light / light.sum()


def star(x: float, y: float, flux: float) -> np.ndarray:
    line = np.arange(SIDE)
    light = np.exp(-((line - x) ** 2 + (line[:, None] - y) ** 2) / (2 * 1.4**2))
    return flux * light / light.sum()


def noise(seed: int = 0, bands: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(bands, SIDE, SIDE))


def found(*light: np.ndarray, seed: int = 0) -> tuple[np.ndarray, Segments]:
    """A stamp (1, band, y, x) of this light in each band, with noise, and its segments."""
    stamp = (np.stack(light) + noise(seed, len(light))).astype(np.float32)[None]
    images = torch.from_numpy(stamp)
    return stamp, segment(images, torch.zeros_like(images, dtype=torch.bool))


def filled(stamp: np.ndarray, segments: Segments, seed: int = 5) -> np.ndarray:
    return fill(
        stamp,
        segments,
        torch.zeros(stamp.shape, dtype=torch.bool),
        np.full(len(stamp), seed, np.uint64),
    )


def test_watershed_against_the_obvious_way() -> None:
    """Two peaks over a saddle, the object in the middle: one, or two where both are high enough above it and the other has its share of the light."""
    for values, sigma, middle in (
        ([1, 2, 5, 10, 9, 2, 5, 6, 5], 0.5, "ooooo|xxx"),
        ([1, 2, 5, 10, 9, 2, 5, 6, 5], 2.0, "ooooooooo"),  # 4 is not 3.75 x 2
        ([1, 2, 5, 10, 9, 5.6, 5.5, 6, 5], 0.1, "ooooooooo"),  # not by a tenth of itself
        ([1, 2, 50, 100, 90, 2, 5, 6, 5], 0.1, "ooooooooo"),  # not a twentieth of the light
        ([2, 2, 9, 10, 9, 0.1, 0.2, 12, 0.2], 0.2, "ooooo?xxx"),  # brighter
    ):
        for line in (np.array([values], np.float32), np.array([values], np.float32).T.copy()):
            own, regions = parted(line, sigma)
            names = "".join("o" if place == own else "x" for place in regions.ravel())
            assert all(a == b for a, b in zip(names, middle, strict=True) if b in "ox"), (values, names)
    assert parted(np.full((3, 4), -np.inf, np.float32), 1.0)[0] == -1


def parted(light: np.ndarray, sigma: float) -> tuple[int, np.ndarray]:
    framed = np.pad(light, 1, constant_values=-np.inf)
    regions = np.empty(framed.shape, np.int32)
    work = np.empty(framed.size, np.float32), np.empty(framed.size, np.int32)
    return part(framed, np.full(framed.shape, float(sigma)), regions, *work), regions[1:-1, 1:-1]


def test_pixels_of_a_pair_go_to_the_other() -> None:
    for seed, (apart, brighter) in enumerate([(14, 1.0), (16, 4.0), (18, 10.0), (12, 0.3)]):
        own, other = disc(31.5, 31.5, 2.5, 3000), disc(31.5 + apart, 31.5, 2.5, 3000 * brighter)
        _, segments = found(own + other, seed=seed)
        central, others = segments.central[0].numpy(), segments.others[0].numpy()
        assert segments.found.all()
        assert (own * central).sum() > 0.75 * own.sum(), (apart, brighter)
        assert (other * others).sum() > 0.75 * other.sum(), (apart, brighter)
        assert not (central & others).any()


def test_star_on_a_disc_takes_a_piece_of_the_disc_along() -> None:
    own, other = disc(31.5, 31.5, 10, 60_000, 0.6), star(41, 33, 9000)
    _, segments = found(own + other)
    assert segments.others[0, 33, 41]
    assert (own * segments.central[0].numpy()).sum() > 0.9 * (own * segment_of(own)).sum()


def segment_of(light: np.ndarray) -> np.ndarray:
    return found(light)[1].central[0].numpy()


def test_clump_in_an_arm_is_somebody_else() -> None:
    clumps = [(40, 36, 100), (26, 24, 120), (33, 43, 80)]
    light = disc(31.5, 31.5, 9, 20_000) + sum(star(x, y, flux) for x, y, flux in clumps)
    _, segments = found(light)
    assert not (segments.others[0].numpy() & segment_of(disc(31.5, 31.5, 9, 20_000))).any()


def test_object_on_the_skirt_of_a_brighter_one_is_taken_for_it() -> None:
    """The catalog's position is two pixels off its peak, on the other's slope."""
    _, segments = found(disc(32.5, 31.5, 1.5, 1500) + disc(45, 31.5, 5, 60_000))
    assert segments.central[0, 31, 32]
    assert segments.others[0, 31, 45]
    assert segments.peak[0].tolist() in ([32, 31], [33, 31], [32, 32], [33, 32])


def test_neighbour_that_one_band_alone_shows() -> None:
    galaxy, red = disc(31.5, 31.5, 4, 4000), disc(48, 20, 3, 4000)
    _, segments = found(galaxy, galaxy, galaxy + red)
    assert segments.others[0, 20, 48]
    assert segments.central[0, 31, 31]


def test_band_that_is_blank_or_scaled_changes_what_is_found() -> None:
    galaxy = disc(31.5, 31.5, 4, 4000) + disc(50, 15, 3, 2000)
    stamp = (np.stack([galaxy, galaxy]) + noise(bands=2)).astype(np.float32)
    bad = torch.zeros(1, 2, SIDE, SIDE, dtype=torch.bool)
    one = segment(torch.from_numpy(stamp[None]), bad)
    scaled = segment(torch.from_numpy(stamp[None] * np.float32([[[[1]], [[1024]]]])), bad)
    for ours, theirs in ((one.central, scaled.central), (one.others, scaled.others)):
        assert torch.equal(ours, theirs)
    blank = segment(torch.from_numpy(stamp[None] * np.float32([[[[1]], [[0]]]])), bad)
    alone = segment(torch.from_numpy(stamp[None, :1]), bad[:, :1])
    assert torch.equal(blank.central, alone.central)


def test_filled_stamp_shows_a_neighbour_still_or_less_of_the_object() -> None:
    own, other = disc(31.5, 31.5, 4, 6000, 0.7), disc(50, 40, 3, 12_000)
    stamp, segments = found(own + other)
    after = filled(stamp, segments)[0, 0]
    assert np.array_equal(after[segments.central[0].numpy()], stamp[0, 0][segments.central[0].numpy()])
    where = segments.others[0].numpy()
    assert where.sum() > 100
    assert abs(after[where].mean()) < 0.3
    assert 0.8 < after[where].std() < 1.25
    # what the neighbour leaves beyond its region is faint
    assert np.abs(after - own)[other > 1.0].max() < 8


def test_light_opposite_is_not_what_a_hole_in_the_object_is_filled_with() -> None:
    own = disc(31.5, 31.5, 10, 60_000)
    stamp, segments = found(own + star(40, 31.5, 12_000))
    where = segments.others[0].numpy() & (own > 15)
    assert where.sum() > 10
    after = filled(stamp, segments)[0, 0]
    assert np.abs(after[where] / own[where] - 1).mean() < 0.25


def test_what_is_drawn_depends_on_other_stamps() -> None:
    many = np.stack(
        [found(disc(31.5, 31.5, 4, 5000) + disc(50, 12 + 3 * i, 3, 8000), seed=i)[0][0] for i in range(6)]
    )
    ids = hash_ids(np.arange(100, 106), 1)
    nothing = torch.zeros(many.shape, dtype=torch.bool)
    whole = fill(many, segment(torch.from_numpy(many), nothing), nothing, ids)
    assert not np.array_equal(whole, many)
    for order in ([3], [5, 0], [2, 4, 1]):
        some = torch.from_numpy(many[order])
        part_ = fill(many[order], segment(some, nothing[order]), nothing[order], ids[order])
        assert np.array_equal(part_, whole[order])
    assert not np.array_equal(
        whole, fill(many, segment(torch.from_numpy(many), nothing), nothing, ids[::-1].copy())
    )


def test_stamp_without_neighbours_changes() -> None:
    stamp, segments = found(disc(31.5, 31.5, 4, 5000))
    segments.others[:] = False
    assert np.array_equal(filled(stamp, segments), stamp)


@pytest.mark.parametrize("light", ["none", "everywhere", "bad"])
def test_stamp_with_nothing_to_draw_from(light: str) -> None:
    images = torch.zeros(1, 1, SIDE, SIDE)
    bad = torch.zeros_like(images, dtype=torch.bool)
    if light == "everywhere":
        images += torch.from_numpy(disc(31.5, 31.5, 40, 1e6) + disc(60, 60, 3, 1e6)).float()
    elif light == "bad":
        images += torch.from_numpy(disc(60, 60, 3, 1e6)).float()
        bad[:] = True
    segments = segment(images, bad)
    after = fill(images.numpy(), segments, bad, np.zeros(1, np.uint64))
    assert np.isfinite(after).all()
    assert light == "everywhere" or np.array_equal(after, images.numpy())


def test_a_median_is_numpys() -> None:
    rng = np.random.default_rng(4)
    for count in (1, 2, 3, 4, 7, 100, 495, 496):
        for values in (
            rng.normal(size=count),
            rng.integers(0, 3, count),
            np.arange(count)[::-1],
            np.zeros(count),
        ):
            single = values.astype(np.float32)
            beyond = np.append(
                single, np.float32(1e9)
            )  # what comes after the first `count` is none of its business
            assert median(beyond, count) == np.median(single.astype(float)).astype(np.float32)
            assert beyond[-1] == 1e9
