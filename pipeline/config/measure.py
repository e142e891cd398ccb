"""The `[measure]` part of a config: what is measured on every stamp."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field, model_validator

from catalogs.path_template import unfilled
from catalogs.survey import Section
from kernels.measure.quantities import Quantity

Positive = Annotated[float, Field(gt=0)]


class Measure(Section):
    """Parameters measured on every stamp in the encoding pass, in one band; they become columns of the catalog."""

    quantities: list[Quantity] = list(get_args(Quantity))
    """`shape`: S/N, centre, flux, radii, ellipse (comes with each of the others); `gini`: Gini and M20; `cas`: concentration, asymmetry,
    smoothness; `mid`: multimode, intensity, deviation; `sersic`: a fitted profile. `[]` measures nothing."""
    band: str | None = None
    """Band that is measured; by default the only one, or the middle one of several."""
    psf: str | None = None
    """FITS image of the band's PSF, the pixel's response included, sampled as the images are; `{band}` is the band."""
    fwhm: Positive | None = None
    """FWHM of a Gaussian PSF, arcsec (pixels where the scale is unknown), where there is no image of it."""
    gain: Positive | None = None
    """Electrons per image unit in the band; without it, S/N and fits use the sky's noise only, and Sersic fits weigh bright pixels
    too much: `sersic_r_e` up to 22 % and `sersic_n` up to 26 % too large (docs/measurement.md)."""
    zeropoint: float | None = None
    """Magnitude of one image unit in the band; with it there is a column `sersic_magnitude`."""

    @model_validator(mode="after")
    def _one_psf(self) -> Measure:
        if self.psf is not None and self.fwhm is not None:
            msg = "psf and fwhm both describe the PSF: give one of them"
            raise ValueError(msg)
        left = unfilled(self.psf or "", "band")
        if left:
            raise ValueError(
                f"psf = {self.psf!r}: {', '.join(left)} is not filled in, only {{band}} is: one PSF serves all objects"
            )
        if len(set(self.quantities)) < len(self.quantities):
            msg = "quantities names one twice"
            raise ValueError(msg)
        return self
