"""Noise and stretching: what would go wrong without being seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernels.stretch import noise_level, stretch


def sky(n: int, b: int, side: int = 64) -> torch.Tensor:
    return torch.randn(n, b, side, side, generator=torch.Generator().manual_seed(1))


def twin_noise(stamp: np.ndarray) -> float:
    side = min(stamp.shape)
    frame = max(1, side // 32)
    inner = np.zeros(stamp.shape, bool)
    inner[frame:-frame, frame:-frame] = True
    border = np.sort(stamp[~inner & np.isfinite(stamp)])
    middle = border[(len(border) - 1) // 2]  # the lower of the two middle ones
    return 1.482602218505602 * float(np.sort(np.abs(border - middle))[(len(border) - 1) // 2])


@pytest.mark.parametrize("shape", [(2, 3, 64, 64), (2, 1, 20, 35), (1, 1, 101, 101)])
def test_noise_differs_from_its_definition(shape: tuple[int, ...]) -> None:
    stamps = torch.randn(shape, generator=torch.Generator().manual_seed(3)) * 7 + 2
    stamps[0, 0, 0, :5] = torch.nan
    slow = [[twin_noise(band.numpy()) for band in stamp] for stamp in stamps]
    np.testing.assert_allclose(noise_level(stamps).numpy(), slow, rtol=1e-5)


def test_galaxy_or_neighbour_counts_as_noise() -> None:
    stamps = sky(200, 2) * torch.tensor([1.0, 5.0])[:, None, None]
    stamps[:, :, 20:44, 20:44] += 1000
    stamps[:, :, :2, 10:20] += 300  # a neighbour across the border
    level = noise_level(stamps)
    assert level.shape == (200, 2)
    np.testing.assert_allclose(level.mean(0).numpy(), [1.0, 5.0], rtol=0.06)


def test_asinh_differs_from_its_definition() -> None:
    stamps = sky(3, 2) + 50 * torch.exp(
        -((torch.arange(64) - 30) ** 2)[:, None] / 30 - (torch.arange(64) - 33) ** 2 / 50
    )
    scaled = np.arcsinh(
        stamps.double().numpy() / (3 * noise_level(stamps).double().numpy()[:, :, None, None])
    )
    scaled /= scaled.max(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(stretch(stamps).numpy(), scaled, atol=2e-6)


def test_colours_are_lost() -> None:
    stamps = torch.zeros(1, 3, 32, 32)
    stamps[0, :, 16, 16] = torch.tensor([1.0, 4.0, 2.0])
    assert stretch(stamps, "linear")[0, :, 16, 16].tolist() == [0.25, 1.0, 0.5]
    bright = stretch(stamps + 0.01 * sky(1, 3, 32))[0, :, 16, 16]
    assert bright[0] < bright[2] < bright[1] == 1.0


@pytest.mark.parametrize("how", ["asinh", "linear"])
def test_odd_stamps_give_nan_or_leave_the_range(how: str) -> None:
    stamps = torch.zeros(9, 2, 32, 32)
    stamps[1] = torch.nan
    stamps[2] = -5.0
    stamps[3] = -sky(1, 2, 32)[0].abs() * 1e30
    stamps[4, 0, 16, 16] = 1e-42
    stamps[5, 0, 16, 16] = 3e38
    stamps[6] = torch.inf
    stamps[7, 1, 3, 3], stamps[7, 0, 16, 16] = -3e38, 1.0
    stamps[8] = 2.5
    out = stretch(stamps, how)
    assert out.dtype == torch.float32
    assert out.isfinite().all()
    assert out.min() >= -1
    assert out.max() <= 1
    assert (out[:4] == 0).all()
    assert out[5, 0, 16, 16] == 1
    assert (out[8] == 1).all()


def test_noiseless_stamp_is_flattened_to_a_mask() -> None:
    stamps = torch.zeros(1, 1, 32, 32)
    stamps[0, 0, 16, 10:20] = torch.linspace(0.1, 1, 10)
    values = stretch(stamps)[0, 0, 16, 10:20]
    assert (values.diff() > 0).all()
    assert 0.5 < values[0] < 0.8  # asinh(100) / asinh(1000)


@pytest.mark.parametrize("how", ["asinh", "linear"])
def test_result_depends_on_the_batch(how: str) -> None:
    stamps = sky(37, 2, 41)
    before = stamps.clone()
    parts = torch.cat([stretch(part, how) for part in stamps.split([1, 20, 16])])
    assert torch.equal(stretch(stamps, how), parts)
    assert torch.equal(stamps, before)
    assert stretch(stamps[:0], how).shape == (0, 2, 41, 41)


def test_flux_unit_changes_the_image() -> None:
    stamps = sky(3, 1)
    torch.testing.assert_close(stretch(stamps * 1e-20), stretch(stamps), atol=1e-5, rtol=0)


def test_unknown_stretch_is_taken_for_another() -> None:
    with pytest.raises(ValueError, match='not "sqrt"'):
        stretch(torch.zeros(1, 1, 8, 8), "sqrt")
