"""Asymmetry: how much of an object is left when it is turned by 180 degrees and taken off itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kernels.compiled import compiled

__all__ = ["FINEST", "Asymmetry", "asymmetry", "sky_asymmetry"]

_MOVES = 16  # of the first search, at most, by pixels and then by half pixels
FINEST = 0.125
"""Last step of the second search, half pixels."""


@dataclass(frozen=True)
class Asymmetry:
    """The least asymmetries (n,) and their centres (n, 2), x and y in pixels."""

    value: torch.Tensor
    centre: torch.Tensor


def asymmetry(
    images: torch.Tensor,
    masked: torch.Tensor,
    start: torch.Tensor,
    radius: torch.Tensor,
    sky: torch.Tensor,
    noise: torch.Tensor | None = None,
) -> Asymmetry:
    """Asymmetry within a circle, the least over its centres (Conselice 2003, ApJS 147, 1; Lotz et al. 2004, eq. 10).

        A = (sum |I - I_180| - area * sky) / sum |I|

    The turned image is interpolated bilinearly. Whole half pixels are tried as centres first: there nothing need be interpolated. Then steps
    in x and in y become smaller and smaller. The circle stays where the first search ended until the centre is found.

    Parameters
    ----------
    images : (n, y, x) float tensor
    masked : (n, y, x) bool tensor
        Pixels that do not count, nor do those that they are turned to. What would be turned to outside the stamp does not count either.
    start : (n, 2) float tensor
        First centre, x and y in pixels.
    radius : (n,) float tensor
        Of the circle, pixels; usually 1.5 Petrosian radii.
    sky : (n,) float tensor
        Asymmetry of a pixel of the sky, see `sky_asymmetry`.
    noise : (n, y, x) float tensor, optional
        The sky's noise in each pixel, where that is known; then `sky` is in units of that of a pixel less the one that it is turned to, and so are areas.

    Returns
    -------
    Asymmetry
        float64. NaN where the start or the radius is, and where there is no light. The search ends at the stamp's border.
    """
    found = np.full((len(images), 3), np.nan)
    _least(
        images.float().numpy(force=True),
        masked.numpy(force=True),
        start.double().numpy(force=True),
        radius.double().numpy(force=True),
        sky.double().numpy(force=True),
        (images[:0] if noise is None else noise).float().numpy(force=True),
        found,
    )
    answer = torch.from_numpy(found).to(images.device)
    return Asymmetry(answer[:, 0], answer[:, 1:])


def sky_asymmetry(images: torch.Tensor, sky: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
    """Mean |I - I_180| of sky pixels (n, y, x) bool that are turned to sky pixels; (n,) float64, NaN where there are none.

    Where the noise (n, y, x) of each pixel is known, over the mean noise of these differences.
    """
    found = np.zeros((len(images), 2))
    _turned_sky(
        images.float().numpy(force=True),
        sky.numpy(force=True),
        (images[:0] if noise is None else noise).double().numpy(force=True),
        found,
    )
    left, area = torch.from_numpy(found).to(images.device).unbind(1)
    return left / area


@compiled
def _turned_sky(images: Any, sky: Any, noise: Any, found: Any) -> None:
    """Fill in, for pixels of the sky that are turned to such, the sum of what is left, and the area, or the noise of the differences."""
    n, height, width = images.shape
    for i in range(n):
        for y in range(height):
            image, turned = images[i, y], images[i, height - 1 - y, ::-1]
            here, there = sky[i, y], sky[i, height - 1 - y, ::-1]
            for x in range(width):
                if here[x] and there[x]:
                    found[i, 0] += abs(image[x] - turned[x])
                    if len(noise):
                        found[i, 1] += np.hypot(noise[i, y, x], noise[i, height - 1 - y, width - 1 - x])
                    else:
                        found[i, 1] += 1


@compiled
def _least(images: Any, masked: Any, start: Any, radius: Any, sky: Any, noise: Any, found: Any) -> None:
    """Fill found (n, 3): the least asymmetry and its centre, x and y."""
    n, height, width = images.shape
    part = np.empty((height, width), np.float32)
    light, counted = np.empty((2, height, width), np.float32), np.empty((2, height, width), np.float32)
    for i in range(n):
        if not np.isfinite(start[i, 0] + start[i, 1] + radius[i]):
            continue
        for y in range(height):
            for x in range(width):
                counted[0, y, x] = 0 if masked[i, y, x] else 1
                light[0, y, x] = 0 if masked[i, y, x] else images[i, y, x]
                counted[1, height - 1 - y, width - 1 - x] = counted[0, y, x]
                light[1, height - 1 - y, width - 1 - x] = light[0, y, x]
        # a place x goes to twice - x
        across = min(max(round(2 * start[i, 0]), 0), 2 * width - 2)
        down = min(max(round(2 * start[i, 1]), 0), 2 * height - 2)
        across, down = _half_pixel(light, counted, part, across, down, radius[i])
        box = _disc(across / 2, down / 2, radius[i], counted, part)
        at_x, at_y = _between(light, counted, part, box, across, down)
        box = _disc(at_x / 2, at_y / 2, radius[i], counted, part)
        left, total, area = _left(light, counted, part, box, at_x, at_y)
        found[i, 1], found[i, 2] = at_x / 2, at_y / 2
        if len(noise):
            area = _spread(noise[i], counted, part, box, at_x, at_y)
        if total > 0:
            found[i, 0] = (left - area * sky[i]) / total


@compiled
def _half_pixel(
    light: Any, counted: Any, part: Any, across: int, down: int, radius: float
) -> tuple[int, int]:
    """Twice the place of the best whole half pixel, looked for around the last one."""
    height, width = part.shape
    for reach in (2, 1):
        for _ in range(_MOVES):
            box = _disc(across / 2, down / 2, radius, counted, part)
            best, move_x, move_y = np.inf, 0, 0
            for dy in (0, -reach, reach):
                for dx in (0, -reach, reach):
                    to_x, to_y = across + dx, down + dy
                    if 0 <= to_x <= 2 * width - 2 and 0 <= to_y <= 2 * height - 2:
                        left, total, _ = _left(light, counted, part, box, float(to_x), float(to_y))
                        if total > 0 and left / total < best:
                            best, move_x, move_y = left / total, dx, dy
            across, down = across + move_x, down + move_y
            if move_x == 0 and move_y == 0:
                break
    return across, down


@compiled
def _between(light: Any, counted: Any, part: Any, box: Any, across: int, down: int) -> tuple[float, float]:
    """Twice the best place at most half a pixel away, by smaller and smaller steps."""
    left, total, _ = _left(light, counted, part, box, float(across), float(down))
    best = left / total if total > 0 else np.inf
    at_x, at_y, step = float(across), float(down), 0.5
    while step >= FINEST:
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            to_x, to_y = at_x + step * dx, at_y + step * dy
            if abs(to_x - across) <= 1 and abs(to_y - down) <= 1:
                left, total, _ = _left(light, counted, part, box, to_x, to_y)
                if total > 0 and left / total < best:
                    best, at_x, at_y = left / total, to_x, to_y
        step /= 2
    return at_x, at_y


@compiled
def _left(
    light: Any, counted: Any, part: Any, box: Any, twice_x: float, twice_y: float
) -> tuple[float, float, float]:
    """What is left, the light that was there, and the area, within a disc; turned about half of twice_x, twice_y.

    `light` and `counted` are (2, y, x): as they are, and turned about the middle of the stamp. The disc lies within the box: columns from, to, and rows.
    """
    height, width = part.shape
    # what a pixel x is turned to lies at x + to_x on the turned image, or between there and the pixel before
    to_x, to_y = int(np.ceil(width - 1 - twice_x)), int(np.ceil(height - 1 - twice_y))
    far_x = np.float32(to_x - (width - 1 - twice_x))
    far_y = np.float32(to_y - (height - 1 - twice_y))
    near_x, near_y = np.float32(1) - far_x, np.float32(1) - far_y
    back_x, back_y = int(far_x > 0), int(far_y > 0)
    first_x, last_x = max(box[0], back_x - to_x), min(box[1], width - to_x)
    first_y, last_y = max(box[2], back_y - to_y), min(box[3], height - to_y)
    half, none = np.float32(0.5), np.float32(0)
    # a sum for each column: they are taken several at a time, in an order that no compiler and no processor chooses
    columns = np.zeros((3, max(last_x - first_x, 0)), np.float32)
    left, total, area = columns[0], columns[1], columns[2]
    if back_x == 0 and back_y == 0:
        # two rows at a time: the sums are read and written half as often
        for y in range(first_y, last_y - 1, 2):
            weight, here = part[y, first_x:last_x], light[0, y, first_x:last_x]
            weight_2, here_2 = part[y + 1, first_x:last_x], light[0, y + 1, first_x:last_x]
            row, first, last = y + to_y, first_x + to_x, last_x + to_x
            known, turned = counted[1, row, first:last], light[1, row, first:last]
            known_2, turned_2 = counted[1, row + 1, first:last], light[1, row + 1, first:last]
            for x in range(weight.size):
                inside, inside_2 = weight[x] * known[x], weight_2[x] * known_2[x]
                left[x] = (
                    left[x] + inside * abs(here[x] - turned[x]) + inside_2 * abs(here_2[x] - turned_2[x])
                )
                total[x] = total[x] + inside * abs(here[x]) + inside_2 * abs(here_2[x])
                area[x] = area[x] + inside + inside_2
        first_y += max(last_y - first_y, 0) // 2 * 2
    for y in range(first_y, last_y):
        # slices from zero on: an index that might be negative would cost four times as much
        weight, here = part[y, first_x:last_x], light[0, y, first_x:last_x]
        row, first, last = y + to_y, first_x + to_x, last_x + to_x
        known, turned = counted[1, row, first:last], light[1, row, first:last]
        if back_x == 0 and back_y == 0:
            for x in range(weight.size):
                inside = weight[x] * known[x]
                left[x] += inside * abs(here[x] - turned[x])
                total[x] += inside * abs(here[x])
                area[x] += inside
            continue
        known_y, turned_y = counted[1, row - back_y, first:last], light[1, row - back_y, first:last]
        first, last = first - back_x, last - back_x
        known_x, turned_x = counted[1, row, first:last], light[1, row, first:last]
        known_xy, turned_xy = counted[1, row - back_y, first:last], light[1, row - back_y, first:last]
        for x in range(weight.size):
            there = near_y * (near_x * known[x] + far_x * known_x[x]) + far_y * (
                near_x * known_y[x] + far_x * known_xy[x]
            )
            away = near_y * (near_x * turned[x] + far_x * turned_x[x]) + far_y * (
                near_x * turned_y[x] + far_x * turned_xy[x]
            )
            inside = weight[x] if there >= half else none
            left[x] += inside * abs(here[x] - away)
            total[x] += inside * abs(here[x])
            area[x] += inside
    all_left, all_total, all_area = 0.0, 0.0, 0.0
    for x in range(area.size):
        all_left, all_total, all_area = all_left + left[x], all_total + total[x], all_area + area[x]
    return all_left, all_total, all_area


@compiled
def _spread(noise: Any, counted: Any, part: Any, box: Any, twice_x: float, twice_y: float) -> float:
    """The noise of the differences that `_left` sums, each by the pixel nearest to where it is turned to."""
    height, width = part.shape
    total = 0.0
    for y in range(box[2], box[3]):
        for x in range(box[0], box[1]):
            to_x, to_y = int(np.floor(twice_x - x + 0.5)), int(np.floor(twice_y - y + 0.5))
            if part[y, x] > 0 and 0 <= to_x < width and 0 <= to_y < height and counted[0, to_y, to_x] > 0:
                total += part[y, x] * np.hypot(noise[y, x], noise[to_y, to_x])
    return total


@compiled
def _disc(x0: float, y0: float, radius: float, counted: Any, part: Any) -> tuple[int, int, int, int]:
    """Fill in, within a box, the parts of pixels that count and lie within a circle, by the distance of their middles from the edge; and say in which box.

    Columns from, to, and rows.
    """
    height, width = part.shape
    left, right = max(0, int(x0 - radius) - 1), min(width, int(x0 + radius) + 2)
    top, bottom = max(0, int(y0 - radius) - 1), min(height, int(y0 + radius) + 2)
    for y in range(top, bottom):
        for x in range(left, right):
            distance = np.sqrt((x - x0) ** 2 + (y - y0) ** 2)
            part[y, x] = min(max(radius + 0.5 - distance, 0.0), 1.0) * counted[0, y, x]
    return left, right, top, bottom
