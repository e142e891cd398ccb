"""Everything but the fit, of a few stamps, in the order in which one thing rests on another."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import torch

from kernels.measure.asymmetry import asymmetry, sky_asymmetry
from kernels.measure.boxes import pixels_in
from kernels.measure.flags import EXPLAINS, MeasureFlag
from kernels.measure.g2 import g2
from kernels.measure.gini import gini, m20
from kernels.measure.growth import grow
from kernels.measure.multimode import multimode
from kernels.measure.multiplicity import multiplicity
from kernels.measure.other_asymmetries import other_asymmetries
from kernels.measure.propagation import Measured, propagated, variance_of
from kernels.measure.quantities import QUANTITIES, error_of
from kernels.measure.regions import petrosian_region
from kernels.measure.shapes import Ellipse, ellipse
from kernels.measure.signal import light_in, sn_per_pixel
from kernels.measure.smoothness import smoothness_and_error
from kernels.measure.surroundings import EXTENT, area_radius, blend_fraction, surroundings
from kernels.segmentation.noise import deviation, frame

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from kernels.measure.fit_windows import Optics
    from kernels.measure.quantities import Errors
    from kernels.segmentation.noise_map import NoiseMap
    from kernels.segmentation.segments import Segments

__all__ = ["bits", "checked", "measure_few"]

_LEAST_SKY = 0.05  # of the stamp
_ISOPHOTAL = 3.0  # half-light radii, as of the object's area: at its rim errors read a curve of growth, too
_LEAST_SN = 2.5
_BLENDED = 0.2  # of the object's ellipse
_LARGEST_ASYMMETRY, _LARGEST_SMOOTHNESS = 2.0, 1.0
_UNRESOLVED = 2.0  # pixels
_MAY_BE_ZERO = {
    error_of(name)
    for quantity in ("mid", "multiplicity", "g2", "asymmetries")
    for name in QUANTITIES[quantity]
}


def measure_few(
    images: torch.Tensor,
    bad: torch.Tensor,
    segments: Segments,
    optics: Optics,
    quantities: Collection[str],
    known: NoiseMap | None,
    errors: Errors,
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The columns but those of the fit, and what the fit starts from."""
    unit = _unit(images)
    images = images / unit.float()[:, None, None]
    sky = ~(segments.central | segments.others | bad)
    no_sky = pixels_in(sky).float() / sky[0].numel() < _LEAST_SKY
    masked = segments.others | bad
    noise, depth = _noise(images, bad, sky, no_sky, known, unit)

    centroid = ellipse(images, segments.central).centre
    rough = area_radius(segments.central)
    first = grow(images, masked, centroid, reach=5 * rough).petrosian
    sky_turned = sky_asymmetry(images, sky, depth)
    turned = asymmetry(images, masked, centroid, EXTENT * first, sky_turned, depth)
    centre = torch.where(turned.centre.isfinite(), turned.centre, centroid)
    shape = ellipse(images, segments.central, centre)
    circles = grow(images, masked, centre, reach=_within(first).maximum(_ISOPHOTAL * rough))
    circular = torch.where(first.isfinite(), circles.petrosian, torch.nan)
    along = (
        None if "asymmetries" in quantities else _within(first / shape.ratio.sqrt())
    )  # they read it anywhere
    ellipses = grow(images, masked, centre, shape.ratio, shape.angle, along)
    elliptical = ellipses.petrosian
    r20, r50, r80 = (circles.radius(share, EXTENT * circular) for share in (0.2, 0.5, 0.8))
    region = petrosian_region(images, masked, centre, elliptical, shape.ratio, shape.angle)
    electrons = unit * optics.gain if optics.gain else None
    sn = sn_per_pixel(images, region.pixels, noise, electrons)
    sn = torch.where((noise > 0).flatten(1).any(dim=1), sn, torch.nan)
    flux = circles.within(EXTENT * circular)[0]
    own = light_in(images, segments.central)
    variance = None if errors == "none" else variance_of(images, noise, electrons)

    found = {
        "sn_pixel": sn,
        "x_centre": centre[:, 0],
        "y_centre": centre[:, 1],
        "flux": torch.where(flux > 0, flux * unit, torch.nan),
        "r_petro": elliptical,
        "r_petro_circ": circular,
        "r20": r20,
        "r50": r50,
        "r80": r80,
        "ellipticity": 1 - shape.ratio,
        "position_angle": shape.angle.rad2deg(),
        "blend_fraction": blend_fraction(segments, centre, elliptical, shape),
    }
    if "gini" in quantities:
        found |= {"gini": gini(images, region.pixels), "m20": m20(images, region.pixels)}
    if "cas" in quantities:
        found["concentration"] = 5 * (r80 / r20).log10()
        # beyond these limits, what was taken off for the sky was more than the object
        uneven = first.isfinite() & ~(turned.value.abs() <= _LARGEST_ASYMMETRY)
        found["asymmetry"] = torch.where(no_sky | uneven, torch.nan, turned.value)
        clumps, spread = smoothness_and_error(images, masked, sky, centre, circular, depth, variance)
        clumps = torch.where(clumps.abs() > _LARGEST_SMOOTHNESS, torch.nan, clumps)
        found["smoothness"] = torch.where(no_sky, torch.nan, clumps)
    if "mid" in quantities:
        hearts = multimode(images, segments.central)
        found |= {field.name: getattr(hearts, field.name) for field in fields(hearts)}
    if "multiplicity" in quantities:
        found["multiplicity"] = multiplicity(images, region.pixels)
    if "g2" in quantities:
        found["g2"] = g2(images, region.pixels, centre)
    if "asymmetries" in quantities:
        about = Ellipse(centre, shape.ratio, shape.angle)
        level = noise if depth is None else depth
        others = other_asymmetries(images, masked, level, about, EXTENT * first, ellipses, sky_turned)
        found["shape_asymmetry"] = others.shape_asymmetry
        beyond = no_sky | ~(others.outer_asymmetry.abs() <= _LARGEST_ASYMMETRY)
        found["outer_asymmetry"] = torch.where(beyond, torch.nan, others.outer_asymmetry)
        beyond = no_sky | ~(others.rms_asymmetry2.abs() <= _LARGEST_ASYMMETRY**2)
        found["rms_asymmetry2"] = torch.where(beyond, torch.nan, others.rms_asymmetry2)

    if variance is not None:
        on = Measured(
            segments.central,
            masked,
            sky,
            region.pixels,
            shape,
            circles,
            ellipses,
            circular,
            elliptical,
            torch.stack([r20, r50, r80], dim=1),
            turned,
            EXTENT * first,
        )
        of_values = propagated(images, variance, on, quantities)
        of_values["flux_error"] *= unit
        if "cas" in quantities:
            of_values["smoothness_error"] = spread

    no_psf = optics.missing(r50)
    nothing = ~segments.found | ~centroid.isfinite().all(dim=1)
    noticed = {
        MeasureFlag.LOW_SN: sn < _LEAST_SN,
        MeasureFlag.NO_RADIUS: ~(circular + elliptical).isfinite(),
        MeasureFlag.BELOW_PSF: r50 < optics.widths(r50, _UNRESOLVED),
        MeasureFlag.NO_PSF: no_psf,
        MeasureFlag.NO_SKY: no_sky,
        MeasureFlag.REGION: ~region.pixels.flatten(1).any(dim=1) | region.disjoint | region.full,
        MeasureFlag.NO_NOISE: (noise == 0).flatten(1).all(dim=1),
        MeasureFlag.BLENDED: found["blend_fraction"] > _BLENDED,
        **surroundings(segments, bad, centre, circular, r50, 1 - own / flux),
    }
    noticed[MeasureFlag.NO_LIGHT] = (
        _any_missing(found, noticed[MeasureFlag.NO_RADIUS]) | ~shape.ratio.isfinite()
    )
    if "cas" in quantities:
        noticed[MeasureFlag.NO_SMOOTHNESS] = ~clumps.isfinite()
        noticed[MeasureFlag.NO_SKY] |= uneven
    start = {
        "nothing": nothing,
        "centre": torch.where(nothing[:, None], torch.nan, centre),
        "size": torch.where(r50.isfinite(), r50, rough),
        "reach": elliptical,
        "ratio": shape.ratio,
        "angle": shape.angle,
        "noise": noise[:, 0, 0] * unit,
    }
    found["measure_flags"] = bits(noticed, nothing)
    if variance is not None:
        start["sigma"] = (variance.sqrt() * unit.float()[:, None, None]).float()
        found |= checked(found, of_values)
    return {
        name: values if name == "measure_flags" else torch.where(nothing, torch.nan, values)
        for name, values in found.items()
    }, start


def checked(found: Mapping[str, torch.Tensor], errors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Errors of what was found, NaN where there is none; and the flags, which then say so."""
    flags, noiseless = found["measure_flags"], found["measure_flags"] & int(MeasureFlag.NO_NOISE) > 0
    known, flags = {}, flags & ~int(MeasureFlag.NO_ERROR)
    for name, error in errors.items():
        valued = found[name.removesuffix("_error")].isfinite() & ~noiseless
        least = 0.0 if name in _MAY_BE_ZERO else torch.finfo(torch.float64).tiny
        known[name] = torch.where(valued & (error >= least) & error.isfinite(), error, torch.nan)
        flags = flags | torch.where(valued & known[name].isnan(), int(MeasureFlag.NO_ERROR), 0).int()
    return {
        **known,
        "measure_flags": torch.where(flags & int(MeasureFlag.NO_OBJECT) > 0, found["measure_flags"], flags),
    }


def _noise(
    images: torch.Tensor,
    bad: torch.Tensor,
    sky: torch.Tensor,
    no_sky: torch.Tensor,
    known: NoiseMap | None,
    unit: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Noise of the pixels, (n, y, x) or one for all of a stamp, (n, 1, 1); and the sky's in each pixel where it is known. In units of `unit`."""
    if known is None:
        found = deviation(images, sky)
        found[no_sky] = deviation(images[no_sky], frame(bad[no_sky]))
        return found[:, None, None], None
    total, depth = (plane.double() / unit[:, None, None] for plane in (known.total, known.sky))
    return total, depth


def _unit(images: torch.Tensor) -> torch.Tensor:
    """The power of two (n,) float64 below the largest value: over it no float32 overflows, and no digit changes."""
    _, exponent = np.frexp(images.abs().amax(dim=(1, 2)).numpy(force=True))
    return torch.from_numpy(np.ldexp(1.0, (exponent - 1).clip(min=-126))).to(images.device)


def _within(petrosian: torch.Tensor) -> torch.Tensor:
    """A radius (n,) within which a curve is likely to hold all that is read of it."""
    return 2 * petrosian + 3


def _any_missing(found: Mapping[str, torch.Tensor], no_radius: torch.Tensor) -> torch.Tensor:
    """Where (n,) a quantity that needs positive light is NaN, though there is a radius, or though it needs none."""
    resting = [name for name in found if EXPLAINS[name] & MeasureFlag.NO_LIGHT]
    clear = {"asymmetry", "smoothness", "sn_pixel"}  # these have other reasons
    missing = {name: ~found[name].isfinite() for name in resting if name not in clear}
    return torch.stack(
        [
            where & ~no_radius if EXPLAINS[name] & MeasureFlag.NO_RADIUS else where
            for name, where in missing.items()
        ]
    ).any(dim=0)


def bits(noticed: Mapping[MeasureFlag, torch.Tensor], nothing: torch.Tensor) -> torch.Tensor:
    bits = torch.zeros(len(nothing), dtype=torch.int32, device=nothing.device)
    for flag, where in noticed.items():
        bits |= torch.where(where, int(flag), 0).int()
    return torch.where(nothing, int(MeasureFlag.NO_OBJECT), bits)
