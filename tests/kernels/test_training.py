"""Training cores: what would spoil an encoder without a word."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch

from kernels.bands import band_order
from kernels.heads.head import Head
from kernels.nets import create, features
from kernels.nets import weights as stored
from kernels.nets.denoiser import Denoiser
from kernels.nets.galaxy import GalaxyAtto, band_mixture, round_window
from kernels.training.labels import LabelHeads, soft_ordinal
from kernels.training.muon import Muon
from kernels.training.objectives import DenoiserObjective, EncoderObjective
from kernels.training.optimiser import Optimiser
from kernels.training.prepare import prepare, prepare_clean, prepared_side
from kernels.training.recipe import Recipe, learning_rate
from kernels.training.teacher import Teacher
from kernels.training.trainer import Training
from kernels.training.vicreg import vicreg_loss
from kernels.training.views import view

SIDE = 32


def blobs(n: int, side: int = prepared_side(SIDE)) -> torch.Tensor:
    """Elongated blobs, each of its own shape and colour."""
    line = torch.arange(side) - (side - 1) / 2
    y, x = torch.meshgrid(line, line, indexing="ij")
    k = torch.arange(n)[:, None, None]
    light = torch.exp(-(x**2 + y**2 * (1 + k % 4)) / (2 * (3.0 + k % 5) ** 2))
    return light[:, None] * (1 - 0.2 * torch.arange(3)[None, :, None, None] * ((k % 3) / 3)[:, None])


def test_views_depend_on_the_seed_alone_and_leave_stamps_alone():
    stamps = blobs(6)
    before = stamps.clone()
    first, again, other = (view(stamps, SIDE, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(stamps, before)
    assert first.shape == (6, 3, SIDE, SIDE)
    assert first.isfinite().all()
    assert torch.equal(first, again)
    assert (first - other).abs().amax(dim=(1, 2, 3)).min() > 0.05


def test_views_lose_the_galaxy_or_its_brightness():
    """However it is looked at, most of the light stays in the frame and the peak stays near one."""
    seen = view(blobs(300), SIDE, torch.Generator().manual_seed(0))
    peak = seen.amax(dim=(1, 2, 3))
    assert float(peak.quantile(0.02)) > 0.5
    assert float(peak.quantile(0.98)) < 1.7
    light = seen.mean(dim=1).clamp(min=0)
    centre = light[:, SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4].sum(dim=(1, 2)) / light.sum(dim=(1, 2))
    assert float(centre.median()) > 0.5


def test_vicreg_is_not_the_published_loss():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 40, 7)) * [[[2.0]], [[0.3]]]
    a[:, 0] *= 0.01

    def twin(values):
        spread = np.maximum(0, 1 - np.sqrt(values.var(axis=0, ddof=1) + 1e-4)).mean()
        covariance = np.cov(values.T)
        return spread, (covariance**2).sum() - (np.diag(covariance) ** 2).sum()

    (va, ca), (vb, cb) = twin(a), twin(b)
    wanted = 25 * ((a - b) ** 2).mean() + 25 * (va + vb) / 2 + (ca + cb) / 7
    assert float(vicreg_loss(torch.tensor(a), torch.tensor(b))) == pytest.approx(wanted, rel=1e-5)


def test_unlabelled_objects_teach_the_heads():
    heads = LabelHeads(
        4, [Head("bar", "classes", ("a", "b")), Head("type", "classes", ("a", "b", "c"), weight=5.0)]
    )
    embeddings = torch.randn(6, 4, requires_grad=True)
    targets = torch.full((6, 5), torch.nan)
    targets[0, :2] = torch.tensor([0.0, 1.0])
    loss = heads(embeddings, targets)
    loss.backward()
    assert loss > 0
    assert embeddings.grad[0].abs().sum() > 0
    assert not embeddings.grad[1:].any()
    assert not heads(embeddings, torch.full((6, 5), torch.nan)).any()


def test_ordinals_forget_their_confidence():
    levels = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
    sure, unsure, unknown = soft_ordinal(
        torch.tensor([0.5, 0.5, torch.nan]), torch.tensor([0.05, 0.3, 0.1]), levels
    )
    assert sure.argmax() == unsure.argmax() == 2
    assert float(sure[2]) > 0.99
    assert float(unsure[2]) < 0.5
    assert float(unsure.sum()) == pytest.approx(1)
    assert unknown.isnan().all()


def test_rate_starts_or_ends_high():
    recipe = Recipe(rate=1.0, warmup=0.1)
    assert learning_rate(0.0, recipe) == 0
    assert learning_rate(0.1, recipe) == pytest.approx(1)
    assert learning_rate(0.55, recipe) == pytest.approx(0.5)
    assert learning_rate(1.0, recipe) == pytest.approx(0)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 9])
def test_band_mixture_drops_a_band_or_changes_brightness(bands):
    mixture = band_mixture(bands)
    torch.testing.assert_close(mixture.sum(dim=1), torch.ones(3))
    assert (mixture.sum(dim=0) > 0).all()
    assert (mixture >= 0).all()
    torch.testing.assert_close(mixture.flip(0, 1), mixture)


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["u", "g", "r", "i", "z"], [0, 1, 2, 3, 4]),
        (["r", "g", "b"], [2, 1, 0]),
        (["H", "J", "V", "z"], [2, 3, 1, 0]),
        (["F160W", "F814W", "F606W"], [2, 1, 0]),
        (["F444W", "F090W", "F277W", "F150W"], [1, 3, 2, 0]),
        (["sdss_r", "sdss-g"], [1, 0]),
        (["grey"], None),
    ],
)
def test_bands_are_put_in_another_order_than_their_wavelengths(names, order):
    assert band_order(names) == order


def test_grey_stamp_differs_from_three_equal_bands():
    grey = blobs(4, 64)[:, :1]
    one, three = create("galaxy-atto", bands=1), create("galaxy-atto", bands=3)
    with torch.inference_mode():
        torch.testing.assert_close(one(grey), three(grey.expand(-1, 3, -1, -1)), atol=1e-5, rtol=1e-4)
        assert one(grey).shape == (4, features("galaxy-atto", bands=1))
    assert one.state_dict().keys() == three.state_dict().keys()


def test_corners_reach_the_network():
    window = round_window(64)
    assert float(window[0, 0]) == 0
    assert float(window[32, 32]) == 1
    torch.testing.assert_close(window, window.rot90())
    net, stamps = GalaxyAtto().eval(), blobs(2, 64)
    cornered = stamps.clone()
    cornered[:, :, :6, :6] = 1.0
    with torch.inference_mode():
        assert torch.equal(net(stamps), net(cornered))


@pytest.mark.parametrize("bands", [1, 5])
def test_prepared_stamps_have_one_shape_whatever_the_release(bands):
    stamps = blobs(3, 20)[:, :1].expand(-1, bands, -1, -1)
    prepared = prepare(stamps, SIDE, "linear")
    assert prepared.shape == (3, 3, prepared_side(SIDE), prepared_side(SIDE))
    assert prepared.dtype == torch.float16
    assert 0.8 < float(prepared.amax()) <= 1.01


def objective() -> Training:
    torch.manual_seed(3)
    net = GalaxyAtto().train()
    core = EncoderObjective(
        net, net.features, SIDE, [Head("kind", "classes", ("a", "b", "c", "d"))], Recipe(precision="float32")
    )
    return Training(core, copy.deepcopy(net), seed=9)


def learn(training: Training, steps: range) -> dict[str, float]:
    stamps, targets = blobs(12), torch.nn.functional.one_hot(torch.arange(12) % 4 // 2, 4).float()
    for step in steps:
        found = training.step(stamps, targets, step / 40)
    return {name: float(value) for name, value in found.items()}


def test_resumed_training_ends_elsewhere(tmp_path):
    whole = objective()
    last = learn(whole, range(6))
    stopped = objective()
    learn(stopped, range(3))
    torch.save(stopped.state(), tmp_path / "state.pt")
    resumed = objective()
    resumed.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    assert learn(resumed, range(3, 6)) == last
    for name, value in whole.averaged.state_dict().items():
        assert torch.equal(value, resumed.averaged.state_dict()[name])


def test_training_teaches_nothing():
    training = objective()
    training.core.recipe = dataclasses.replace(training.core.recipe, rate=5e-3, warmup=0.01)
    first = learn(training, range(1))["labels"]
    assert learn(training, range(1, 30))["labels"] < 0.7 * first


def test_denoiser_learns_to_leave_the_noise():
    torch.manual_seed(0)
    core = DenoiserObjective(Denoiser(), Recipe(rate=3e-3, warmup=0.01, precision="float32"))
    training = Training(core, copy.deepcopy(core.net), seed=1)
    clean = prepare_clean(blobs(16, 24), 20)
    assert clean.shape == (48, 1, 20, 20)
    losses = [float(training.step(clean, torch.zeros(48, 0), step / 60)["loss"]) for step in range(60)]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])


def test_dark_bands_become_training_targets():
    stamps = blobs(4, 20)
    stamps[1, 2] = 0
    clean = prepare_clean(stamps, 24)
    assert clean.shape == (11, 1, 24, 24)
    torch.testing.assert_close(clean.float().square().sum(dim=(1, 2, 3)), torch.ones(11), atol=1e-2, rtol=0)


def test_a_step_favours_some_directions():
    torch.manual_seed(0)
    net = torch.nn.Linear(8, 16)
    optimiser = Optimiser(net, [], weight_decay=0.0)
    before = net.weight.detach().clone()
    stamps = torch.randn(64, 8) * torch.logspace(0, -1, 8)
    net(stamps).square().sum().backward()
    optimiser.step(1e-3)
    moved, pulled = map(torch.linalg.svdvals, (net.weight.detach() - before, net.weight.grad))
    assert pulled.max() / pulled.min() > 30
    assert moved.max() / moved.min() < 3


def test_muon_moves_weights_as_torchs_does_and_goes_on_from_its_state():
    draw = torch.Generator().manual_seed(0)
    shapes = [(8, 16), (16, 8), (8, 8), (8, 16), (5, 40), (8, 8)]
    ours, torchs = ([torch.nn.Parameter(torch.ones(shape)) for shape in shapes] for _ in range(2))
    first, theirs = Muon(ours, weight_decay=0.1), torch.optim.Muon(torchs, weight_decay=0.1)
    for optimiser in (first, Muon(ours, weight_decay=0.2)):
        if optimiser is not first:
            optimiser.load_state_dict(copy.deepcopy(theirs.state_dict()))
        for _ in range(3):
            for one, other in zip(ours, torchs, strict=True):
                one.grad = torch.randn(one.shape, generator=draw)
                other.grad = one.grad.clone()
            optimiser.step()
            theirs.step()
    for one, other in zip(ours, torchs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    assert first.state_dict().keys() == theirs.state_dict().keys()


def teacher(tmp_path) -> Teacher:
    path = tmp_path / "teacher.safetensors"
    path.write_bytes(stored.half_precision(create("timm:test_efficientnet", bands=3)))
    return Teacher("timm:test_efficientnet", str(path), 48, torch.device("cpu"))


def test_teacher_sees_another_galaxy(tmp_path):
    """Red, green and blue as it was trained, and each feature in units of its own scatter."""
    told = teacher(tmp_path)
    stamps = prepare(blobs(20), SIDE, "linear")
    found = told(stamps)
    assert found.shape == (20, told.features)
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(told.features), atol=1e-4, rtol=0)
    net = create("timm:test_efficientnet", bands=3)
    stored.load(net, tmp_path / "teacher.safetensors")
    images = torch.nn.functional.interpolate(
        stamps.float().flip(1).clamp(0, 1), (48, 48), mode="bilinear", align_corners=False, antialias=True
    )
    mean, std = (torch.tensor(net.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    images = (images - mean) / std
    with torch.inference_mode():
        plain = (net(images) + net(images.rot90(1, (2, 3)))) / 2
    plain = (plain - plain.mean(dim=0)) / plain.std(dim=0).clamp(min=1e-3)
    torch.testing.assert_close(found, plain, atol=2e-3, rtol=1e-3)


@pytest.mark.slow
def test_teacher_teaches_nothing(tmp_path):
    told, stamps = teacher(tmp_path), blobs(12)
    torch.manual_seed(3)
    net = GalaxyAtto().train()
    recipe = Recipe(rate=5e-3, warmup=0.01, precision="float32")
    core = EncoderObjective(net, net.features, SIDE, [], recipe, told.features)
    training = Training(core, copy.deepcopy(net), seed=9)
    targets = told(stamps)
    losses = [float(training.step(stamps, targets, step / 40)["teacher"]) for step in range(30)]
    assert losses[-1] < 0.7 * losses[0]
