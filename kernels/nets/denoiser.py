"""Denoising autoencoder: a small convolutional network that removes sky noise from one band at a time.

After the convolutional autoencoder of arXiv 2501.00380 (two levels of 5x5 convolution and pooling), with three
differences: it is fully convolutional, so the number of weights does not grow with the stamp (theirs has two layers of
1e8); it learns to remove noise that was added to clean stamps (theirs reproduces its input); and what is sharp and
bright travels past the bottleneck, which alone would blur it (U-Net, arXiv 1505.04597), in the end as a gate that
leaves pixels far above the noise as they are.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from kernels.elementary import sigmoid

__all__ = ["Denoiser"]


class Denoiser(nn.Module):
    """(n, b, y, x) -> (n, b, y, x), in asinh of units of the noise; any number of bands, any size.

    Parameters
    ----------
    width : int
        Channels at full resolution; twice as many at half and four times at quarter resolution.
    bottleneck : int
        Channels in the middle, at quarter resolution.
    """

    def __init__(self, width: int = 16, bottleneck: int = 24) -> None:
        super().__init__()
        self.encode1 = nn.Conv2d(1, width, 5, padding=2)
        self.encode2 = nn.Conv2d(width, 2 * width, 5, padding=2)
        self.encode3 = nn.Conv2d(2 * width, 4 * width, 3, padding=1)
        self.squeeze = nn.Conv2d(4 * width, bottleneck, 3, padding=1)
        self.expand = nn.Conv2d(bottleneck, 4 * width, 3, padding=1)
        self.decode3 = nn.Conv2d(4 * width, 2 * width, 3, padding=1)
        self.decode2 = nn.Conv2d(2 * width, width, 5, padding=2)
        self.decode1 = nn.Conv2d(width, 2, 5, padding=2)

    def forward(self, stamps: torch.Tensor) -> torch.Tensor:
        n, b, height, width = stamps.shape
        x = stamps.reshape(n * b, 1, height, width)
        # zeros are the sky's mean; padded at the far sides only, and cropped again below
        noisy = functional.pad(x, (0, -width % 4, 0, -height % 4))

        fine = functional.relu(self.encode1(noisy))  # (nb, w, y, x)
        half = functional.relu(self.encode2(functional.max_pool2d(fine, 2)))  # (nb, 2w, y/2, x/2)
        x = functional.relu(self.encode3(functional.max_pool2d(half, 2)))  # (nb, 4w, y/4, x/4)
        x = functional.relu(self.squeeze(x))  # (nb, bottleneck, y/4, x/4)
        x = functional.relu(self.expand(x))  # (nb, 4w, y/4, x/4)

        x = functional.interpolate(self.decode3(x), scale_factor=2, mode="nearest")  # (nb, 2w, y/2, x/2)
        x = functional.relu(x + half)
        x = functional.interpolate(self.decode2(x), scale_factor=2, mode="nearest")  # (nb, w, y, x)
        answer, gate = self.decode1(functional.relu(x + fine)).chunk(2, dim=1)  # (nb, 1, y, x) each
        x = answer + sigmoid(gate) * (noisy - answer)
        return x[..., :height, :width].reshape(n, b, height, width)
