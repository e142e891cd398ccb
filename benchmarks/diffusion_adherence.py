"""Adherence: do synthetic galaxies look as requested? Regressors trained on real galaxies measure it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.common import write_csv
from benchmarks.diffusion_study import LABELLED
from kernels.diffusion import Sampling
from kernels.stretch import noise_level

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from benchmarks.diffusion_study import Study
    from kernels.attributes import Attribute

GUIDANCES = (1.0, 2.0, 3.0)
STRENGTHS = np.logspace(1, 6, 11)
FEWEST = 10
"""Galaxies that a rank correlation takes."""


class Reader:
    """Reads the labels off stamps: a ridge regression for each on galaxy-atto's embeddings, from all galaxies that are not held out."""

    def __init__(self, study: Study) -> None:
        self._study = study
        train = np.flatnonzero(~study.held)
        features = {mirrored: self._features(study.stamps[train], mirrored) for mirrored in (False, True)}
        self._read = {}
        for column, attribute in enumerate(study.model.attributes):
            values = study.values[train, column]
            known = np.isfinite(values)
            if attribute.kind == "label" and known.sum() >= FEWEST:
                read = make_pipeline(StandardScaler(), RidgeCV(STRENGTHS))
                codes, values = features[attribute.mirrored][known], values[known]
                if attribute.mirrored:
                    codes, values = (
                        np.concatenate([codes, -codes]),
                        np.concatenate([values, attribute.low + attribute.high - values]),
                    )
                self._read[attribute.name] = read.fit(codes, values)

    def __call__(self, stamps: torch.Tensor, attribute: Attribute) -> NDArray[np.float32] | None:
        """What each stamp (n, b, y, x) shows; noise is measured; None where there is no regressor."""
        if attribute.kind == "noise":
            return noise_level(stamps)[
                :, self._study.model.bands.index(attribute.name.removeprefix("noise_"))
            ].numpy()
        if attribute.name not in self._read:
            return None
        return self._read[attribute.name].predict(self._features(stamps, attribute.mirrored))

    def _features(self, stamps: torch.Tensor, mirrored: bool) -> NDArray[np.float32]:
        codes = self._study.embed(LABELLED, stamps)
        # the sense of a spiral is in what changes in a mirror, and nowhere else
        return codes - self._study.embed(LABELLED, stamps.flip(3)) if mirrored else codes

    def agreement(self, stamps: torch.Tensor, requested: NDArray[np.float32]) -> dict[str, float]:
        """Spearman's rank correlation of predicted and requested values (n, attributes), for every attribute with a regressor."""
        found = {}
        for column, attribute in enumerate(self._study.model.attributes):
            known, read = np.isfinite(requested[:, column]), self(stamps, attribute)
            if read is not None and known.sum() >= FEWEST:
                found[attribute.name] = float(spearmanr(requested[known, column], read[known]).statistic)
        return found


def run(study: Study) -> None:
    """Read held-out galaxies, and synthetic ones with their conditions."""
    held, read = np.flatnonzero(study.held), Reader(study)
    requested = study.values[held]
    found = {"real": read.agreement(study.stamps[held], requested)}
    for guidance in GUIDANCES:
        drawn = study.draw_like(held, Sampling(guidance=guidance))
        found[f"guidance {guidance:g}"] = read.agreement(drawn, requested)
    known = dict(
        zip((a.name for a in study.model.attributes), np.isfinite(requested).sum(axis=0), strict=True)
    )
    rows = [
        (name, known[name], *(f"{column[name]:.2f}" for column in found.values())) for name in found["real"]
    ]
    write_csv("diffusion_adherence", ("attribute", "galaxies", *found), rows)
