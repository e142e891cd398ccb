"""1-sigma errors by propagation: what the noise of the pixels does, to first order, to what was measured on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernels.measure.aperture_errors import aperture_errors
from kernels.measure.asymmetry_errors import asymmetry_errors
from kernels.measure.ellipse_errors import ellipse_errors
from kernels.measure.quantities import error_of
from kernels.measure.region_errors import region_errors

if TYPE_CHECKING:
    from collections.abc import Collection

    import torch

    from kernels.measure.asymmetry import Asymmetry
    from kernels.measure.growth import Growth
    from kernels.measure.shapes import Ellipse

__all__ = ["Measured", "propagated", "variance_of"]


@dataclass(frozen=True)
class Measured:
    """What measures rest on, of stamps (n, ...)."""

    central: torch.Tensor
    """(n, y, x) bool: pixels of the object."""
    masked: torch.Tensor
    sky: torch.Tensor
    region: torch.Tensor
    """(n, y, x) bool: pixels of Gini and M20."""
    shape: Ellipse
    circles: Growth
    ellipses: Growth
    circular: torch.Tensor
    elliptical: torch.Tensor
    """(n,): Petrosian radii."""
    radii: torch.Tensor
    """(n, 3): r20, r50, r80."""
    turned: Asymmetry
    turned_within: torch.Tensor
    """(n,): the radius of its circle."""


def variance_of(images: torch.Tensor, noise: torch.Tensor, electrons: torch.Tensor | None) -> torch.Tensor:
    """Variance (n, y, x) float32 of each pixel: of the sky, and of the photons that are seen there, fewer than none counted as well, so that sums have no bias.

    Parameters
    ----------
    images : (n, y, x) float tensor
    noise : (n, y, x) or (n, 1, 1) float tensor
        Of the sky, or of all.
    electrons : (n,) float tensor, optional
        Per unit of the images.
    """
    sky = noise.float().square()
    if electrons is None:
        return sky.expand(images.shape).contiguous()
    return (images / electrons.float()[:, None, None]).add_(sky).clamp_(min=0)


def propagated(
    images: torch.Tensor, variance: torch.Tensor, on: Measured, quantities: Collection[str]
) -> dict[str, torch.Tensor]:
    """Errors (n,) float64 by the names of their columns, but for those of smoothness and of the fit; angles in degrees. NaN where there is none."""
    centre = on.shape.centre
    found = aperture_errors(on.circles, variance, on.masked, centre, on.circular, on.radii)
    ratio, angle = ellipse_errors(images, variance, on.central, on.circles, on.shape)
    along, gini, m20 = region_errors(
        images, variance, on.masked, on.region, on.ellipses, on.elliptical, on.shape
    )
    # thinner at the same area is longer
    longer = 0.5 * on.elliptical * ratio / on.shape.ratio
    turned = asymmetry_errors(images, variance, on.masked, on.turned_within, on.turned, on.sky)
    found |= {
        "x_centre": turned[:, 1],
        "y_centre": turned[:, 2],
        "r_petro": (along.square() + longer.square()).sqrt(),
        "ellipticity": ratio,
        "position_angle": angle.rad2deg(),
    }
    if "gini" in quantities:
        found |= {"gini": gini, "m20": m20}
    if "cas" in quantities:
        found["asymmetry"] = turned[:, 0]
    else:
        del found["concentration"]
    return {error_of(name): values for name, values in found.items()}
