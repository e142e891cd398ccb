"""Objects that turn out unusable, or alike, end a run in one line that says what to set; what was encoded then serves the next try."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from catalogs import parts
from pipeline.plan.enough_objects import TooFewObjects
from tests.survey.conftest import objects_of

PIXEL = {"position": "pixel", "pixel_scale": 0.2}


def test_unusable_objects_leave_too_few_for_the_groups(tiny, tmp_path, runner):
    tiny.table["X_IMAGE"][12:] = -900.0
    tiny.write()
    values = tiny.config(images=PIXEL, fit={"groups": 20, "bags": 2})
    with pytest.raises(TooFewObjects, match=r"12 are usable \(flags: off_image 52\). Set at most") as error:
        runner(values, tiny.folder, tmp_path / "run")
    encoded = sorted((tmp_path / "run" / "objects").rglob("part-*"))
    when = [file.stat().st_mtime_ns for file in encoded]
    most = int(str(error.value).partition("Set at most ")[2].partition(".")[0])
    plan = runner({**values, "fit": {**values["fit"], "groups": most}}, tiny.folder, tmp_path / "run")
    assert [file.stat().st_mtime_ns for file in encoded] == when
    assert len(parts.done(plan.run.objects)) == len(encoded) == plan.slice_count
    found = objects_of(tmp_path / "run")
    assert (found.num_rows, found["group"].null_count) == (64, 52)


@pytest.mark.slow
def test_stamps_that_are_all_alike(tiny, tmp_path, runner):
    file = tiny.folder / "images" / "t0_r.fits"
    with fits.open(file, mode="update") as tile:
        stamp = tile[0].data[:40, :40].copy()
        tile[0].data[:] = np.tile(stamp, (8, 8))
    values = tiny.config(images=PIXEL)
    with pytest.raises(TooFewObjects, match="embeddings are equal|embeddings differ"):
        runner(values, tiny.folder, tmp_path / "run")
