"""Extents, weight maps and PSFs at once: what an object's row says does not depend on which others are in its slice."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from actors.factory import EncodeAndMeasure
from pipeline.config.file import parse
from pipeline.plan.make_plan import make_plan
from pipeline.plan.plan import Plan
from tests.catalogs.test_weights import weighted, with_weights


@pytest.fixture
def planned(tiny):
    """`planned(slice_rows)`: the tiny release with all three."""
    tiny.table["RADIUS"] = np.tile([2.0, 5.0, 6.5, np.nan], 16)
    tiny.table["SEEING"] = np.linspace(0.5, 0.9, 64)
    tiny.write(2)
    with_weights(tiny.folder)
    images = {**weighted(), "extent": "RADIUS * 8"}
    measure = {"quantities": ["gini", "sersic"], "gain": 4.0, "fwhm": "SEEING"}

    def planned(slice_rows: int) -> Plan:
        config = parse(
            tiny.config(images=images, measure=measure, run={"slice_rows": slice_rows}), "survey.toml"
        )
        return make_plan(config, str(tiny.folder), "survey.toml", str(tiny.folder.parent / "run"))

    return planned


def encoded(plan: Plan) -> pa.Table:
    work = EncodeAndMeasure(plan.encoder_options, plan.measurer_options, plan.segmenter_options)
    parts = [work(plan.release.read(piece)).replace_schema_metadata() for piece in plan.slices()]
    return pa.concat_tables(parts)


def test_slices_change_what_is_encoded_and_measured(planned) -> None:
    found = encoded(planned(64))
    assert not {"stamp", "stamp_noise", "stamp_fwhm"} & {*found.column_names}
    assert found["sersic_n"].null_count < 32
    assert len(set(found["stamp_side"].to_pylist())) > 1
    assert encoded(planned(5)).equals(found)


def test_memory_leaves_the_noise_out(planned) -> None:
    plan = planned(16)
    for piece in plan.slices():
        rows = plan.release.read(piece)
        assert rows["stamp_noise"].nbytes == pytest.approx(rows["stamp"].nbytes, rel=0.01)
        assert rows["stamp"].nbytes + rows["stamp_noise"].nbytes <= plan.slice_bytes
