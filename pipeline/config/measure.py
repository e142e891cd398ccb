"""The `[measure]` part of a config: what is measured on every stamp."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field, model_validator

from catalogs.survey import Section, Template
from kernels.measure.quantities import Errors, Quantity

Positive = Annotated[float, Field(gt=0)]


class Measure(Section):
    """Parameters measured on every stamp in the encoding pass, in one band; they become columns of the catalog."""

    quantities: list[Quantity] = list(get_args(Quantity))
    """`shape`: S/N, centre, flux, radii, ellipse (comes with each of the others); `gini`: Gini and M20; `cas`: concentration, asymmetry,
    smoothness; `mid`: multimode, intensity, deviation; `sersic`: a fitted profile. `[]` measures nothing."""
    errors: Errors = "fast"
    """1-sigma errors of the values, in columns `…_error`: `fast` by propagation of the pixels' noise and by the covariance of the Sersic fit, for some percent of the time that
    measuring takes; `full` measures all but the fit again on 16 noisier copies of each stamp, which also gives MID statistics errors and takes about five times as long; `none`."""
    band: str | None = None
    """Band that is measured; by default the only one, or the middle one of several."""
    psf: Template | None = None
    """PSF of the band, the pixel's response included: a FITS image, sampled as the images are, or a PSFEx model (`.psf`). A path template like that of the
    images: `{band}` is the band, and with a column of the catalog (`{TILE}`, `{PSF_FILE}`) each tile or object has its own."""
    fwhm: Positive | Annotated[str, Field(min_length=1)] | None = None
    """FWHM of a Gaussian PSF, arcsec (pixels where the scale is unknown), where there is no image of it; or the name of the catalog's column that has one
    for each object, in the unit that the column has (arcsec, pixels or degrees; arcsec if it has none)."""
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
        if len(set(self.quantities)) < len(self.quantities):
            msg = "quantities names one twice"
            raise ValueError(msg)
        return self
