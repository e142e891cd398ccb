"""Connected pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.compiled import compiled

__all__ = ["flood"]


@compiled
def flood(region: Any, within: Any) -> None:
    """Let regions (n, y, x) bool grow over all pixels of `within` that touch them."""
    n, height, width = region.shape
    waiting = np.empty(height * width, np.int32)
    for i in range(n):
        count = 0
        for y in range(height):
            for x in range(width):
                if region[i, y, x]:
                    waiting[count] = y * width + x
                    count += 1
        while count:
            count -= 1
            y, x = divmod(waiting[count], width)
            # all of a row at once; of the rows beside it, the first of what hangs together there
            left, right = x, x
            while left > 0 and within[i, y, left - 1] and not region[i, y, left - 1]:
                left -= 1
                region[i, y, left] = True
            while right + 1 < width and within[i, y, right + 1] and not region[i, y, right + 1]:
                right += 1
                region[i, y, right] = True
            for to_y in range(max(y - 1, 0), min(y + 2, height)):
                before = False
                for to_x in range(max(left - 1, 0), min(right + 2, width)):
                    free = within[i, to_y, to_x] and not region[i, to_y, to_x]
                    if free and not before:
                        region[i, to_y, to_x] = True
                        waiting[count] = to_y * width + to_x
                        count += 1
                    before = free
