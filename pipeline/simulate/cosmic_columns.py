"""The columns of a simulated catalog with a cosmology: names, FITS formats, units, UCDs, and a galaxy's row of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from astropy.io import fits

from catalogs.column_layout import STAMPS
from pipeline.simulate.cosmic import CosmicGalaxy, sample
from pipeline.simulate.exposures import SIDE, Exposure, expose
from pipeline.simulate.filters import BANDS, SED_WAVELENGTHS, SPECTRUM_WAVELENGTHS

FIELD = (149.1, 1.2, 2.0)
"""Where the survey lies: least ra and dec, and its width, in degrees."""


class Column(NamedTuple):
    """A column of the catalog."""

    name: str
    form: str
    """In FITS."""
    unit: str | None
    ucd: str
    meaning: str
    dim: str | None = None


TRUTH = [
    Column("class", "3A", None, "meta.code.class", "SPH, ETD, LTD or IRR"),
    Column("redshift", "D", None, "src.redshift", "true redshift"),
    Column("log_mass", "D", None, "phys.mass", "stars, log10 of solar masses"),
    Column("age", "D", "Gyr", "time.age", "of the stars, mean by mass"),
    Column("log_ssfr", "D", None, "phys.SFR", "star formation over mass, log10 of 1/yr"),
    Column("a_v", "D", "mag", "phys.absorption", "dust in front of the disk, V band"),
    Column("magnitude", "D", "mag", "phot.mag", "total, i band, AB"),
    Column("sersic_n", "D", None, "src.morph.param", "index of the component with the most light"),
    Column("r_e", "D", "arcsec", "phys.angSize", "semi-major half-light radius, i band"),
    Column("r_e_kpc", "D", "kpc", "phys.size.radius", "semi-major half-light radius"),
    Column("ellipticity", "D", None, "src.ellipticity", "1 - b/a"),
    Column("position_angle", "D", "deg", "pos.posAng", "east of north"),
    Column("bulge_to_total", "D", None, "src.morph.param", "share of the light in i"),
    Column("arms", "K", None, "meta.number", "spiral arms"),
    Column("knots", "K", None, "meta.number", "star-forming knots"),
    Column("sn", "D", None, "stat.snr", "of a matched filter in the detection band"),
]
"""What was drawn; `truth.parquet` has these columns, too."""
TRUTH_SCHEMA = pa.schema(
    [("object_id", pa.int64())]
    + [(c.name, {"K": pa.int64(), "D": pa.float64(), "3A": pa.string()}[c.form]) for c in TRUTH]
)


def columns(bands: tuple[str, ...]) -> list[Column]:
    """Columns of a catalog whose stamps have `bands`."""
    sed, spectrum = f"{len(SED_WAVELENGTHS)}E", f"{len(SPECTRUM_WAVELENGTHS)}E"
    return [
        Column("object_id", "K", None, "meta.id;meta.main", "number of the galaxy"),
        Column("ra", "D", "deg", "pos.eq.ra;meta.main", "ICRS"),
        Column("dec", "D", "deg", "pos.eq.dec;meta.main", "ICRS"),
        *(column for band in BANDS for column in _photometry(band)),
        Column("flux_radius", "E", "pix", "phys.angSize", "of half the light, behind the PSF"),
        Column("sed", sed, "nJy", "phot.flux.density", "flux in medium bands"),
        Column("sed_ivar", sed, "nJy-2", "stat.weight", "inverse variance of sed"),
        Column("sed_wavelength", sed, "nm", "em.wl.central", "middles of the medium bands"),
        Column("spectrum", spectrum, "nJy", "phot.flux.density", "flux in bins of ln(wavelength)"),
        Column("spectrum_ivar", spectrum, "nJy-2", "stat.weight", "inverse variance; 0: no value there"),
        Column("spectrum_wavelength", spectrum, "nm", "em.wl.central", "middles of the bins"),
        *TRUTH,
        Column(
            STAMPS,
            f"{len(bands) * SIDE**2}E",
            "nJy",
            "phot.flux.density",
            "stamp (x, y, band)",
            f"({SIDE},{SIDE},{len(bands)})",
        ),
    ]


def _photometry(band: str) -> list[Column]:
    return [
        Column(f"mag_{band}", "E", "mag", "phot.mag", "total, AB; NaN: not detected"),
        Column(f"mag_{band}_err", "E", "mag", "stat.error;phot.mag", "1 sigma"),
        Column(f"flux_{band}", "E", "nJy", "phot.flux.density", "total"),
        Column(f"flux_{band}_err", "E", "nJy", "stat.error;phot.flux.density", "1 sigma"),
    ]


def header(bands: tuple[str, ...], rows: int) -> fits.Header:
    """Header of a shard of so many rows."""
    made = fits.BinTableHDU.from_columns(
        [fits.Column(c.name, c.form, unit=c.unit, dim=c.dim) for c in columns(bands)]
    ).header
    made["NAXIS2"] = rows
    for number, column in enumerate(columns(bands), start=1):
        made[f"TUCD{number}"] = column.ucd
        made[f"TCOMM{number}"] = column.meaning
    return made


def rows(seed: int, first: int, count: int, bands: tuple[str, ...], noisy: bool) -> np.ndarray:
    """Galaxies `first` to `first + count` as they lie in a FITS table: big-endian records."""
    table = np.zeros(count, _record(bands))
    for place in range(count):
        index = first + place
        galaxy = sample(seed, index)
        seen = expose(galaxy, seed, index, bands, noisy=noisy)
        for name, value in {**_measured(seed, index, seen), **truth(galaxy, seen)}.items():
            table[name][place] = value
    return table


def truth(galaxy: CosmicGalaxy, seen: Exposure) -> dict[str, object]:
    """A galaxy's values of `TRUTH`."""
    form = galaxy.form
    return {
        "class": galaxy.kind,
        "redshift": galaxy.redshift,
        "log_mass": galaxy.log_mass,
        "age": galaxy.age,
        "log_ssfr": galaxy.log_ssfr,
        "a_v": galaxy.a_v,
        "magnitude": galaxy.magnitude,
        "sersic_n": form.sersic_n,
        "r_e": form.r_e,
        "r_e_kpc": galaxy.r_e_kpc,
        "ellipticity": 1 - form.axis_ratio,
        "position_angle": (np.degrees(form.angle) - 90) % 180,
        "bulge_to_total": form.bulge_to_total,
        "arms": form.arms,
        "knots": form.knots,
        "sn": seen.sn,
    }


def _measured(seed: int, index: int, seen: Exposure) -> dict[str, object]:
    ra, dec, width = FIELD
    across, up = np.random.default_rng([seed, index, 7]).random(2)
    magnitudes, errors = seen.magnitudes
    found: dict[str, object] = {
        "object_id": index + 1,
        "ra": ra + width * across,
        "dec": dec + width * up,
        "flux_radius": seen.flux_radius,
        "sed": seen.sed,
        "sed_ivar": seen.sed_ivar,
        "sed_wavelength": SED_WAVELENGTHS / 10,
        "spectrum": seen.spectrum,
        "spectrum_ivar": seen.spectrum_ivar,
        "spectrum_wavelength": SPECTRUM_WAVELENGTHS / 10,
        STAMPS: seen.stamp,
    }
    for place, band in enumerate(BANDS):
        found |= {f"mag_{band}": magnitudes[place], f"mag_{band}_err": errors[place]}
        found |= {f"flux_{band}": seen.flux[place], f"flux_{band}_err": seen.flux_error[place]}
    return found


def _record(bands: tuple[str, ...]) -> np.dtype:
    kinds = {"K": ">i8", "D": ">f8", "E": ">f4", "3A": "S3"}
    shapes = {STAMPS: (len(bands), SIDE, SIDE)}
    return np.dtype(
        [
            (c.name, kinds[c.form])
            if c.form in kinds
            else (c.name, ">f4", shapes.get(c.name, (int(c.form[:-1]),)))
            for c in columns(bands)
        ]
    )
