"""A teacher: a pretrained network whose features the encoder learns to predict from any view of a galaxy."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional

from kernels import nets
from kernels.nets import weights

__all__ = ["Teacher"]

_BATCH = 64


class Teacher:
    """Features of prepared stamps, averaged over a quarter turn (distillation: Hinton et al., arXiv:1503.02531).

    Parameters
    ----------
    model : str
        ``timm:NAME``, of a network that takes red, green and blue.
    checkpoint : str
        "pretrained" (timm's own), or a .safetensors file.
    side : int
        Side of the images that it sees, pixels.
    device : torch.device
    precision : {"float32", "bfloat16"}

    Raises
    ------
    kernels.nets.UnknownNetError, kernels.nets.weights.WeightsError
        If there is no such network, or its weights cannot be had.
    """

    def __init__(
        self, model: str, checkpoint: str, side: int, device: torch.device, precision: str = "float32"
    ) -> None:
        net = nets.create(model, bands=3, size=side, pretrained=checkpoint == "pretrained")
        if checkpoint != "pretrained":
            weights.load(net, Path(checkpoint))
        config = getattr(net, "pretrained_cfg", {})
        self._mean, self._std = (
            torch.tensor(config.get(key, default), device=device).view(3, 1, 1)
            for key, default in (("mean", (0.5, 0.5, 0.5)), ("std", (0.5, 0.5, 0.5)))
        )
        self._net = net.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._side, self._device, self._precision = side, device, precision
        self.features = nets.features(model, bands=3, size=side)

    @torch.inference_mode()
    def __call__(self, stamps: torch.Tensor) -> torch.Tensor:
        """(n, 3, y, x) of `kernels.training.prepare`, bluest channel first, to (n, features) float32 on the CPU.

        Each feature in units of its own scatter over these stamps, around its mean.
        """
        found = torch.cat([self._look(part) for part in stamps.split(_BATCH)])
        return (found - found.mean(dim=0)) / found.std(dim=0).clamp(min=1e-3)

    def _look(self, stamps: torch.Tensor) -> torch.Tensor:
        images = stamps.to(self._device).float().flip(1).clamp(0, 1)
        images = functional.interpolate(
            images, (self._side, self._side), mode="bilinear", align_corners=False, antialias=True
        )
        images = (images - self._mean) / self._std
        total = torch.zeros((), device=self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == "bfloat16"):
            for turn in range(2):
                turned = images.rot90(turn, dims=(2, 3)).contiguous(memory_format=torch.channels_last)
                total = total + self._net(turned).float()
        return (total / 2).cpu()
