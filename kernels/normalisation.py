"""Mean and deviation of the images that a network was trained on."""

from __future__ import annotations

import torch

__all__ = ["normalisation"]

# of the images that timm's pretrained weights were trained on, red, green, blue
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


def normalisation(normalise: str, bands: int) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Mean and deviation that are taken out of images, (1, bands, 1, 1) each; None where nothing is."""
    if normalise == "none":
        return None, None
    mean, std = torch.tensor(_IMAGENET_MEAN), torch.tensor(_IMAGENET_STD)
    if bands != len(mean):
        mean, std = mean.mean().expand(bands), std.mean().expand(bands)
    return mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1)
