"""Elementary functions whose bits do not depend on where in a tensor a number stands.

PyTorch's own atan2, hypot, sinh, cosh, pow and sigmoid take a vector of numbers at a time, and the few that are left at the end by another routine;
on some processors (AMD with AVX-512) the two round differently. So a value would depend on its batch. exp, expm1, log1p, atan, sqrt and
the plain operations do not; these are made of them.
"""

from __future__ import annotations

import torch

__all__ = ["asinh", "atan2", "cosh", "hypot", "sigmoid", "sinh"]


def hypot(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Length of (x, y), elementwise; squares must not overflow (1e19 in float32)."""
    return (x * x + y * y).sqrt()


def atan2(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Angle of finite (x, y), elementwise, from -pi to pi; 0 for (0, 0). By halves of the angle, so that no difference cancels."""
    largest = torch.maximum(x.abs(), y.abs())
    x, y = x / largest, y / largest
    length = hypot(x, y)
    ahead = y / (length + x)
    behind = (length - x) / y
    angle = 2 * torch.where(x >= 0, ahead, behind).atan()
    return torch.where(largest == 0, 0.0, angle)


def sinh(x: torch.Tensor) -> torch.Tensor:
    """Hyperbolic sine, elementwise; also of small numbers to their last digit."""
    if torch.compiler.is_exporting():  # ONNX knows no expm1
        return x.sinh()
    return (x.expm1() - (-x).expm1()) / 2


def asinh(x: torch.Tensor) -> torch.Tensor:
    """Inverse hyperbolic sine, elementwise, four times as fast as torch's; NaN where the square overflows (1e19 in float32)."""
    if torch.compiler.is_exporting():
        return x.asinh()
    size = x.abs()
    square = size * size
    beyond = square.div_((square + 1).sqrt_().add_(1))  # in place: fresh memory takes longer than sums
    return beyond.add_(size).log1p_().copysign_(x)


def cosh(x: torch.Tensor) -> torch.Tensor:
    """Hyperbolic cosine, elementwise."""
    return (x.exp() + (-x).exp()) / 2


def sigmoid(x: torch.Tensor) -> torch.Tensor:
    """1 / (1 + exp(-x)), elementwise."""
    return 1 / (1 + (-x).exp())
