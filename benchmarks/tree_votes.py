"""Simulated votes on Galaxy Zoo 2's tree for the galaxies of EFIGI: a stand-in for votes where a test needs some.

EFIGI (Baillard et al. 2011, A&A 532, A74) gives each galaxy a type T (-6 to 11) and sixteen attributes from 0 to 1, -1 where one
can't be told. A fixed rule, `expected`, turns them into the fraction of volunteers that would give each answer; `draw` then sends
volunteers down the tree. What EFIGI says is what the votes say, with the noise of volunteers: nothing here was fitted to real votes.

The rule, with s(x) = 1 / (1 + exp(-x)); the answers of a question are scaled to add up to 1:

=================  ====================================================================================================
smooth_or_features star or artifact 0.02 + 0.03 contamination; of the rest, features with
                   s(0.9 (T + 0.5) + 2 most of bar, rings, arm strength, dust), dwarf ellipticals (T = 11) as T = -4
edgeon             yes with s(12 (inclination - 0.85))
bar                s(8 (bar length - 0.35))
spiral             s(6 (arm strength - 0.25) + 0.5 (T - 1)), T - 1 held within -4 and 4
bulge_prominence   nearness of the bulge's share of the light to 0, 0.25, 0.55, 0.9
odd                yes with s(7 (o - 0.55)), o the most of perturbation, 0.9 rings, 0.9 multiplicity, 0.6 dust, and being
                   irregular, s(2 (T - 9.5)) without dwarf ellipticals
rounded            nearness of the elongation to 0.1, 0.5, 0.95
odd_feature        rings, 0.02, perturbation, irregular, 0.1, 1.5 perturbation x multiplicity, dust, and 0.02 for each
bulge_shape        no bulge with s(10 (0.2 - the bulge's share)); of the rest 0.1 boxy, and 0.2 more of it by bar length
arms_winding       nearness of the arm curvature to 0.8, 0.5, 0.2
arms_number        EFIGI counts no arms: one 0.05 + 0.15 perturbation, two 0.1 + 0.6 (1 - f), three 0.12, four 0.08, more
                   0.05 + 0.3 f, can't tell 0.1 + 0.4 f, with flocculence f
=================  ====================================================================================================

Nearness of x to c is exp(-(x - c)^2 / 2 w^2), w = 0.15 for the bulge and 0.2 for the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import expit

from kernels.bags import hash_ids
from kernels.tree_text import bundled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kernels.trees import Tree

TREE = bundled("gz2")
UNKNOWN = {
    "bulge_to_total": 0.5,
    "inclination_elongation": 0.5,
    "arm_curvature": 0.5,
    "flocculence": 0.5,
}
"""What an attribute counts as where EFIGI can't tell; others, such as bars and rings, as 0: not seen."""


def votes(labels: pd.DataFrame, volunteers: int = 40, seed: int = 0) -> pd.DataFrame:
    """EFIGI's labels -> `id` and how many volunteers gave each answer, in the columns of the tree `gz2`."""
    counts = draw(TREE, expected(labels), labels["id"].to_numpy(), volunteers, seed)
    return pd.DataFrame(counts, columns=list(TREE.columns), index=labels.index).assign(id=labels["id"])[
        ["id", *TREE.columns]
    ]


def expected(labels: pd.DataFrame) -> NDArray[np.float64]:
    """Fraction of each answer to its question, by the rule above.

    Parameters
    ----------
    labels
        A row a galaxy, with `t_type` and EFIGI's attributes; -1 or NaN where an attribute is not known.

    Returns
    -------
    (n, 37) float64, the answers of the tree `gz2`; those of each question add up to 1.
    """
    t = labels["t_type"].to_numpy(float)
    if not np.isfinite(t).all():
        raise ValueError("t_type: every galaxy needs its type")
    bulge, inclination = _attribute(labels, "bulge_to_total"), _attribute(labels, "inclination_elongation")
    arms, bar, dust = (_attribute(labels, name) for name in ("arm_strength", "bar_length", "visible_dust"))
    perturbed, multiple = _attribute(labels, "perturbation"), _attribute(labels, "multiplicity")
    flocculence = _attribute(labels, "flocculence")
    ring = np.max([_attribute(labels, f"{kind}_ring") for kind in ("inner", "outer", "pseudo")], axis=0)
    irregular = np.where(t > 10, 0, expit(2 * (t - 9.5)))
    artifact = 0.02 + 0.03 * _attribute(labels, "contamination")
    features = expit(0.9 * (np.where(t > 10, -4, t) + 0.5) + 2 * np.max([bar, ring, arms, dust], axis=0))
    odd = np.max([perturbed, 0.9 * ring, 0.9 * multiple, 0.6 * dust, irregular], axis=0)
    no_bulge, boxy = expit(10 * (0.2 - bulge)), 0.1 + 0.2 * bar
    answers = {
        "smooth_or_features": [(1 - artifact) * (1 - features), (1 - artifact) * features, artifact],
        "edgeon": _yes(expit(12 * (inclination - 0.85))),
        "bar": _yes(expit(8 * (bar - 0.35))),
        "spiral": _yes(expit(6 * (arms - 0.25) + 0.5 * np.clip(t - 1, -4, 4))),
        "bulge_prominence": _near(bulge, (0, 0.25, 0.55, 0.9), 0.15),
        "odd": _yes(expit(7 * (odd - 0.55))),
        "rounded": _near(inclination, (0.1, 0.5, 0.95), 0.2),
        "odd_feature": [
            0.02 + kind for kind in (ring, 0.02, perturbed, irregular, 0.1, 1.5 * perturbed * multiple, dust)
        ],
        "bulge_shape": [(1 - no_bulge) * (1 - boxy), (1 - no_bulge) * boxy, no_bulge],
        "arms_winding": _near(_attribute(labels, "arm_curvature"), (0.8, 0.5, 0.2), 0.2),
        "arms_number": [
            0.05 + 0.15 * perturbed,
            0.1 + 0.6 * (1 - flocculence),
            0.12,
            0.08,
            0.05 + 0.3 * flocculence,
            0.1 + 0.4 * flocculence,
        ],
    }
    each = [
        np.stack(np.broadcast_arrays(*answers[question.name], t)[:-1], axis=1) for question in TREE.questions
    ]
    return np.concatenate([weights / weights.sum(axis=1, keepdims=True) for weights in each], axis=1)


def draw(
    tree: Tree, fractions: NDArray[np.float64], ids: NDArray[Any], volunteers: int = 40, seed: int = 0
) -> NDArray[np.int64]:
    """Send volunteers down a tree, each asked only what their answers lead to.

    Parameters
    ----------
    tree
    fractions
        (n, answers), those of each question adding up to 1.
    ids
        (n,) object ids. A galaxy's votes follow from its id and the seed alone, whatever other galaxies there are.
    volunteers
        For each galaxy.
    seed

    Returns
    -------
    (n, answers) int64: how many gave each answer.
    """
    counts = np.zeros(fractions.shape, np.int64)
    for row, start in enumerate(hash_ids(ids, seed)):
        random = np.random.default_rng(start)
        for question in tree.order:
            leads, here = list(tree.leads[question]), tree.slices[question]
            asked = counts[row, leads].sum() if leads else volunteers
            counts[row, here] = random.multinomial(asked, fractions[row, here])
    return counts


def _attribute(labels: pd.DataFrame, name: str) -> NDArray[np.float64]:
    values = labels[name].to_numpy(float)
    return np.where(values >= 0, values, UNKNOWN.get(name, 0.0))


def _yes(probability: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return [probability, 1 - probability]


def _near(values: NDArray[np.float64], centres: tuple[float, ...], width: float) -> list[NDArray[np.float64]]:
    return [np.exp(-(((values - centre) / width) ** 2) / 2) for centre in centres]
