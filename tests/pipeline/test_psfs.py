"""Objects with PSFs of their own, from a plan to measured columns: the same from any slicing."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from actors.measurer import Measurer
from kernels.measure.flags import MeasureFlag
from pipeline.config.file import parse
from pipeline.plan.make_plan import make_plan
from tests.catalogs.psfs import blob, varying, write_psfex

VALUES = ["object_id", "sersic_n", "sersic_r_e", "measure_flags"]


@pytest.fixture
def measured(tiny):
    """`measured(slice_rows, psf=…)` plans the tiny release, and measures it slice by slice."""

    def measured(slice_rows: int, **measure: object) -> dict[str, list]:
        settings = {"quantities": ["sersic"], "gain": 4.0, **measure}
        config = parse(tiny.config(measure=settings, run={"slice_rows": slice_rows}), "survey.toml")
        plan = make_plan(config, str(tiny.folder), "survey.toml", str(tiny.folder.parent / "run"))
        assert plan.measurer_options is not None
        measurer = Measurer(**plan.measurer_options)
        found = [measurer(plan.release.read(piece)) for piece in plan.slices()]
        assert not {"stamp_psf", "stamp_fwhm"} & set(found[0].column_names)
        return {name: [value for part in found for value in part[name].to_pylist()] for name in VALUES}

    return measured


def test_measures_depend_on_slices_where_a_model_varies(tiny, measured) -> None:
    write_psfex(tiny.folder / "m_r.psf", varying(), step=0.8)
    found = measured(64, psf="m_{band}.psf")
    assert measured(7, psf="m_{band}.psf") == found
    assert None not in found["sersic_n"]
    fits.PrimaryHDU(blob(25, 3.0 * 0.8)).writeto(tiny.folder / "middle.fits")
    middle = np.array(measured(64, psf="middle.fits")["sersic_r_e"])
    away = np.abs(np.array(found["sersic_r_e"]) / middle - 1)
    assert 1e-3 < np.median(away) < 0.2


def test_object_whose_width_is_missing_is_fitted(tiny, measured) -> None:
    missing = np.arange(64) % 10 == 3
    tiny.table["SEEING"] = np.where(missing, np.nan, np.linspace(0.5, 0.9, 64))
    tiny.write(2)
    found = measured(64, fwhm="SEEING")
    assert measured(5, fwhm="SEEING") == found
    assert [value is None for value in found["sersic_n"]] == missing.tolist()
    assert [flags & MeasureFlag.NO_PSF != 0 for flags in found["measure_flags"]] == missing.tolist()
