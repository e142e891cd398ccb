"""Runs whose objects have PSFs of their own: the same measures from any slicing, and never of two versions of a PSF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catalogs.errors import Refused
from tests.catalogs.psfs import varying, write_psfex
from tests.survey.conftest import objects_of
from tests.survey.test_changed_release import later

SERSIC = {"quantities": ["sersic"], "gain": 4.0}
VALUES = ["object_id", "sersic_n", "sersic_r_e", "measure_flags", "flags", "shard", "row"]


@pytest.mark.slow
def test_measures_depend_on_slices_where_psfs_vary(tiny, tmp_path, runner) -> None:
    path = write_psfex(tiny.folder / "m_r.psf", varying(), step=0.8)
    measure = {**SERSIC, "psf": "m_{band}.psf"}
    out = tmp_path / "run"
    runner(tiny.config(measure=measure), tiny.folder, out)
    found = objects_of(out)
    assert not {"stamp_psf", "stamp_fwhm"} & set(found.column_names)
    assert found["sersic_n"].null_count == 0
    runner(tiny.config(measure=measure, run={"slice_rows": 7}), tiny.folder, tmp_path / "small")
    assert objects_of(tmp_path / "small").select(VALUES).equals(found.select(VALUES))
    later(path)
    with pytest.raises(Refused, match=r"m_r\.psf has changed"):
        runner(tiny.config(measure=measure), tiny.folder, out)


@pytest.mark.slow
def test_run_of_vectors_mixes_versions_of_a_psf(tiny, tmp_path, runner) -> None:
    """Stamps in the catalog itself, PSFs in files."""
    values, folder = _vectors(tiny, tmp_path)
    path = write_psfex(folder / "m.psf", varying())
    out = tmp_path / "run"
    runner(values, folder, out)
    for name in ("published.json", "images.parquet"):
        (out / name).unlink()
    max((out / "objects").iterdir()).unlink()
    later(path)
    with pytest.raises(Refused, match=r"m\.psf has changed"):
        runner(values, folder, out)


def _vectors(tiny, tmp_path: Path) -> tuple[dict[str, Any], Path]:
    """The tiny release with its stamps in a column."""
    from astropy.io import fits

    pixels = fits.getdata(tiny.folder / "images" / "t0_r.fits")
    boxes = [
        (int(y) - 17, int(x) - 17) for x, y in zip(tiny.table["X_IMAGE"], tiny.table["Y_IMAGE"], strict=True)
    ]
    tiny.table["STAMP"] = np.stack([pixels[y : y + 32, x : x + 32].astype(np.float32) for y, x in boxes])
    tiny.write(2)
    values = tiny.config(measure={**SERSIC, "psf": "m.psf"})
    layout = {"layout": "column", "column": "STAMP", "bands": ["r"], "size": 32, "pixel_scale": 0.2}
    values["survey"]["images"] = layout
    return values, tiny.folder
