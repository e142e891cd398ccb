"""Asymmetry: how much of an object is left when it is turned by 180 degrees and taken off itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["Asymmetry", "asymmetry", "sky_asymmetry"]

_REACH = 2  # half pixels that the first search looks around, in x and in y
_MOVES = 4  # of the first search, at most
_STEPS = (0.5, 0.25, 0.125, 0.0625)  # of the second search, half pixels


@dataclass(frozen=True)
class Asymmetry:
    """The least asymmetries (n,) and their centres (n, 2), x and y in pixels."""

    value: torch.Tensor
    centre: torch.Tensor


def asymmetry(
    images: torch.Tensor, masked: torch.Tensor, start: torch.Tensor, radius: torch.Tensor, sky: torch.Tensor
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

    Returns
    -------
    Asymmetry
        NaN where the start or the radius is, and where there is no light.
    """
    known = start.isfinite().all(dim=1) & radius.isfinite()
    light = torch.where(masked, 0.0, images.float())
    counted = (~masked).float()
    circle = torch.where(known, radius.float(), 1.0)
    # a place x goes to twice - x
    twice = torch.where(known[:, None], 2 * start.float(), 0.0).round().long()
    for _ in range(_MOVES):
        inside = counted * _disc(light, twice / 2, circle)
        move = _best_move(light, inside, _Turned(light, counted, twice))
        twice = twice + move
        if not (move.abs() == _REACH).any():
            break
    turned = _Turned(light, counted, twice)
    inside = counted * _disc(light, twice / 2, circle)
    offset = torch.zeros((len(light), 2), device=light.device)
    least = turned.left(light, inside, offset)
    for step in _STEPS:
        for way in ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)):
            tried = (offset + step * torch.tensor(way, device=light.device)).clamp(-1.0, 1.0)
            left = turned.left(light, inside, tried)
            offset = torch.where((left < least)[:, None], tried, offset)
            least = torch.minimum(left, least)
    centre = (twice + offset) / 2
    inside = counted * _disc(light, centre, circle)
    there, away = turned.at(offset)
    inside = inside * (there >= 0.5)
    left = ((light - away).abs() * inside).double().sum(dim=(1, 2))
    area, flux = inside.double().sum(dim=(1, 2)), (light.abs() * inside).double().sum(dim=(1, 2))
    value = (left - area * sky) / flux
    return Asymmetry(
        torch.where(known & (flux > 0), value, torch.nan), torch.where(known[:, None], centre, torch.nan)
    )


def sky_asymmetry(images: torch.Tensor, sky: torch.Tensor) -> torch.Tensor:
    """Mean |I - I_180| of sky pixels (n, y, x) bool that are turned to sky pixels; (n,) float64, NaN where there are none."""
    both = sky & sky.flip(1, 2)
    left = torch.where(both, (images - images.flip(1, 2)).abs(), 0.0).double().sum(dim=(1, 2))
    return left / both.sum(dim=(1, 2))


class _Turned:
    """Images turned by 180 degrees about a half pixel each, and about places around it."""

    def __init__(self, light: torch.Tensor, counted: torch.Tensor, twice: torch.Tensor) -> None:
        n, self._height, self._width = light.shape
        every = torch.arange(n, device=light.device)[:, None, None]
        rows, columns = (
            twice[:, axis, None] + _REACH - torch.arange(side + 2 * _REACH, device=light.device)
            for axis, side in ((1, self._height), (0, self._width))
        )
        within = ((rows >= 0) & (rows < self._height))[:, :, None] & (
            (columns >= 0) & (columns < self._width)
        )[:, None]
        place = (
            every,
            rows.clamp(0, self._height - 1)[:, :, None],
            columns.clamp(0, self._width - 1)[:, None, :],
        )
        self._both = torch.stack([counted[place], light[place]]) * within  # (2, n, y, x), borders included

    def view(self, dx: int, dy: int) -> torch.Tensor:
        """Counted and light, turned about a centre that is dx and dy half pixels away."""
        top, left = _REACH - dy, _REACH - dx
        return self._both[:, :, top : top + self._height, left : left + self._width]

    def at(self, offset: torch.Tensor) -> torch.Tensor:
        """The same for offsets (n, 2) between -1 and 1 half pixels, interpolated."""
        shares = torch.stack([(1 - (offset - k).abs()).clamp(min=0) for k in (-1, 0, 1)])  # (3, n, 2)
        x, y = shares[:, :, 0, None, None], shares[:, :, 1, None, None]
        height, width = self._height, self._width
        low, same, high = (self._both[:, :, _REACH - k : _REACH - k + height] for k in (-1, 0, 1))
        rows = y[0] * low + y[1] * same + y[2] * high
        low, same, high = (rows[..., _REACH - k : _REACH - k + width] for k in (-1, 0, 1))
        return x[0] * low + x[1] * same + x[2] * high

    def left(self, light: torch.Tensor, inside: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
        """Share of the light that is left, (n,)."""
        there, away = self.at(offset)
        return _share(light, away, inside * (there >= 0.5))


def _best_move(light: torch.Tensor, inside: torch.Tensor, turned: _Turned) -> torch.Tensor:
    """Whole half pixels (n, 2) to where least is left."""
    moves = [(dx, dy) for dy in range(-_REACH, _REACH + 1) for dx in range(-_REACH, _REACH + 1)]
    left = []
    for move in moves:
        there, away = turned.view(*move)
        left.append(_share(light, away, inside * there))
    best = torch.stack(left).nan_to_num(torch.inf).argmin(dim=0)
    return torch.tensor(moves, device=light.device)[best]


def _share(light: torch.Tensor, away: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    return ((light - away).abs() * inside).sum(dim=(1, 2)) / (light.abs() * inside).sum(dim=(1, 2))


def _disc(images: torch.Tensor, centre: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """Parts of pixels (n, y, x) within circles: by the distance of their middles from the edge."""
    height, width = images.shape[1:]
    x = torch.arange(width, device=images.device) - centre[:, :1]
    y = torch.arange(height, device=images.device) - centre[:, 1:]
    distance = (x[:, None, :] ** 2 + y[:, :, None] ** 2).sqrt()
    return (radius[:, None, None] + 0.5 - distance).clamp(0.0, 1.0)
