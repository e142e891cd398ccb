"""What a predictor was taught: some codes of its training objects, and how far from them an object may lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernels.linear_map import LinearMap
from kernels.nearest import nearest, squared_distances

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["Domain", "domain_of"]

AXES = 64
"""At most: stars and noise differ from galaxies along axes on which galaxies vary little."""
OBJECTS_AN_AXIS = 4
"""Along more axes than that, few objects spread less than others of their kind."""
MOST_CODES = 1024
QUANTILE = 0.99


@dataclass(frozen=True, eq=False)
class Domain:
    """Codes of training objects along their principal axes, in units of the standard deviation.

    Attributes
    ----------
    axes
        From codes (n, d) to (n, a).
    codes
        (m, a) float32.
    limit
        Distance to the nearest of them that one training object in a hundred exceeds.
    """

    axes: LinearMap
    codes: NDArray[np.float32]
    limit: float

    def distance(self, codes: NDArray[np.floating]) -> NDArray[np.float32]:
        """Distance of codes (n, d) to the nearest training code, (n,), in units of `limit`."""
        points = self.axes(codes).astype(np.float32)
        found = np.sqrt(squared_distances(points, self.codes[nearest(points, self.codes)]))
        return (found / self.limit).astype(np.float32)

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """As safetensors store it."""
        return {
            **{f"axes.{name}": value for name, value in self.axes.to_arrays().items()},
            "codes": self.codes,
            "limit": np.array([self.limit]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Domain:
        """Inverse of `to_arrays`."""
        axes = {
            name.removeprefix("axes."): value for name, value in arrays.items() if name.startswith("axes.")
        }
        return cls(LinearMap.from_arrays(axes), arrays["codes"].astype(np.float32), float(arrays["limit"][0]))


def domain_of(codes: NDArray[np.floating], largest: float) -> Domain:
    """The domain of training codes (n, d), n >= 2, in an order that does not depend on what they are like: the first 1,024 are kept.

    Distances that set the limit are between those and the next ones, or, where there are fewer, among themselves.
    """
    values = np.asarray(codes, np.float64)
    mean = values.mean(axis=0)
    _, size, axes = np.linalg.svd(values[: 4 * MOST_CODES] - mean, full_matrices=False)
    size = size / np.sqrt(min(len(values), 4 * MOST_CODES))
    most = min(AXES, max(1, len(values) // OBJECTS_AN_AXIS))
    axes = axes[:most][size[:most] > size[0] * 1e-6]
    weight = axes / size[: len(axes), None]
    map_ = LinearMap.of(weight, -weight @ mean, largest)
    points = map_(codes[: 4 * MOST_CODES]).astype(np.float32)
    kept, others = points[:MOST_CODES], points[MOST_CODES:]
    if len(others) < MOST_CODES:
        distances = np.array([_to_another(number, kept) for number in range(len(kept))])
    else:
        distances = np.sqrt(squared_distances(others, kept[nearest(others, kept)]))
    return Domain(map_, kept, max(float(np.quantile(distances, QUANTILE)), 1e-6))


def _to_another(number: int, points: NDArray[np.float32]) -> float:
    squares = squared_distances(points, np.broadcast_to(points[number], points.shape))
    squares[number] = np.inf
    return float(np.sqrt(squares.min()))
