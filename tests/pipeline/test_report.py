"""What a report draws: stamps the right way up and in the right colours, contours that hold what they say."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from pipeline.report import palette
from pipeline.report.plots import CELLS, levels_of
from pipeline.report.scoring import Confusion, truth_of_file
from pipeline.report.source import Column, Source
from pipeline.report.stamps import drawn
from pipeline.report.surfaces import SURFACES
from pipeline.report.words import short
from pipeline.rundir.run_directory import RunDirectory


def stamp(bands, at=(20, 10), light=(100.0, 100.0, 100.0)):
    """A blob at a pixel (y, x) on noise, brighter in one band than in another."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    blob = np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / 8)
    planes = [rng.normal(0, 1, (32, 32)) + light[b] * blob for b in range(bands)]
    return np.array([planes], np.float32)


def test_one_band_is_dark_on_white_and_north_is_up():
    before = stamp(1)
    picture = drawn(before.copy(), None)[0]
    assert picture.shape == (32, 32)
    assert picture.dtype == np.uint8
    assert np.unravel_index(picture.argmin(), picture.shape) == (31 - 20, 10)
    assert np.median(picture) > 200


@pytest.mark.parametrize(("order", "colour"), [([0, 1, 2], 0), ([2, 1, 0], 2)])
def test_the_reddest_band_is_red_whatever_the_order_of_the_bands(order, colour):
    picture = drawn(stamp(3, light=(20.0, 60.0, 180.0)), order)[0]
    assert picture.shape == (32, 32, 3)
    centre = picture[31 - 20, 10].astype(int)
    assert centre.argmax() == colour
    assert np.median(picture) < 60


def test_stamps_without_light_are_drawn_without_a_warning():
    nothing = np.zeros((2, 3, 16, 16), np.float32)
    assert not drawn(nothing, None).any()
    assert (drawn(nothing[:, :1], None) == 255).all()


def test_a_stamp_looks_the_same_among_any_others():
    several = np.concatenate(
        [stamp(3), stamp(3, at=(8, 8), light=(5.0, 5.0, 9.0)), stamp(3, light=(1e4, 1e3, 1e2))]
    )
    together = drawn(several, None)
    for i in range(3):
        np.testing.assert_array_equal(drawn(several[i : i + 1], None)[0], together[i])


def test_contours_hold_the_shares_that_they_say():
    rng = np.random.default_rng(1)
    i, j = (np.clip(rng.normal(c, w, 20_000), 0, CELLS - 1).astype(int) for c, w in ((40, 7), (35, 10)))
    counts = np.zeros((CELLS, CELLS))
    np.add.at(counts, (j, i), 1)
    smooth, levels = levels_of(counts, (0.8, 0.4))
    inside = [counts[smooth >= level].sum() / 20_000 for level in levels]
    assert inside == pytest.approx([0.8, 0.4], abs=0.02)


def test_forty_classes_differ_by_more_than_colour():
    places = palette.places([f"class {k}" for k in range(40)])
    looks = {(palette.colour(p), palette.marker(p), palette.dashes(p)) for p in places.values()}
    assert len(looks) == 40
    assert palette.places(["LTD", "UNC", "SPH"]) == {"LTD": 0, "SPH": 1}
    assert palette.places(["SPH", "other"])["SPH"] == palette.places(["SPH"])["SPH"]


def test_classes_stand_from_early_to_late_and_what_is_no_class_last():
    names = ["no result", "IRR", "UNC", "ring", "SPH", "LTD", "ETD", "unnamed"]
    assert palette.ordered(names) == ["SPH", "ETD", "LTD", "IRR", "ring", "UNC", "unnamed", "no result"]


def test_completeness_counts_what_was_left_out_and_purity_does_not():
    table = Confusion("kept", ["SPH", "LTD"], ["SPH", "ring", "unnamed"], [[6, 1, 1], [2, 0, 0]], {"SPH": 4})
    assert table.completeness == [0.5, 0.0]
    assert table.purity == [0.75, None, None]
    assert table.right == pytest.approx(6 / 9)
    assert Confusion("none", [], [], []).right is None


def test_bits_are_read_from_the_description_of_a_column():
    column = Column("flags", pa.int32(), "", "why; bits: 1 off_image; 2 edge; 4 bad_pixels")
    assert column.bits == {"off_image": 1, "edge": 2, "bad_pixels": 4}
    assert Column("flags", pa.int32(), "", "a number such as 1 or 2 of them").bits == {}


def test_lines_of_the_papers_lie_where_their_equations_say():
    lines = {s.name: [line.points for line in s.lines] for s in SURFACES}
    mergers, early = lines["gini_m20"]
    assert all(gini == pytest.approx(-0.14 * m20 + 0.33) for m20, gini in mergers)
    assert all(gini == pytest.approx(0.14 * m20 + 0.80, abs=1e-3) for m20, gini in early)
    (wedge,) = lines["uvj"]
    assert all(u_v == pytest.approx(0.88 * v_j + 0.59, abs=1e-3) for v_j, u_v in wedge[1:3])


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "\N{EN DASH}"), (float("nan"), "\N{EN DASH}"), (1.23456, "1.23"), (12345, "12,345")],
)
def test_numbers_in_tables_are_short(value, shown):
    assert short(value) == shown


def test_truths_and_ids_of_a_csv_are_words(tmp_path):
    """A guess of types made 123 of the id 0123, and true of the class True."""
    rows = "".join(f"{number},True\n" for number in range(1, 30_000))
    (tmp_path / "truth.csv").write_text(f"object_id,class\n{rows}0123,None\n07,NA\n7e3,\n")
    with duckdb.connect() as connection:
        source = Source(RunDirectory(str(tmp_path)), {}, connection)
        truth_of_file(source, str(tmp_path / "truth.csv"), "class")
        found = {row["object_id"]: row["truth"] for row in source.query("SELECT * FROM truth")}
    assert len(found) == 30_001
    assert (found["123"], found["0123"], found["07"]) == ("True", "None", "NA")
