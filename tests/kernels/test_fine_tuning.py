"""What a predictor's network is taught by: views that stay the galaxy, rates that fall towards the pixels, losses of the heads."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from kernels import tree_votes
from kernels.heads.head import Head
from kernels.nets import create
from kernels.training.fine_tuning import FineTuningOptimiser, depths
from kernels.training.gentle_views import ViewSettings, gentle_view, plain_view
from kernels.training.labels import loss_sums, mean_loss
from kernels.training.predictor_objective import (
    PredictorNet,
    PredictorObjective,
    TeachingSettings,
    with_drop_path,
)
from kernels.training.recipe import Recipe
from kernels.training.starting_heads import starting_heads
from kernels.training.trainer import Training
from kernels.tree_text import parse

TREE = """
name = "blobs"
[[questions]]
name = "wide"
answers = ["yes", "no"]
[[questions]]
name = "flat"
asked = "wide.yes"
answers = ["very", "not"]
"""
KINDS = (Head("kind", "classes", ("a", "b")), Head("size", "value"))


def blobs(n: int, side: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Round and long blobs in two bands, what they are, and how large."""
    rng = np.random.default_rng(3)
    size, long = rng.uniform(3, 6, n), np.arange(n) % 2
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    images = np.exp(-(x**2 + y**2 * (1 + 5 * long[:, None, None])) / (2 * size[:, None, None] ** 2))
    stamps = torch.tensor(np.stack([images, 0.5 * images], axis=1), dtype=torch.float16)
    kinds = torch.nn.functional.one_hot(torch.tensor(long), 2)
    value = torch.tensor(np.stack([(size - 4.5) / 0.9, 0 * size], axis=1))
    return stamps, torch.cat([kinds, value], dim=1).float()


def objective(name: str = "timm:test_convnext", trees: tuple = (), heads=KINDS, **settings):
    network = create(name, bands=2).train()
    net = PredictorNet(network, network.num_features, sum(head.width for head in heads))
    recipe = Recipe(rate=5e-3, precision="float32")
    return PredictorObjective(net, 32, heads, recipe, TeachingSettings(**settings), trees=trees)


def test_views_lose_their_colours():
    stamps, _ = blobs(8)
    quiet = ViewSettings(noise=0.0)
    seen = gentle_view(stamps, 32, quiet, torch.Generator().manual_seed(1))
    assert seen.shape == (8, 2, 32, 32)
    torch.testing.assert_close(seen[:, 1], 0.5 * seen[:, 0], atol=1e-3, rtol=0)
    coloured = gentle_view(stamps, 32, ViewSettings(noise=0.0, colours=0.5), torch.Generator().manual_seed(1))
    assert not torch.allclose(coloured[:, 1], 0.5 * coloured[:, 0], atol=1e-2)


def test_plain_view_is_another_size():
    stamps, _ = blobs(2)
    torch.testing.assert_close(plain_view(stamps, 40), stamps.float())
    assert plain_view(stamps, 32).shape == (2, 2, 32, 32)


def test_first_layers_move_as_fast_as_the_heads():
    core = objective()
    rates: dict[int, float] = {}
    optimiser = FineTuningOptimiser(core.net.network, core.net.heads, 0.0, network_rate=0.5, layer_decay=0.9)
    before = copy.deepcopy(core.net.state_dict())
    for parameter in core.net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step(0.1)
    for name, block in depths(core.net.network).items():
        moved = (core.net.state_dict()[f"network.{name}"] - before[f"network.{name}"]).abs().mean()
        rates.setdefault(block, round(float(moved), 8))
    assert list(rates.values()) == sorted(rates.values())
    assert rates[max(rates)] == pytest.approx(0.05, rel=1e-3)
    assert rates[0] == pytest.approx(0.05 * 0.9 ** max(rates), rel=1e-3)
    moved = (core.net.heads.weight - before["heads.weight"]).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 0.1))


@pytest.mark.parametrize("settings", [{}, {"mixup": 0.4, "smoothing": 0.1, "dropout": 0.2}])
def test_training_learns_nothing_or_ends_elsewhere_when_it_is_resumed(settings):
    stamps, targets = blobs(32)
    torch.manual_seed(0)
    core = objective(network_rate=0.5, **settings)
    with_drop_path(core.net.network, 0.2)
    training = Training(core, copy.deepcopy(core.net).eval(), 7)
    start = mean_loss(KINDS, core.unseen_sums(training.averaged, stamps, targets))
    for step in range(20):
        if step == 10:
            state = copy.deepcopy(training.state())
        training.step(stamps, targets, 0.1 + step / 25)
    assert mean_loss(KINDS, core.unseen_sums(training.averaged, stamps, targets)) < start - 0.1
    ended = copy.deepcopy(training.state()["averaged"])
    training.restore(state)
    torch.manual_seed(99)
    for step in range(10, 20):
        training.step(stamps, targets, 0.1 + step / 25)
    again = training.state()["averaged"]
    assert all(torch.equal(ended[name], again[name]) for name in ended)


def test_averaged_network_has_the_norms_of_an_untrained_one():
    stamps, targets = blobs(16)
    core = objective("timm:test_efficientnet")
    training = Training(core, copy.deepcopy(core.net).eval(), 7)
    training.step(stamps, targets, 0.5)
    means = [m.running_mean for m in training.averaged.modules() if isinstance(m, nn.BatchNorm2d)]
    assert any(bool(mean.abs().sum() > 0) for mean in means)


def test_object_without_a_label_counts():
    outputs, (_, targets) = torch.randn(8, 4), blobs(8)
    targets[4:] = torch.nan
    few, many = (mean_loss(KINDS, loss_sums(KINDS, outputs[:n], targets[:n])) for n in (4, 8))
    torch.testing.assert_close(few, many)


def test_challenge_loss_is_not_that_of_the_tree():
    tree = parse(TREE, "blobs")
    heads = [Head(q.name, "votes", q.answers, weight=0.5) for q in tree.questions]
    core = objective(heads=heads, trees=((0, tree),))
    scores = torch.randn(5, 4, generator=torch.Generator().manual_seed(2))
    counts = torch.tensor([[30.0, 10, 20, 10], [10, 30, 5, 5], [0, 40, 0, 0], [20, 20, 10, 10]])
    targets = torch.cat([counts, torch.full((1, 4), torch.nan)])
    loss = mean_loss(heads, core._sums(scores, targets, 0.0))
    wanted = tree_votes.products(tree, tree_votes.fractions_of(tree, counts))
    missed = (tree_votes.products(tree, tree_votes.softmax(tree, scores[:4])) - wanted).square()
    torch.testing.assert_close(loss, missed.nanmean() * 4)


def test_mixture_is_mostly_the_other_stamp():
    core = objective(mixup=0.3)
    shares = [core._share(torch.Generator().manual_seed(k)) for k in range(50)]
    assert 0.5 <= min(shares) < 0.8
    assert 0.95 < max(shares) <= 1


def test_heads_begin_certain_or_worse_than_a_guess():
    """Few objects have more codes than labels: what is learned by heart must not be certain."""
    rng = np.random.default_rng(4)
    codes, (_, targets) = rng.normal(size=(20, 64)), blobs(20)
    targets[3:5, 2:] = torch.nan
    codes[:, 0] = 3 * targets[:, 1] - 1.5
    weight, bias = starting_heads(codes, targets.numpy(), KINDS)
    outputs = codes @ weight.T + bias
    assert (outputs[:, :2].argmax(axis=1) == targets[:, 1].numpy()).all()
    assert np.abs(outputs[:, :2]).max() < 5
    np.testing.assert_allclose(outputs[:, 3], outputs[0, 3])
    assert outputs[0, 3] >= np.log(0.3) - 1e-9
    one = (Head("kind", "classes", ("a", "b")), Head("nobody knows", "classes", ("a", "b")))
    unknown = np.concatenate([targets[:, :2].numpy(), np.full((20, 2), np.nan)], axis=1)
    assert not starting_heads(codes, unknown, one)[0][2:].any()
