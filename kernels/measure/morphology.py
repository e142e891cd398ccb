"""Everything that is measured on stamps, in the order in which one thing rests on another."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import torch

from kernels.measure.few_stamps import bits, checked, measure_few
from kernels.measure.fit_windows import Optics, fit_in_windows
from kernels.measure.flags import MeasureFlag
from kernels.measure.quantities import QUANTITIES, columns_of
from kernels.measure.resampling import DRAWS, noisier, spreads
from kernels.measure.shapes import Ellipse
from kernels.measure.surroundings import astray
from kernels.segmentation.noise_map import NoiseMap
from kernels.segmentation.segments import Segments, segment

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from kernels.measure.quantities import Errors

__all__ = ["Optics", "measure"]

_MOST, _LEAST, _PIXELS = (
    64,
    4,
    1 << 20,
)  # stamps at a time: as many as hold so many pixels, always, so that no result depends on its neighbours


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
    bad = bad | torch.from_numpy(~np.isfinite(images.numpy(force=True))).to(bad.device)
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
        measured = measure_few(pixels, lost, owners, camera, quantities, known, errors)
        if errors == "full":
            if seeds is None:
                msg = "errors from noisier stamps need seeds"
                raise ValueError(msg)
            drawn = np.concatenate([seeds[part], np.zeros(short, np.uint64)])
            again = [
                measure_few(
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
            measured[0].update(checked(measured[0], spreads(measured[0], again)))
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
    return found, torch.where(nothing, 0, bits(noticed, nothing))
