"""The tree of the groups as a figure: which are alike, and where the branches part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from pipeline.report import palette
from pipeline.report.plots import STYLE, WIDTH, svg_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from kernels.group_tree import GroupTree

__all__ = ["HEIGHT_OF_A_GROUP", "draw", "height"]

HEIGHT_OF_A_GROUP, AROUND = 18, 70
"""Pixels of a line, and of the axis with its label."""
FAINTEST, MARGIN = 1e-3, 1.4
"""Heights below this part of the highest are drawn as this; the axis begins so much lower."""


def height(tree: GroupTree) -> int:
    """Pixels of the figure, as the page shows it."""
    return HEIGHT_OF_A_GROUP * len(tree.order) + AROUND


def draw(tree: GroupTree, groups: Sequence[Mapping[str, Any]], branches: int) -> bytes:
    """Draw the tree.

    Parameters
    ----------
    tree : GroupTree
    groups : sequence of mapping
        `name` (the number), `objects` and `class` of every group that has objects.
    branches : int
        Number of branches, whose cut is a dashed line.

    Returns
    -------
    bytes
        SVG.
    """
    known = {group["name"]: group for group in groups}
    leaves = [
        {"name": group, "objects": 0, "class": None, **known.get(group, {})} for group in tree.order.tolist()
    ]
    classes = {leaf["name"]: leaf["class"] for leaf in leaves}
    places = palette.places(palette.ordered(name for name in classes.values() if name))
    start = _lowest(tree) / MARGIN
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(WIDTH / 90, height(tree) / 90), layout="constrained")
        axes = figure.add_subplot()
        _merges(axes, tree, classes, places)
        for row, leaf in enumerate(leaves):
            place = places.get(leaf["class"])
            marker, colour = palette.marker(place), palette.colour(place)
            axes.plot([start], [row], marker=marker, ms=6, color=colour, clip_on=False, zorder=3)
        axes.set_yticks(range(len(leaves)), [_label(leaf) for leaf in leaves], fontsize=9, parse_math=False)
        axes.tick_params(axis="y", length=0, pad=8)
        axes.spines["left"].set_visible(False)
        axes.set_ylim(len(leaves) - 0.4, -0.6)
        _scale(axes, tree)
        if 1 < branches < len(leaves):
            cut = np.sqrt(np.prod(np.maximum(tree.heights[[-branches, 1 - branches]], _lowest(tree))))
            axes.axvline(cut, color="black", lw=1.1, ls=(0, (7, 3)), zorder=1)
        return svg_of(figure)


def _lowest(tree: GroupTree) -> float:
    """Height that is drawn as the lowest one: logarithms have no end."""
    highest = tree.heights.max(initial=0.0) or 1.0
    return float(max(tree.heights.min(initial=highest), FAINTEST * highest))


def _scale(axes: Axes, tree: GroupTree) -> None:
    highest = float(tree.heights.max(initial=0.0)) or 1.0
    axes.set_xscale("log")
    axes.set_xlim(_lowest(tree) / MARGIN, highest * 1.05)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("scatter between groups that merging loses")


def _label(leaf: Mapping[str, Any]) -> str:
    words = [leaf["class"]] if leaf["class"] else []
    return "   ".join([*words, f"{leaf['name']} ({leaf['objects']:,})"])


def _merges(
    axes: Axes, tree: GroupTree, classes: Mapping[int, str | None], places: Mapping[str, int]
) -> None:
    """Lines of every merge, in the colour of a class where all groups behind it have that one."""
    rows = [float(row) for row in np.argsort(tree.order)]
    lowest, members = _lowest(tree), tree.members()
    reached = [lowest / MARGIN] * len(rows)
    for (first, second), height_of in zip(tree.merges, np.maximum(tree.heights, lowest), strict=True):
        for node in (first, second):
            axes.plot(
                [reached[node], height_of],
                [rows[node]] * 2,
                color=_colour(members[node], classes, places),
                lw=1.6,
            )
        node = len(rows)
        colour = _colour(members[node], classes, places)
        axes.plot(
            [height_of] * 2, [rows[first], rows[second]], color=colour, lw=1.6, solid_capstyle="projecting"
        )
        rows.append((rows[first] + rows[second]) / 2)
        reached.append(float(height_of))


def _colour(groups: Sequence[int], classes: Mapping[int, str | None], places: Mapping[str, int]) -> str:
    names = {classes[group] for group in groups}
    name = names.pop() if len(names) == 1 else None
    return palette.colour(places.get(name) if name else None)
