"""Everything that is measured on stamps, in the order in which one thing rests on another."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import torch

from kernels.measure.asymmetry import asymmetry, sky_asymmetry
from kernels.measure.fit_windows import Optics, fit_in_windows
from kernels.measure.flags import EXPLAINS, MeasureFlag
from kernels.measure.gini import gini, m20
from kernels.measure.growth import grow
from kernels.measure.multimode import multimode
from kernels.measure.propagation import Measured, propagated, variance_of
from kernels.measure.quantities import QUANTITIES, columns_of, error_of
from kernels.measure.regions import petrosian_region
from kernels.measure.resampling import DRAWS, noisier, spreads
from kernels.measure.shapes import Ellipse, ellipse
from kernels.measure.signal import light_in, sn_per_pixel
from kernels.measure.smoothness import smoothness_and_error
from kernels.measure.surroundings import EXTENT, area_radius, astray, blend_fraction, surroundings
from kernels.segmentation.noise import deviation, frame
from kernels.segmentation.noise_map import NoiseMap
from kernels.segmentation.segments import Segments, segment

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from kernels.measure.quantities import Errors

__all__ = ["Optics", "measure"]

_MOST, _LEAST, _PIXELS = (
    32,
    4,
    1 << 20,
)  # stamps at a time: as many as hold so many pixels, always, so that no result depends on its neighbours
_LEAST_SKY = 0.05  # of the stamp
_LEAST_SN = 2.5
_BLENDED = 0.2  # of the object's ellipse
_LARGEST_ASYMMETRY, _LARGEST_SMOOTHNESS = 2.0, 1.0
_UNRESOLVED = 2.0  # pixels
_MAY_BE_ZERO = {error_of(name) for name in QUANTITIES["mid"]}


def measure(
    images: torch.Tensor,
    bad: torch.Tensor,
    optics: Optics | None = None,
    quantities: Collection[str] = tuple(QUANTITIES),
    segments: Segments | None = None,
    noise: NoiseMap | None = None,
    errors: Errors = "none",
    seeds: NDArray[np.uint64] | None = None,
) -> dict[str, torch.Tensor]:
    """Morphology of the central object of every stamp, in pixels, degrees and image units.

    As in Lotz et al. (2004), Conselice (2003) and Rodriguez-Gomez et al. (2019, MNRAS 483, 4140): first circles around the centroid, then
    the centre of least asymmetry, and about it circles for C and S, ellipses for the region of Gini and M20.

    Parameters
    ----------
    images : (n, y, x) float tensor
        Background-subtracted, one band.
    bad : (n, y, x) bool tensor
        Pixels that are no data: off the image, not finite. The sky's noise is found first on the two pixels along their borders and the stamp's, then on
        all pixels that are nobody's: 1.4826 MAD both.
    optics : Optics, optional
    quantities : collection of str
        Of `kernels.measure.quantities.QUANTITIES`.
    segments : Segments, optional
        Of these stamps, in all their bands; by default of the images alone.
    noise : NoiseMap, optional
        Noise (n, y, x) of each pixel, where that is known, in the images' unit: S/N and the fit take all of it, asymmetry and smoothness the sky's.
    errors : {"none", "fast", "full"}
        Whether values have 1-sigma errors: by propagation and by the fit's covariance ("fast"), or from noisier stamps and by the fit's covariance ("full").
    seeds : (n,) uint64 array, optional
        What the noise of noisier stamps follows from, one for each object.

    Returns
    -------
    dict of str to (n,) tensor
        The columns of the quantities, float64, NaN where there is no value; and `measure_flags`, int32, see `MeasureFlag`: some flag explains every NaN
        (`kernels.measure.flags.EXPLAINS`).

    Notes
    -----
    Pixels that are not finite count as bad. Bad pixels, and those of neighbours, are left out of sums, areas and orders; A leaves out what they are
    turned to as well. An object whose light is negative is none. Tiny ones are measured and flagged (`BELOW_PSF`, `NO_SMOOTHNESS`), as those are that leave
    the stamp (`TRUNCATED`, `NO_RADIUS`). Light that touches is parted (`kernels.segmentation`), and what a neighbour covers of an object is masked, not restored.
    """
    optics, parts = optics or Optics(), []
    bad = bad | ~images.isfinite()
    if noise is not None:
        bad = bad | ~(noise.total > 0)
    if segments is None:
        segments = segment(
            images[:, None].float(), bad[:, None], None if noise is None else noise.total[:, None]
        )
    chunk = max(_LEAST, min(_MOST, _PIXELS // max(1, images[0].numel()))) if len(images) else _MOST
    for first in range(0, len(images), chunk):
        part = slice(first, first + chunk)
        short = chunk - len(images[part])
        pixels = _padded(torch.where(bad[part], 0.0, images[part].float()), short)
        owners = Segments(
            *(_padded(getattr(segments, field.name)[part], short) for field in fields(Segments))
        )
        known = None
        if noise is not None:
            known = NoiseMap(_padded(noise.total[part], short), _padded(noise.sky[part], short))
        camera, lost = optics.part(first, chunk), ~_padded(~bad[part], short)
        measured = _measure(pixels, lost, owners, camera, quantities, known, errors)
        if errors == "full":
            if seeds is None:
                msg = "errors from noisier stamps need seeds"
                raise ValueError(msg)
            drawn = np.concatenate([seeds[part], np.zeros(short, np.uint64)])
            again = [
                _measure(
                    noisier(pixels, measured[1]["sigma"], drawn, draw),
                    lost,
                    owners,
                    camera,
                    quantities,
                    known,
                    "none",
                )[0]
                for draw in range(DRAWS)
            ]
            measured[0].update(_checked(measured[0], spreads(measured[0], again)))
        measured[1].pop("sigma", None)
        parts.append([{name: values[: chunk - short] for name, values in each.items()} for each in measured])
    if not parts:
        empty = images.new_zeros(0, dtype=torch.float64)
        wanted = [column.name for column in columns_of(quantities, errors)]
        return {**dict.fromkeys(wanted, empty), "measure_flags": empty.int()}
    found, start = (
        {name: torch.cat([each[name] for each in some]) for name in some[0]}
        for some in zip(*parts, strict=True)
    )
    if "sersic" in quantities:
        # all at once: there are few stamps to each size of window
        sigma = start["noise"] if noise is None else noise.total
        pixels = images if images.dtype == torch.float32 else images.float()
        flags = found["measure_flags"]
        fitted, noticed = _fit(pixels, sigma, segments.others | bad, optics, start, errors)
        found |= fitted | {"measure_flags": flags | noticed}
    return found


def _padded(values: torch.Tensor, rows: int) -> torch.Tensor:
    """Values (n, ...) with so many rows of zeros behind them."""
    return torch.cat([values, values.new_zeros(rows, *values.shape[1:])])


def _measure(
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
    no_sky = sky.flatten(1).float().mean(dim=1) < _LEAST_SKY
    masked = segments.others | bad
    noise, depth = _noise(images, bad, sky, no_sky, known, unit)

    centroid = ellipse(images, segments.central).centre
    first = grow(images, masked, centroid).petrosian()
    turned = asymmetry(images, masked, centroid, EXTENT * first, sky_asymmetry(images, sky, depth), depth)
    centre = torch.where(turned.centre.isfinite(), turned.centre, centroid)
    shape = ellipse(images, segments.central, centre)
    circles = grow(images, masked, centre)
    circular = torch.where(first.isfinite(), circles.petrosian(), torch.nan)
    ellipses = grow(images, masked, centre, shape.ratio, shape.angle)
    elliptical = ellipses.petrosian()
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
        "size": torch.where(r50.isfinite(), r50, area_radius(segments.central)),
        "reach": elliptical,
        "ratio": shape.ratio,
        "angle": shape.angle,
        "noise": noise[:, 0, 0] * unit,
    }
    found["measure_flags"] = _bits(noticed, nothing)
    if variance is not None:
        start["sigma"] = (variance.sqrt() * unit.float()[:, None, None]).float()
        found |= _checked(found, of_values)
    return {
        name: values if name == "measure_flags" else torch.where(nothing, torch.nan, values)
        for name, values in found.items()
    }, start


def _checked(
    found: Mapping[str, torch.Tensor], errors: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
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


def _fit(
    images: torch.Tensor,
    noise: torch.Tensor,
    masked: torch.Tensor,
    optics: Optics,
    start: Mapping[str, torch.Tensor],
    errors: Errors,
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The columns of the fit, and its flags."""
    nothing, centre, size = start["nothing"], start["centre"], start["size"]
    shape = Ellipse(centre, start["ratio"], start["angle"])
    profile = fit_in_windows(images, noise, masked, optics, centre, size, start["reach"], shape)
    found = {
        "sersic_n": profile.n,
        "sersic_r_e": profile.r_e,
        "sersic_ellipticity": 1 - profile.ratio,
        "sersic_angle": profile.angle.rad2deg(),
        "sersic_flux": profile.flux,
        "sersic_sky": profile.sky,
        "sersic_chi2": profile.chi2,
    }
    noticed = {
        MeasureFlag.OFF_CENTRE: astray(profile.centre, size, images.shape[1:]),
        MeasureFlag.FIT_FAILED: ~profile.n.isfinite() & ~optics.missing(size),
        MeasureFlag.FIT_UNCONVERGED: profile.n.isfinite() & ~profile.converged,
        MeasureFlag.FIT_LIMIT: profile.at_limit,
    }
    if errors != "none":
        found |= {
            "sersic_n_error": profile.n_error,
            "sersic_r_e_error": profile.r_e_error,
            "sersic_ellipticity_error": profile.ratio_error,
            "sersic_angle_error": profile.angle_error.rad2deg(),
            "sersic_flux_error": profile.flux_error,
            "sersic_sky_error": profile.sky_error,
        }
        noticed[MeasureFlag.NO_ERROR] = profile.converged & ~profile.n_error.isfinite()
    found = {name: torch.where(nothing, torch.nan, values) for name, values in found.items()}
    return found, torch.where(nothing, 0, _bits(noticed, nothing))


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
        found = torch.where(no_sky, deviation(images, frame(bad)), deviation(images, sky))
        return found[:, None, None], None
    total, depth = (plane.double() / unit[:, None, None] for plane in (known.total, known.sky))
    return total, depth


def _unit(images: torch.Tensor) -> torch.Tensor:
    """The power of two (n,) float64 below the largest value: over it no float32 overflows, and no digit changes."""
    _, exponent = np.frexp(images.abs().amax(dim=(1, 2)).numpy(force=True))
    return torch.from_numpy(np.ldexp(1.0, (exponent - 1).clip(min=-126))).to(images.device)


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


def _bits(noticed: Mapping[MeasureFlag, torch.Tensor], nothing: torch.Tensor) -> torch.Tensor:
    bits = torch.zeros(len(nothing), dtype=torch.int32, device=nothing.device)
    for flag, where in noticed.items():
        bits |= torch.where(where, int(flag), 0).int()
    return torch.where(nothing, int(MeasureFlag.NO_OBJECT), bits)
