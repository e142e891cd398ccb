"""Stamps as a worse night would have taken them: blurred, with more noise, so that a model learns what noise and PSF do."""

from __future__ import annotations

import math

import torch

from kernels.stretch import noise_level

__all__ = ["BLUR", "blurred", "degraded"]

BLUR = 3.0
"""Largest FWHM of a blur, pixels."""
_NOISIER = 2.0  # noise that is added, at most, in units of what there was
_SIGMA_PER_FWHM = 1 / 2.354820045030949


def degraded(
    stamps: torch.Tensor, share: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Blur a share of the stamps and make them noisier.

    Parameters
    ----------
    stamps : (n, b, y, x) float32 tensor
    share : float
        Probability of each.
    generator : torch.Generator
        Of the stamps' device.

    Returns
    -------
    stamps : (n, b, y, x) float32 tensor
    fwhm : (n,) float32 tensor
        Of the Gaussian that each was blurred with, pixels; 0 where it was left alone.
    """
    draws = torch.rand(3, len(stamps), generator=generator, device=stamps.device)
    noise = torch.randn(stamps.shape, generator=generator, device=stamps.device)
    chosen = draws[0] < share
    fwhm = torch.where(chosen, BLUR * draws[1], 0.0)
    worse = stamps.clone()
    if not chosen.any():
        return worse, fwhm
    level = _NOISIER * draws[2][chosen, None] * noise_level(stamps[chosen])
    worse[chosen] = blurred(stamps[chosen], fwhm[chosen]) + level[..., None, None] * noise[chosen]
    return worse, fwhm


def blurred(stamps: torch.Tensor, fwhm: torch.Tensor) -> torch.Tensor:
    """Stamps (n, b, y, x) convolved with a round Gaussian of a FWHM (n,) in pixels, periodic at the edges."""
    height, width = stamps.shape[-2:]
    rows = torch.fft.fftfreq(height, device=stamps.device)
    columns = torch.fft.rfftfreq(width, device=stamps.device)
    squares = rows[:, None].square() + columns.square()
    transfer = torch.exp(-2 * (math.pi * _SIGMA_PER_FWHM * fwhm[:, None, None, None]).square() * squares)
    return torch.fft.irfft2(torch.fft.rfft2(stamps) * transfer, s=(height, width))
