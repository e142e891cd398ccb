"""Polar unwrapping: what would go wrong without being seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kernels import polar as in_tensors
from kernels.polar import find_pole, unwrap

SIDE = 64


def galaxies(n: int, turn: torch.Tensor, side: int = SIDE, seed: int = 1) -> torch.Tensor:
    """Lopsided ellipses with a clump and two neighbours near the edge, turned about the stamp's centre: (n, 1, side, side)."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(n, 1, 1, generator=generator)

    scale = side / 64
    line = ((torch.arange(3 * side) + 0.5) / 3 - side / 2) / scale  # three samples a pixel
    c, s = turn.cos()[:, None, None], turn.sin()[:, None, None]
    x = line[None, None, :] * c + line[None, :, None] * s
    y = line[None, :, None] * c - line[None, None, :] * s
    x, y = x - draw(-3, 3), y - draw(-3, 3)
    axis, ratio, radius = draw(0, math.pi), draw(0.3, 0.7), draw(4, 7)
    u, v = x * axis.cos() + y * axis.sin(), (y * axis.cos() - x * axis.sin()) / ratio
    light = torch.exp(-(u * u + v * v + 1).sqrt() / radius * 1.7)
    light = light + 0.3 * torch.exp(-((u - 6) ** 2 + (v - 3) ** 2) / 8)
    for _ in range(2):
        way, far = draw(0, 2 * math.pi), draw(25, 29)
        light = light + draw(0.2, 0.8) * torch.exp(
            -((x - far * way.cos()) ** 2 + (y - far * way.sin()) ** 2) / 6
        )
    return torch.nn.functional.avg_pool2d(light[:, None], 3)


def likeness(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Correlation of images, (n,)."""
    a, b = a.flatten(1), b.flatten(1)
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


def angle(direction: torch.Tensor) -> torch.Tensor:
    return torch.atan2(direction[:, 1], direction[:, 0])


def twin(stamp: np.ndarray, x0: float, y0: float, direction: float, angles: int, radii: int) -> np.ndarray:
    """Bilinear polar image of one band, pixel by pixel."""
    height, width = stamp.shape

    def pixel(i: int, j: int) -> float:
        return float(stamp[i, j]) if 0 <= i < height and 0 <= j < width else 0.0

    polar = np.zeros((angles, radii))
    for k in range(angles):
        for j in range(radii):
            r = (j + 0.5) * min(height, width) / 2 / radii
            x = x0 + r * math.cos(direction + 2 * math.pi * k / angles)
            y = y0 + r * math.sin(direction + 2 * math.pi * k / angles)
            left, top = math.floor(x), math.floor(y)
            fx, fy = x - left, y - top
            polar[k, j] = (1 - fy) * ((1 - fx) * pixel(top, left) + fx * pixel(top, left + 1)) + fy * (
                (1 - fx) * pixel(top + 1, left) + fx * pixel(top + 1, left + 1)
            )
    return polar


@pytest.mark.parametrize("pole", ["moments", "apct"])
@pytest.mark.parametrize("shape", [(3, 2, 24, 24), (2, 1, 21, 30), (2, 3, 41, 41)])
def test_half_pixel_shifts(pole: str, shape: tuple[int, ...]) -> None:
    stamps = torch.randn(shape, generator=torch.Generator().manual_seed(2)) + 0.5
    centre, direction = find_pole(stamps, pole)
    polar = unwrap(stamps, 20, 9, pole=pole, mirror=False)
    assert polar.shape == (*shape[:2], 20, 9)
    for i in range(shape[0]):
        for b in range(shape[1]):
            slow = twin(stamps[i, b].numpy(), *centre[i].tolist(), float(angle(direction)[i]), 20, 9)
            np.testing.assert_allclose(polar[i, b].numpy(), slow, atol=2e-4)


def test_apct_takes_another_pixel_of_several_equal_ones() -> None:
    stamp = torch.zeros(1, 1, 11, 11)
    stamp[0, 0, 1, 1] = stamp[0, 0, 6, 5] = stamp[0, 0, 5, 6] = (
        9.0  # two as near the centre: the lower index is (5, 6)
    )
    stamp[0, 0, 9, 6] = stamp[0, 0, 0, 0] = -1.0
    centre, direction = find_pole(stamp, "apct")
    assert centre.tolist() == [[6.0, 5.0]]
    assert direction.tolist() == [[0.0, 1.0]]


def test_turned_galaxy_gives_another_image() -> None:
    generator = torch.Generator().manual_seed(3)
    turn = torch.rand(200, generator=generator) * 2 * math.pi
    still, turned = galaxies(200, torch.zeros(200)), galaxies(200, turn)
    alike = likeness(unwrap(still, 64, 32), unwrap(turned, 64, 32))
    assert alike.median() > 0.995
    assert alike.quantile(0.05) > 0.97
    # the paper's pole depends on single pixels
    assert (
        alike.median()
        > likeness(unwrap(still, 64, 32, pole="apct"), unwrap(turned, 64, 32, pole="apct")).median()
    )


def test_noise_moves_the_pole() -> None:
    generator = torch.Generator().manual_seed(4)
    stamps = galaxies(200, torch.zeros(200))
    sigma = stamps.square().sum(dim=(1, 2, 3), keepdim=True).sqrt() / 60
    noisy = stamps + sigma * torch.randn(stamps.shape, generator=generator)
    (centre, direction), (centre_noisy, direction_noisy) = find_pole(stamps), find_pole(noisy)
    assert (centre - centre_noisy).norm(dim=1).median() < 0.3
    turned = torch.remainder(angle(direction) - angle(direction_noisy) + math.pi, 2 * math.pi) - math.pi
    assert turned.abs().median() < math.radians(6)
    assert (turned.abs() < math.radians(30)).float().mean() > 0.85


@pytest.mark.parametrize("side", [32, 45, 64, 100, 129])
def test_pole_off_centre_in_stamps_of_other_sizes(side: int) -> None:
    line = torch.arange(side) - (side - 1) / 2
    blob = torch.exp(-((line[None, :] - 2.0) ** 2 / 18 + (line[:, None] + 1.5) ** 2 / 8))
    centre, direction = find_pole(blob[None, None])
    middle = (side - 1) / 2
    np.testing.assert_allclose(centre[0].numpy(), [middle + 2.0, middle - 1.5], atol=0.05)
    assert abs(direction[0, 1]) < 0.02  # major axis along x


def test_neighbour_at_the_edge_pulls_the_pole() -> None:
    stamps = galaxies(50, torch.zeros(50))
    alone = stamps.clone()
    line = torch.arange(SIDE) - (SIDE - 1) / 2
    alone[..., (line[:, None] ** 2 + line**2).sqrt() > 21] = 0
    assert (find_pole(stamps)[0] - find_pole(alone)[0]).norm(dim=1).max() < 0.5


def test_mirror_has_no_hole_in_the_middle_and_no_centre_at_the_edge() -> None:
    stamps = galaxies(4, torch.zeros(4))
    polar = unwrap(stamps, 48, 20)
    assert polar.shape == (4, 1, 48, 40)
    assert torch.equal(polar.flip(-1), polar)
    assert torch.equal(polar[..., 20:], unwrap(stamps, 48, 20, mirror=False))
    assert (polar[..., 19:21] > 0).all()
    assert (polar[..., 19:21].mean(dim=(1, 2, 3)) > polar[..., :2].mean(dim=(1, 2, 3))).all()


def test_pixels_wrap_around_the_stamp() -> None:
    stamp = torch.ones(1, 1, 32, 32)
    stamp[0, 0, 3, 3] = 2.0  # the pole, far off centre
    polar = unwrap(stamp, 360, 16, pole="apct", mirror=False)[0, 0]
    k, j = torch.arange(360)[:, None], torch.arange(16)[None, :]
    start = angle(find_pole(stamp, "apct")[1])
    x = 3 + (j + 0.5) * torch.cos(math.pi / 180 * k + start)
    y = 3 + (j + 0.5) * torch.sin(math.pi / 180 * k + start)
    outside = (x <= -1.01) | (y <= -1.01)
    assert outside.any()
    assert (polar[outside] == 0).all()
    inside = (x >= 0) & (y >= 0)
    assert (polar[inside] > 0.99).all()


@pytest.mark.parametrize("pole", ["moments", "apct"])
def test_blank_and_broken_stamps_give_nan(pole: str) -> None:
    stamps = torch.zeros(4, 2, 20, 20)
    stamps[1] = torch.nan
    stamps[2, 0, 5, 5] = torch.inf
    stamps[3] = -3.0
    centre, direction = find_pole(stamps, pole)
    assert (centre == 9.5).all()
    assert (direction == torch.tensor([1.0, 0.0])).all()
    polar = unwrap(stamps, 16, 8, pole=pole)
    assert (polar[:3] == 0).all()
    assert polar.isfinite().all()


def test_one_lost_pixel_hides_the_galaxy() -> None:
    stamp = galaxies(1, torch.zeros(1))
    broken = stamp.clone()
    broken[0, 0, 10, 50] = torch.nan
    assert likeness(unwrap(stamp, 32, 16), unwrap(broken, 32, 16)).item() > 0.999


@pytest.mark.parametrize("pole", ["moments", "apct"])
def test_result_depends_on_the_batch(pole: str) -> None:
    stamps = galaxies(37, torch.zeros(37)).expand(-1, 2, -1, -1) * torch.tensor([1.0, 0.3])[:, None, None]
    before = stamps.clone()
    whole = unwrap(stamps, 100, 90, pole=pole)  # more than one chunk
    parts = torch.cat([unwrap(part, 100, 90, pole=pole) for part in stamps.split([1, 20, 16])])
    assert torch.equal(whole, parts)
    assert torch.equal(stamps, before)
    assert unwrap(stamps[:0], 8, 4, pole=pole).shape == (0, 2, 8, 8)


@pytest.mark.parametrize("unit", [1e-30, 1e-12, 1e12, 1e30])
def test_flux_unit_changes_the_pole(unit: float) -> None:
    stamps = galaxies(5, torch.zeros(5))
    centre, direction = find_pole(stamps)
    other = find_pole(stamps * unit)
    torch.testing.assert_close(other[0], centre, atol=1e-3, rtol=0)
    torch.testing.assert_close(other[1], direction, atol=1e-3, rtol=0)


@pytest.mark.parametrize("pole", ["moments", "apct"])
@pytest.mark.parametrize(
    "shape", [(9, 1, 64, 64), (4, 3, 47, 47), (4, 2, 80, 61), (3, 1, 424, 424), (2, 1, 1, 5), (5, 1, 20, 300)]
)
def test_other_devices_unwrap_to_another_image(pole: str, shape: tuple[int, ...]) -> None:
    """What graphics processors and exported networks compute in tensors is what the loops compute."""
    stamps = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    stamps[..., shape[2] // 3 : shape[2] // 2 + 1, shape[3] // 3 : shape[3] // 2] += 9.0
    stamps[0, :, 0, 0] = torch.nan
    centre, (c, s) = in_tensors._find(in_tensors._finite(stamps), pole)
    ours = find_pole(stamps, pole)
    torch.testing.assert_close(ours[0], centre, atol=1e-4, rtol=0)
    torch.testing.assert_close(ours[1], torch.stack([c, s], dim=-1), atol=1e-4, rtol=0)
    half = in_tensors._sampled(stamps, 24, 10, pole)
    torch.testing.assert_close(unwrap(stamps, 24, 10, pole, mirror=False), half, atol=3e-3, rtol=0)


def test_unknown_pole_is_taken_for_another() -> None:
    with pytest.raises(ValueError, match='not "centre"'):
        unwrap(torch.zeros(1, 1, 8, 8), 4, 4, pole="centre")
