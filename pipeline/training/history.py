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
    names = [n for n in rows[0] if n not in ("epoch", "step", "objects_per_second", "gradient")]
    for name in names:
        axes.plot([row["epoch"] for row in rows], [row[name] for row in rows], label=name)
    positive = all(row[name] > 0 for row in rows for name in names)  # likelihoods may be negative
    axes.set(xlabel="epoch", ylabel="loss", yscale="log" if positive else "linear")
    axes.legend()
    axes.grid(alpha=0.3)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120)
    return data.getvalue()
