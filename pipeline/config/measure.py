"""The `[measure]` part of a config: what is measured on every stamp."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from catalogs.survey import Section, Template
from kernels.measure.quantities import USUAL, Errors, Quantity

Positive = Annotated[float, Field(gt=0)]


class Measure(Section):
    """Parameters measured on every stamp in the encoding pass, in one band or several; they become columns of the catalog."""

    quantities: list[Quantity] = list(USUAL)
    """`shape`: S/N, centre, flux, radii, ellipse (comes with each of the others); `gini`: Gini and M20; `cas`: concentration, asymmetry,
    smoothness; `mid`: multimode, intensity, deviation; `multiplicity`: Psi; `g2`: the second gradient moment; `asymmetries`: shape, outer and RMS asymmetry; `sersic`: a fitted
    profile. `[]` measures nothing."""
    errors: Errors = "fast"
    """1-sigma errors of the values, in columns `…_error`: `fast` by propagation of the pixels' noise and by the covariance of the Sersic fit, for some percent of the time that
    measuring takes; `full` measures all but the fit again on 16 noisier copies of each stamp, which also gives MID statistics, Psi, G2 and asymmetries errors and takes four times as long (15 times without a fit); `none`."""
    band: str | None = None
    """Band that is measured; by default the only one, or the middle one of several."""
    bands: list[str] | None = None
    """Several bands, in the order of their colours (`["g", "r", "i"]`: g - r and r - i). The first is that of the columns without a band in their name, and its circle of 1.5
    Petrosian radii is what colours are of; the others have all columns too, with `_` and their name behind."""
    psf: Template | None = None
    """PSF of the band, the pixel's response included: a FITS image, sampled as the images are, or a PSFEx model (`.psf`). A path template like that of the
    images: `{band}` is the band, and with a column of the catalog (`{TILE}`, `{PSF_FILE}`) each tile or object has its own."""
    fwhm: Positive | Annotated[str, Field(min_length=1)] | dict[str, Positive] | None = None
    """FWHM of a Gaussian PSF, arcsec (pixels where the scale is unknown), where there is no image of it; or the name of the catalog's column that has one
    for each object, in the unit that the column has (arcsec, pixels or degrees; arcsec if it has none). With several bands: `{g = 0.9, i = 0.7}`."""
    gain: Positive | dict[str, Positive] | None = None
    """Electrons per image unit in the band; without it, S/N and fits use the sky's noise only, and Sersic fits weigh bright pixels
    too much: `sersic_r_e` up to 22 % and `sersic_n` up to 26 % too large (docs/measurement.md). With several bands: `{g = 4.2, i = 3.0}`."""
    zeropoint: float | dict[str, float] | None = None
    """Magnitude of one image unit in the band; with it there is a column `sersic_magnitude`. With several bands, `{g = 27.1, i = 26.5}`, there are colours, too."""

    @model_validator(mode="after")
    def _one_psf(self) -> Measure:
        if self.psf is not None and self.fwhm is not None:
            msg = "psf and fwhm both describe the PSF: give one of them"
            raise ValueError(msg)
        if len(set(self.quantities)) < len(self.quantities):
            msg = "quantities names one twice"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _known_bands(self) -> Measure:
        names, msg = self.bands, ""
        if names is not None and self.band is not None:
            msg = "band and bands both say what is measured: give one of them"
        elif names is not None and not names:
            msg = "bands is empty: name one, or leave it out"
        elif names is not None and len({name.lower() for name in names}) < len(names):
            msg = f"bands names one twice: {', '.join(names)}"
        for key in ("fwhm", "gain", "zeropoint"):
            value = getattr(self, key)
            wanted = set(names or ([] if self.band is None else [self.band]))
            if isinstance(value, dict) and wanted and set(value) != wanted:
                msg = f"{key} has {', '.join(sorted(value)) or 'no band'}, but {', '.join(sorted(wanted))} are measured: give one number for each"
            elif isinstance(value, dict) and not wanted:
                msg = f"{key} has one number for each band, but no bands are named: give bands"
            elif value is not None and not isinstance(value, dict | str) and len(wanted) > 1:
                msg = f"{key} = {value:g} is one number for {len(wanted)} bands: give {key} = {{{', '.join(f'{name} = …' for name in names or ())}}}"
        if msg:
            raise ValueError(msg)
        return self

    def magnitude_zero(self, band: str) -> float | None:
        """The zeropoint of one of the bands."""
        value = self.of(band).zeropoint
        assert not isinstance(value, dict)
        return value

    def of(self, band: str) -> Measure:
        """The settings of one of the bands: as if it were the only one."""
        one = {
            key: value[band]
            for key in ("fwhm", "gain", "zeropoint")
            if isinstance(value := getattr(self, key), dict)
        }
        return self.model_copy(update={**one, "band": band, "bands": None})
