"""Ridge regression: the weights that minimise what it says, whether there are more objects or more features."""

from __future__ import annotations

import pytest
import torch

from kernels.training.ridge import ridge


@pytest.mark.parametrize(("objects", "features"), [(40, 5), (20, 60)])
def test_the_weights_minimise_the_mean_square_and_the_penalty(objects: int, features: int) -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(objects, features, generator=draw, dtype=torch.float64) + 3
    y = x[:, 0] + torch.randn(objects, generator=draw, dtype=torch.float64)
    strengths = (0.01, 1.0)
    weights, intercepts = ridge(x, y, strengths)
    for weight, intercept, strength in zip(weights, intercepts, strengths, strict=True):
        missed = x @ weight + intercept - y
        slope = x.T @ missed / objects + strength * weight
        torch.testing.assert_close(slope, torch.zeros_like(slope), atol=1e-9, rtol=0)
        assert abs(missed.mean()) < 1e-9
