"""The tree of the groups in characters, one line a group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kernels.group_tree import GroupTree

UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8
CHARACTERS = " │││─┘┐┤─└┌├─┴┬┼"
"""Of the sixteen sets of directions into which a line leaves a cell."""


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
        One line a leaf, in order, all of this width. Merges stand at the square root of their height.
    """
    leaves = len(tree.order)
    cells = np.zeros((leaves, width), np.uint8)
    rows = [int(row) for row in np.argsort(tree.order)]
    columns = [0] * leaves
    cells[:, 0] |= LEFT
    if leaves == 1:
        cells[0] = LEFT | RIGHT
    highest = tree.heights[-1] if leaves > 1 else 1.0
    for (first, second), height in zip(tree.merges, tree.heights, strict=True):
        share = np.sqrt(height / highest) if highest > 0 else 1.0
        column = max(1, round(float(share) * (width - 1)))
        for node in (first, second):
            _across(cells, rows[node], columns[node], column)
        _down(cells, rows[first], rows[second], column)
        rows.append((rows[first] + rows[second]) // 2)
        columns.append(column)
    return ["".join(CHARACTERS[cell] for cell in line) for line in cells]


def _across(cells: np.ndarray, row: int, start: int, stop: int) -> None:
    cells[row, start:stop] |= RIGHT
    cells[row, start + 1 : stop + 1] |= LEFT


def _down(cells: np.ndarray, start: int, stop: int, column: int) -> None:
    cells[start:stop, column] |= DOWN
    cells[start + 1 : stop + 1, column] |= UP
