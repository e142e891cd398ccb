"""statmorph on the same stamps, with our segmentation and the same mask, noise and PSF: so only the measures differ."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np
import statmorph
from scipy import special

from kernels.segmentation.noise import deviation
from kernels.segmentation.segments import segment

if TYPE_CHECKING:
    from benchmarks.measure_stamps import StampSet

THEIRS = {
    "sn_pixel": "sn_per_pixel",
    "r_petro": "rpetro_ellip",
    "r_petro_circ": "rpetro_circ",
    **{name: name for name in ("r20", "r50", "r80")},
    "ellipticity": "ellipticity_asymmetry",
    **{name: name for name in ("gini", "m20", "concentration", "asymmetry", "smoothness")},
    **{name: name for name in ("multimode", "intensity", "deviation")},
}
"""Our quantities' names there, without the fit's."""
FITTED = {"sersic_n": "sersic_n", "sersic_r_e": "sersic_rhalf", "sersic_ellipticity": "sersic_ellip"}
_MISSING = -99.0


class WithoutFit(statmorph.SourceMorphology):
    """statmorph's measures that we have too, and no fit: its constructor would evaluate all there are."""

    def _calculate_morphology(self) -> None:
        for name in THEIRS.values():
            self[name]


class WithFit(statmorph.SourceMorphology):
    """The same and the Sérsic fit."""

    def _calculate_morphology(self) -> None:
        for name in (*THEIRS.values(), *FITTED.values()):
            self[name]


def prepared(stamps: StampSet) -> list[dict[str, object]]:
    """Arguments of statmorph's constructor for every stamp; empty where we find no object."""
    segments = segment(stamps.images[:, None], stamps.bad[:, None])
    sky = ~(segments.central | segments.others | stamps.bad)
    noise = deviation(stamps.images, sky).numpy()
    psf, gain = stamps.optics.psf.double().numpy(), stamps.optics.gain
    answer: list[dict[str, object]] = []
    for i, found in enumerate(segments.found.tolist()):
        image = stamps.images[i].double().numpy()
        variance = noise[i] ** 2 + (np.clip(image, 0, None) / gain if gain else 0.0)
        arguments = {
            "image": image,
            "segmap": segments.central[i].int().numpy() + 2 * segments.others[i].int().numpy(),
            "label": 1,
            "mask": stamps.bad[i].numpy(),
            "weightmap": np.sqrt(variance) * np.ones_like(image),
            "psf": psf,
            "n_sigma_outlier": 0,  # it would mask pixels that we use
        }
        answer.append(arguments if found else {})
    return answer


def peer(stamps: StampSet) -> dict[str, np.ndarray]:
    """Our quantities as statmorph has them (n,), NaN where it has none, and its `flag` and `flag_sersic`.

    It sees whole stamps: of the smaller cutout that it takes by default its sky box would be a small part.
    """
    names = [*THEIRS, *FITTED, "sersic_flux", "flag", "flag_sersic"]
    found = {name: np.full(len(stamps.images), np.nan) for name in names}
    for i, arguments in enumerate(prepared(stamps)):
        if not arguments:
            continue
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                morphology = WithFit(**arguments, cutout_extent=100.0)
            except (AssertionError, ValueError, IndexError, ZeroDivisionError):
                found["flag"][i] = found["flag_sersic"][i] = 4  # its own number for a catastrophe
                continue
        for ours, theirs in {**THEIRS, **FITTED}.items():
            value = getattr(morphology, theirs)
            found[ours][i] = np.nan if value == _MISSING else value
        found["sersic_flux"][i] = _flux(morphology)
        found["flag"][i], found["flag_sersic"][i] = morphology.flag, morphology.flag_sersic
    return found


def _flux(morphology: statmorph.SourceMorphology) -> float:
    """Of a whole profile, from the surface brightness at the half-light radius (Graham & Driver 2005, eq. 4)."""
    n, r_e = morphology.sersic_n, morphology.sersic_rhalf
    if n in {_MISSING, 0.0} or n > 50:
        return math.nan
    b = special.gammaincinv(2 * n, 0.5)
    shape = 2 * math.pi * n * r_e**2 * (1 - morphology.sersic_ellip)
    return float(
        morphology.sersic_amplitude * shape * math.exp(b - 2 * n * math.log(b) + special.gammaln(2 * n))
    )
