"""Sérsic profiles seen through a PSF, with their derivatives: summed up from their Fourier transform by matrix products."""

from __future__ import annotations

import copy
import functools
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from kernels.elementary import cosh, hypot, sinh
from kernels.measure.sersic_transform import FIRST, NODES, STEP, chebyshev, table
from kernels.measure.transfer import pixel, reach, transform, turns, waves

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Camera", "camera", "camera_of_each", "products"]

_NARROWEST = 16  # columns that are rendered: bits of narrower products depend on where they lie in memory


def camera(
    height: int, width: int, psf: torch.Tensor | None, device: torch.device, *, binned: bool = False
) -> Camera:
    """A `Camera`, made once for all calls with the same PSF."""
    pixels = None if psf is None else (psf.double().numpy(force=True).tobytes(), tuple(psf.shape))
    return _camera(height, width, pixels, device, binned)


def camera_of_each(
    height: int,
    width: int,
    psfs: Sequence[torch.Tensor],
    farthest: float,
    device: torch.device,
    *,
    binned: bool = False,
    factors: Sequence[int] | None = None,
) -> Camera:
    """A `Camera` that sees each stamp through a PSF of its own; the grid is made once for all calls with the same `farthest` wave number.

    `factors` says how many of the PSF's pixels a side are one of the stamp's, its mean; one, by default.
    """
    seen_through = _camera(height, width, None, device, binned, farthest)
    return seen_through.through(psfs, factors or [1] * len(psfs))


@functools.lru_cache(maxsize=64)
def _camera(
    height: int,
    width: int,
    pixels: tuple[bytes, tuple[int, int]] | None,
    device: torch.device,
    binned: bool,
    farthest: float | None = None,
) -> Camera:
    psf = None if pixels is None else torch.from_numpy(np.frombuffer(pixels[0]).reshape(pixels[1]).copy())
    return Camera(height, width, psf, device, binned=binned, farthest=farthest)


class Camera:
    """What turns profiles into pixels: a PSF and a grid.

    A profile of unit flux is I(r) = I_0 exp(-b_n (r / r_e)^(1/n)) on ellipses (Sérsic 1963, 1968; Graham & Driver 2005, PASA 22, 118). The transform F
    of a round one with r_e = 1 depends on n and |k| only and is tabled once per process; ellipses are linear maps of k, centres phases, and the PSF a
    product. The integral over k is a sum over a grid that is fine near k = 0, so that the wings need no larger stamp: two matrix products.

    Parameters
    ----------
    height, width : int
        Of the stamps, pixels.
    psf : (py, px) float tensor or None
        Image of a point source in the middle of the image, (size - 1) / 2, the pixel's response included. Nothing beyond the Nyquist frequency can be
        known from it: with a FWHM below two pixels, fitted n and r_e are off, by 5 % at 1.6 and 25 % at 1.2 pixels. None: the response of
        square pixels alone; what a core holds beyond twice the Nyquist frequency is then lost.
    device
        Where images are made.
    binned : bool
        Means of 2 x 2 pixels are rendered; an odd last row or column is left out. Nothing beyond 0.7 of the Nyquist frequency is looked at.
    farthest : float, optional
        The wave number up to which is looked; by default the PSF's `reach`.
    """

    def __init__(
        self,
        height: int,
        width: int,
        psf: torch.Tensor | None,
        device: torch.device,
        *,
        binned: bool = False,
        farthest: float | None = None,
    ) -> None:
        step = 2 if binned else 1
        farthest = reach(psf) if farthest is None else farthest
        if binned:
            farthest = min(farthest, 0.7 * math.pi)
        kx, wx = waves(width, farthest)
        ky, wy = waves(height, farthest)
        ky, wy = ky[ky > 0], 2 * wy[ky > 0]  # the other half is the conjugate
        # waves of no weight fill up: a product's last rows, fewer than four, have other bits
        ky, wy = (functional.pad(part, (0, -len(part) % 4)) for part in (ky, wy))
        self._waves, self._parts, self._binned = (ky, kx), wy[:, None] * wx / (2 * math.pi) ** 2, binned
        self._width = width // step
        x, y = (
            torch.arange(size) * step + (step - 1) / 2
            for size in (max(self._width, _NARROWEST), height // step)
        )
        # places are counted from the middle of the stamp, so that phases stay small
        self._middle = torch.tensor([(width - 1) / 2, (height - 1) / 2], dtype=torch.float64, device=device)
        x, y = x - (width - 1) / 2, y - (height - 1) / 2
        seen = pixel(ky, kx) if psf is None else self._seen(psf, 1)
        self._response = self._filter(seen).to(device)  # (ky, 2, kx), or (n, ky, 2, kx)
        self._kx, self._ky = kx.double().to(device), ky.double().to(device)
        phase = kx[:, None] * x
        wave = torch.cat(
            [torch.cat([phase.cos(), phase.sin()], 1), torch.cat([-phase.sin(), phase.cos()], 1)]
        )
        both = torch.cat([kx, kx])[:, None]
        # minus the derivative by x: - i k
        slope = (
            torch.cat([torch.cat([phase.sin(), -phase.cos()], 1), torch.cat([phase.cos(), phase.sin()], 1)])
            * both
        )
        self._along_x, self._slope_x = wave.float().to(device), slope.float().to(device)  # (2 kx, 2 x)
        phase = y[:, None] * ky
        wave = torch.stack([phase.cos(), -phase.sin()], dim=2).flatten(1)
        slope = torch.stack([phase.sin() * ky, phase.cos() * ky], dim=2).flatten(1)
        self._along_y, self._slope_y = wave.float().to(device), slope.float().to(device)  # (y, 2 ky)
        k2, plus, cross = ky[:, None] ** 2 + kx**2, kx**2 - ky[:, None] ** 2, 2 * ky[:, None] * kx
        self._squares = torch.stack([k2, plus, cross]).flatten(1).float().to(device)  # (3, ky kx)
        self._tables = tuple(part.to(device) for part in table())

    def _filter(self, seen: torch.Tensor) -> torch.Tensor:
        """What is left (ky, 2, kx) float32 of each wave that a PSF leaves so much of, times the part of the integral that it stands for."""
        ky, kx = self._waves
        response = seen * self._parts
        if self._binned:
            response = response * torch.cos(ky / 2)[:, None] * torch.cos(kx / 2)
        return torch.stack([response.real, response.imag], dim=1).float()

    def through(self, psfs: Sequence[torch.Tensor], factors: Sequence[int]) -> Camera:
        """The same grid with a PSF for each stamp, so many of whose pixels a side are one of the stamp's."""
        # a tile's objects share theirs
        distinct = {(id(psf), factor): psf for psf, factor in zip(psfs, factors, strict=True)}
        each = {key: self._filter(self._seen(psf, key[1])) for key, psf in distinct.items()}
        return self._with(
            torch.stack([each[id(psf), factor] for psf, factor in zip(psfs, factors, strict=True)])
        )

    def _seen(self, psf: torch.Tensor, factor: int) -> torch.Tensor:
        """Transform (ky, kx) complex128 of a PSF in the mean of so many of its pixels."""
        ky, kx = (k / factor for k in self._waves)
        seen = transform(psf, *turns(ky, kx, psf.shape))
        if factor > 1:
            seen = seen * _mean_of(factor, ky)[:, None] * _mean_of(factor, kx)
        return seen

    def rows(self, kept: torch.Tensor) -> Camera:
        """The camera of some of the stamps."""
        return self if self._response.ndim == 3 else self._with(self._response[kept])

    def _with(self, response: torch.Tensor) -> Camera:
        other = copy.copy(self)
        vars(other)["_response"] = response.to(self._response.device)
        return other

    def render(self, shape: torch.Tensor, slopes: bool = False) -> torch.Tensor:
        """Images of unit flux.

        Parameters
        ----------
        shape : (n, 6) float64 tensor
            x, y of the centre, pixels; ln R, where R is the geometric mean of both half-light axes, pixels; ln n; and ln(a / b) times the cosine and sine of
            twice the major axis's angle.
        slopes : bool
            Whether to add the derivatives by these six.

        Returns
        -------
        (n, 1 or 7, y, x) float32 tensor
        """
        count, (rows, columns) = len(shape), (len(self._ky), len(self._kx))
        maps = _maps(shape)  # (n, 3, 3): k'^2 and its derivatives by the last two
        squares = _mix(maps[:, 0], self._squares).clamp_(min=1e-12)
        place = squares.log().mul_(0.5 / STEP).sub_(FIRST / STEP).clamp_(0, NODES - 1)
        node = place.round()
        away = place.sub_(node).mul_(STEP)
        index = node.long()
        values, by_n = self._profiles(shape[:, 3])
        first, second = values[:, 1].gather(1, index), values[:, 2].gather(1, index)
        seen = [torch.addcmul(first, second, away, value=0.5).mul_(away).add_(values[:, 0].gather(1, index))]
        if slopes:
            falling = first.addcmul_(second, away)
            slope_n = torch.addcmul(by_n[:, 0].gather(1, index), by_n[:, 1].gather(1, index), away)
            half = falling / squares.mul_(2)
            turned = [_mix(maps[:, i], self._squares).mul_(half) for i in (1, 2)]
            seen += [falling, slope_n, *turned]
        transforms = torch.stack(seen, dim=1).view(count, -1, rows, 1, columns)
        filtered = transforms * self._phases(shape)[:, None]  # (n, c, ky, 2, kx)
        flat = filtered.view(-1, 2 * columns)
        width = self._along_x.shape[1] // 2
        summed = (flat @ self._along_x).view(-1, 2 * rows, width)
        images = products(self._along_y, summed)
        images = images.view(count, -1, *images.shape[1:])
        if not slopes:
            return images[..., : self._width]
        light = summed.view(count, -1, 2 * rows, width)[:, 0]
        by_y = products(self._slope_y, light)
        sideways = (filtered[:, 0].reshape(-1, 2 * columns) @ self._slope_x).view(count, 2 * rows, width)
        by_x = products(self._along_y, sideways)
        return torch.cat([images[:, :1], by_x[:, None], by_y[:, None], images[:, 1:]], dim=1)[
            ..., : self._width
        ]

    def _profiles(self, log_n: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """F, F', F'' (n, 3, nodes) by ln k, and the derivatives of the first two by ln n (n, 2, nodes)."""
        polynomials, derivatives = chebyshev(log_n)
        table, plain = self._tables
        # one product a profile: the bits of a product of matrices depend on their number of rows
        values, by_n = (
            products(weights.float()[:, None], part)
            for weights, part in ((polynomials, table), (derivatives, plain))
        )
        return values.view(-1, 3, NODES), by_n.view(-1, 2, NODES)

    def _phases(self, shape: torch.Tensor) -> torch.Tensor:
        """The response (n, ky, 2, kx) of a point source at the centre."""
        centre = shape[:, :2] - self._middle
        x, y = (centre[:, :1] * self._kx).float(), (centre[:, 1:] * self._ky).float()
        cx, sx = x.cos()[:, None], x.sin()[:, None]
        cy, sy = y.cos()[:, :, None], y.sin()[:, :, None]
        c, s = cy * cx - sy * sx, sy * cx + cy * sx
        real, imaginary = self._response.unbind(-2)
        return torch.stack([real * c + imaginary * s, imaginary * c - real * s], dim=2)


def products(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Products (n, a, c) of matrices, n of them or one for all on either side. One alone is multiplied twice: a batch of one goes another way, with other bits."""
    count = max(len(each) if each.ndim == 3 else 1 for each in (left, right))
    pair = (max(2, count), -1, -1)
    return torch.bmm(left.expand(pair), right.expand(pair))[:count]


def _mean_of(points: int, k: torch.Tensor) -> torch.Tensor:
    """What is left of waves (k,) in the mean of so many points, one apart."""
    return (k[:, None] * (torch.arange(points) - (points - 1) / 2)).cos().mean(dim=1)


def _mix(shares: torch.Tensor, parts: torch.Tensor) -> torch.Tensor:
    """Sums (n, k) of parts (3, k) with shares (n, 3)."""
    first, second, third = shares[:, :, None].unbind(1)
    return torch.mul(first, parts[0]).addcmul_(second, parts[1]).addcmul_(third, parts[2])


def _maps(shape: torch.Tensor) -> torch.Tensor:
    """Coefficients (n, 3, 3) float32 of k^2, kx^2 - ky^2 and 2 kx ky in k'^2 and in its derivatives by both ellipticities.

    k' is the wave number that a round profile of radius 1 is seen at: k'^2 = R^2 k^T exp(S) k, where S is the symmetric matrix of the ellipticities.
    """
    e1, e2 = shape[:, 4], shape[:, 5]
    e = hypot(e1, e2).clamp(min=1e-6)
    c, s = cosh(e), sinh(e) / e
    bend = (c - s) / e**2  # of sinh(e) / e by e, over e
    rows = [
        torch.stack([c, s * e1, s * e2], dim=1),
        torch.stack([s * e1, bend * e1 * e1 + s, bend * e1 * e2], dim=1),
        torch.stack([s * e2, bend * e1 * e2, bend * e2 * e2 + s], dim=1),
    ]
    return (torch.stack(rows, dim=1) * (2 * shape[:, 2]).exp()[:, None, None]).float()
