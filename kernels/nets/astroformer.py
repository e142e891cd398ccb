"""astroformer: convolutions, and attention in the last stage alone, for few labels.

Astroformer (Dagli 2023, arXiv:2304.05350) is CoAtNet (Dai et al., arXiv:2106.04803) with the stack C-C-C-T in place of C-C-T-T; here it is built of
timm's parts. Its attention has a learned bias for each relative position, so weights are tied to the side of the input, which is padded with
zeros to a multiple of 32: others waste some of the work. There are no published weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from kernels.elementary import sigmoid
from kernels.nets import _torchvision
from kernels.nets.galaxy import CHANNELS, RoundView

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SHAPES", "Astroformer"]

SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...], int]] = {
    "atto": ((32, 64, 128, 256), (1, 1, 2, 1), 16),
    "0": ((96, 192, 384, 768), (2, 3, 5, 2), 64),
    "1": ((96, 192, 384, 768), (2, 6, 14, 2), 64),
    "2": ((128, 256, 512, 1024), (2, 6, 14, 2), 128),
    "3": ((192, 384, 768, 1536), (2, 6, 14, 2), 192),
    "4": ((192, 384, 768, 1536), (2, 12, 28, 2), 192),
    "5": ((256, 512, 1280, 2048), (2, 12, 28, 2), 192),
}
"""By variant: channels and blocks of the stages, channels of the stem. The numbers are the paper's; atto is ours, for CPUs."""
_STACKS = ("C-C-C-C", "C-C-C-T", "C-C-T-T", "C-T-T-T")
_HEAD = 32  # channels of an attention head
_STRIDE = 32  # of the last stage


class Astroformer(nn.Module):
    """(n, bands, size, size) -> (n, dims[-1]).

    Parameters
    ----------
    bands : int
        In the order of their wavelengths, bluest first.
    size : int
        Side of the input, pixels.
    variant : str
        Of `SHAPES`.
    stack : str
        What each of the four stages is made of: C for convolutions (MBConv), T for attention.
    dims, depths, stem
        In place of the variant's.
    drop_path : float
        Stochastic depth: the share of samples, growing from 0 to this with the depth, that skip a block in training.
    """

    def __init__(
        self,
        bands: int = CHANNELS,
        size: int = 64,
        *,
        variant: str = "0",
        stack: str = "C-C-C-T",
        dims: Sequence[int] | None = None,
        depths: Sequence[int] | None = None,
        stem: int | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if variant not in SHAPES:
            raise ValueError(f"variant = {variant!r}: it is one of {list(SHAPES)}")
        own = SHAPES[variant]
        dims, depths, stem = tuple(dims or own[0]), tuple(depths or own[1]), stem or own[2]
        _check(stack, dims, depths)
        _torchvision.install()
        from timm.models.maxxvit import MaxxVit, MaxxVitCfg  # noqa: PLC0415

        shape = MaxxVitCfg(
            embed_dim=dims,
            depths=depths,
            block_type=tuple(stack.split("-")),
            stem_width=stem,
            head_hidden_size=dims[-1],
        )
        self.view, self.padding = RoundView(bands), -size % _STRIDE
        self.backbone = MaxxVit(
            shape, img_size=size + self.padding, in_chans=CHANNELS, num_classes=0, drop_path_rate=drop_path
        )
        _with_exact_gates(self.backbone)

    def forward(self, stamps: torch.Tensor) -> torch.Tensor:
        before, after = self.padding // 2, self.padding - self.padding // 2
        images = functional.pad(self.view(stamps), (before, after, before, after))
        features: torch.Tensor = self.backbone(images)
        return features


class _Sigmoid(nn.Module):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return sigmoid(values)


class _SiLU(nn.Module):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values * sigmoid(values)


def _check(stack: str, dims: tuple[int, ...], depths: tuple[int, ...]) -> None:
    if stack not in _STACKS:
        raise ValueError(f"stack = {stack!r}: it is one of {_STACKS}")
    if not len(dims) == len(depths) == len(_STACKS[0].split("-")):
        raise ValueError(f"dims = {dims} and depths = {depths}: there are four stages")
    for kind, channels in zip(stack.split("-"), dims, strict=True):
        if kind == "T" and channels % _HEAD:
            raise ValueError(
                f"dims = {dims}: a stage of attention needs a multiple of {_HEAD} channels, not {channels}"
            )


def _with_exact_gates(net: nn.Module) -> None:
    """Replace gates by functions whose bits do not depend on the batch, see `kernels.elementary`."""
    from timm.layers import SqueezeExcite  # noqa: PLC0415

    for layer in net.modules():
        if isinstance(layer, SqueezeExcite):
            layer.act, layer.gate = _SiLU(), _Sigmoid()
