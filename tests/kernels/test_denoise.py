"""Denoising: what would go wrong without being seen."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from kernels.denoise import denoise, denoising_loss
from kernels.nets import create
from kernels.nets.weights import bundled, load


@pytest.fixture(scope="module")
def net() -> nn.Module:
    net = create("denoiser")
    load(net, bundled("denoiser"))
    return net


def galaxies(n: int, sn: float, side: int = 64) -> torch.Tensor:
    """Clean inclined exponential discs in units of the noise."""
    generator = torch.Generator().manual_seed(11)
    line = torch.arange(side) - (side - 1) / 2
    ratio, radius = (0.3 + 0.7 * torch.rand(n, 1, 1, generator=generator) for _ in range(2))
    light = torch.exp(-torch.hypot(line[None, None, :], line[None, :, None] / ratio) / (4 * radius))
    light = light / light.square().sum(dim=(1, 2), keepdim=True).sqrt() * sn
    return light[:, None]


def noisy(clean: torch.Tensor) -> torch.Tensor:
    return clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(12))


@pytest.mark.parametrize(("sn", "gain"), [(10, 19.5), (30, 18.5), (100, 16.5), (300, 14.5), (2000, 10.5)])
def test_denoised_is_farther_from_the_truth(net: nn.Module, sn: float, gain: float) -> None:
    clean = galaxies(60, sn)
    stamps = noisy(clean)
    with torch.inference_mode():
        left = (denoise(stamps, net) - clean).square().mean()
    assert 10 * math.log10((stamps - clean).square().mean() / left) > gain


@pytest.mark.parametrize("sn", [3, 10, 30, 300])
def test_stamp_loses_flux(net: nn.Module, sn: float) -> None:
    stamps = noisy(galaxies(40, sn, 50))
    with torch.inference_mode():
        flux = denoise(stamps, net).sum(dim=(1, 2, 3))
    torch.testing.assert_close(flux, stamps.sum(dim=(1, 2, 3)), atol=0.05, rtol=1e-5)


@pytest.mark.parametrize(("sn", "percent"), [(15, 2.0), (60, 1.0), (1000, 1.0)])
def test_flux_moves_out_of_the_galaxy(net: nn.Module, sn: float, percent: float) -> None:
    clean = galaxies(400, sn)
    middle = (..., slice(16, 48), slice(16, 48))
    with torch.inference_mode():
        ratio = denoise(noisy(clean), net)[middle].sum() / noisy(clean)[middle].sum()
    assert abs(ratio - 1) < percent / 100


def test_bright_star_ripples_over_the_stamp(net: nn.Module) -> None:
    """The modes that pass carry what the net gets wrong: it must not get a star's light wrong."""
    clean = galaxies(20, 50)
    stamps, line = noisy(clean), torch.arange(64.0)
    away = torch.hypot(line - 58, line[:, None] - 5)
    star = 1e5 * torch.exp(-(away**2) / 4.5)
    with torch.inference_mode():
        alone, beside = denoise(stamps, net), denoise(stamps + star, net)
    far = away > 20
    assert (beside - alone)[..., far].square().mean().sqrt() < 0.05


def test_galaxies_are_invented_in_noise(net: nn.Module) -> None:
    with torch.inference_mode():
        left = denoise(noisy(torch.zeros(200, 1, 64, 64)), net)
    assert left.square().mean().sqrt() < 0.08
    assert left.amax(dim=(1, 2, 3)).quantile(0.95) < 0.6


def test_flux_unit_changes_the_answer(net: nn.Module) -> None:
    stamps = noisy(galaxies(4, 50))
    with torch.inference_mode():
        answer = denoise(stamps, net)
        for unit in (1e-20, 1e3, 1e20):
            torch.testing.assert_close(denoise(stamps * unit, net) / unit, answer, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 50), (5, 7), (101, 101)])
def test_other_sizes_and_bands_are_refused_or_shifted(net: nn.Module, height: int, width: int) -> None:
    stamps = noisy(torch.zeros(2, 3, height, width))
    with torch.inference_mode():
        answer = denoise(stamps, net)
        alone = denoise(stamps[:, 1:2], net)
    assert answer.shape == stamps.shape
    torch.testing.assert_close(answer[:, 1:2], alone, atol=1e-5, rtol=0)


def test_identity_net_does_not_return_the_stamp() -> None:
    stamps = noisy(galaxies(5, 500))
    torch.testing.assert_close(denoise(stamps, nn.Identity()), stamps, atol=1e-3, rtol=1e-5)


def test_odd_stamps_give_nan(net: nn.Module) -> None:
    stamps = torch.zeros(5, 2, 32, 32)
    stamps[1] = torch.nan
    stamps[2] = noisy(torch.zeros(1, 2, 32, 32))[0]
    stamps[2, 0, 10, 10], stamps[2, 1, 3, 3] = torch.inf, torch.nan
    stamps[3, 0, 16, 16] = 5.0  # no noise to measure: as it is
    stamps[4] = 1e30 * noisy(torch.zeros(1, 2, 32, 32))[0]
    before = stamps.clone()
    with torch.inference_mode():
        answer = denoise(stamps, net)
    assert answer.isfinite().all()
    assert (answer[:2] == 0).all()
    assert torch.equal(answer[3], stamps[3])
    assert torch.equal(stamps.nan_to_num(1, 2, 3), before.nan_to_num(1, 2, 3))
    assert denoise(stamps[:0], net).shape == (0, 2, 32, 32)


def test_loss_cannot_be_trained_on() -> None:
    net = create("denoiser", width=4, bottleneck=4)
    clean = torch.cat([galaxies(6, 30, 32), torch.zeros(2, 1, 32, 32)])
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for _ in range(25):
        loss = denoising_loss(net, clean, torch.Generator().manual_seed(1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    torch.manual_seed(3)
    again = denoising_loss(net, clean, torch.Generator().manual_seed(1))
    assert torch.equal(again, denoising_loss(net, clean, torch.Generator().manual_seed(1)))
