"""A training's history: one line a window in a CSV, and the curve drawn from it."""

from __future__ import annotations

import csv
import io

CSV, CURVE = "metrics.csv", "curve.png"


def as_csv(rows: list[dict[str, float]]) -> bytes:
    """The history as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
    return text.getvalue().encode()


def from_csv(data: bytes) -> list[dict[str, float]]:
    """The history that `as_csv` wrote."""
    lines = csv.DictReader(io.StringIO(data.decode()))
    return [{name: float(value) for name, value in line.items()} for line in lines]


def curve(rows: list[dict[str, float]]) -> bytes:
    """The losses over the epochs, as PNG."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for name in rows[0]:
        if name not in ("epoch", "step", "objects_per_second", "gradient"):
            axes.plot([row["epoch"] for row in rows], [row[name] for row in rows], label=name)
    shown = [value for line in axes.lines for value in line.get_ydata()]
    scale = "log" if min(shown, default=1.0) > 0 else "linear"  # likelihoods may be negative
    axes.set(xlabel="epoch", ylabel="loss", yscale=scale)
    axes.legend()
    axes.grid(alpha=0.3)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120)
    return data.getvalue()
