"""Decision trees on frozen codes: `python -m benchmarks.tree_heads`. Writes benchmarks/results/tree_heads.csv and tree_questions.csv.

EFIGI's attributes become votes along the tree of Galaxy Zoo 2 by the rule of `benchmarks.tree_votes`, of 40 volunteers. A linear layer on the bundled encoder's
codes learns from folds 1 to 4 and is scored on fold 0, which that encoder has not seen: by the Dirichlet-multinomial loss (what `train predictor` does)
and by the Galaxy Challenge's own. Beside it: the mean of the training galaxies, and the mean of the 15 nearest ones. Real votes: whether a galaxy of the
Galaxy Challenge is an odd spiral (`gz2_kaggle`), five folds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsRegressor

from benchmarks import contestants, probes, tree_votes
from benchmarks.common import write_csv
from benchmarks.galaxies import FOLDS, SHARED, galaxies
from benchmarks.science import write_tables
from kernels.bags import canonical_order
from kernels.heads.answers import moments
from kernels.heads.calibrate import calibrate
from kernels.heads.head import Head
from kernels.nets.weights import bundled as bundled_weights
from kernels.training.linear_heads import fit_linear_heads
from kernels.tree_text import bundled
from kernels.tree_votes import challenge_loss, fractions_of, products, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kernels.trees import Tree

HELD_OUT = 0
AGREED, LEAST_VOTES = 0.8, 10
STRENGTHS = (0.1, 0.03, 0.01, 0.003, 0.001)


def codes_of(name: str) -> tuple[NDArray[np.float32], NDArray[np.int64], pd.DataFrame]:
    """Codes by the bundled encoder, folds, and the table of labels as it was published."""
    scratch = contestants.FOLDER / "releases"
    scratch.mkdir(parents=True, exist_ok=True)
    data = galaxies(name, scratch)
    codes = contestants.ours(data.stamps, 3, checkpoint=str(bundled_weights("galaxy-atto")), turns=1)
    ids = np.asarray(data.stamps["object_id"].to_pylist())
    order = canonical_order(ids, 0)
    labels = pd.read_csv(
        SHARED / name / "labels.csv", dtype={"id": (ids.dtype.kind == "U" and str) or int}
    ).set_index("id")
    return codes[order], data.fold[order], labels.loc[ids[order]].reset_index()


def by_dirichlet(
    tree: Tree, codes: NDArray[np.float64], votes: NDArray[np.float64], test: NDArray[np.bool_]
) -> torch.Tensor:
    """Fractions (n, answers) of the test galaxies."""
    heads = [Head(q.name, "votes", q.answers, asked=q.parents) for q in tree.questions]
    mean, scale = codes[~test].mean(axis=0), codes[~test].std(axis=0)
    fitted = fit_linear_heads(codes[~test], votes[~test], heads, mean, scale)
    outputs, found = codes[test] @ fitted.weight.T + fitted.bias, []
    for head, here in zip(heads, tree.slices, strict=True):
        found.append(
            moments(head, outputs[:, here], calibrate(head, fitted.held_out[:, here], votes[~test][:, here]))[
                0
            ]
        )
    return torch.tensor(np.concatenate(found, axis=1))


def by_challenge(
    tree: Tree,
    codes: NDArray[np.float64],
    wanted: NDArray[np.float64],
    test: NDArray[np.bool_],
    fold: NDArray[np.int64],
) -> torch.Tensor:
    """Fractions (n, answers) of the test galaxies; the regularisation is chosen on one fold of the training galaxies."""
    x = torch.tensor((codes - codes[~test].mean(axis=0)) / codes[~test].std(axis=0))
    y = torch.tensor(wanted)

    def fitted(rows: NDArray[np.bool_], strength: float) -> torch.Tensor:
        layer = torch.zeros(x.shape[1] + 1, y.shape[1], dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.LBFGS([layer], max_iter=150, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            optimiser.zero_grad()
            fractions = softmax(tree, x[rows] @ layer[1:] + layer[0])
            loss = (
                challenge_loss(tree, fractions, y[rows])
                + 0.5 * strength * layer[1:].square().sum() / y.shape[1]
            )
            loss.backward()
            return loss

        optimiser.step(closure)
        return layer.detach()

    def predicted(layer: torch.Tensor, rows: NDArray[np.bool_]) -> torch.Tensor:
        return softmax(tree, x[rows] @ layer[1:] + layer[0])

    chosen = fold == (HELD_OUT + 1) % FOLDS
    tried = {
        s: float(challenge_loss(tree, predicted(fitted(~test & ~chosen, s), chosen), y[chosen]))
        for s in STRENGTHS
    }
    return predicted(fitted(~test, min(tried, key=tried.__getitem__)), test)


def trees() -> None:
    """EFIGI's simulated votes."""
    tree = bundled("gz2")
    codes, fold, labels = codes_of("efigi")
    codes, test = codes.astype(np.float64), fold == HELD_OUT
    votes = tree_votes.votes(labels)
    votes = votes[list(tree.columns)].to_numpy(float)
    drawn = products(tree, fractions_of(tree, torch.tensor(votes)))
    expected = products(tree, torch.tensor(tree_votes.expected(labels)))
    neighbours = KNeighborsRegressor(15, metric="cosine").fit(
        codes[~test] - codes[~test].mean(axis=0), drawn[~test].nan_to_num(0.0)
    )
    found = {
        "mean of the training galaxies": drawn[~test].nan_to_num(0.0).mean(dim=0).expand(int(test.sum()), -1),
        "mean of the 15 nearest": torch.tensor(neighbours.predict(codes[test] - codes[~test].mean(axis=0))),
        "linear, Galaxy Challenge's loss": products(
            tree, by_challenge(tree, codes, drawn.nan_to_num(0.0).numpy(), test, fold)
        ),
        "linear, Dirichlet-multinomial": products(tree, by_dirichlet(tree, codes, votes, test)),
    }
    rows, questions = [], []
    for name, predicted in found.items():
        of_votes = float((predicted - drawn[test].nan_to_num(0.0)).square().mean().sqrt())
        of_truth = float((predicted - expected[test]).square().mean().sqrt())
        rows.append((name, f"{of_votes:.4f}", f"{of_truth:.4f}"))
        print(*rows[-1], sep="  ", flush=True)
        for question, here in zip(tree.questions, tree.slices, strict=True):
            counts = torch.tensor(votes[test][:, here])
            total = counts.sum(dim=1)
            agreed = (total >= LEAST_VOTES) & (counts.amax(dim=1) >= AGREED * total)
            right = (predicted[:, here].argmax(dim=1) == counts.argmax(dim=1))[agreed]
            questions.append((name, question.name, int(agreed.sum()), f"{float(right.double().mean()):.3f}"))
    write_csv("tree_heads", ("method", "rmse_votes", "rmse_expected"), rows)
    write_csv("tree_questions", ("method", "question", "agreed", "accuracy"), questions)


def odd_spirals() -> None:
    """Real votes, five folds."""
    codes, fold, labels = codes_of("gz2_kaggle")
    truth = (
        labels["odd_spiral"]
        .map({True: 1.0, False: 0.0, "true": 1.0, "false": 0.0, "True": 1.0, "False": 0.0})
        .to_numpy(float)
    )
    known = np.isfinite(truth)
    codes, fold, truth = codes[known].astype(np.float64), fold[known], truth[known]
    head, scores = Head("odd spiral", "classes", ("no", "yes")), []
    for held_out in range(FOLDS):
        test = fold == held_out
        mean, scale = codes[~test].mean(axis=0), codes[~test].std(axis=0)
        fitted = fit_linear_heads(codes[~test], np.eye(2)[truth[~test].astype(int)], [head], mean, scale)
        outputs = codes[test] @ fitted.weight.T + fitted.bias
        right = np.mean(outputs.argmax(axis=1) == truth[test])
        ours = average_precision_score(truth[test], outputs[:, 1] - outputs[:, 0])
        scores.append(
            (
                right,
                max(truth[test].mean(), 1 - truth[test].mean()),
                ours,
                probes.precision(codes, truth, test),
            )
        )
    mean, spread = np.mean(scores, axis=0), np.std(scores, axis=0)
    names = (
        "accuracy",
        "accuracy of the commoner answer",
        "average precision",
        "average precision, scikit-learn's probe",
    )
    rows = [
        (name, len(truth), f"{m:.3f}", f"{s:.3f}") for name, m, s in zip(names, mean, spread, strict=True)
    ]
    write_csv("tree_odd_spirals", ("score", "galaxies", "mean", "spread"), rows)
    for row in rows:
        print(*row, sep="  ", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    trees()
    odd_spirals()
    write_tables()
