"""What holds along a tree: each function against a slow, plain twin, and against the Galaxy Challenge's own rules."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from kernels.tree_text import bundled, bundled_names, parse
from kernels.tree_votes import (
    applies,
    challenge_loss,
    dirichlet_nll,
    fractions_of,
    mean_and_spread,
    products,
    softmax,
)

LATE_PARENT = parse(
    """
    name = "late-parent"
    [[questions]]
    name = "arms"
    asked = ["disk.yes", "clumps.spiral"]
    answers = ["1", "2"]
    [[questions]]
    name = "clumps"
    asked = "disk.no"
    answers = ["none", "spiral", "chain"]
    [[questions]]
    name = "disk"
    answers = ["yes", "no"]
    """
)
TREES = [LATE_PARENT, *(bundled(name) for name in bundled_names())]
CHALLENGE = bundled("gz2")
by_tree = pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.name)


def votes_of(tree, n=5, seed=0, most=20):
    return torch.from_numpy(
        np.random.default_rng(seed).integers(0, most, (n, len(tree.columns))).astype(float)
    )


def fractions_for(tree, n=5, seed=0):
    return softmax(tree, votes_of(tree, n, seed) / 5)


def concentrations_for(tree, n=5, seed=1):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(1 + 100 * rng.random((n, len(tree.columns))) ** 3)


def asked_by_hand(tree, row, question):
    """Recursion by names, over one galaxy's fractions as plain numbers."""
    if not question.parents:
        return 1.0
    total = 0.0
    for name, answer in question.parents:
        parent = next(one for one in tree.questions if one.name == name)
        column = f"{name}_{answer}".replace("-", "_").replace(" ", "_")
        total += asked_by_hand(tree, row, parent) * row[tree.names.index(column)]
    return total


@by_tree
def test_probability_of_being_asked_is_not_that_of_the_paths(tree):
    given = fractions_for(tree)
    by_hand = [[asked_by_hand(tree, row, question) for question in tree.questions] for row in given.tolist()]
    np.testing.assert_allclose(applies(tree, given).numpy(), by_hand, rtol=1e-12)


@by_tree
def test_products_are_not_fraction_times_probability(tree):
    given = fractions_for(tree)
    by_hand = [
        [
            row[here.start + place] * asked_by_hand(tree, row, question)
            for question, here in zip(tree.questions, tree.slices, strict=True)
            for place in range(len(question.answers))
        ]
        for row in given.tolist()
    ]
    np.testing.assert_allclose(products(tree, given).numpy(), by_hand, rtol=1e-12)


@by_tree
def test_more_are_asked_than_there_are(tree):
    asked = applies(tree, fractions_for(tree, 50))
    assert (asked <= 1 + 1e-12).all()
    assert (asked > 0).all()


def test_products_are_not_scaled_in_the_challenges_order():
    p = fractions_for(CHALLENGE, 20).numpy().copy()
    expected = p.copy()
    for first, last, parent in ((3, 5, 1), (5, 13, 4), (15, 18, 0), (18, 25, 13), (25, 28, 3), (28, 37, 7)):
        expected[:, first:last] *= expected[:, [parent]]
    np.testing.assert_allclose(products(CHALLENGE, torch.from_numpy(p)).numpy(), expected, rtol=1e-12)


def test_products_of_a_question_do_not_add_up_to_what_leads_to_it():
    values = dict(zip(CHALLENGE.columns, products(CHALLENGE, fractions_for(CHALLENGE, 20)).T, strict=True))
    whole = torch.ones(20, dtype=torch.float64)
    led = {1: whole, 6: whole} | {
        question: values[column]
        for question, column in {
            2: "Class1.2", 3: "Class2.2", 4: "Class2.2", 5: "Class2.2", 7: "Class1.1",
            8: "Class6.1", 9: "Class2.1", 10: "Class4.1", 11: "Class4.1",
        }.items()
    }  # fmt: skip
    for question, expected in led.items():
        parts = [value for column, value in values.items() if column.startswith(f"Class{question}.")]
        torch.testing.assert_close(sum(parts), expected)


def test_fractions_that_nobody_gave_spoil_the_rest():
    p = fractions_for(LATE_PARENT, 3)
    p[0] = torch.tensor([0.25, 0.75, np.nan, np.nan, np.nan, 1.0, 0.0])  # nobody was asked for clumps
    p[1, 2:5] = np.nan  # asked, but not known
    values = products(LATE_PARENT, p)
    np.testing.assert_allclose(values[0], [0.25, 0.75, 0, 0, 0, 1, 0])
    assert values[1, :5].isnan().all()
    assert values[1, 5:].isfinite().all()
    assert values[2].isfinite().all()


@by_tree
def test_likelihood_is_not_scipys(tree):
    concentrations, votes = concentrations_for(tree), votes_of(tree)
    by_hand = [
        [
            -stats.dirichlet_multinomial.logpmf(x[here].astype(int), a[here], int(x[here].sum()))
            for here in tree.slices
        ]
        for a, x in zip(concentrations.numpy(), votes.numpy(), strict=True)
    ]
    np.testing.assert_allclose(
        dirichlet_nll(tree, concentrations, votes).numpy(), by_hand, rtol=1e-9, atol=1e-9
    )


def test_float32_loses_the_likelihood():
    concentrations, votes = concentrations_for(CHALLENGE, 200), votes_of(CHALLENGE, 200, most=60)
    exact = dirichlet_nll(CHALLENGE, concentrations, votes)
    rough = dirichlet_nll(CHALLENGE, concentrations.float(), votes.float())
    assert rough.dtype == torch.float32
    assert (rough - exact).abs().max() < 2e-3


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("blank", [0.0, math.nan])
def test_a_question_without_votes_counts(kind, blank):
    concentrations = concentrations_for(CHALLENGE).to(kind).requires_grad_()
    votes = votes_of(CHALLENGE).to(kind)
    votes[:, CHALLENGE.slices[7]] = 0
    votes[:, CHALLENGE.slices[7].start] = blank
    loss = dirichlet_nll(CHALLENGE, concentrations, votes)
    loss.sum().backward()
    assert (loss[:, 7] == 0).all()
    assert (concentrations.grad[:, CHALLENGE.slices[7]] == 0).all()
    assert concentrations.grad.isfinite().all()
    assert (concentrations.grad[:, CHALLENGE.slices[0]] != 0).any()


def test_likelihood_changes_with_the_batch_or_its_input():
    concentrations, votes = concentrations_for(CHALLENGE, 7), votes_of(CHALLENGE, 7)
    votes[3] = math.nan
    kept = votes.clone()
    whole = dirichlet_nll(CHALLENGE, concentrations, votes)
    parts = torch.cat(
        [dirichlet_nll(CHALLENGE, concentrations[i : i + 2], votes[i : i + 2]) for i in range(0, 7, 2)]
    )
    assert torch.equal(whole, parts)
    assert torch.equal(votes.nan_to_num(-1), kept.nan_to_num(-1))


def test_training_does_not_find_the_fractions_that_votes_were_drawn_from():
    rng = np.random.default_rng(5)
    truth = fractions_for(LATE_PARENT, 1).numpy()[0]
    votes = torch.from_numpy(
        np.concatenate(
            [rng.multinomial(40, truth[here], size=400) for here in LATE_PARENT.slices], axis=1
        ).astype(float)
    )
    scores = torch.zeros(1, 7, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([scores], max_iter=100, line_search_fn="strong_wolfe")

    def step():
        optimiser.zero_grad()
        loss = dirichlet_nll(LATE_PARENT, scores.exp().expand(400, -1), votes).mean()
        loss.backward()
        return loss

    optimiser.step(step)
    found = fractions_of(LATE_PARENT, scores.detach().exp())
    np.testing.assert_allclose(found[0], truth, atol=0.02)


def test_unknown_targets_enter_the_challenges_loss():
    p = fractions_for(CHALLENGE, 4).requires_grad_()
    targets = torch.from_numpy(np.random.default_rng(3).random((4, 37)))
    targets[0, 5:] = math.nan
    targets[2] = math.nan
    predicted = products(CHALLENGE, p.detach()).numpy()
    errors = [
        (predicted[i, j] - targets[i, j].item()) ** 2
        for i in range(4)
        for j in range(37)
        if not math.isnan(targets[i, j])
    ]
    loss = challenge_loss(CHALLENGE, p, targets)
    assert loss.item() == pytest.approx(sum(errors) / len(errors), rel=1e-12)
    loss.backward()
    assert p.grad.isfinite().all()
    assert (p.grad[2] == 0).all()


def test_a_batch_without_any_target_has_no_finite_loss():
    p = fractions_for(CHALLENGE, 2).requires_grad_()
    loss = challenge_loss(CHALLENGE, p, torch.full((2, 37), math.nan, dtype=torch.float64))
    loss.backward()
    assert loss.item() == 0
    assert (p.grad == 0).all()


@by_tree
def test_spread_is_not_that_of_the_beta_distribution(tree):
    concentrations = concentrations_for(tree)
    mean, spread = mean_and_spread(tree, concentrations)
    for here in tree.slices:
        a = concentrations[:, here].numpy()
        beta = stats.beta(a, a.sum(axis=1, keepdims=True) - a)
        np.testing.assert_allclose(mean[:, here], beta.mean(), rtol=1e-12)
        np.testing.assert_allclose(spread[:, here], beta.std(), rtol=1e-9)


def test_fractions_of_a_question_without_votes_are_numbers():
    votes = votes_of(LATE_PARENT, 2)
    votes[0, :2] = 0
    given = fractions_of(LATE_PARENT, votes)
    assert given[0, :2].isnan().all()
    np.testing.assert_allclose(given[1, 2:5], votes[1, 2:5] / votes[1, 2:5].sum())


def test_nothing_breaks_an_empty_batch():
    none = torch.empty(0, 37)
    assert dirichlet_nll(CHALLENGE, none, none).shape == (0, 11)
    assert products(CHALLENGE, none).shape == (0, 37)
    assert challenge_loss(CHALLENGE, none, none) == 0
