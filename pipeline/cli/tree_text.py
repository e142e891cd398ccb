"""The tree of the groups in characters, one line a group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kernels.group_tree import GroupTree

UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8
CHARACTERS = " │││─┘┐┤─└┌├─┴┬┼"
"""Of the sixteen sets of directions into which a line leaves a cell."""

FAINTEST = 1e-3
"""Heights below this part of the highest are drawn as this."""


def draw(tree: GroupTree, width: int) -> list[str]:
    """Draw a tree, leaves on the left.

    Parameters
    ----------
    tree : GroupTree
    width : int
        Characters of a line, 2 or more.

    Returns
    -------
    list of str
        One line a leaf, in order, all of this width. Merges stand at the logarithm of their height.
    """
    leaves = len(tree.order)
    cells = np.zeros((leaves, width), np.uint8)
    rows = [int(row) for row in np.argsort(tree.order)]
    columns = [0] * leaves
    cells[:, 0] |= LEFT
    if leaves == 1:
        cells[0] = LEFT | RIGHT
    for (first, second), column in zip(tree.merges, _columns(tree.heights, width), strict=True):
        for node in (first, second):
            _across(cells, rows[node], columns[node], column)
        _down(cells, rows[first], rows[second], column)
        rows.append((rows[first] + rows[second]) // 2)
        columns.append(column)
    return ["".join(CHARACTERS[cell] for cell in line) for line in cells]


def _columns(heights: NDArray[np.float64], width: int) -> list[int]:
    """Where merges stand: the lowest and the highest at the ends."""
    least = min(3, width - 1)
    ranks = np.log(np.maximum(heights, FAINTEST * max(heights.max(initial=0.0), FAINTEST)))
    spread = np.ptp(ranks) if len(ranks) else 0.0
    shares = (ranks - ranks.min(initial=np.inf)) / spread if spread > 0 else np.ones(len(ranks))
    return [least + round(float(share) * (width - 1 - least)) for share in shares]


def _across(cells: NDArray[np.uint8], row: int, start: int, stop: int) -> None:
    cells[row, start:stop] |= RIGHT
    cells[row, start + 1 : stop + 1] |= LEFT


def _down(cells: NDArray[np.uint8], start: int, stop: int, column: int) -> None:
    cells[start:stop, column] |= DOWN
    cells[start + 1 : stop + 1, column] |= UP
