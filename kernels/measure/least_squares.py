"""Least squares for profiles: the search for the shape that leaves least, many stamps at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch.nn import functional

from kernels.elementary import hypot
from kernels.measure.profiles import Camera, products
from kernels.measure.sersic_transform import LARGEST_N, SMALLEST_N

__all__ = ["THINNEST", "Limits", "Normal", "Pixels", "Remainder", "chunk", "search"]

THINNEST = 0.05  # axis ratio
_SMALLEST = 0.1  # radius in pixels
# stamps at a time, and their pixels: what a processor's cache holds
_MOST, _LEAST, _PIXELS = 32, 4, 32 * 64**2
_FREE = 8  # parameters
_LINE = 16  # float32 numbers in a cache line
_LONGEST = (2.0, 2.0, 0.7, 0.5, 0.7, 0.7)  # steps
_STILL, _LEVEL = 5e-4, 1e-3  # a step, and a gain in chi2 over the reduced chi2, that end the search


@dataclass
class Limits:
    """Edges of what is looked at, (n, 4) for centre, ln R and ln n; the ellipticity has one for all."""

    low: torch.Tensor
    high: torch.Tensor
    thin: float = -math.log(THINNEST)

    @classmethod
    def around(cls, centre: torch.Tensor, sides: torch.Size) -> Limits:
        away = torch.full_like(centre, max(sides) / 4)
        edges = [(math.log(_SMALLEST), math.log(max(sides))), (math.log(SMALLEST_N), math.log(LARGEST_N))]
        rest = [
            torch.tensor(edge, dtype=torch.float64, device=centre.device).expand(len(centre), 2)
            for edge in zip(*edges, strict=True)
        ]
        return cls(torch.cat([centre - away, rest[0]], dim=1), torch.cat([centre + away, rest[1]], dim=1))

    def rows(self, kept: torch.Tensor) -> Limits:
        return Limits(self.low[kept], self.high[kept])

    def within(self, shape: torch.Tensor) -> torch.Tensor:
        """The nearest shapes within the limits."""
        e = hypot(shape[:, 4], shape[:, 5])[:, None]
        return torch.cat(
            [shape[:, :4].clamp(self.low, self.high), shape[:, 4:] * (self.thin / e.clamp(min=self.thin))],
            dim=1,
        )

    def blocked(self, shape: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        """(n, 6) bool: what rests at a limit and would go on if it could."""
        side, pull = shape[:, :4], slope[:, :4]
        return functional.pad(((side <= self.low) & (pull < 0)) | ((side >= self.high) & (pull > 0)), (0, 2))

    def touched(self, shape: torch.Tensor) -> torch.Tensor:
        """(n,) bool."""
        side = shape[:, :4]
        thin = hypot(shape[:, 4], shape[:, 5]) >= self.thin * (1 - 1e-9)
        return ((side <= self.low) | (side >= self.high)).any(dim=1) | thin


@dataclass
class Pixels:
    """Pixels (n, p) in one row each, less their weighted mean, and their weights.

    That the sky's level is known to be zero counts as much as some pixels of weight one without light in them.
    """

    camera: Camera
    light: torch.Tensor
    weights: torch.Tensor
    known: torch.Tensor
    """(n,): how many pixels that is."""
    total: torch.Tensor
    level: torch.Tensor
    freedom: torch.Tensor

    @classmethod
    def of(cls, camera: Camera, light: torch.Tensor, weights: torch.Tensor, known: torch.Tensor) -> Pixels:
        light, weights = light.flatten(1), weights.flatten(1)
        total = (weights.sum(dim=1).double() + known).clamp(min=1e-30)
        level = (weights * light).sum(dim=1).double() / total
        freedom = ((weights > 0).sum(dim=1) - _FREE).clamp(min=1)
        return cls(camera, light - level[:, None].float(), weights, known, total, level, freedom)

    def rows(self, kept: torch.Tensor) -> Pixels:
        return Pixels(
            self.camera.rows(kept), *(getattr(self, field.name)[kept] for field in fields(self)[1:])
        )

    def compare(self, model: torch.Tensor) -> Remainder:
        """Solve for flux and sky with models of unit flux (n, p)."""
        weighted = model * self.weights
        mean = weighted.sum(dim=1).double() / self.total
        away = model - mean[:, None].float()
        flux = (weighted * self.light).sum(dim=1).double() / (weighted * away).sum(dim=1).double().clamp(
            min=1e-30
        )
        left = torch.addcmul(self.light, flux[:, None].float(), away, value=-1)
        weighted, sky = left * self.weights, self.level - flux * mean
        chi2 = (weighted * left).sum(dim=1).double() + self.known * sky**2
        return Remainder(flux, sky, weighted, chi2)

    def remainder(self, shape: torch.Tensor) -> Remainder:
        """The same for shapes (n, 6)."""
        found = []
        for part in torch.arange(len(shape), device=shape.device).split(chunk(self.light.shape[1])):
            some = self.rows(part)
            found.append(some.compare(some.camera.render(shape[part])[:, 0].flatten(1)))
        return Remainder(
            *(torch.cat([getattr(one, field.name) for one in found]) for field in fields(Remainder))
        )


@dataclass
class Remainder:
    """What linear parameters leave."""

    flux: torch.Tensor
    sky: torch.Tensor
    left: torch.Tensor
    """(n, p): residuals times weights."""
    chi2: torch.Tensor

    def or_else(self, other: Remainder, taken: torch.Tensor) -> Remainder:
        """The other's rows where they are taken (n,) bool."""
        left = torch.where(taken[:, None], other.left, self.left)
        flux, sky, chi2 = (
            torch.where(taken, getattr(other, name), getattr(self, name)) for name in ("flux", "sky", "chi2")
        )
        return Remainder(flux, sky, left, chi2)


def chunk(pixels: int) -> int:
    """How many stamps of so many pixels are worked on at a time."""
    return max(_LEAST, min(_MOST, _PIXELS // max(1, pixels)))


@dataclass
class Normal:
    """Normal equations of models of unit flux and their six slopes, in pixels of weight one, where the sky's level follows."""

    squares: torch.Tensor
    """(n, 7, 7): weighted sums of the products of images, less their weighted means."""
    means: torch.Tensor
    """(n, 7): those means, by which the sky's level follows."""

    @classmethod
    def of(cls, images: torch.Tensor, weights: torch.Tensor, total: torch.Tensor) -> Normal:
        """Of images (n, 7, p): a model and its slopes."""
        weighted = images * weights[:, None]
        sums = weighted.sum(dim=2).double()
        # rows of whole cache lines: where they begin in one may decide in which order a product's terms are added
        rest = -images.shape[2] % _LINE
        images, weighted = functional.pad(images, (0, rest)), functional.pad(weighted, (0, rest))
        squares = products(weighted, images.mT).double()
        squares = squares - sums[:, :, None] * sums[:, None, :] / total[:, None, None]
        return cls(squares, sums / total[:, None])

    @property
    def curvature(self) -> torch.Tensor:
        """Curvature (n, 6, 6) of half chi-squared for unit flux, when flux and sky follow."""
        light, across = self.squares[:, :1, :1], self.squares[:, 1:, :1]
        return self.squares[:, 1:, 1:] - across * across.mT / light.clamp(min=1e-30)


def search(
    pixels: Pixels, shape: torch.Tensor, limits: Limits, rounds: int, steps: int
) -> tuple[torch.Tensor, torch.Tensor, Normal]:
    """Shapes (n, 6) that leave least, whether each came to rest (n,) bool, and the normal equations of each one's last round.

    Slopes are made once a round and serve all of its steps: they cost as much as seven models, and change little near the end.
    """
    shape, rests = shape.clone(), torch.zeros(len(shape), dtype=torch.bool, device=shape.device)
    damping = torch.full_like(shape[:, 0], 1e-2)
    normal = Normal(shape.new_zeros(len(shape), 7, 7), shape.new_zeros(len(shape), 7))
    for _ in range(rounds):
        moving = (~rests).nonzero()[:, 0]
        if not len(moving):
            break
        for part in moving.split(chunk(pixels.light.shape[1])):
            found = _round(pixels.rows(part), limits.rows(part), shape[part], damping[part], steps)
            shape[part], damping[part], rests[part], equations = found
            normal.squares[part], normal.means[part] = equations.squares, equations.means
    return shape, rests, normal


def _round(
    pixels: Pixels, limits: Limits, shape: torch.Tensor, damping: torch.Tensor, steps: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Normal]:
    """A few steps of Levenberg and Marquardt with the same slopes: shape, damping, whether it came to rest, and the normal equations."""
    images = pixels.camera.render(shape, slopes=True).flatten(2)
    normal = Normal.of(images, pixels.weights, pixels.total)
    curvature = normal.curvature
    best = pixels.compare(images[:, 0])
    rests = torch.zeros(len(shape), dtype=torch.bool, device=shape.device)
    longest = torch.tensor(_LONGEST, dtype=torch.float64, device=shape.device)
    for _ in range(steps):
        slope = (images[:, 1:] * best.left[:, None]).sum(dim=2).double() * best.flux[:, None]
        slope = torch.where(limits.blocked(shape, slope), 0.0, slope)
        blocked = slope == 0
        move = _step(curvature * best.flux[:, None, None] ** 2, slope, damping, blocked)
        # made shorter, not turned: a step clipped in one direction may lead uphill
        move = move / (move.abs() / longest).amax(dim=1, keepdim=True).clamp(min=1.0)
        tried = limits.within(shape + move)
        small = ((tried - shape).abs() < _STILL).all(dim=1)
        level = (slope * move).sum(dim=1) < _LEVEL * best.chi2 / pixels.freedom
        found = pixels.compare(pixels.camera.render(tried)[:, 0].flatten(1))
        better = (found.chi2 < best.chi2) & (found.flux > 0) & ~rests
        shape = torch.where(better[:, None], tried, shape)
        best = best.or_else(found, better)
        rests |= (small | level) & (damping <= 1)
        damping = torch.where(better, damping / 10, damping * 10).clamp(1e-7, 1e7)
        if rests.all():
            break
    return shape, damping, rests, normal


def _step(
    curvature: torch.Tensor, slope: torch.Tensor, damping: torch.Tensor, blocked: torch.Tensor
) -> torch.Tensor:
    """The step (n, 6) of Levenberg and Marquardt, zero where blocked."""
    free = (~blocked).double()
    matrix = curvature * free[:, :, None] * free[:, None, :]
    size = matrix.diagonal(dim1=1, dim2=2)
    size = size.clamp(min=0) + 1e-7 * size.amax(dim=1, keepdim=True).clamp(min=1e-30)
    matrix = matrix + torch.diag_embed(damping[:, None] * size + (1 - free) * size)
    move, _ = torch.linalg.solve_ex(matrix, slope[:, :, None])
    return (move[:, :, 0] * free).nan_to_num(0.0, 0.0, 0.0)
