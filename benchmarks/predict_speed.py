"""How long heads take to learn on 100,000 embeddings, and to answer: `python -m benchmarks.predict_speed`. Writes benchmarks/results/predict_speed.csv.

Codes are those of EFIGI's galaxies by the bundled encoder, drawn with replacement and with noise of 0.15 of each feature's spread; the questions are the type in five
bins and the type as a value. One thread; CPU seconds, which a busy machine lengthens: compare with scikit-learn's logistic regression in the same run.
"""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from benchmarks import contestants
from benchmarks.common import write_csv
from benchmarks.galaxies import galaxies, type_bins
from benchmarks.science import write_tables
from kernels.heads.assemble import Learned, assembled
from kernels.heads.head import Head
from kernels.nets.weights import bundled
from kernels.training.linear_heads import FOLDS, STRENGTHS, fit_linear_heads

if TYPE_CHECKING:
    from collections.abc import Callable

OBJECTS = 100_000


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, and what came of it."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    found = work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, found


def main() -> None:
    """Measure and write."""
    torch.set_num_threads(1)
    scratch = contestants.FOLDER / "releases"
    scratch.mkdir(parents=True, exist_ok=True)
    data = galaxies("efigi", scratch)
    codes = contestants.ours(data.stamps, 3, checkpoint=str(bundled("galaxy-atto")))
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(codes), OBJECTS)
    noise = 0.15 * codes.std(axis=0) * rng.normal(size=(OBJECTS, codes.shape[1]))
    many = (codes[drawn] + noise).astype(np.float16)
    kind, value = type_bins(data.labels)[drawn], data.labels["t_type"].to_numpy(float)[drawn]
    heads = [Head("type", "classes", tuple("abcde")), Head("t", "value", shift=2.0, scale=4.0)]
    targets = np.column_stack([np.eye(5)[kind], (value - 2) / 4, np.zeros(OBJECTS)])
    values = many.astype(np.float64)
    mean, scale = values.mean(axis=0), values.std(axis=0)
    rows = []
    with threadpool_limits(1):
        learning, fitted = cpu_seconds(lambda: fit_linear_heads(values, targets, heads, mean, scale))
        held_out = fitted.held_out, targets
        learned = Learned(heads, fitted.weight, fitted.bias, many, held_out, held_out, fitted.strength)
        assembling, predictor = cpu_seconds(lambda: assembled(learned, {}, {}))
        answering, _ = cpu_seconds(lambda: predictor.answers(many, "x"))
        rows.append(("ours, two questions", f"{learning + assembling:.1f}", f"{OBJECTS / answering:,.0f}"))
        print(*rows[-1], sep="  ", flush=True)
        standard = StandardScaler().fit_transform(values)
        few = slice(0, 5_000)
        search = LogisticRegressionCV(
            Cs=len(STRENGTHS),
            cv=FOLDS,
            max_iter=150,
            use_legacy_attributes=False,
            l1_ratios=(0,),
            scoring="neg_log_loss",
        )
        searching, found = cpu_seconds(lambda: search.fit(standard[few], kind[few]))
        last = LogisticRegression(C=float(np.ravel(found.C_)[0]), max_iter=150)
        fitting, last = cpu_seconds(lambda: last.fit(standard, kind))
        telling, _ = cpu_seconds(
            lambda: last.predict_proba(StandardScaler().fit(values).transform(many.astype(float)))
        )
        rows.append(
            ("scikit-learn, classes alone", f"{searching + fitting:.1f}", f"{OBJECTS / telling:,.0f}")
        )
        print(*rows[-1], sep="  ", flush=True)
    write_csv("predict_speed", ("heads", "learning_cpu_s", "objects_per_cpu_s"), rows)
    write_tables()


if __name__ == "__main__":
    main()
