"""The figure of a predictor: how often it is right when it says so, question by question."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernels.heads.predictor import Predictor

__all__ = ["figure"]

_MOST = 12  # panels


def figure(predictor: Predictor) -> bytes:
    """Reliability diagrams of the questions with probabilities, and coverage and correlation of the others, as PNG."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    shown = [each for each in predictor.heads if each.scores.reliability][:_MOST]
    others = [each for each in predictor.heads if "coverage" in each.scores.numbers]
    panels = len(shown) + bool(others)
    columns = min(4, max(1, panels))
    rows = max(1, -(-panels // columns))
    drawn = Figure(figsize=(3.2 * columns, 3.0 * rows), layout="constrained")
    axes = drawn.subplots(rows, columns, squeeze=False).ravel()
    for each, panel in zip(shown, axes, strict=False):
        panel.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        panel.plot(
            [bin_[1] for bin_ in each.scores.reliability],
            [bin_[2] for bin_ in each.scores.reliability],
            "o-",
            markersize=4,
        )
        error = each.scores.numbers["calibration_error"]
        panel.set(
            title=f"{each.head.name}\n{each.scores.objects:,} objects, calibration error {error:.3f}",
            xlim=(0, 1.02),
            ylim=(0, 1.02),
        )
        panel.set(xlabel="probability of the likeliest answer", ylabel="share that is right")
        panel.title.set_fontsize(9)
    if others:
        panel = axes[len(shown)]
        names = [each.head.name for each in others]
        for key, mark in (("coverage", "o"), ("rank_correlation", "s")):
            values = [each.scores.numbers[key] for each in others]
            panel.plot(values, range(len(others)), mark, label=key.replace("_", " "), markersize=4)
        panel.axvline(0.683, color="0.7", linewidth=1)
        panel.set(yticks=range(len(others)), yticklabels=names, xlim=(0, 1.02), title="levels and values")
        panel.tick_params(axis="y", labelsize=7)
        panel.title.set_fontsize(9)
        panel.legend(fontsize=7)
    for panel in axes[panels:]:
        panel.axis("off")
    data = io.BytesIO()
    drawn.savefig(data, format="png", dpi=120)
    return data.getvalue()
