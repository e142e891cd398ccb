"""Denoising: stamps into the denoiser's units and back, and the loss that it is trained with."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional

from kernels.elementary import sinh
from kernels.stretch import noise_level

__all__ = ["denoise", "denoising_loss"]

Net = Callable[[torch.Tensor], torch.Tensor]

# Matched-filter S/N, sqrt(sum(x^2)) / sigma, that training noise spreads over.
_SN_RANGE = (3.0, 3000.0)
# Cosine modes a side that pass as they are.
_MODES = 4
# Central squares, as shares of the side, whose fluxes the loss looks at.
_APERTURES = (0.25, 0.5, 0.75)


def denoise(stamps: torch.Tensor, net: Net, noise: torch.Tensor | None = None) -> torch.Tensor:
    """Remove the sky noise of each band: sigma sinh(net(asinh(x / sigma))), and the flux stays.

    Averaged over the whole stamp noise is small already, and there a network can only do harm: it takes faint light for
    sky. So the lowest 4 x 4 cosine modes (type-II discrete cosine transform) of a stamp pass unchanged. The first is its sum: the total
    flux is that of the noisy stamp, to rounding. They hold 16 of all pixels' degrees of freedom, and no more of the noise.

    Parameters
    ----------
    stamps : (n, b, y, x) float tensor
        Background-subtracted stamps, in any flux unit.
    net : callable
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
    return torch.where(noisy, _cleaned(pixels / sigma, net) * sigma, pixels)


def _cleaned(light: torch.Tensor, net: Net) -> torch.Tensor:
    """Stamps in units of their noise, without it."""
    compressed = light.asinh()
    # sinh undoes asinh; nothing may come out that is brighter than a few times what went in
    ceiling = compressed.abs().amax(dim=(2, 3), keepdim=True) + 1.0
    cleaned = sinh(net(compressed).float().clamp(-ceiling, ceiling))
    return cleaned + _smooth_part(light - cleaned)


def _smooth_part(images: torch.Tensor) -> torch.Tensor:
    """The lowest cosine modes of images (n, b, y, x)."""
    rows, columns = (_cosines(side, images) for side in images.shape[-2:])
    return rows.T @ (rows @ images @ columns.T) @ columns


def _cosines(side: int, like: torch.Tensor) -> torch.Tensor:
    """(modes, side): orthonormal rows of the type-II discrete cosine transform."""
    modes = torch.arange(min(_MODES, side), device=like.device)[:, None]
    middles = (torch.arange(side, device=like.device) + 0.5) / side
    scale = torch.where(modes == 0, 1.0, 2.0).div(side).sqrt()
    return scale * torch.cos(math.pi * modes * middles)


def denoising_loss(
    net: Net, clean: torch.Tensor, generator: torch.Generator | None = None, flux_weight: float = 2.0
) -> torch.Tensor:
    """Loss of one training batch: pixels in compressed and in noise units, and the bias of the flux in apertures.

    Each stamp gets Gaussian noise at a matched-filter S/N drawn log-uniformly from 3..3000 (blank stamps: noise alone),
    twice, and goes the way of `denoise`. With x in units of the noise, u = asinh(x), primes for what comes out and
    e = (sum_A x' - sum_A x) / (sum |x| + sqrt(pixels) / 4) for a central square A of 1/4, 1/2 and 3/4 of the side, the loss is

        mean (u' - u)^2 + mean huber(x' - x) + flux_weight mean_A (mean e^2 + 8 mean e1 e2)

    The compressed term alone is biased low in flux units (Jensen) and blind to small errors of bright pixels. The square of e alone
    rewards shrinking uncertain fluxes towards the mean; the product of the errors under two independent noises is, on average, the
    square of the stamp's flux bias without its scatter. It counts for S/N > 6: below, no bias would mean no denoising.

    Parameters
    ----------
    net : callable
        As for `denoise`.
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
    cleaned = _cleaned(noisy / measured, net)
    missed = cleaned - wanted
    loss = (cleaned.asinh() - wanted.asinh()).square().mean() + functional.smooth_l1_loss(cleaned, wanted)
    scale = wanted.abs().sum(dim=(2, 3)) + clean[0, 0].numel() ** 0.5 / 4
    for share in _APERTURES:
        top, left = (round(side * (1 - share) / 2) for side in clean.shape[-2:])
        inside = missed[..., top : clean.shape[-2] - top, left : clean.shape[-1] - left]
        error = (inside.sum(dim=(2, 3)) / scale).clamp(-1.0, 1.0)
        first, second = error.chunk(2)
        bias = (first * second * (sn > 6)).mean()
        loss = loss + flux_weight / len(_APERTURES) * (error.square().mean() + 8 * bias)
    return loss
