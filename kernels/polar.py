"""Adaptive polar coordinate unwrapping: a stamp becomes an image of angle against radius that does not turn with the galaxy.

After the adaptive polar coordinate transformation (APCT) of arXiv 2501.00380: the polar image starts at a direction that
the galaxy itself sets, so a turned galaxy gives the same polar image. On a CPU it is computed by the loops of `kernels.polar_loops`; here it is
in tensors, for other devices and for export.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from kernels.polar_window import DIRECTION, STEPS, WIDEST

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# centre (n, 2), and x and y of the direction, (n,) each
_Pole = tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]

__all__ = ["find_pole", "unwrap"]

POLES = ("moments", "apct")


def unwrap(
    stamps: torch.Tensor, angles: int, radii: int, pole: str = "moments", mirror: bool = True
) -> torch.Tensor:
    """Sample stamps along rays from their pole, bilinearly.

    Row k of the answer lies at angle theta + 2 pi k / angles, measured from +x towards +y, where theta is the object's own
    reference direction. Column j lies at radius (j + 1/2) R / radii with R half the stamp's shorter side: columns are cells
    that tile 0..R. Mirrored, the columns run over -R..R in even steps, the left half being the exact flip of the
    right one; the pole lies on the border of the two middle columns.

    Parameters
    ----------
    stamps : (n, b, y, x) float tensor
        Any unit; sky near zero.
    angles, radii : int
        Rows, and columns per half.
    pole : {"moments", "apct"}
        How pole and direction are found, see `find_pole`. They are shared by all bands.
    mirror : bool
        Add the mirror image about r = 0.

    Returns
    -------
    (n, b, angles, 2 radii) float32 tensor, or (n, b, angles, radii) without mirror, on the stamps' device. Outside the
    stamp it is exactly zero: nothing is wrapped or repeated. Within one pixel beyond the centres of the outermost
    pixels the value fades linearly to zero. Non-finite pixels count as zero. Blank stamps give zeros.
    """
    _check(pole)
    if _on_cpu(stamps):
        from kernels.polar_loops import unwrapped  # noqa: PLC0415 - loads a compiler, which nobody needs who unwraps nothing

        return torch.from_numpy(unwrapped(_numpy(stamps), angles, radii, pole, mirror=mirror))
    half = _sampled(stamps, angles, radii, pole)
    return torch.cat([half.flip(-1), half], dim=-1) if mirror else half


def find_pole(stamps: torch.Tensor, pole: str = "moments") -> tuple[torch.Tensor, torch.Tensor]:
    """Pole and reference direction of each stamp, from the mean of its bands.

    ``apct``, as in arXiv 2501.00380: the brightest pixel, and the direction from it to the darkest one; among equal pixels the one nearest
    the stamp's centre, then the one of lowest index. Both are single pixels, so noise moves them.

    ``moments``: light-weighted means under a round window that follows the galaxy and shrinks to its size (adaptive moments,
    Bernstein & Jarvis 2002, AJ 123, 583, with a round weight), starting at the stamp's centre, so that neighbours
    at the edge weigh nothing. The direction is the major axis of the second moments, pointing to the side with the positive
    third moment. A round galaxy has no major axis: its direction is set by whatever asymmetry there is.

    Parameters
    ----------
    stamps : (n, b, y, x) float tensor
    pole : {"moments", "apct"}

    Returns
    -------
    centre : (n, 2) float32 tensor
        x and y of the pole in pixels, pixel centres at integers.
    direction : (n, 2) float32 tensor
        x and y of a unit vector.
        Blank stamps (constant, or without positive light) get the stamp's centre and +x. Non-finite pixels count as zero.
    """
    _check(pole)
    if _on_cpu(stamps):
        from kernels.polar_loops import poles  # noqa: PLC0415 - as above

        found = torch.from_numpy(poles(_numpy(stamps), pole))
        return found[:, :2], found[:, 2:]
    centre, direction = _find(_finite(stamps), pole)
    return centre, torch.stack(direction, dim=-1)


def _check(pole: str) -> None:
    if pole not in POLES:
        raise ValueError(f'pole is "moments" or "apct", not "{pole}"')


def _on_cpu(stamps: torch.Tensor) -> bool:
    return stamps.device.type == "cpu" and not torch.compiler.is_exporting()


def _numpy(stamps: torch.Tensor) -> NDArray[np.float32]:
    return stamps.float().contiguous().numpy(force=True)


def _finite(stamps: torch.Tensor) -> torch.Tensor:
    return stamps.float().nan_to_num(0.0, 0.0, 0.0)


def _sampled(stamps: torch.Tensor, angles: int, radii: int, pole: str) -> torch.Tensor:
    """The polar image without its mirror image, in tensors: (n, b, angles, radii)."""
    height, width = stamps.shape[2:]
    pixels = _finite(stamps)
    centre, (c, s) = _find(pixels, pole)
    turn = torch.arange(angles, device=stamps.device) * (2 * math.pi / angles)  # (angles,)
    radius = (torch.arange(radii, device=stamps.device) + 0.5) * (min(height, width) / 2 / radii)  # (radii,)
    # the direction turned, in plain products: atan2 rounds differently at the end of a batch
    ray_x = c[:, None] * turn.cos() - s[:, None] * turn.sin()  # (n, angles)
    ray_y = s[:, None] * turn.cos() + c[:, None] * turn.sin()
    # align_corners=False: -1 and 1 are the outer borders of the outermost pixels, the centre of pixel i is (2 i + 1) / side - 1
    side = torch.tensor([width, height], dtype=torch.float32, device=stamps.device)
    start, ray = (2 * centre + 1) / side - 1, torch.stack([ray_x, ray_y], dim=-1) * (2 / side)
    grid = start[:, None, None] + ray[:, :, None] * radius[:, None]  # (n, angles, radii, 2)
    return functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _find(pixels: torch.Tensor, pole: str) -> _Pole:
    image = pixels.mean(dim=1)
    return _moments(image) if pole == "moments" else _extremes(image)


def _extremes(image: torch.Tensor) -> _Pole:
    """Brightest pixel and the direction to the darkest one: (n, y, x) -> (n, 2), ((n,), (n,))."""
    height, width = image.shape[1:]
    y = torch.arange(height, device=image.device)
    x = torch.arange(width, device=image.device)
    # twice the distance to the centre, squared, is a whole number: ties are exact. The index breaks what is left of them
    rank = (2 * y - height + 1).square()[:, None] + (2 * x - width + 1).square()
    rank = (rank * (height * width)).flatten() + torch.arange(height * width, device=image.device)
    place = rank.argsort().argsort().to(torch.int32)  # of each pixel in that order
    flat = image.flatten(1)
    bright, dark = flat.amax(dim=1, keepdim=True), flat.amin(dim=1, keepdim=True)
    last = torch.tensor(height * width, dtype=torch.int32, device=image.device)
    tip = torch.where(flat == bright, place, last).argmin(dim=1)
    foot = torch.where(flat == dark, place, last).argmin(dim=1)
    centre = torch.stack([tip % width, tip // width], dim=-1).float()
    towards = torch.stack([foot % width, foot // width], dim=-1).float() - centre
    blank = (bright == dark)[:, 0]
    middle = torch.tensor([(width - 1) / 2, (height - 1) / 2], device=image.device)
    length = towards.square().sum(-1).sqrt().clamp(min=1.0)
    c, s = (towards / length[:, None]).unbind(-1)
    return torch.where(blank[:, None], middle, centre), (
        torch.where(blank, 1.0, c),
        torch.where(blank, 0.0, s),
    )


def _moments(image: torch.Tensor) -> _Pole:
    """Pole and direction from adaptive moments: (n, y, x) -> (n, 2), ((n,), (n,))."""
    n, height, width = image.shape
    half = min(height, width) / 2
    cell = max(1, round(half / 16))
    light, x, y = _light(image, cell)

    centre = torch.zeros(n, 2, device=image.device)  # x, y from the stamp's middle
    largest = (WIDEST * half) ** 2
    spread = torch.full((n,), largest, device=image.device)  # the window's variance
    for _ in range(STEPS):
        moment = _weighted(light, x, y, centre, spread, 2)
        shift = torch.stack([moment[1][0], moment[0][1]], dim=-1)
        measured = (moment[2][0] + moment[0][2] - shift.square().sum(-1)) / 2
        # a Gaussian of variance v seen through a window of variance s has 1/m = 1/v + 1/s, and its offset shrinks by m/v = 1 - m/s
        shrunk = 1 - measured / spread
        centre = centre + shift / shrunk.clamp(min=0.5, max=1.0)[:, None]
        # an object is in the middle half of its stamp: farther out there is only something else
        distance = centre.square().sum(-1, keepdim=True).sqrt()
        centre = centre * ((half / 2) / distance.clamp(min=half / 2))
        spread = (measured / shrunk.clamp(min=0.1)).clamp(min=float(cell**2), max=largest)

    # arms and discs turn more reliably than cores: a wider window for the direction
    spread = (spread * DIRECTION**2).clamp(max=(half / 2) ** 2)
    m = _weighted(light, x, y, centre, spread, 2)
    xx, yy, xy = m[2][0] - m[1][0] ** 2, m[0][2] - m[0][1] ** 2, m[1][1] - m[1][0] * m[0][1]
    # tan 2 theta = 2 xy / (xx - yy), halved without trigonometry: the larger of cosine and sine first, then the other
    length = ((xx - yy).square() + (2 * xy).square()).sqrt()
    known = length > 0
    length = torch.where(known, length, 1.0)
    cos2, sin2 = torch.where(known, (xx - yy) / length, 1.0), 2 * xy / length
    larger = ((1 + cos2.abs()) / 2).sqrt()
    smaller = sin2 / (2 * larger)
    c, s = torch.where(cos2 >= 0, larger, smaller), torch.where(cos2 >= 0, smaller, larger)
    # which end of the axis: the skewness, in the widest window, where it comes out the same under noise most often
    m = _weighted(light, x, y, centre, torch.full_like(spread, largest), 3)
    u1 = c * m[1][0] + s * m[0][1]
    u2 = c * c * m[2][0] + 2 * c * s * m[1][1] + s * s * m[0][2]
    u3 = c**3 * m[3][0] + 3 * c * c * s * m[2][1] + 3 * c * s * s * m[1][2] + s**3 * m[0][3]
    skew = u3 - 3 * u1 * u2 + 2 * u1**3
    sign = torch.where(skew < 0, -1.0, 1.0)

    middle = torch.tensor([(width - 1) / 2, (height - 1) / 2], device=image.device)
    blank = light.amax(dim=(1, 2)) <= 0
    c, s = torch.where(blank, 1.0, sign * c), torch.where(blank, 0.0, sign * s)
    return torch.where(blank[:, None], middle, centre + middle), (c, s)


def _light(image: torch.Tensor, cell: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Squared positive light in smoothed cells (n, Y, X), and the cells' x (X,) and y (Y,) from the stamp's middle.

    About 32 cells a side, whatever the stamp: a cell and the smoothing are then a fixed part of the stamp, and the sums are cheap.
    The square weighs the noise down: among powers 1, 1.5 and 2, 2 gave the steadiest pole and direction at S/N 15-100.
    """
    height, width = image.shape[-2:]
    more_x, more_y = -width % cell, -height % cell
    left, top = more_x // 2, more_y // 2
    padded = image
    if more_x or more_y:
        padded = functional.pad(image, (left, more_x - left, top, more_y - top))
    # sums over cells, rows first: the same as avg_pool2d and five times as fast on a CPU
    light = padded.unflatten(1, ((height + more_y) // cell, cell)).sum(dim=2)
    light = sum((light[..., k::cell] for k in range(1, cell)), light[..., ::cell])
    # 1/4, 1/2, 1/4 along both axes, as slices: the same bits for any batch
    light = functional.pad(light, (1, 1, 1, 1))
    light = light[:, :, 1:-1] / 2 + (light[:, :, :-2] + light[:, :, 2:]) / 4
    light = light[:, 1:-1] / 2 + (light[:, :-2] + light[:, 2:]) / 4
    # scaled by the peak first, so that the square neither overflows nor underflows in any flux unit
    peak = light.amax(dim=(1, 2), keepdim=True)
    light = (light / torch.where(peak > 0, peak, 1.0)).clamp(min=0.0).square()
    across = torch.arange(light.shape[2], device=image.device) * cell + (cell - width) / 2 - left
    down = torch.arange(light.shape[1], device=image.device) * cell + (cell - height) / 2 - top
    return light, across, down


def _weighted(
    light: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
    centre: torch.Tensor,
    spread: torch.Tensor,
    order: int,
) -> list[list[torch.Tensor]]:
    """moments[p][q] = <dx^p dy^q>, each (n,), up to p + q = order, under a round Gaussian window about centre."""
    dx, dy = x - centre[:, :1], y - centre[:, 1:]  # (n, X), (n, Y)
    window_x = torch.exp(-dx.square() / (2 * spread[:, None]))
    window_y = torch.exp(-dy.square() / (2 * spread[:, None]))
    moments: list[list[torch.Tensor]] = []
    for p in range(order + 1):
        column = (light * (window_x * dx**p)[:, None, :]).sum(-1)  # (n, Y)
        moments.append([(column * (window_y * dy**q)).sum(-1) for q in range(order + 1 - p)])
    total = torch.where(moments[0][0] > 0, moments[0][0], 1.0)
    return [[value / total for value in row] for row in moments]
