"""Stamps as large as their objects, end to end: the same catalog from any slices and workers, and small objects as ever."""

from __future__ import annotations

import numpy as np
import pytest

from catalogs import views
from tests.survey.conftest import files_of, objects_of

IMAGES = {"extent": "8 * RADIUS", "extent_window": 1.2}
MEASURE = {"quantities": ["gini", "cas"]}


@pytest.fixture
def sized(tiny):
    tiny.table["RADIUS"] = np.tile([2.0, 5.0, np.nan, 9.0], 16)
    tiny.write(1)
    return tiny


@pytest.mark.slow
def test_catalog_does_not_depend_on_slices_or_workers(sized, runner, tmp_path):
    published = []
    for rows, workers in ((64, 1), (7, 2)):
        out = tmp_path / f"run{rows}"
        encode = {"model": "timm:test_convnext", "input": 32, "batch_size": 16, "workers": workers}
        config = sized.config(run={"slice_rows": rows}, images=IMAGES, encode=encode, measure=MEASURE)
        runner(config, sized.folder, out)
        published.append(objects_of(out))
        assert files_of(out)
    assert published[0].equals(published[1])
    found = published[0]
    assert found["stamp_side"].to_pylist()[:4] == [32, 48, 32, 96]
    assert found["stamp_extent"].to_pylist()[:4] == [32, 40, 32, 72]
    with views.connect(str(tmp_path / "run7")) as connection:
        flagged = dict(connection.execute(views.canned()["flags"].sql).fetchall())
    assert flagged["no_extent"] == 16
    plain = tmp_path / "plain"
    runner(sized.config(measure=MEASURE), sized.folder, plain)
    small, names = (
        np.flatnonzero(found["stamp_side"].to_numpy() == 32),
        ["r50", "gini", "asymmetry", "x_centre"],
    )
    assert objects_of(plain).select(names).take(small).equals(found.select(names).take(small))
