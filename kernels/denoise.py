"""Denoising: stamps into the denoiser's units and back, and the loss that it is trained with."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from kernels.stretch import noise_level

__all__ = ["denoise", "denoising_loss"]

# Matched-filter S/N, sqrt(sum(x^2)) / sigma, that training noise spreads over.
_SN_RANGE = (3.0, 3000.0)


def denoise(stamps: torch.Tensor, net: nn.Module, noise: torch.Tensor | None = None) -> torch.Tensor:
    """Remove the sky noise of each band: sigma sinh(net(asinh(x / sigma))).

    Parameters
    ----------
    stamps : (n, b, y, x) float tensor
        Background-subtracted stamps, in any flux unit.
    net : nn.Module
        (n, b, y, x) -> (n, b, y, x) in asinh of units of the noise, see `kernels.nets.denoiser`.
    noise : (n, b) float tensor, optional
        Standard deviation of the sky in the stamps' unit, by default `noise_level` of the stamps.

    Returns
    -------
    (n, b, y, x) float32 tensor in the stamps' unit. Non-finite pixels count as zero (the sky) on the way in. A band
    without noise (sigma = 0: a blank or a simulated one) comes out as it went in. Objects do not see each other.
    """
    pixels = stamps.float().nan_to_num(0.0, 0.0, 0.0)
    sigma = (noise_level(stamps) if noise is None else noise.float())[:, :, None, None]
    noisy = sigma > 0
    sigma = torch.where(noisy, sigma, 1.0)
    # sinh undoes asinh; nothing may come out that is brighter than a few times what went in
    compressed = (pixels / sigma).asinh()
    ceiling = compressed.abs().amax(dim=(2, 3), keepdim=True) + 1.0
    cleaned = net(compressed).float().clamp(-ceiling, ceiling).sinh() * sigma
    return torch.where(noisy, cleaned, pixels)


def denoising_loss(
    net: nn.Module, clean: torch.Tensor, generator: torch.Generator | None = None, flux_weight: float = 2.0
) -> torch.Tensor:
    """Loss of one training batch: pixels in compressed and in noise units, and the bias of the total flux.

    Each stamp gets Gaussian noise at a matched-filter S/N drawn log-uniformly from 3..3000 (blank stamps: noise alone),
    twice, and goes the way of `denoise`. With x in units of the noise, u = asinh(x), primes for the net's answer and
    e = (sum x' - sum x) / (sum |x| + sqrt(pixels) / 4), the loss is

        mean (u' - u)^2 + mean huber(x' - x) + flux_weight (mean e^2 + 8 mean e1 e2)

    The compressed term alone is biased low in flux units (Jensen) and blind to small errors of bright pixels. The square of e alone
    rewards shrinking uncertain fluxes towards the mean; the product of the errors under two independent noises is, on average, the
    square of the stamp's flux bias without its scatter. It counts for S/N > 15: below, no bias would mean no denoising.

    Parameters
    ----------
    net : nn.Module
    clean : (n, b, y, x) float tensor
        Noiseless stamps; the unit does not matter.
    generator : torch.Generator, optional
        Source of the noise, on the stamps' device.
    flux_weight : float

    Returns
    -------
    Scalar tensor with a gradient. Needs finite stamps.
    """
    n, b = clean.shape[:2]
    power = clean.square().sum(dim=(2, 3)).sqrt()  # (n, b)
    low, high = (math.log(value) for value in _SN_RANGE)
    draw = torch.rand((n, b), generator=generator, device=clean.device)
    sn = torch.where(power > 0, torch.exp(low + (high - low) * draw), 0.0)
    sigma = torch.where(power > 0, power / sn, 1.0)[:, :, None, None]
    clean, sigma = torch.cat([clean, clean]), torch.cat([sigma, sigma])
    noisy = clean + sigma * torch.randn(clean.shape, generator=generator, device=clean.device)

    measured = noise_level(noisy)[:, :, None, None]
    wanted = clean / measured
    answer = net((noisy / measured).asinh())
    light = answer.clamp(-12.0, 12.0).sinh()
    loss = (answer - wanted.asinh()).square().mean() + functional.smooth_l1_loss(light, wanted)
    scale = wanted.abs().sum(dim=(2, 3)) + clean[0, 0].numel() ** 0.5 / 4
    error = ((light - wanted).sum(dim=(2, 3)) / scale).clamp(-1.0, 1.0)
    first, second = error.chunk(2)
    bias = (first * second * (sn > 15)).mean()
    return loss + flux_weight * (error.square().mean() + 8 * bias)
