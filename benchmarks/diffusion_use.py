"""Use: does it help a classifier with few examples of a rare kind, if the diffusion model draws more of them?

A small head on frozen features that were made without labels learns to find dusty early types among early types, and strong bars among
galaxies whose bar could be judged; it is scored on held-out real galaxies. It knows all galaxies of the kind that are not held out, or ten or twenty of them;
the others of the kind are then left out altogether. The diffusion model itself learned from all labels that are not held out, whatever the head knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.metrics import average_precision_score
from torch import nn
from torch.nn import functional

from benchmarks.common import write_csv
from benchmarks.diffusion_judges import spread
from benchmarks.diffusion_study import UNLABELLED
from kernels.diffusion import Sampling
from kernels.stretch import noise_level
from pipeline.conditions import jittered, settled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.diffusion_study import Study

KNOWN = (10, 20, None)
SEEDS = 10
COPIES = 6
"""Synthetic galaxies, or altered ones, for each that is known."""
JITTER = 0.05
GUIDANCE = 2.0
"""A galaxy of a kind must be of that kind."""
COMPONENTS = 64
_FIT_STEPS, _RATE, _DECAY, _HIDDEN, _DROP = (
    80,
    5e-3,
    1.0,
    32,
    0.5,
)  # chosen without synthetic or held-out galaxies
_FOCUS = 2.0  # Lin et al., arXiv:1708.02002


@dataclass(frozen=True)
class Kind:
    """A rare kind of galaxy."""

    name: str
    among: NDArray[np.bool_]
    """Galaxies that are classified."""
    yes: NDArray[np.bool_]
    limits: dict[str, float]
    """What a galaxy must have to be of the kind: attribute and least value."""


Codes = dict[str, torch.Tensor]


def run(study: Study) -> None:
    """Fit, score, write."""
    rows: list[tuple[object, ...]] = []
    for kind in _kinds(study):
        if not all((kind.among & kind.yes & part).any() for part in (study.held, ~study.held)):
            print(f"no {kind.name} here", flush=True)
            continue
        bank = Bank(study, kind)
        for known in KNOWN:
            found: dict[str, list[list[float]]] = {}
            for seed in range(SEEDS):
                for arm, (codes, yes, focal) in bank.arms(known, seed).items():
                    found.setdefault(arm, []).append(bank.score(_fitted(codes, yes, seed, focal=focal)))
            label = f"{kind.name}, {bank.count(known)} known"
            for arm, scores in found.items():
                rows.append((label, arm, *(spread(list(column)) for column in zip(*scores, strict=True))))
    head = ("kind", "learned from", "average precision", "completeness", "purity")
    write_csv("diffusion_use", head, rows)


def _kinds(study: Study) -> tuple[Kind, Kind]:
    types, dust, bar = (study.labels[name].to_numpy() for name in ("t_type", "visible_dust", "bar_length"))
    return (
        Kind("dusty early types", (types <= -1) & (dust >= 0), dust >= 0.25, {"visible_dust": 0.25}),
        Kind("strong bars", bar >= 0, bar >= 0.75, {"bar_length": 0.75}),
    )


class Bank:
    """Features of real, altered and synthetic galaxies of one question: whitened principal components of the real ones."""

    def __init__(self, study: Study, kind: Kind) -> None:
        self._study, draw = study, np.random.default_rng(0)
        learned = kind.among & ~study.held
        self._yes, self._no = np.flatnonzero(learned & kind.yes), np.flatnonzero(learned & ~kind.yes)
        test = np.flatnonzero(kind.among & study.held)
        self._truth = kind.yes[test]
        copies = np.repeat(self._yes, COPIES)
        others = draw.choice(self._no, len(copies))
        self._others = torch.from_numpy(np.searchsorted(self._no, others))
        combined = draw.choice(self._no, len(copies))
        codes: Codes = {
            "test": self._embed(study.stamps[test]),
            "yes": self._embed(study.stamps[self._yes]),
            "no": self._embed(study.stamps[self._no]),
            "altered yes": self._embed(altered(study.stamps[copies], 0)),
            "altered no": self._embed(altered(study.stamps[others], 1)),
            "synthetic yes": self._draw(copies, 1, kind.limits),
            "synthetic no": self._draw(others, 2),
            "combined yes": self._draw(combined, 3, kind.limits, anew=True),
        }
        real = torch.cat([codes["yes"], codes["no"]])
        middle = real.mean(dim=0)
        _, lengths, axes = torch.linalg.svd(real - middle, full_matrices=False)
        whiten = axes[:COMPONENTS].T / lengths[:COMPONENTS] * len(real) ** 0.5
        self._codes = {name: (found - middle) @ whiten for name, found in codes.items()}

    def count(self, known: int | None) -> int:
        """Galaxies of the kind that are known."""
        return len(self._yes) if known is None else min(known, len(self._yes))

    def arms(self, known: int | None, seed: int) -> dict[str, tuple[torch.Tensor, torch.Tensor, bool]]:
        """What is learned from, and how, by name: features, whether they are of the kind, and whether the loss is focal."""
        draw = np.random.default_rng(seed)
        which = np.sort(draw.choice(len(self._yes), self.count(known), replace=False))
        copies = (which[:, None] * COPIES + np.arange(COPIES)).reshape(-1)
        some = draw.choice(len(self._yes) * COPIES, len(copies), replace=False)
        codes = self._codes
        yes, no = codes["yes"][which], codes["no"]

        def learn(
            more_yes: list[torch.Tensor], more_no: list[torch.Tensor]
        ) -> tuple[torch.Tensor, torch.Tensor, bool]:
            positive, negative = torch.cat([yes, *more_yes]), torch.cat([no, *more_no])
            truth = torch.cat([torch.ones(len(positive)), torch.zeros(len(negative))])
            return torch.cat([positive, negative]), truth, False

        again = yes.repeat_interleave(COPIES, dim=0)
        altered_too = [codes["altered yes"][copies]], [codes["altered no"][some]]
        both = [codes["synthetic yes"][copies]], [codes["synthetic no"][some]]
        plain = learn([], [])
        return {
            "real ones": plain,
            "real ones, focal loss": (*plain[:2], True),
            "and themselves again": learn([again], []),
            "and altered ones": learn(*altered_too),
            "and synthetic ones": learn([both[0][0]], []),
            "and synthetic ones, also of the others": learn(*both),
            "and synthetic and altered ones": learn(altered_too[0] + both[0], altered_too[1] + both[1]),
            "and combined ones": learn([codes["combined yes"][some]], both[1]),
        }

    def score(self, head: nn.Module) -> list[float]:
        """Average precision; completeness and purity of what the head calls more likely than not."""
        with torch.inference_mode():
            logits = head(self._codes["test"])[:, 0].numpy()
        called = logits > 0
        right = (called & self._truth).sum()
        purity = right / called.sum() if called.any() else np.nan
        return [float(average_precision_score(self._truth, logits)), right / self._truth.sum(), purity]

    def _embed(self, stamps: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self._study.embed(UNLABELLED, stamps))

    def _draw(
        self,
        like: NDArray[np.int64],
        copy: int,
        limits: dict[str, float] | None = None,
        *,
        anew: bool = False,
    ) -> torch.Tensor:
        """Synthetic galaxies near these; of the kind, where they were not (`anew`) and where jitter moves them out of it."""
        study, attributes = self._study, self._study.model.attributes
        seeds = np.arange(len(like)) + copy * 1_000_000
        values, sure = jittered(study.values[like], attributes, seeds, JITTER), study.confidence[like].copy()
        for name, least in (limits or {}).items():
            column = [a.name for a in attributes].index(name)
            drawn = np.random.default_rng(copy).uniform(least, attributes[column].high, len(like))
            values[:, column] = drawn if anew else values[:, column].clip(min=least)
            sure[:, column] = 1 if anew else sure[:, column]
        return self._embed(study.draw(settled(values, attributes), sure, seeds, Sampling(guidance=GUIDANCE)))


def altered(stamps: torch.Tensor, seed: int) -> torch.Tensor:
    """Ordinary augmentation: each stamp turned by any angle, mirrored or not, zoomed by up to a tenth, up to twice as noisy."""
    draw = torch.Generator().manual_seed(seed)
    angle, zoom, mirror, more = torch.rand(4, len(stamps), generator=draw)
    angle, zoom = 2 * torch.pi * angle, 0.9 + 0.2 * zoom
    sign = torch.where(mirror < 0.5, -1.0, 1.0)
    zero = torch.zeros_like(angle)
    rows = (
        torch.stack([sign * angle.cos(), -angle.sin(), zero], 1),
        torch.stack([sign * angle.sin(), angle.cos(), zero], 1),
    )
    grid = functional.affine_grid(
        torch.stack(rows, 1) / zoom[:, None, None], list(stamps.shape), align_corners=False
    )
    turned = functional.grid_sample(
        stamps, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )
    noise = more[:, None] * noise_level(stamps)
    return turned + noise[:, :, None, None] * torch.randn(stamps.shape, generator=draw)


def _fitted(codes: torch.Tensor, yes: torch.Tensor, seed: int, *, focal: bool) -> nn.Module:
    """A perceptron with one hidden layer."""
    torch.manual_seed(seed)
    head = nn.Sequential(
        nn.Dropout(_DROP),
        nn.Linear(codes.shape[1], _HIDDEN),
        nn.GELU(),
        nn.Dropout(_DROP),
        nn.Linear(_HIDDEN, 1),
    )
    learn = torch.optim.AdamW(head.parameters(), lr=_RATE, weight_decay=_DECAY)
    for _ in range(_FIT_STEPS):
        loss = functional.binary_cross_entropy_with_logits(head(codes)[:, 0], yes, reduction="none")
        if focal:
            loss = (1 - (-loss).exp()) ** _FOCUS * loss
        learn.zero_grad()
        loss.mean().backward()
        learn.step()
    return head.eval()
