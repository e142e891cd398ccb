"""Figures as SVG: parameter surfaces with contours, and confusion matrices. Readable in print and by the colour-blind."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib import patheffects
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from pipeline.report import palette
from pipeline.report.source import quoted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from pipeline.report.scoring import Confusion
    from pipeline.report.source import Source
    from pipeline.report.surfaces import Axis, Found, Line

WIDTH, HEIGHT = 648, 468
"""Pixels of a surface as the page shows it."""
CELLS = 80
"""Cells of the histogram along each axis."""
EDGE = 0.005
"""Share of the objects on each side that an axis leaves out."""
FEWEST = 30
"""Objects that a contour needs; fewer are drawn one by one."""
HALO = [patheffects.withStroke(linewidth=2.5, foreground="white")]
STYLE: dict[str, Any] = {
    "svg.hashsalt": "tuningfork",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True)
class Cloud:
    """The objects of one class, or of one group, on a surface."""

    name: str
    counts: NDArray[np.float64]
    """(y, x) objects a cell."""
    objects: int
    x: float
    y: float
    """Medians, in the axes' units (their logarithms on logarithmic axes)."""


def surface(source: Source, found: Found, by: str) -> tuple[bytes, str] | None:
    """Draw one surface.

    Parameters
    ----------
    source : Source
    found : Found
    by : str
        `class` or `group`.

    Returns
    -------
    tuple of bytes and str
        The SVG, and in words what it shows; None where no object has both values.
    """
    x, y = _value(found.x.name, found.surface.x), _value(found.y.name, found.surface.y)
    known = f'isfinite({x}) AND isfinite({y}) AND "{by}" IS NOT NULL'
    known += " AND kept" if by == "group" else ""
    limits = source.query(
        f"""SELECT count(*) AS objects,
                   quantile_cont({x}, [{EDGE}, {1 - EDGE}]) AS x, quantile_cont({y}, [{EDGE}, {1 - EDGE}]) AS y
            FROM objects WHERE {known}"""
    )[0]
    if not limits["objects"]:
        return None
    box = [_padded(*limits["x"]), _padded(*limits["y"])]
    clouds = _clouds(source, (x, y), box, by, known)
    if not clouds:
        return None
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(WIDTH / 90, HEIGHT / 90), layout="constrained")
        axes = figure.add_subplot()
        _shade(axes, sum((c.counts for c in clouds), np.zeros((CELLS, CELLS))), box)
        names = palette.places([c.name for c in clouds])
        for cloud in clouds:
            _draw(axes, cloud, names.get(cloud.name), box, alone=by == "group")
        for line in found.surface.lines:
            _line(axes, line)
        _finish(axes, found, box, outside=len(clouds) > 8)
        svg = svg_of(figure)
    middles = "; ".join(f"{c.name}: {_shown(c, found)}" for c in clouds)
    caption = f"{found.surface.title}, {limits['objects']:,} objects by {by}. Medians ({found.x.name}, {found.y.name}): {middles}."
    return svg, caption


def confusion(table: Confusion) -> bytes:
    """Draw a confusion matrix: shares of each truth as shades, counts as numbers."""
    cells = np.array(table.cells, float)
    totals = cells.sum(axis=1, keepdims=True)
    shares = np.divide(cells, totals, out=np.zeros_like(cells), where=totals > 0)
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        height, width = 1.6 + 0.5 * len(table.truths), 2.2 + 0.85 * len(table.classes)
        figure = Figure(figsize=(max(4.0, width), max(3.0, height)), layout="constrained")
        axes = figure.add_subplot()
        shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(table.classes)), table.classes)
        axes.set_yticks(range(len(table.truths)), table.truths)
        axes.set_xlabel("class")
        axes.set_ylabel("truth")
        axes.set_title(table.title, fontsize=10)
        for i, j in np.ndindex(*cells.shape):
            ink = "white" if shares[i, j] > 0.55 else "black"
            weight = "bold" if table.truths[i] == table.classes[j] else "normal"
            axes.text(j, i, f"{int(cells[i, j]):,}", ha="center", va="center", color=ink, weight=weight)
        figure.colorbar(shown, ax=axes, label="share of the truth's row", shrink=0.8)
        return svg_of(figure)


def _value(column: str, axis: Axis) -> str:
    value = f"{quoted(column)}::DOUBLE"
    return f"(CASE WHEN {value} > 0 THEN log10({value}) END)" if axis.log else f"({value})"


def _padded(low: float, high: float) -> tuple[float, float]:
    pad = 0.05 * (high - low) or 0.5
    return low - pad, high + pad


def _clouds(
    source: Source, values: tuple[str, str], box: list[tuple[float, float]], by: str, known: str
) -> list[Cloud]:
    """Histograms and medians, taken where the data is: every object counts, not a sample."""
    cell = [
        f"floor(({value} - ({low})) / {(high - low) / CELLS})::INT"
        for value, (low, high) in zip(values, box, strict=True)
    ]
    inside = " AND ".join(
        f"{value} >= {low} AND {value} < {high}" for value, (low, high) in zip(values, box, strict=True)
    )
    counts: dict[str, NDArray[np.float64]] = {}
    sql = f"""SELECT "{by}"::VARCHAR AS name, {cell[0]} AS i, {cell[1]} AS j, count(*) AS n
              FROM objects WHERE {known} AND {inside} GROUP BY ALL"""
    for row in source.query(sql):
        place = min(row["j"], CELLS - 1), min(row["i"], CELLS - 1)  # the last may round up
        counts.setdefault(row["name"], np.zeros((CELLS, CELLS)))[place] += row["n"]
    middle = f'SELECT "{by}" AS name, count(*) AS n, median({values[0]}) AS x, median({values[1]}) AS y FROM objects WHERE {known} GROUP BY 1 ORDER BY 1'
    found = {row["name"]: row for row in source.query(middle)}
    order = palette.ordered(found) if by == "class" else found
    nothing = np.zeros((CELLS, CELLS))
    return [
        Cloud(str(n), counts.get(str(n), nothing), found[n]["n"], found[n]["x"], found[n]["y"]) for n in order
    ]


def _centres(box: list[tuple[float, float]]) -> list[NDArray[np.float64]]:
    return [low + (np.arange(CELLS) + 0.5) * (high - low) / CELLS for low, high in box]


def _shade(axes: Axes, counts: NDArray[np.float64], box: list[tuple[float, float]]) -> None:
    """All objects together, in the faintest grey."""
    extent = (*box[0], *box[1])
    dim = np.log1p(gaussian_filter(counts, 1.0))
    axes.imshow(
        dim, origin="lower", extent=extent, aspect="auto", cmap="Greys", vmin=0, vmax=3 * max(dim.max(), 1e-9)
    )


def _draw(
    axes: Axes, cloud: Cloud, place: int | None, box: list[tuple[float, float]], *, alone: bool
) -> None:
    colour, style = palette.colour(place), palette.dashes(place)
    x, y = _centres(box)
    if cloud.counts.sum() < FEWEST:
        j, i = np.nonzero(cloud.counts)
        axes.plot(x[i], y[j], ls="", marker=palette.marker(place), ms=3.5, mew=0.6, color=colour, alpha=0.8)
    else:
        smooth, levels = levels_of(cloud.counts, (0.5,) if alone else (0.8, 0.4))
        if levels:
            axes.contour(
                x,
                y,
                smooth,
                levels,
                colors=[colour],
                linestyles=[style],
                linewidths=[1.3, 2.0][: len(levels)],
            )
    axes.plot(
        [cloud.x], [cloud.y], marker=palette.marker(place), ms=8, color=colour, mec=colour if place is None else "white", mew=1.2,
        ls=style, lw=1.6, label=f"{cloud.name} ({cloud.objects:,})", zorder=4,
    )  # fmt: skip
    axes.annotate(
        cloud.name, (cloud.x, cloud.y), (6, 6), textcoords="offset points", color="black",
        weight="bold", fontsize=9, path_effects=HALO, zorder=5,
    )  # fmt: skip


def levels_of(
    counts: NDArray[np.float64], shares: tuple[float, ...]
) -> tuple[NDArray[np.float64], list[float]]:
    """Smoothed density, and the levels that hold these shares of it; the width is Scott's for two dimensions."""
    index = np.arange(CELLS)
    widths = []
    for axis in (0, 1):
        profile = counts.sum(axis=1 - axis)
        mean = (profile * index).sum() / profile.sum()
        spread = np.sqrt((profile * (index - mean) ** 2).sum() / profile.sum())
        widths.append(max(0.8, spread * counts.sum() ** (-1 / 6)))
    smooth = gaussian_filter(counts, widths, mode="constant")
    ranked = np.sort(smooth.ravel())[::-1]
    mass = np.cumsum(ranked)
    found = {float(ranked[np.searchsorted(mass, share * mass[-1])]) for share in shares}
    return smooth, sorted(level for level in found if smooth.min() < level < smooth.max())


def _line(axes: Axes, line: Line) -> None:
    x, y = zip(*line.points, strict=True)
    axes.plot(x, y, color="black", lw=1.1, ls=(0, (7, 3)), scalex=False, scaley=False, zorder=3)


def _finish(axes: Axes, found: Found, box: list[tuple[float, float]], *, outside: bool) -> None:
    for which, column, axis, limits in (
        ("x", found.x, found.surface.x, box[0]),
        ("y", found.y, found.surface.y, box[1]),
    ):
        unit = f" ({column.unit})" if column.unit else ""
        text = f"log10 {axis.title}{unit}" if axis.log else f"{axis.title}{unit}"
        getattr(axes, f"set_{which}label")(text)
        getattr(axes, f"set_{which}lim")(limits[::-1] if axis.flipped else limits)
    place: dict[str, Any] = {"loc": "best"}
    if outside:
        place = {"loc": "upper left", "bbox_to_anchor": (1.01, 1), "borderaxespad": 0}
    axes.legend(fontsize=8, frameon=True, framealpha=0.9, handlelength=3.2, **place)


def _shown(cloud: Cloud, found: Found) -> str:
    values = [(cloud.x, found.surface.x), (cloud.y, found.surface.y)]
    return ", ".join(f"{10**v if axis.log else v:.3g}" for v, axis in values)


def svg_of(figure: Figure) -> bytes:
    """A figure as SVG: equal figures give equal bytes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # of classes whose letters the font lacks: a box stands for each, and the page has the name
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
