"""The named bits of `measure_flags`: why a measured value is missing, or what to mind about the one there is."""

from __future__ import annotations

from enum import IntFlag

from kernels.measure.quantities import COLUMNS, error_of

__all__ = ["DESCRIPTION", "EXPLAINS", "MeasureFlag"]


class MeasureFlag(IntFlag):
    """Bits of the column `measure_flags`."""

    NO_OBJECT = 1
    """No light above the noise near the middle of the stamp, or none that is positive: nothing is measured."""
    LOW_SN = 2
    """Mean S/N per pixel below 2.5: Gini, M20, concentration and asymmetry are biased (Lotz et al. 2006)."""
    NO_RADIUS = 4
    """The Petrosian radius is not within the stamp: whatever rests on it is missing."""
    BELOW_PSF = 8
    """The half-light radius is below the PSF's FWHM (2 pixels, where it is not known): a star, or hardly resolved."""
    TRUNCATED = 16
    """The circle of 1.5 Petrosian radii leaves the stamp."""
    OFF_CENTRE = 32
    """What was measured may be another object: its centre, or the fitted profile's, is farther from the stamp's middle (the catalog's position) than three
    pixels and 0.4 r50, or is not on the object, or at the stamp's border; or the light begins more than two pixels from the middle."""
    NEIGHBOUR = 64
    """A neighbour touches the object or comes within three pixels of it, or neighbours cover over a tenth of the circle of 1.5 Petrosian radii, or most of
    the flux is beside the object's own pixels."""
    NO_SKY = 128
    """Less than a twentieth of the stamp is sky: the noise is the frame's, asymmetry and smoothness are missing. Or what is left for sky is not even: those
    that lie beyond what light can have are missing."""
    NO_SMOOTHNESS = 256
    """The smoothing box is smaller than two pixels (a Petrosian radius below eight), or finds no sky of its own size, or more than all light would stand out."""
    REGION = 512
    """Pixels as bright as the Petrosian radius are none, disjoint, or reach all borders: Gini and M20 are missing or doubtful."""
    NO_LIGHT = 1024
    """The light within a measure's pixels, or a moment of it, is not positive, or no float32 holds it: that measure is missing."""
    BAD_PIXELS = 2048
    """Pixels within the Petrosian radius are bad or off the image."""
    FIT_FAILED = 4096
    """There is no Sérsic fit: too few pixels, or too little light."""
    FIT_UNCONVERGED = 8192
    """The Sérsic fit was not over when its steps were."""
    FIT_LIMIT = 16384
    """The Sérsic fit ended at a limit of its parameters."""
    NO_NOISE = 32768
    """The sky is the same everywhere: there is no noise, so no S/N and no chi-squared."""
    BLENDED = 65536
    """Neighbours cover over a fifth of the ellipse of the Petrosian radius (`blend_fraction`): what is measured, and encoded, is what they leave."""
    NO_PSF = 131072
    """The object's PSF is not known, where `[measure]` gives each its own: there is no Sérsic fit, and `below_psf` goes by 2 pixels."""
    NO_ERROR = 262144
    """A value has no error: the slopes of a faint object do not stand out of the noise (its centre), the curve of growth does not rise or eta not fall at a radius, pixels do not
    decide a parameter of the fit, or no float32 holds it."""


DESCRIPTION = "; ".join(f"{flag.value} {str(flag.name).lower()}" for flag in MeasureFlag)

_ON_RADIUS = MeasureFlag.NO_OBJECT | MeasureFlag.NO_RADIUS | MeasureFlag.NO_LIGHT
_ON_REGION = _ON_RADIUS | MeasureFlag.REGION
_ON_LIGHT = MeasureFlag.NO_OBJECT | MeasureFlag.NO_LIGHT
_FIT = _ON_LIGHT | MeasureFlag.FIT_FAILED | MeasureFlag.NO_PSF
_OF_VALUES = {
    "sn_pixel": _ON_REGION | MeasureFlag.NO_NOISE,
    "x_centre": MeasureFlag.NO_OBJECT,
    "y_centre": MeasureFlag.NO_OBJECT,
    **dict.fromkeys(("r_petro_circ", "flux", "r20", "r50", "r80", "concentration"), _ON_RADIUS),
    **dict.fromkeys(("r_petro", "ellipticity", "position_angle", "blend_fraction"), _ON_RADIUS),
    "gini": _ON_REGION,
    "m20": _ON_REGION,
    "asymmetry": _ON_RADIUS | MeasureFlag.NO_SKY,
    "smoothness": _ON_RADIUS | MeasureFlag.NO_SKY | MeasureFlag.NO_SMOOTHNESS,
    "multiplicity": _ON_REGION,
    "g2": _ON_REGION,
    "shape_asymmetry": _ON_RADIUS,
    "outer_asymmetry": _ON_RADIUS | MeasureFlag.NO_SKY,
    "rms_asymmetry2": _ON_RADIUS | MeasureFlag.NO_SKY,
    **dict.fromkeys(("multimode", "intensity", "deviation"), _ON_LIGHT),
    **dict.fromkeys(("sersic_n", "sersic_r_e", "sersic_ellipticity", "sersic_angle"), _FIT),
    **dict.fromkeys(("sersic_flux", "sersic_magnitude", "sersic_sky"), _FIT),
    "sersic_chi2": _FIT | MeasureFlag.NO_NOISE,
}
EXPLAINS = _OF_VALUES | {
    error_of(column.name): _OF_VALUES[column.name]
    | MeasureFlag.NO_NOISE
    | MeasureFlag.NO_ERROR
    | (MeasureFlag.FIT_UNCONVERGED | MeasureFlag.FIT_LIMIT if column.quantity == "sersic" else 0)
    for column in COLUMNS
    if column.errors is not None
}
"""The flags of which at least one is set where a quantity is missing."""
