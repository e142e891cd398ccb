"""Fractions, probabilities and losses along a decision tree.

Fractions are of the volunteers who are asked a question, so that those of a question's answers add up to 1. Products are what
the Galaxy Challenge asked for: fractions of all volunteers. Tensors have the answers of `kernels.trees.Tree` in its order, are
float32 or float64, and are computed in their own precision.

Sources: Dieleman, Willett & Dambre 2015 (products, the challenge's score); Walmsley et al. 2022 (the Dirichlet-multinomial loss).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from kernels.trees import Tree

__all__ = [
    "applies",
    "challenge_loss",
    "dirichlet_nll",
    "fractions_of",
    "mean_and_spread",
    "products",
    "softmax",
]


def fractions_of(tree: Tree, votes: torch.Tensor) -> torch.Tensor:
    """Votes or concentrations as fractions of each question's: (n, answers) -> (n, answers), NaN where a question has none."""
    return votes / _spread_out(tree, _sums(tree, votes))


def softmax(tree: Tree, scores: torch.Tensor) -> torch.Tensor:
    """A network's scores as fractions, question by question: (n, answers) -> (n, answers)."""
    return torch.cat([scores[:, here].softmax(dim=1) for here in tree.slices], dim=1)


def applies(tree: Tree, fractions: torch.Tensor) -> torch.Tensor:
    """Probability that a volunteer is asked each question.

    Parameters
    ----------
    tree
    fractions : (n, answers) tensor
        NaN (as in catalogs, for questions that nobody was asked) makes every question below NaN, except where the question
        applies with probability 0: nothing below it applies either.

    Returns
    -------
    (n, questions) tensor: the product of the fractions along the path, summed over the answers that lead to the question.
    """
    asked: dict[int, torch.Tensor] = {}
    for question in tree.order:
        led = [
            _times(asked[tree.question_of[answer]], fractions[:, answer]) for answer in tree.leads[question]
        ]
        asked[question] = sum(led[1:], start=led[0]) if led else torch.ones_like(fractions[:, 0])
    return torch.stack([asked[question] for question in range(len(tree.questions))], dim=1)


def products(tree: Tree, fractions: torch.Tensor) -> torch.Tensor:
    """Each answer's fraction of all volunteers: its own times the probability that its question applies.

    These are the values of the Galaxy Challenge: a question's products add up to the products of the answers that lead to it.

    Parameters
    ----------
    tree
    fractions : (n, answers) tensor
        NaN as for `applies`.

    Returns
    -------
    (n, answers) tensor
    """
    return _times(_spread_out(tree, applies(tree, fractions)), fractions)


def challenge_loss(tree: Tree, fractions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean squared error of the products; the Galaxy Challenge's score is its square root.

    Parameters
    ----------
    tree
    fractions : (n, answers) tensor
        Predicted, finite.
    targets : (n, answers) tensor
        Products, as the challenge's columns hold them; those that are NaN don't count.

    Returns
    -------
    Scalar tensor, 0 if no target is known.
    """
    known = ~targets.isnan()
    errors = (products(tree, fractions) - targets.masked_fill(~known, 0)).square().masked_fill(~known, 0)
    return errors.sum() / known.sum().clamp(min=1)


def dirichlet_nll(tree: Tree, concentrations: torch.Tensor, votes: torch.Tensor) -> torch.Tensor:
    r"""Negative log-likelihood of the votes on each question, Dirichlet-multinomial, its constant included.

    For one question, with concentrations a, votes k, A = sum of a and N = sum of k,

    .. math:: -\log P = \ln\Gamma(N + A) - \ln\Gamma(A) - \ln\Gamma(N + 1)
              + \sum_i [\ln\Gamma(a_i) - \ln\Gamma(k_i + a_i) + \ln\Gamma(k_i + 1)]

    Parameters
    ----------
    tree
    concentrations : (n, answers) tensor
        Positive.
    votes : (n, answers) tensor
        How many volunteers gave each answer, or their weights. A question with a NaN among its votes counts as not asked.

    Returns
    -------
    (n, questions) tensor. A question without votes adds exactly 0, with gradients 0, so that no mask is needed. The sum over the
    questions is the likelihood of all answers: those of a question depend on the tree only through who is asked.
    """
    votes = votes.to(concentrations.dtype)
    votes = votes.masked_fill(_spread_out(tree, _sums(tree, votes)).isnan(), 0)
    total, given = _sums(tree, concentrations), _sums(tree, votes)
    answers = concentrations.lgamma() - (votes + concentrations).lgamma() + (votes + 1).lgamma()
    return (given + total).lgamma() - total.lgamma() - (given + 1).lgamma() + _sums(tree, answers)


def mean_and_spread(tree: Tree, concentrations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Expected fraction of each answer, and how sure that is.

    Parameters
    ----------
    tree
    concentrations : (n, answers) tensor
        Positive.

    Returns
    -------
    mean, spread : (n, answers) tensors
        Mean and standard deviation of the fraction, whose distribution is Beta(a, A - a): the marginal of the Dirichlet.
    """
    mean = fractions_of(tree, concentrations)
    total = _spread_out(tree, _sums(tree, concentrations))
    return mean, (mean * (1 - mean) / (total + 1)).sqrt()


def _sums(tree: Tree, values: torch.Tensor) -> torch.Tensor:
    """(n, answers) -> (n, questions)."""
    return torch.stack([values[:, here].sum(dim=1) for here in tree.slices], dim=1)


def _spread_out(tree: Tree, values: torch.Tensor) -> torch.Tensor:
    """(n, questions) -> (n, answers)."""
    return values[:, list(tree.question_of)]


def _times(probability: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
    """Their product; 0 where the probability is, whatever was answered by nobody."""
    return probability * fraction.masked_fill((probability == 0) & fraction.isnan(), 0)
