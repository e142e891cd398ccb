"""What a diffusion model learns from: turned, blurred and noisier stamps, whose conditions follow."""

from __future__ import annotations

import pytest
import torch

from kernels.attributes import Attribute
from kernels.diffusion import Sampling
from kernels.diffusion_model import Description, DiffusionModel, untrained
from kernels.stretch import noise_level
from kernels.training.degrade import blurred, degraded
from kernels.training.diffusion_objective import DiffusionObjective, _withheld
from kernels.training.recipe import Recipe
from kernels.training.trainer import Training

ATTRIBUTES = (
    Attribute("level", 0.0, 1.0),
    Attribute("noise_r", 0.1, 10.0, "noise"),
    Attribute("psf", 0.0, 3.0, "psf"),
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_blur_is_no_gaussian_of_its_width():
    point = torch.zeros(2, 1, 33, 33)
    point[:, :, 16, 16] = 5.0
    wide = blurred(point, torch.tensor([0.0, 2.5]))
    torch.testing.assert_close(wide[0], point[0], atol=1e-5, rtol=0)
    away = torch.arange(33) - 16
    wanted = torch.exp(-(away[:, None] ** 2 + away**2) / (2 * (2.5 / 2.3548) ** 2))
    torch.testing.assert_close(wide[1, 0], 5 * wanted / wanted.sum(), atol=2e-3, rtol=0)
    assert float(wide[1].sum()) == pytest.approx(5.0, rel=1e-4)


def test_degraded_stamps_say_they_are_not():
    stamps = torch.randn(256, 2, 32, 32, generator=generator())
    worse, fwhm = degraded(stamps, 0.25, generator(1))
    left = fwhm == 0
    assert 0.6 < float(left.float().mean()) < 0.9
    assert torch.equal(worse[left], stamps[left])
    assert bool((worse[~left] != stamps[~left]).flatten(1).any(dim=1).all())
    assert not bool(degraded(stamps, 0.0, generator())[1].any())


def test_more_is_withheld_than_was_known():
    values = torch.rand(4000, 3, generator=generator())
    values[::2, 0] = torch.nan
    told, sure = _withheld(values, torch.ones_like(values), generator(2))
    known = told.isfinite()
    assert not bool(known[::2, 0].any())
    assert torch.equal(told[known], values[known])
    assert torch.equal(sure == 1, known | ((sure == 1) & ~values.isfinite()))
    share = known[:, 1:].float().mean(dim=1)
    assert 0.45 < float((share == 1).float().mean()) < 0.8  # everything told
    assert 0.1 < float((share == 0).float().mean()) < 0.35  # nothing told


@pytest.fixture(scope="module")
def taught():
    """A small model that learned to draw flat stamps of a wanted level, half of which it was told."""
    options = {"width": 32, "depth": 1, "patch": 4, "skin": 4}
    description = Description(
        ("r",), 16, None, ATTRIBUTES, untrained(("r",), 16, ATTRIBUTES).brightness, options
    )
    torch.manual_seed(0)
    objective = DiffusionObjective(description, Recipe(rate=3e-3, ema=0.98, precision="float32"), 0.0)
    averaged = description.build().eval()
    averaged.load_state_dict(objective.net.state_dict())
    training = Training(objective, averaged, 0)
    draw, steps, losses = generator(), 150, []
    for step in range(steps):
        level = torch.rand(64, 1, generator=draw)
        stamps = (4 * level - 2)[:, :, None, None] + 0.1 * torch.randn(64, 1, 16, 16, generator=draw)
        found = training.step(stamps, torch.cat([level, torch.ones(64, 1)], dim=1), step / steps)
        losses.append(float(found["loss"]))
    return DiffusionModel(training.averaged, description), losses


def test_model_learns_nothing(taught):
    _, losses = taught
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])


def test_request_is_not_heard(taught):
    model, _ = taught
    values = torch.tensor([[0.2, torch.nan, torch.nan], [0.8, torch.nan, torch.nan]]).repeat(16, 1)
    drawn = model.draw(values.numpy(), torch.ones(32, 3).numpy(), torch.arange(32).numpy(), Sampling(10, 1.0))
    dark, bright = drawn.mean(dim=(1, 2, 3)).view(16, 2).T
    assert float(dark.mean()) == pytest.approx(-1.2, abs=0.5)
    assert float(bright.mean()) == pytest.approx(1.2, abs=0.5)
    assert bool(noise_level(drawn).isfinite().all())
