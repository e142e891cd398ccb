"""galaxy-d4: a ConvNeXt that turns and mirrors with its galaxy, so that its codes are the same for all eight symmetries of the grid.

Group convolutions (Cohen & Welling 2016, arXiv:1602.07576) over D4: four turns by 90 degrees, with and without a mirror. A field is
eight channels, what one filter finds in each of its eight orientations; turning the stamp turns every channel and exchanges them. All layers keep
to that: filters are learned in one orientation and applied in all, norms treat a field's channels alike, and
strides are taken so that the grid of a turned image is the turned grid, whatever its side. Pooling over space and orientations leaves codes that do not change, but for the
rounding of sums in another order. ConvNeXt: Liu et al., arXiv:2201.03545; blurred strides: Zhang 2019, arXiv:1904.11486.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from kernels.nets.galaxy import CHANNELS, RoundView

__all__ = [
    "ORDER",
    "DepthwiseConv",
    "GalaxyD4",
    "GroupConv",
    "LiftingConv",
    "act",
    "blur_pool",
    "inverse",
    "product",
]

ORDER = 8
"""Of the group. Element g mirrors if g >= 4, and then turns by g % 4 quarters."""


def act(element: int, images: torch.Tensor) -> torch.Tensor:
    """Images (..., y, x), mirrored and turned."""
    mirrors, turns = divmod(element, 4)
    return (images.flip(-1) if mirrors else images).rot90(turns, dims=(-2, -1))


def product(first: int, second: int) -> int:
    """The element that acts like `second`, then `first`."""
    (mirrors, turns), (mirrors2, turns2) = divmod(first, 4), divmod(second, 4)
    return 4 * ((mirrors + mirrors2) % 2) + (turns + (-turns2 if mirrors else turns2)) % 4


def inverse(element: int) -> int:
    """The element that undoes this one."""
    return element if element >= 4 else -element % 4


# [g][h]: orientation of the filter that is seen by output channel g in input channel h
_RELATIVE = [[product(inverse(g), h) for h in range(ORDER)] for g in range(ORDER)]


def blur_pool(images: torch.Tensor) -> torch.Tensor:
    """Every second pixel of blurred images, centred for odd and even sides alike: (n, c, side, side) -> (n, c, ceil(side / 2), ...)."""
    taps = (1.0, 2.0, 1.0) if images.shape[-1] % 2 else (1.0, 3.0, 3.0, 1.0)
    line = torch.tensor(taps, dtype=images.dtype, device=images.device) / sum(taps)
    channels = images.shape[1]
    kernel = torch.outer(line, line).expand(channels, 1, -1, -1)
    return functional.conv2d(images, kernel, stride=2, padding=1, groups=channels)


class _OrientedConv(nn.Conv2d):
    """A convolution whose filters are learned in one orientation and applied in all: each makes a field of `ORDER` channels.

    Parameters
    ----------
    channels, fields, kernel, stride : int
        Of the filters as they are learned; the kernel's side is odd.
    mixed : int
        Neighbouring input channels that an orientation exchanges: `ORDER` for fields, 1 for images.
    depthwise : bool
        Whether a filter sees its own field alone, each orientation its own channel.
    """

    positions: torch.Tensor

    def __init__(
        self,
        channels: int,
        fields: int,
        kernel: int,
        mixed: int,
        *,
        stride: int = 1,
        depthwise: bool = False,
    ) -> None:
        super().__init__(channels, fields, kernel, stride, kernel // 2, groups=fields if depthwise else 1)
        self.mixed, self.oriented_groups = mixed, ORDER * fields if depthwise else 1
        filters = torch.arange(mixed * kernel**2).view(mixed, kernel, kernel)
        seen = _RELATIVE if mixed == ORDER else [[0]] * ORDER
        oriented = torch.stack([act(g, filters)[seen[g]] for g in range(ORDER)])
        self.register_buffer("positions", oriented.flatten(), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        filters = self.weight.unflatten(1, (-1, self.mixed)).flatten(2)
        oriented = filters.index_select(2, self.positions).unflatten(2, (ORDER, -1)).transpose(1, 2)
        bank = oriented.reshape(ORDER * self.out_channels, -1, *self.kernel_size)
        assert self.bias is not None
        bias = self.bias.repeat_interleave(ORDER)
        return functional.conv2d(images, bank, bias, self.stride, self.padding, groups=self.oriented_groups)


class LiftingConv(_OrientedConv):
    """From an image's channels to fields."""

    def __init__(self, channels: int, fields: int, kernel: int, stride: int = 1) -> None:
        super().__init__(channels, fields, kernel, 1, stride=stride)


class DepthwiseConv(_OrientedConv):
    """From fields to fields, each channel by its own orientation of its field's filter."""

    def __init__(self, fields: int, kernel: int) -> None:
        super().__init__(fields, fields, kernel, 1, depthwise=True)


class GroupConv(_OrientedConv):
    """From fields to fields, every channel from all: filters have a slice for each difference of orientations."""

    def __init__(self, fields: int, wider: int, kernel: int = 1) -> None:
        super().__init__(ORDER * fields, wider, kernel, ORDER)


class GalaxyD4(nn.Module):
    """(n, bands, side, side) -> (n, 2 * fields[-1]): mean and largest of each field over its orientations.

    Parameters
    ----------
    bands : int
        In the order of their wavelengths, bluest first.
    fields, depths
        Fields, of eight channels each, and blocks of the stages; the default has the channels and blocks of galaxy-atto.
    drop_path : float
        Stochastic depth: the share of samples, growing from 0 to this with the depth, that skip a block in training.
    """

    def __init__(
        self,
        bands: int = CHANNELS,
        *,
        fields: tuple[int, ...] = (5, 10, 20, 40),
        depths: tuple[int, ...] = (2, 2, 6, 2),
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if len(fields) != len(depths):
            raise ValueError(f"fields = {fields} and depths = {depths}: one of each for every stage")
        self.view = RoundView(bands)
        self.lifting = LiftingConv(CHANNELS, fields[0], 5, stride=2)
        drops = iter(torch.linspace(0, drop_path, sum(depths), device="cpu").tolist())
        stages = []
        for before, here, depth in zip((fields[0], *fields[:-1]), fields, depths, strict=True):
            blocks = [_Block(here, next(drops)) for _ in range(depth)]
            stages.append(nn.Sequential(_Downsample(before, here), *blocks))
        self.stages = nn.Sequential(*stages)
        self.norm = _Norm(fields[-1])

    def forward(self, stamps: torch.Tensor) -> torch.Tensor:
        images = self.view(stamps)
        if images.shape[-1] % 2 == 0:  # a stride of two needs an odd grid: that of the pixels' corners
            rows = images[..., 1:, :] + images[..., :-1, :]
            images = (rows[..., 1:] + rows[..., :-1]) / 4
        pooled = self.stages(self.lifting(images)).float().mean(dim=(2, 3), keepdim=True)
        found = self.norm(pooled).flatten(1).unflatten(1, (-1, ORDER))
        return torch.cat([found.mean(dim=2), found.amax(dim=2)], dim=1)


class _Downsample(nn.Sequential):
    """Half the side, other fields."""

    def __init__(self, fields: int, wider: int) -> None:
        super().__init__(_Norm(fields), _Blur(), GroupConv(fields, wider))


class _Blur(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return blur_pool(images)


class _Block(nn.Module):
    """ConvNeXt's: depthwise convolution, norm, and two pointwise group convolutions around four times as many fields."""

    def __init__(self, fields: int, drop_path: float) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.layers = nn.Sequential(
            DepthwiseConv(fields, 7),
            _Norm(fields),
            GroupConv(fields, 4 * fields),
            nn.GELU(),
            GroupConv(4 * fields, fields),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        change: torch.Tensor = self.layers(images)
        if self.training and self.drop_path:
            keeps = torch.rand(len(images), 1, 1, 1, device=images.device) >= self.drop_path
            change = change * keeps / (1 - self.drop_path)
        return images + change


class _Norm(nn.Module):
    """Layer norm over all channels of a pixel; a field's channels share scale and shift."""

    def __init__(self, fields: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(fields))
        self.bias = nn.Parameter(torch.zeros(fields))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scale, shift = (each.repeat_interleave(ORDER) for each in (self.weight, self.bias))
        last = functional.layer_norm(images.permute(0, 2, 3, 1), (len(scale),), scale, shift, eps=1e-6)
        return last.permute(0, 3, 1, 2)
