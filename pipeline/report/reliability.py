"""How far a question's answers can be trusted, as a figure: whether probabilities come true, and what can be decided how well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from pipeline.report.palette import COLOURS, DASHES, GREY
from pipeline.report.plots import STYLE, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kernels.heads.scores import Scores

__all__ = ["HEIGHT", "WIDTH", "draw"]

WIDTH, HEIGHT = 648, 288
"""Pixels as the page shows it."""
FEWEST = 10
"""Objects of which a share that is right is drawn."""


def draw(scores: Scores, *, of_votes: bool) -> bytes:
    """The reliability diagram, and beside it accuracy and share of the objects against the least probability, as SVG."""
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(WIDTH / 90, HEIGHT / 90), layout="constrained")
        left, right = figure.subplots(1, 2)
        least = min(0.5, *(mean for _, mean, _ in scores.reliability)) - 0.02
        _reliability(left, scores, least, "fraction of the votes" if of_votes else "share that is right")
        _decided(right, scores, least)
        return svg_of(figure)


def _reliability(axes: Axes, scores: Scores, least: float, what: str) -> None:
    numbers, means, rights = zip(*scores.reliability, strict=True)
    errors = [(right * (1 - right) / n) ** 0.5 for n, right in zip(numbers, rights, strict=True)]
    axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, DASHES[1]))
    axes.errorbar(
        means, rights, errors, fmt="o", ms=4.5, lw=1.2, color=COLOURS[0], ecolor=COLOURS[0], clip_on=False
    )
    lowest = min(right - error for right, error in zip(rights, errors, strict=True))
    axes.set(xlim=(least, 1.01), ylim=(min(least, lowest) - 0.02, 1.02))
    axes.set(xlabel="probability of the likeliest answer", ylabel=what)


def _decided(axes: Axes, scores: Scores, least: float) -> None:
    known = [entry for entry in scores.decided if entry[1] * scores.objects >= FEWEST] or list(scores.decided)
    probabilities, shares, rights = zip(*known, strict=True)
    axes.plot(probabilities, rights, color=COLOURS[0], lw=1.8, label="share that is right")
    axes.plot(
        probabilities, shares, color=COLOURS[1], lw=1.8, ls=(0, DASHES[1]), label="share of the objects"
    )
    axes.set(xlim=(least, 1.01), ylim=(0, 1.04))
    axes.set(xlabel="least probability", ylabel="share")
    axes.legend(fontsize=8, loc="lower left", frameon=True, framealpha=0.9, handlelength=3.2)
