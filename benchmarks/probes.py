"""Scores of embeddings: linear probes, nearest neighbours and average precision, fold by fold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRENGTHS = (1e-3, 1e-2, 1e-1)
NEIGHBOURS = 15


def _linear() -> object:
    """Logistic regression on standardised features; its regularisation is chosen inside the training folds."""
    return make_pipeline(
        StandardScaler(),
        LogisticRegressionCV(
            Cs=STRENGTHS, cv=3, max_iter=300, use_legacy_attributes=False, l1_ratios=(0,), scoring="accuracy"
        ),
    )


def linear_accuracy(codes: NDArray[np.float32], truth: NDArray[np.int64], test: NDArray[np.bool_]) -> float:
    """Share of test objects that a linear probe, trained on the others, classes rightly."""
    return float(_linear().fit(codes[~test], truth[~test]).score(codes[test], truth[test]))


def neighbour_accuracy(
    codes: NDArray[np.float32], truth: NDArray[np.int64], test: NDArray[np.bool_]
) -> float:
    """The same for the vote of the 15 nearest training objects by cosine."""
    probe = make_pipeline(StandardScaler(), KNeighborsClassifier(NEIGHBOURS, metric="cosine"))
    return float(probe.fit(codes[~test], truth[~test]).score(codes[test], truth[test]))


def precision(codes: NDArray[np.float32], truth: NDArray[np.float64], test: NDArray[np.bool_]) -> float:
    """Average precision of a linear probe for a yes-or-no label, NaN where it is not known."""
    known = np.isfinite(truth)
    train, test = known & ~test, known & test
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTHS[1], max_iter=300))
    probe.fit(codes[train], truth[train] > 0)
    return float(average_precision_score(truth[test] > 0, probe.decision_function(codes[test])))
