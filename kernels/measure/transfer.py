"""What PSFs and pixels leave of waves: transfer functions, and the grids of waves on which they are looked at."""

from __future__ import annotations

import math

import numpy as np
import torch

__all__ = ["FARTHEST", "PIXEL_REACH", "pixel", "reach", "transform", "turns", "waves"]

_PERIOD = 1.3  # light comes back after so many sides
_NEAR, _FINE = 3.0, 0.2
_FAINT = 1e-4  # transforms of a PSF below this are not looked at
_WAVES = 128  # a side of the grid on which a PSF's transform is looked at
FARTHEST = math.pi + 2 * math.pi / _WAVES
"""The farthest `reach` of a PSF."""
PIXEL_REACH = 2 * math.pi
"""Where a pixel's own response ends for the first time."""


def waves(
    side: int, reach: float, near: float = _NEAR, fine: float = _FINE
) -> tuple[torch.Tensor, torch.Tensor]:
    """Wave numbers below `reach` and the part of the line that each stands for, float64; within so many steps of k = 0 steps are finer by a factor."""
    step = 2 * math.pi / (_PERIOD * side)
    near *= step
    places = (np.arange(int(2 * reach / step) + 8) + 0.5) * step
    k = places - (1 - fine) * near * np.tanh(places / near)
    with np.errstate(over="ignore"):  # far out cosh is infinite, and the step whole
        part = step * (1 - (1 - fine) / np.cosh(places / near) ** 2)
    k, part = torch.from_numpy(k[k < reach]), torch.from_numpy(part[k < reach])
    return torch.cat([-k.flip(0), k]), torch.cat([part.flip(0), part])


def pixel(ky: torch.Tensor, kx: torch.Tensor) -> torch.Tensor:
    """Transform (ky, kx) complex128 of a pixel."""
    return (torch.sinc(ky / (2 * math.pi))[:, None] * torch.sinc(kx / (2 * math.pi))).to(torch.complex128)


def turns(ky: torch.Tensor, kx: torch.Tensor, shape: torch.Size) -> tuple[torch.Tensor, torch.Tensor]:
    """Phases (ky, py) and (px, kx) complex128 of an image's rows and columns, counted from its middle."""
    y, x = (torch.arange(size, dtype=torch.float64) - (size - 1) / 2 for size in shape)
    return torch.exp(-1j * ky[:, None] * y), torch.exp(-1j * x[:, None] * kx)


def transform(psf: torch.Tensor, down: torch.Tensor, across: torch.Tensor) -> torch.Tensor:
    """Transform (ky, kx) complex128 of a PSF."""
    return down @ psf.detach().cpu().to(torch.complex128) @ across


def reach(psf: torch.Tensor | None) -> float:
    """The wave number behind which a PSF (py, px) shows nothing, at most `FARTHEST`, a little more than the Nyquist frequency; of pixels alone, without one."""
    if psf is None:
        return PIXEL_REACH
    image = psf.double().numpy(force=True)
    height, width = (-(-size // _WAVES) * _WAVES for size in image.shape)
    if max(height, width) > _WAVES:  # what lies a period apart has the same phase in all of these waves
        image = np.pad(image, ((0, height - image.shape[0]), (0, width - image.shape[1])))
        image = image.reshape(height // _WAVES, _WAVES, width // _WAVES, _WAVES).sum(axis=(0, 2))
    waves = np.fft.fft(np.fft.rfft(image, _WAVES, axis=1), _WAVES, axis=0)
    seen = waves.real**2 + waves.imag**2 > (_FAINT * psf.sum().abs().item()) ** 2
    if not seen.any():
        return math.pi
    rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
    farthest = max(int(columns.max()), int(np.minimum(rows, _WAVES - rows).max()))
    k = torch.linspace(-math.pi, math.pi, _WAVES + 1, dtype=torch.float64)
    return float(k[_WAVES // 2 + farthest]) + math.pi / 64
