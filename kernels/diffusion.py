"""The diffusion process: how stamps become noise in training, and noise becomes stamps in sampling.

Velocity prediction (Salimans & Ho, arXiv:2202.00512) on a schedule whose last step is pure noise (zero terminal SNR) and whose sampling
begins there (trailing steps), with classifier-free guidance that is rescaled: all three of Lin et al., arXiv:2305.08891.
A schedule that leaves a little signal in its last step lets a network read the brightness off it, and then samples that start
from pure noise come out at a brightness of their own. The noise falls as in Karras et al., arXiv:2206.00364, equation 5: the shape of a galaxy
of hundreds of pixels is decided while every single pixel is lost in noise, where the usual schedules hurry past.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import nn

__all__ = ["STEPS", "Sampling", "alphas_cumprod", "diffusion_loss", "initial_noise", "sample"]

STEPS = 1000
"""Steps of the schedule; sampling takes some of them."""
_SIGMA, _RHO = (0.02, 40.0), 7.0  # noise over data, first and last, and how it falls between them


@functools.cache
def alphas_cumprod() -> torch.Tensor:
    """Share of the data's variance in a noisy stamp (STEPS,) float64, falling to exactly 0."""
    time = torch.linspace(0, 1, STEPS, dtype=torch.float64)
    sigma = (_SIGMA[0] ** (1 / _RHO) * (1 - time) + _SIGMA[1] ** (1 / _RHO) * time) ** _RHO
    root = (1 + sigma.square()).rsqrt()
    # Lin et al., algorithm 1: the last becomes 0, the first stays
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return root.square()


def diffusion_loss(
    net: nn.Module,
    stamps: torch.Tensor,
    values: torch.Tensor,
    confidence: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """Mean squared error of the velocity that `net` predicts, at one random step for each stamp.

    Parameters
    ----------
    net : nn.Module
        As `kernels.nets.unet.GalaxyUNet`.
    stamps : (n, b, y, x) float tensor
        Of mean 0 and variance 1 over a release.
    values, confidence : (n, attributes) float tensors
    generator : torch.Generator
        Of the stamps' device.
    """
    n, device = len(stamps), stamps.device
    # one step from each of n equal parts of the schedule: the loss of a batch scatters less
    parts = (torch.randperm(n, generator=generator, device=device) + torch.rand(n, generator=generator, device=device)) / n  # fmt: skip
    step = (parts * STEPS).long().clamp(max=STEPS - 1)
    noise = torch.randn(stamps.shape, generator=generator, device=device)
    bar = alphas_cumprod().float().to(device)[step, None, None, None]
    noisy = bar.sqrt() * stamps + (1 - bar).sqrt() * noise
    velocity = bar.sqrt() * noise - (1 - bar).sqrt() * stamps
    predicted = net(noisy, (step + 1) / STEPS, values, confidence)
    return (predicted.float() - velocity).square().mean()


@dataclass(frozen=True)
class Sampling:
    """How stamps are drawn."""

    steps: int = 20
    """Evaluations of the network; twice as many with guidance."""
    guidance: float = 1.0
    """Weight of the condition; 1 draws from the model as it is."""
    rescale: float = 0.7
    """How much of the contrast that guidance adds is taken back, from 0 to 1."""


def initial_noise(seeds: np.ndarray, shape: tuple[int, ...]) -> torch.Tensor:
    """Standard normal noise (n, *shape) float32; each depends on its own seed alone."""
    count = int(np.prod(shape))
    each = [
        np.random.Generator(np.random.Philox(int(seed))).standard_normal(count, np.float32) for seed in seeds
    ]
    return torch.from_numpy(np.stack(each)).reshape(len(seeds), *shape)


@torch.inference_mode()
def sample(
    net: nn.Module, noise: torch.Tensor, values: torch.Tensor, confidence: torch.Tensor, how: Sampling
) -> torch.Tensor:
    """Stamps (n, b, y, x) of the model's own scale, by DPM-Solver++(2M) (Lu et al., arXiv:2211.01095), from noise of that shape."""
    scheduler: Any = _scheduler(how.steps)
    nothing = torch.full_like(values, torch.nan)
    stamps = noise
    for step in scheduler.timesteps:
        time = ((step + 1) / STEPS).expand(len(noise)).to(noise)
        predicted = net(stamps, time, values, confidence).float()
        if how.guidance != 1.0:
            free = net(stamps, time, nothing, torch.zeros_like(confidence)).float()
            predicted = _guided(predicted, free, how)
        stamps = scheduler.step(predicted, step, stamps).prev_sample
    return stamps


def _guided(predicted: torch.Tensor, free: torch.Tensor, how: Sampling) -> torch.Tensor:
    guided = free + how.guidance * (predicted - free)
    over = (1, 2, 3)
    rescaled = guided * (predicted.std(dim=over, keepdim=True) / guided.std(dim=over, keepdim=True))
    return torch.lerp(guided, rescaled, how.rescale)


def _scheduler(steps: int) -> Any:
    from kernels.nets import _torchvision  # noqa: PLC0415

    _torchvision.install()
    from diffusers import DPMSolverMultistepScheduler  # noqa: PLC0415

    bar = alphas_cumprod()
    betas = 1 - bar / torch.cat([torch.ones(1, dtype=bar.dtype), bar[:-1]])
    scheduler: Any = DPMSolverMultistepScheduler(
        num_train_timesteps=STEPS,
        trained_betas=betas.numpy(),
        rescale_betas_zero_snr=True,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        algorithm_type="dpmsolver++",
    )
    scheduler.set_timesteps(steps)
    return scheduler
