"""Errors of asymmetries and of the centres of least asymmetry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kernels.compiled import compiled
from kernels.measure.asymmetry import FINEST
from kernels.measure.boxes import pixels_in

if TYPE_CHECKING:
    from kernels.measure.asymmetry import Asymmetry

__all__ = ["FOLDED", "asymmetry_errors"]

FOLDED = 4 / np.pi
"""See `asymmetry_errors`."""
_GRID = (FINEST / 2) ** 2 / 6  # variance of a place within a step of the search, to either side
_DRAWN = np.sqrt(1 / 48)  # standard deviation of what is even over a quarter of a pixel to either side
_SKY_SPREAD = (
    np.pi - 2
)  # squared spread of the mean of |d| over so many pixels, met in pairs, in units of that mean


def asymmetry_errors(
    images: torch.Tensor,
    variance: torch.Tensor,
    masked: torch.Tensor,
    radius: torch.Tensor,
    found: Asymmetry,
    sky: torch.Tensor,
) -> torch.Tensor:
    """1-sigma errors (n,) float64 of asymmetries and of their centres, (n, 3): of A, x and y.

    What is left of a pixel, |d| with d = I - I_180, has the variance of d where that stands out of the noise, and 1 - 2 / pi of it where it is noise: in
    between as 1 - (4 / pi) / (1 + t^2)^2, for a d of t sigma: that is 1 - 2 / pi on the average over noise, and within 0.12 of the truth for any mean of d. A pixel and the one that it is
    turned to have the same noise. To this come the error of the light below, and that of the sky's share, of which there are so many pixels. The centre's is that of the smallest absolute
    deviations (Koenker & Bassett 1978, Econometrica 46, 33), with slopes whose noise is taken off.

    Parameters
    ----------
    images, variance : (n, y, x) float tensor
    masked : (n, y, x) bool tensor
    radius : (n,) float tensor
        Of the circle that A was looked for in, pixels.
    found : Asymmetry
    sky : (n, y, x) bool tensor
        Pixels that the sky's asymmetry is of.

    Returns
    -------
    NaN where A is, or where no slope stands out of the noise.
    """
    errors = np.full((len(images), 3), np.nan)
    turned = pixels_in(sky & sky.flip(1, 2))
    place = torch.stack([*found.centre.unbind(1), radius, found.value, turned.double()], dim=1).double()
    _errors(
        images.float().numpy(force=True),
        variance.float().numpy(force=True),
        masked.numpy(force=True),
        place.numpy(force=True),
        errors,
    )
    return torch.from_numpy(errors).to(images.device)


@compiled
def _errors(images: Any, variance: Any, masked: Any, place: Any, found: Any) -> None:
    """Fill in the errors (n, 3) of A and its centre."""
    n, height, width = images.shape
    for i in range(n):
        x0, y0, radius, value, sky_pixels = place[i]
        if not np.isfinite(x0 + y0 + radius + value):
            continue
        # a pixel x is turned to twice the centre less x: to the pixel there, or between it and the next
        to_x, to_y = int(np.floor(2 * x0)), int(np.floor(2 * y0))
        far_x, far_y = 2 * x0 - to_x, 2 * y0 - to_y
        back_x, back_y = int(far_x > 0), int(far_y > 0)
        # what is left of the noise in a mean of four
        quiet = (1 - 2 * far_x * (1 - far_x)) * (1 - 2 * far_y * (1 - far_y))
        left, light, light_noise, area_noise = 0.0, 0.0, 0.0, 0.0
        slope = np.zeros(6)
        for y in range(max(int(y0 - radius) - 1, 1), min(int(y0 + radius) + 2, height - 1)):
            for x in range(max(int(x0 - radius) - 1, 1), min(int(x0 + radius) + 2, width - 1)):
                row, column = to_y - y, to_x - x
                away = np.sqrt((x - x0) ** 2 + (y - y0) ** 2)
                part = min(max(radius + 0.5 - away, 0.0), 1.0)
                if part == 0 or row < 0 or column < 0 or row + back_y >= height or column + back_x >= width:
                    continue
                if masked[i, y, x] or masked[i, row, column]:
                    continue
                here = variance[i, y, x]
                both = here + quiet * variance[i, row, column]
                if both <= 0:
                    continue
                turned = (1 - far_y) * (
                    (1 - far_x) * images[i, row, column] + far_x * images[i, row, column + back_x]
                ) + far_y * (
                    (1 - far_x) * images[i, row + back_y, column]
                    + far_x * images[i, row + back_y, column + back_x]
                )
                off = images[i, y, x] - turned
                # of pairs, each of which is met twice
                noise = both / (both + off * off)
                left += 2 * part * part * both * (1 - FOLDED * noise * noise)
                light += part * abs(images[i, y, x])
                light_noise += part * part * here
                area_noise += part * np.sqrt(both)
                gx = (images[i, y, x + 1] - images[i, y, x - 1]) / 2
                gy = (images[i, y + 1, x] - images[i, y - 1, x]) / 2
                # squares of slopes of d, without their noise, over the noise of d and as they are
                xx, yy, xy = 4 * (gx * gx - here / 2), 4 * (gy * gy - here / 2), 4 * gx * gy
                root = np.sqrt(both)
                slope[0] += part * xx / root
                slope[1] += part * yy / root
                slope[2] += part * xy / root
                slope[3] += part * xx
                slope[4] += part * yy
                slope[5] += part * xy
        if light > 0:
            sky = area_noise * np.sqrt(2 / np.pi)
            by_sky = sky * sky * _SKY_SPREAD / max(sky_pixels, 1.0)
            found[i, 0] = np.sqrt(max(left, 0.0) + value * value * light_noise + by_sky) / light
        _centre(slope, area_noise / np.sqrt(1 + quiet), found[i])


@compiled
def _centre(slope: Any, noise: float, found: Any) -> None:
    """Fill in the errors of the centre from the sums of squared slopes, and of the noise of pixels.

    Midway between pixels the turned image has less noise, so that the centre is drawn there: until the slopes weigh as much, or all the way.
    """
    xx, yy, xy = slope[0], slope[1], slope[2]
    size = xx * yy - xy * xy
    if not (xx > 0 and yy > 0 and size > 0):
        return
    # (pi / 2) of H^-1 K H^-1: and twice, as each pair is met twice
    a, b, c = yy / size, xx / size, -xy / size
    by_x = a * a * slope[3] + 2 * a * c * slope[5] + c * c * slope[4]
    by_y = c * c * slope[3] + 2 * b * c * slope[5] + b * b * slope[4]
    if by_x > 0 and by_y > 0:
        drawn_x, drawn_y = min(np.sqrt(2.0) * noise / xx, _DRAWN), min(np.sqrt(2.0) * noise / yy, _DRAWN)
        found[1] = np.sqrt(np.pi * by_x + drawn_x * drawn_x + _GRID)
        found[2] = np.sqrt(np.pi * by_y + drawn_y * drawn_y + _GRID)
