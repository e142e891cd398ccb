"""Physical tests must pass where the physics holds, fail where it does not, and never pass for want of data."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from catalogs import validation, views
from pipeline.config.validation import Validate
from pipeline.validation.validate import judge
from tests.pipeline.classed import ORDER, galaxies


def judged(values: dict, **settings) -> dict[tuple[str, str], dict]:
    with duckdb.connect() as connection:
        connection.register("objects", pa.table(values))
        result = judge(connection, Validate(**settings), "here")
    return {(row["test"], row["what"]): row for row in result.rows}


def verdicts(rows: dict[tuple[str, str], dict], test: str) -> dict[str, str]:
    return {what: row["verdict"] for (name, what), row in rows.items() if name == test}


def test_galaxies_that_are_what_they_are_called_pass_everything():
    rows = judged(galaxies())
    assert {key: row["verdict"] for key, row in rows.items() if row["verdict"] != "passed"} == {}
    assert len(rows) == 5 + 6 * 6 + 2 + 6 + 6


def test_shuffled_classes_fail():
    values = galaxies()
    values["class"] = np.random.default_rng(0).permutation(values["class"])
    rows = judged(values)
    for test in (
        "ordering",
        "bulge_line",
        "merger_line",
        "merger_asymmetry",
        "ca_plane",
        "uvj",
        "disturbance",
        "size_mass",
        "ks",
    ):
        assert set(verdicts(rows, test).values()) == {"failed"}, test


def test_classes_the_wrong_way_round_fail():
    rows = judged(galaxies(200), order=["IRR", "LTD", "ETD", "SPH"])
    assert set(verdicts(rows, "ordering").values()) == {"failed"}
    assert verdicts(rows, "bulge_line")["early against late types"] == "failed"


def test_medians_and_their_errors_are_what_numpy_says():
    values = galaxies()
    row = judged(values)["ordering", "sersic_n"]
    of = [values["sersic_n"][values["class"] == name] for name in ORDER]
    scatter = [np.diff(np.quantile(x, [0.1587, 0.8413]))[0] / 2 for x in of]
    assert row["statistic"] == pytest.approx((np.median(of[0]) - np.median(of[3])) / np.mean(scatter))
    error = 1.2533 * np.hypot(scatter[0], scatter[3]) / np.sqrt(1000) / np.mean(scatter)
    assert row["error"] == pytest.approx(error)
    assert row["objects"] == 4000


@pytest.mark.parametrize("digits", [6, 1], ids=["distinct", "ties"])
def test_distance_is_scipys(digits):
    values = galaxies(300)
    values["gini"] = values["gini"].round(digits)
    rows = judged(values)
    for first, second in (("SPH", "ETD"), ("SPH", "IRR")):
        row = rows["ks", f"gini {first} {second}"]
        a, b = (values["gini"][values["class"] == name] for name in (first, second))
        assert row["statistic"] == pytest.approx(stats.ks_2samp(a, b).statistic, abs=1e-12)


def test_critical_distance_and_p_value_agree():
    """Where D is the critical distance, p is alpha."""
    values = galaxies(300)
    told = judged(values, set={"ks": {"alpha": 0.05}})["ks", "asymmetry SPH ETD"]["detail"]
    critical = float(told.split()[2])
    root = np.sqrt(150)
    assert stats.kstwobign.sf((root + 0.12 + 0.11 / root) * critical) == pytest.approx(0.05, rel=0.02)


def test_a_step_back_fails_only_beyond_its_error():
    values = galaxies()
    at = values["class"] == "LTD"
    level = np.median(values["sersic_n"][values["class"] == "ETD"])
    for back, verdict in ((0.03, "unclear"), (0.3, "failed")):
        values["sersic_n"][at] += level + back - np.median(values["sersic_n"][at])
        row = judged(values, skip=["ks"])["ordering", "sersic_n"]
        assert row["verdict"] == verdict
        assert "wrong way: ETD to LTD" in row["detail"]


def test_few_objects_are_not_run_and_say_so():
    values = galaxies(40)
    keep = (values["class"] != "ETD") | (np.cumsum(values["class"] == "ETD") <= 7)
    rows = judged({name: column[keep] for name, column in values.items()})
    row = rows["ordering", "sersic_n"]
    assert (row["verdict"], row["statistic"]) == ("not run", None)
    assert "ETD has 7 objects with a value, fewer than 30" in row["detail"]
    assert rows["ks", "gini SPH ETD"]["verdict"] == "not run"
    assert rows["ks", "gini SPH IRR"]["verdict"] != "not run"


def test_absent_columns_are_not_run_and_named():
    values = galaxies(50)
    for name in ("m20", "u_v", "log_mass"):
        del values[name]
    rows = judged(values)
    assert rows["uvj", ""]["detail"] == "no column u_v"
    assert rows["bulge_line", ""]["verdict"] == rows["size_mass", ""]["verdict"] == "not run"
    assert rows["ordering", "m20"]["verdict"] == rows["ks", "m20"]["verdict"] == "not run"
    assert rows["ordering", "sersic_n"]["verdict"] == "passed"


def test_constant_and_empty_columns_are_not_run():
    values = galaxies(50)
    values["gini"] = np.full(200, 0.5)
    values["m20"] = np.full(200, np.nan)
    rows = judged(values)
    assert verdicts(rows, "ordering") | {"sersic_n": "", "concentration": "", "sersic_r_e": ""} == {
        "sersic_n": "", "concentration": "", "sersic_r_e": "", "gini": "not run", "m20": "not run",
    }  # fmt: skip


def test_nan_and_infinite_values_count_for_nothing():
    clean = galaxies(100)
    dirty = {name: np.concatenate([column, column[:90]]) for name, column in clean.items()}
    for name in (
        "sersic_n",
        "m20",
        "gini",
        "concentration",
        "asymmetry",
        "sersic_r_e",
        "sn_pixel",
        "u_v",
        "v_j",
        "multiplicity",
        "g2",
        "shape_asymmetry",
        "outer_asymmetry",
        "rms_asymmetry2",
        "colour_dispersion",
    ):
        dirty[name] = dirty[name].astype(np.float32).astype(float)
        clean[name] = clean[name].astype(np.float32).astype(float)
        dirty[name][400:430], dirty[name][430:460], dirty[name][460:] = np.nan, np.inf, -np.inf
    assert judged(dirty) == judged(clean)


def test_size_is_compared_at_the_same_mass():
    values = galaxies()
    early, late = np.isin(values["class"], ["SPH", "ETD"]), values["class"] == "LTD"
    values["log_mass"] += 0.7 * early
    values["sersic_r_e"] *= 10 ** (0.35 * early)
    row = judged(values, set={"size_mass": {"late": "LTD"}})["size_mass", "late minus early types"]
    assert np.median(values["sersic_r_e"][early]) > np.median(values["sersic_r_e"][late])
    assert row["statistic"] == pytest.approx(0.325, abs=0.05)
    assert row["verdict"] == "passed"


def test_bias_of_the_unclassified_is_found():
    values = galaxies(400)
    values["sn_pixel"] = np.where(values["kept"], values["sn_pixel"], values["sn_pixel"] / 3)
    rows = verdicts(judged(values), "unclassified")
    assert rows == {"sn_pixel": "failed", "sersic_r_e": "passed"}


def test_unc_stands_for_not_kept_where_there_is_no_such_column():
    values = galaxies(400)
    kept = values.pop("kept")
    values["class"] = np.where(kept, values["class"], "UNC")
    rows = judged(values)
    assert rows["unclassified", "sn_pixel"]["objects"] == 1600
    assert rows["ordering", "gini"]["objects"] == kept.sum()


def test_thresholds_order_skip_and_where_come_from_the_config():
    values = galaxies(100)
    rows = judged(
        values,
        order=["SPH", "IRR"],
        skip=["ks"],
        where="sersic_n > 0 AND \"class\" <> 'LTD'",
        set={"ordering": {"least": 101}, "bulge_line": {"early": ["SPH"], "late": "LTD, IRR"}},
    )
    assert not verdicts(rows, "ks")
    assert "fewer than 101" in rows["ordering", "gini"]["detail"]
    selected = (values["sersic_n"] > 0) & np.isin(values["class"], ["SPH", "IRR"])
    assert rows["bulge_line", "early against late types"]["objects"] == selected.sum()


def test_draw_of_a_large_class_does_not_depend_on_the_order_of_rows():
    values = galaxies(2000)
    mixed = np.random.default_rng(0).permutation(8000)
    rows = judged(values, most=1000, skip=["uvj"])
    assert rows == judged({name: column[mixed] for name, column in values.items()}, most=1000, skip=["uvj"])
    assert 3700 < rows["ordering", "gini"]["objects"] < 4300
    del values["object_id"]
    assert 3700 < judged(values, most=1000, skip=["ks"])["ordering", "gini"]["objects"] < 4300


def test_columns_are_mapped_by_name_whatever_is_in_it():
    values = galaxies(50)
    odd = 'Re "kpc"; --'
    values[odd] = values.pop("sersic_r_e")
    rows = judged(values, columns={"sersic_r_e": odd})
    assert rows["ordering", "sersic_r_e"]["verdict"] == "passed"


def test_every_test_says_what_it_tests_and_from_where():
    for test in validation.tests().values():
        assert test.about.endswith("."), test.name
        assert len(test.source) > 20
        assert set(test.columns) <= set(validation.columns())
        assert all(about for _, about in test.parameters.values())
        assert test.name not in views.canned()
