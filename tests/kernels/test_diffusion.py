"""The diffusion process: it ends in pure noise, knows no company, and draws what it learned at the right brightness."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernels.attributes import Attribute, confidence, mirror_image, scaled
from kernels.brightness import Brightness, brightness_of
from kernels.diffusion import STEPS, Sampling, alphas_cumprod, diffusion_loss, initial_noise, sample
from kernels.diffusion_model import BATCH, DiffusionModel, untrained
from kernels.nets.weights import WeightsError, bundled, half_precision

ATTRIBUTES = (
    Attribute("size", 0.0, 10.0),
    Attribute("turn", 0.0, 1.0, mirrored=True),
    Attribute("noise_r", 0.1, 10.0, "noise"),
)
OPTIONS = {"width": 32, "depth": 2, "patch": 4, "skin": 4}


@pytest.fixture(scope="module")
def model() -> DiffusionModel:
    return untrained(("r",), 16, ATTRIBUTES, **OPTIONS)


def requests(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    values = rng.uniform(0.1, 1, (n, 3)).astype(np.float32)
    values[::3, 0] = np.nan
    return values, rng.uniform(0, 1, (n, 3)).astype(np.float32), np.arange(n) * 7


def test_last_step_keeps_a_trace_of_the_data():
    """What makes samples too bright: brightness that the network can read off what should be noise alone."""
    bar = alphas_cumprod()
    assert len(bar) == STEPS
    assert float(bar[-1]) == 0.0
    assert bool((bar[1:] < bar[:-1]).all())
    assert 0.999 < float(bar[0]) < 1


def test_sampler_has_another_schedule_than_training():
    from diffusers import DDPMScheduler

    bar = alphas_cumprod()
    betas = (1 - bar / torch.cat([torch.ones(1, dtype=bar.dtype), bar[:-1]])).numpy()
    theirs = DDPMScheduler(STEPS, trained_betas=betas, rescale_betas_zero_snr=True).alphas_cumprod
    torch.testing.assert_close(theirs.double(), bar, atol=2e-6, rtol=0)


class Knows(torch.nn.Module):
    """The velocity of data that are normal, of this mean and deviation: what a perfect network would say."""

    def __init__(self, mean: float, deviation: float) -> None:
        super().__init__()
        self.mean, self.deviation = mean, deviation

    def forward(self, noisy, time, values, confidence):
        bar = alphas_cumprod()[(time * STEPS).round().long() - 1, None, None, None].float()
        gain = bar.sqrt() * self.deviation**2 / (bar * self.deviation**2 + 1 - bar)
        data = self.mean + gain * (noisy - bar.sqrt() * self.mean)
        noise = (noisy - bar.sqrt() * data) / (1 - bar).sqrt()
        return bar.sqrt() * noise - (1 - bar).sqrt() * data


@pytest.mark.parametrize("steps", [10, 20, 50])
@pytest.mark.parametrize("mean", [0.0, 3.0])
def test_samples_are_too_bright(steps, mean):
    """Of a perfect network, samples have the mean and the deviation of the data, in few steps too."""
    noise = initial_noise(np.arange(64), (1, 16, 16))
    nothing = torch.full((64, 1), torch.nan)
    drawn = sample(Knows(mean, 0.3), noise, nothing, nothing, Sampling(steps, 1.0))
    assert float(drawn.mean()) == pytest.approx(mean, abs=0.01)
    assert float(drawn.std()) == pytest.approx(0.3, rel=0.1)


def test_loss_of_a_perfect_network_is_not_the_least():
    generator = torch.Generator().manual_seed(0)
    stamps = 3 + 0.3 * torch.randn(512, 1, 8, 8, generator=generator)
    nothing = torch.full((512, 1), torch.nan)

    def loss(net):
        return float(diffusion_loss(net, stamps, nothing, nothing, torch.Generator().manual_seed(1)))

    best = loss(Knows(3.0, 0.3))
    assert best < loss(Knows(2.9, 0.3))
    assert best < loss(Knows(3.0, 0.4))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_company_changes_a_stamp(model, precision):
    values, sure, seeds = requests(BATCH + 5)
    how = Sampling(4, 2.0)
    together = model.draw(values, sure, seeds, how, precision)
    for rows in ([3], [BATCH + 4], [40 % (BATCH + 5), 0, 17]):
        alone = model.draw(values[rows], sure[rows], seeds[rows], how, precision)
        assert torch.equal(alone, together[rows])
    assert model.draw(values[:0], sure[:0], seeds[:0], how).shape == (0, 1, 16, 16)


def test_condition_guidance_and_seed_mean_nothing(model):
    values, sure, seeds = requests(2)
    plain = model.draw(values, sure, seeds, Sampling(4, 2.0))
    brighter = values + np.float32(0.3)
    assert not torch.equal(plain, model.draw(brighter, sure, seeds, Sampling(4, 2.0)))
    assert not torch.equal(plain, model.draw(values, 0.5 * sure, seeds, Sampling(4, 2.0)))
    assert not torch.equal(plain, model.draw(values, sure, seeds + 1, Sampling(4, 2.0)))
    assert not torch.equal(plain, model.draw(values, sure, seeds, Sampling(4, 1.0)))
    assert not torch.equal(plain, model.draw(values, sure, seeds, Sampling(4, 2.0, 0.0)))


def test_file_forgets_what_the_model_can_be_told(model, tmp_path):
    model.save(tmp_path / "model.safetensors")
    again = DiffusionModel.load(tmp_path / "model.safetensors")
    assert again.description == model.description
    twice = DiffusionModel.load(tmp_path / "model.safetensors")
    assert again.fingerprint == twice.fingerprint
    (tmp_path / "other.safetensors").write_bytes(half_precision(model.net))
    with pytest.raises(WeightsError, match=r"other\.safetensors: these are no weights of a diffusion model"):
        DiffusionModel.load(tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="no such file"):
        DiffusionModel.load(tmp_path / "none.safetensors")


def test_attributes_are_scaled_past_their_range():
    wanted = torch.tensor([[0.0, 0.5, 0.1], [10.0, 1.0, 10.0], [torch.nan, 0.0, 1.0], [1000.0, 0.0, 0.0]])
    found = scaled(wanted, ATTRIBUTES)
    expected = torch.tensor([[-1, 0, -1], [1, 1, 1], [torch.nan, -1, 0], [1.2, -1, -1.2]])
    torch.testing.assert_close(found, expected, equal_nan=True, atol=1e-5, rtol=0)
    mirrored = mirror_image(found, ATTRIBUTES)
    torch.testing.assert_close(mirrored[:, 1], -found[:, 1])
    torch.testing.assert_close(mirrored[:, 0], found[:, 0], equal_nan=True)


def test_wide_limits_are_certain():
    lower, upper = torch.tensor([2.0, 0.0, torch.nan]), torch.tensor([2.0, 10.0, 3.0])
    assert confidence(ATTRIBUTES[0], lower, upper).tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("how", ["linear", "asinh"])
def test_fluxes_do_not_come_back(how):
    rng = np.random.default_rng(0)
    fluxes = torch.tensor(rng.normal(0, 1, (8, 2, 32, 32)) + rng.exponential(300, (8, 2, 32, 32)))
    fluxes[:, 1] *= 1e-9  # a band in other units
    noise = fluxes.std(dim=(2, 3)) / 100
    scale = brightness_of(fluxes, noise, how)
    values = scale.forward(fluxes)
    torch.testing.assert_close(values.mean(dim=(0, 2, 3)), torch.zeros(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(values.std(dim=(0, 2, 3)), torch.ones(2), atol=1e-3, rtol=0)
    missed = (scale.inverse(values) - fluxes).abs() / (
        fluxes.abs() + fluxes.std(dim=(0, 2, 3))[:, None, None]
    )
    assert float(missed.max()) < 5e-6


def test_unknown_stretch_is_taken_for_another():
    with pytest.raises(ValueError, match='not "log"'):
        Brightness("log", (1.0,), (0.0,), (1.0,)).forward(torch.ones(1, 1, 2, 2))


def test_bundled_model_forgets_what_it_was_told():
    """Early types are redder than late ones, and both are galaxies of the release's brightness."""
    path = bundled("diffusion-efigi")
    assert path.stat().st_size < 8e6
    model = DiffusionModel.load(path)
    names = [attribute.name for attribute in model.attributes]
    values = np.full((8, len(names)), np.nan, np.float32)
    values[:, names.index("t_type")] = np.repeat([-4, 9], 4)
    sure = np.isfinite(values).astype(np.float32)
    fluxes = model.draw(values, sure, np.arange(8), Sampling(steps=8)).sum(dim=(2, 3))
    assert ((fluxes > 3e3) & (fluxes < 4e5)).all()
    early, late = (fluxes[:, 0] / fluxes[:, 2]).view(2, 4).mean(dim=1)
    assert early > 1.2 * late
