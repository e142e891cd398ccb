"""Errors of fitted Sérsic profiles, from the curvature of chi-squared where the fit came to rest."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kernels.compiled import compiled
from kernels.elementary import hypot

if TYPE_CHECKING:
    from kernels.measure.least_squares import Normal

__all__ = ["LARGEST_ANGLE", "errors_of"]

LARGEST_ANGLE = math.pi / math.sqrt(12)
"""Standard deviation of an angle of which nothing is known, radians: even over 180 degrees."""
_LN_R, _LN_N, _E1, _E2 = (
    3,
    4,
    5,
    6,
)  # rows of the covariance; the first three are of ln flux and of the centre
_ROUND = 1e-6
_LEAST = 1e-9  # of a parameter's curvature, where the others follow: float32 sums decide no less


def errors_of(
    shape: torch.Tensor,
    flux: torch.Tensor,
    normal: Normal,
    total: torch.Tensor,
    noise: torch.Tensor,
    valid: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """1-sigma errors of fitted values, by the names of the fields of `kernels.measure.sersic.SersicFit`.

    The covariance is the inverse of the normal matrix of all eight parameters, flux and sky among them (Press et al. 2007, Numerical Recipes, 15.4), in the
    noise that the pixels were weighed by: right where the noise is, its pixels are not correlated and the galaxy is a Sérsic profile. It is not scaled by chi-squared. That the
    sky's level is known to some degree is part of it. The radius along the major axis, the axis ratio and the angle follow linearly.

    Parameters
    ----------
    shape : (n, 6) float64 tensor
        Where the fit ended, see `kernels.measure.profiles.Camera.render`.
    flux : (n,) float64 tensor
        Image units.
    normal : Normal
        Of the fit's last round.
    total : (n,) float64 tensor
        Sum of the pixels' weights, and by how many pixels the sky is known.
    noise : (n,) float64 tensor
        In a pixel of weight one, image units; NaN where it is not known.
    valid : (n,) bool tensor
        Whether the fit rests where chi-squared is least.

    Returns
    -------
    dict of str to (n,) float64 tensor
        NaN where not valid, and where the matrix has no inverse: something is not decided by the pixels. That of the angle is at most
        that of an angle of which nothing is known, 52 degrees.
    """
    inverses = np.full(tuple(normal.squares.shape), np.nan)
    _inverses(normal.squares.numpy(force=True), inverses)
    relative = (noise / flux)[:, None, None]
    covariance = torch.from_numpy(inverses).to(flux.device) * relative * relative
    sound = valid & (flux > 0)

    def sigma(*shares: tuple[int, torch.Tensor | float]) -> torch.Tensor:
        """Of a sum of parameters with these shares."""
        variance = torch.zeros_like(flux)
        for row, one in shares:
            for column, other in shares:
                variance = variance + one * other * covariance[:, row, column]
        return torch.where(sound & (variance > 0), variance, torch.nan).sqrt()

    e = hypot(shape[:, 4], shape[:, 5]).clamp(min=_ROUND)
    c, s = shape[:, 4] / e, shape[:, 5] / e
    sky = sigma(*((place, normal.means[:, place]) for place in range(7)))
    return {
        "n_error": shape[:, 3].exp() * sigma((_LN_N, 1.0)),
        "r_e_error": (shape[:, 2] + e / 2).exp() * sigma((_LN_R, 1.0), (_E1, c / 2), (_E2, s / 2)),
        "ratio_error": (-e).exp() * sigma((_E1, c), (_E2, s)),
        "angle_error": (sigma((_E1, -s), (_E2, c)) / (2 * e)).clamp(max=LARGEST_ANGLE),
        "flux_error": flux * sigma((0, 1.0)),
        "sky_error": hypot(flux * sky, noise / total.sqrt()),
    }


@compiled
def _inverses(matrices: Any, found: Any) -> None:
    """Fill in the inverses of symmetric matrices (n, k, k) by their Cholesky factors, one by one, so that no bit depends on the others; those of others than positive definite ones stay as they are."""
    n, size, _ = matrices.shape
    factor, scale, columns = np.zeros((size, size)), np.empty(size), np.empty((size, size))
    for i in range(n):
        sound = True
        for k in range(size):
            value = matrices[i, k, k]
            sound = sound and value > 0 and np.isfinite(value)
            scale[k] = 1 / np.sqrt(value) if sound else 1.0
        for row in range(size):
            for column in range(row + 1):
                left = matrices[i, row, column] * scale[row] * scale[column]
                for k in range(column):
                    left -= factor[row, k] * factor[column, k]
                if row > column:
                    factor[row, column] = left / factor[column, column]
                else:
                    sound = sound and left > _LEAST
                    factor[row, row] = np.sqrt(left) if sound else 1.0
        if not sound:
            continue
        # columns of the factor's inverse, and their products
        columns[:] = 0
        for column in range(size):
            for row in range(column, size):
                left = 1.0 if row == column else 0.0
                for k in range(column, row):
                    left -= factor[row, k] * columns[k, column]
                columns[row, column] = left / factor[row, row]
        for row in range(size):
            for column in range(size):
                total = 0.0
                for k in range(max(row, column), size):
                    total += columns[k, row] * columns[k, column]
                found[i, row, column] = total * scale[row] * scale[column]
