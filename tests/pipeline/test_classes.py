"""Groups get the names that rules, labels and people give them, and none that they do not."""

from __future__ import annotations

import json
from collections import Counter
from functools import reduce
from operator import add

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs import parts
from catalogs.errors import CatalogMismatch, Refused
from pipeline.config.classes import Classes, Split
from pipeline.config.file import parse
from pipeline.plan import class_rules
from pipeline.plan.make_plan import make_plan
from pipeline.rundir import group_labels
from pipeline.rundir.group_labels import Decision
from pipeline.rundir.run_directory import RunDirectory
from pipeline.stages.classify import Counts, count, named, outcome_of, recorded
from pipeline.stages.object_classes import ObjectClasses
from tests.conftest import TinyRelease

GROUPS = 4
IMAGES = {"layout": "column", "column": "S", "bands": ["r"], "size": 32, "pixel_scale": "unknown"}
SURVEY = {"survey": {"name": "t", "catalogs": "c", "id": "N", "images": IMAGES}}
BY_TYPE = {
    "by": "column",
    "column": "t_type",
    "edges": [-3.5, 0.5, 8.5],
    "names": ["SPH", "ETD", "LTD", "IRR"],
}


def classes(**values) -> Classes:
    return Classes.model_validate(values)


def rules(*pairs: tuple[str, str]) -> Classes:
    return classes(by="rules", rules=[{"class": name, "when": when} for name, when in pairs])


@pytest.fixture
def folders(tmp_path):
    """600 objects and their votes in six parts; the last part lacks the column `gini`."""
    rng = np.random.default_rng(4)
    n = 600
    group = rng.integers(0, 3, n)
    objects = pa.table(
        {
            "object_id": np.arange(n),
            "sersic_n": pa.array(rng.lognormal(group, 0.3).astype(np.float32), mask=rng.random(n) < 0.1),
            "gini": np.where(rng.random(n) < 0.1, np.nan, 0.4 + 0.1 * group).astype(np.float32),
            "MAG": pa.array(rng.integers(18, 25, n), pa.int32()),
            "t_type": np.where(rng.random(n) < 0.75, -5.0 + 4 * group, np.nan),
            "kind": np.where(rng.random(n) < 0.5, np.array(["E ", "S", "I"])[group], ""),
        }
    )
    votes = pa.table(
        {
            "object_id": np.arange(n),
            "group": pa.array(group, pa.int16(), mask=rng.random(n) < 0.05),
            "kept": rng.random(n) < 0.7,
            "shares": pa.FixedSizeListArray.from_arrays(
                pa.array(np.eye(GROUPS, dtype=np.float16)[group].ravel()), GROUPS
            ),
        }
    )
    unvoted = votes["group"].is_null()
    votes = votes.set_column(
        2, "kept", pa.compute.if_else(unvoted, pa.scalar(None, pa.bool_()), votes["kept"])
    )
    for i in range(6):
        some = objects.slice(100 * i, 100)
        for folder, table in (
            ("objects", some if i < 5 else some.drop_columns("gini")),
            ("votes", votes.slice(100 * i, 100)),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            pq.write_table(table, tmp_path / folder / f"p{i}.parquet")
    return tmp_path, objects, votes


def counted(base, names, settings, columns=("sersic_n", "gini", "MAG")) -> Counts:
    return count(str(base / "objects"), list(names), str(base / "votes"), GROUPS, list(columns), settings)


NAMES = [f"p{i}" for i in range(6)]


def test_counts_and_medians_are_those_of_the_kept_objects(folders):
    base, objects, votes = folders
    told = named(counted(base, NAMES, classes()), classes(), {})
    frame = objects.to_pandas().join(votes.drop_columns("object_id").to_pandas())
    frame.loc[500:, "gini"] = np.nan
    for group in range(3):
        mine = frame[frame["group"] == group]
        kept = mine[mine["kept"].astype(bool)]
        found = told[group]
        assert (found["objects"], found["kept"]) == (len(mine), len(kept))
        for column in ("sersic_n", "gini", "MAG"):
            assert found["evidence"]["medians"][column] == pytest.approx(kept[column].median(), rel=1e-3)
    assert told[3]["evidence"]["medians"] == {"sersic_n": None, "gini": None, "MAG": None}
    assert {found["class"] for found in told} == {None}


@pytest.mark.parametrize("settings", [classes(**BY_TYPE, held_out=0.4), rules(("SPH", "sersic_n > 2"))])
def test_neither_order_nor_sharding_changes_a_byte(folders, settings):
    base, *_ = folders

    def told(chunks) -> str:
        return json.dumps(named(reduce(add, [counted(base, c, settings) for c in chunks]), settings, {}))

    whole = told([NAMES])
    assert told([[name] for name in reversed(NAMES)]) == whole
    assert told([["p5", "p1"], ["p0", "p4", "p2"], ["p3"]]) == whole


def test_votes_of_other_objects_are_not_counted(folders):
    base, _, votes = folders
    pq.write_table(votes.slice(0, 100), base / "votes" / "p1.parquet")
    with pytest.raises(CatalogMismatch, match="p1"):
        counted(base, NAMES, classes())


def test_first_rule_that_holds_names_a_group_and_an_unknown_median_holds_none():
    medians = {"sersic_n": np.array([4.0, 1.0, np.nan, 0.5]), "gini": np.array([0.6, 0.6, 0.6, 0.3])}
    settings = rules(
        ("SPH", "Sersic_N > 2.5"), ("LTD", 'sersic_n > 0.8 AND "gini" > 0.5'), ("ETD", "gini > 0.7")
    )
    found = class_rules.by_rules(settings.rules, medians, 4)
    assert [rule and rule.class_ for rule in found] == ["SPH", "LTD", None, None]
    always = rules(("SPH", "true"))
    assert [rule.class_ for rule in class_rules.by_rules(always.rules, {}, 2)] == ["SPH", "SPH"]


@pytest.mark.parametrize(
    ("labels", "share", "name"),
    [
        ({"E": 6, "S": 4}, 0.6, "E"),
        ({"E": 6, "S": 4}, 0.61, None),
        ({"E": 5, "S": 5}, 0.5, None),
        ({}, 0.5, None),
        ({"E": 2, "I": 1, "S": 1}, 0.5, "E"),
    ],
)
def test_commonest_label_names_a_group_if_its_share_is_large_enough(labels, share, name):
    assert class_rules.by_labels(Counter(labels), share) == name


def test_label_that_is_a_number_names_nothing():
    with pytest.raises(class_rules.BadLabels, match="never a number"):
        class_rules.by_labels(Counter({"3": 5}), 0.5)


@pytest.mark.parametrize(
    ("column", "settings", "expected"),
    [
        (
            pa.array([-5.0, -3.5, 0.4, 9.0, None, np.nan]),
            BY_TYPE,
            ["SPH", "ETD", "ETD", "IRR", None, None],
        ),
        (pa.array(["E", " S0", "", None]), {"column": "t_type"}, ["E", "S0", None, None]),
        (
            pa.array(["E", "S0", "?"]),
            {"column": "k", "names": {"E": "SPH", "S0": "ETD"}},
            ["SPH", "ETD", None],
        ),
        (pa.array([0, 1, None], pa.int16()), {"column": "k", "names": {"1": "IRR"}}, [None, "IRR", None]),
        (pa.array([True, False]), {"column": "k", "names": {"true": "SPH"}}, ["SPH", None]),
    ],
)
def test_labels_of_every_kind_of_column(column, settings, expected):
    found = class_rules.labels_of(pa.chunked_array([column]), classes(**settings))
    assert found.to_pylist() == expected


def test_held_out_labels_name_nothing_and_score(folders):
    base, objects, votes = folders
    settings = classes(**BY_TYPE, held_out=0.4)
    told = named(counted(base, NAMES, settings), settings, {})
    assert [found["class"] for found in told] == ["SPH", "ETD", "LTD", None]
    held = class_rules.held_out(np.arange(600), 0.4, 0)
    assert 0.3 < held.mean() < 0.5
    assert not class_rules.held_out(np.arange(600), 0.0, 0).any()
    frame = objects.to_pandas().join(votes.drop_columns("object_id").to_pandas())
    labelled = frame["kept"].fillna(value=False).astype(bool) & frame["t_type"].notna()
    decided = ObjectClasses([found["class"] for found in told], np.arange(GROUPS, dtype=np.int16), None, [])
    outcomes = [
        outcome_of(str(base / "objects"), [n], str(base / "votes"), decided, [], settings) for n in NAMES
    ]
    scored = reduce(add, outcomes).held_out
    assert scored.tolist() == [(labelled & held).sum()] * 3
    for group, found in enumerate(told):
        here = labelled & (frame["group"] == group)
        assert found["evidence"]["labelled"] == (here & ~held).sum()
        assert sum(found["evidence"]["held_out"].values()) == (here & held).sum()


def test_what_became_of_the_objects_is_counted_whatever_the_order(folders):
    base, objects, votes = folders
    split = [Split.model_validate({"class": "SPH", "when": "sersic_n < 1", "into": "DISC"})]
    decided = ObjectClasses(["SPH", "SPH", None, None], np.array([0, 0, 1, 2], np.int16), 0.9, split)
    chunks = [
        outcome_of(str(base / "objects"), [n], str(base / "votes"), decided, ["sersic_n"], classes())
        for n in NAMES
    ]
    found = reduce(add, chunks)
    group = votes["group"].to_pandas()
    assert found.kept.tolist() == [(group == g).sum() for g in range(GROUPS)]
    small = objects["sersic_n"].to_pandas() < 1
    assert found.split.tolist() == [(small & group.isin([0, 1])).sum()]
    told = recorded([{"group": g, "kept": 0} for g in range(GROUPS)], decided, found)
    assert told == recorded(
        [{"group": g, "kept": 0} for g in range(GROUPS)], decided, reduce(add, chunks[::-1])
    )
    assert told["split"][0]["objects"] == found.split[0]
    assert (
        ObjectClasses.from_values({**told, "groups": [{"class": name} for name in decided.names]}).to_values()
        == decided.to_values()
    )


def test_what_people_said_comes_before_what_rules_say(folders):
    base, *_ = folders
    settings = rules(("SPH", "sersic_n > 2"))
    label = group_labels.Label("IRR", "a merger", "Edwin", "2026-01-01T00:00:00+00:00")
    told = named(counted(base, NAMES, settings), settings, {2: label})
    first, second = told[1:3]
    assert (first["class"], first["by"]) == ("SPH", "rules")
    assert (second["class"], second["by"], second["author"]) == ("IRR", "label", "Edwin")
    assert second["notes"] == "a merger"
    assert second["evidence"]["otherwise"] == {"class": "SPH", "by": "rules"}


def decision(fit: str, groups: dict[str, str], *, replace: bool = False) -> Decision:
    given = {number: {"class": name, "notes": None} for number, name in groups.items()}
    return Decision("Edwin", "2026-01-01T00:00:00+00:00", fit, given, None, replace)


def test_later_decisions_come_first_and_those_on_another_fit_do_not_count(tmp_path):
    run = RunDirectory(str(tmp_path / "run"))
    for each in (
        decision("old", {"0": "IRR", "3": "IRR"}),
        decision("new", {"0": "SPH", "1": "ETD"}),
        decision("new", {"1": "LTD"}),
    ):
        group_labels.add(run, each)
    kept = group_labels.read(run)
    assert {g: label.name for g, label in group_labels.in_force(kept, "new").items()} == {0: "SPH", 1: "LTD"}
    assert any("another fit" in note for note in group_labels.notes(kept, "new"))
    group_labels.add(run, decision("new", {"2": "IRR"}, replace=True))
    assert set(group_labels.in_force(group_labels.read(run), "new")) == {2}
    assert len(group_labels.read(run)) == 4


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"decisions": [{"author": "x"}]}', b"\xff"])
def test_damaged_labels_are_not_passed_over(tmp_path, content):
    run = RunDirectory(str(tmp_path))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "labels.json").write_bytes(content)
    with pytest.raises(Refused, match="damaged"):
        group_labels.read(run)


@pytest.mark.parametrize(
    ("values", "key", "problem"),
    [
        ({"by": "rules"}, "classes", "needs [[classes.rules]]"),
        ({"by": "column"}, "classes", "needs the column"),
        ({**BY_TYPE, "edges": [0.5, -3.5, 8.5]}, "classes.edges", "ascend"),
        ({**BY_TYPE, "names": ["SPH", "ETD"]}, "classes", "as many"),
        ({**BY_TYPE, "names": ["SPH", "ETD", "LTD", "3"]}, "classes.names.3", "never a number"),
        ({**BY_TYPE, "edges": []}, "classes", "needs edges"),
        (
            {"by": "rules", "rules": [{"class": "", "when": "true"}]},
            "classes.rules.0.class",
            "must be a name",
        ),
        ({"by": "rules", "rules": [{"class": "SPH", "when": " "}]}, "classes.rules.0.when", "not blank"),
        ({"held_out": 1.0}, "classes.held_out", "less than 1"),
        ({"split": [{"class": "SPH", "when": "x > 1"}]}, "classes.split.0.into", "missing"),
        (
            {"split": [{"class": "SPH", "when": "x > 1", "into": "7"}]},
            "classes.split.0.into",
            "never a number",
        ),
        ({"rule": []}, "classes.rule", "unknown key"),
    ],
)
def test_config_that_cannot_be_meant_is_refused(values, key, problem):
    with pytest.raises(Refused) as refused:
        parse({**SURVEY, "classes": values}, "survey.toml")
    (fault,) = refused.value.faults
    assert fault.key == key
    assert problem in fault.problem


def test_rules_survive_the_record_of_a_run():
    settings = rules(("SPH", "sersic_n > 2.5"))
    assert Classes.model_validate(settings.model_dump(mode="json")) == settings


@pytest.fixture(scope="module")
def fails(tmp_path_factory):
    """`fails(by=…)` plans a release that keeps MAG, KIND (text), CODE (integer) and FLAG, and returns the one fault."""
    tiny = TinyRelease(tmp_path_factory.mktemp("classes") / "release")
    tiny.table["KIND"], tiny.table["CODE"] = "E", 3
    tiny.write(2)

    def plan(**values):
        config = parse(
            tiny.config(survey={"keep": ["MAG", "KIND as kind", "CODE"]}, classes=values), "survey.toml"
        )
        return make_plan(config, str(tiny.folder), "survey.toml", str(tiny.folder.parent / "run"))

    def fails(**values):
        with pytest.raises(Refused) as refused:
            plan(**values)
        (fault,) = refused.value.faults
        assert fault.file == "survey.toml"
        assert fault.remedy
        return fault

    fails.plan = plan
    return fails


@pytest.mark.parametrize(
    ("when", "column", "problem"),
    [
        ("median_mag > 3", "median_mag", "no such column"),
        ("kind = 'E'", "kind", "no such column"),
        ("ra > 3", "ra", "no such column"),
        ("MAG >", None, "not one SQL condition"),
        ("MAG + 1", None, "true or false"),
        ("avg(MAG) > 3", None, "may use"),
        ("MAG IN (SELECT 1)", None, "subquery"),
        ("read_text('/etc/passwd') = 'x'", None, ""),
        ("random() < MAG", None, "may use"),
    ],
)
def test_rules_that_this_run_cannot_judge_are_refused_before_any_work(fails, when, column, problem):
    fault = fails(by="rules", rules=[{"class": "SPH", "when": "mag > 3"}, {"class": "ETD", "when": when}])
    assert (fault.key, fault.column) == ("classes.rules.1.when", column)
    assert problem in fault.problem


@pytest.mark.parametrize(
    ("when", "into", "key", "problem"),
    [
        ("median_mag > 3", "ETD", "classes.split.0.when", "'median_mag'"),
        ("MAG + 1", "ETD", "classes.split.0.when", "true or false"),
        ("agreement > 0.5", "ETD", "classes.split.0.when", "'agreement'"),
        ("class = 'SPH'", "ETD", "classes.split.0.when", "'class'"),
        ("MAG > 3", "UNC", "classes.split.0", "not kept"),
    ],
)
def test_splits_that_no_object_can_meet_are_refused_before_any_work(fails, when, into, key, problem):
    fault = fails(split=[{"class": "SPH", "when": when, "into": into}])
    assert fault.key == key
    assert problem in fault.problem


def test_a_split_of_a_class_that_nothing_gives_is_noted(fails):
    split = [{"class": "SPH", "when": "MAG > 3 AND kind = 'E'", "into": "ETD"}]
    assert any("gives a group the class SPH" in note for note in fails.plan(split=split).notes)
    ruled = fails.plan(by="rules", rules=[{"class": "SPH", "when": "MAG > 3"}], split=split)
    assert not any("gives a group the class" in note for note in ruled.notes)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"column": "KIND"}, "not kept"),
        ({"column": "kind", "edges": [1.0], "names": ["A", "B"]}, "column of numbers"),
        ({"column": "MAG"}, "no labels by themselves"),
        ({"column": "CODE"}, "codes"),
    ],
)
def test_columns_that_hold_no_labels_are_refused_before_any_work(fails, values, problem):
    fault = fails(by="column", **values)
    assert (fault.key, fault.column) == ("classes.column", values["column"])
    assert problem in fault.problem


def test_plan_lists_the_column_and_changed_names_keep_the_votes(fails):
    before, after = fails.plan(), fails.plan(by="column", column="kind")
    assert before.schema.field("class").metadata[b"ucd"] == b"meta.code.class"
    changed = [s for s in before.fingerprints if before.fingerprints[s] != after.fingerprints[s]]
    assert changed == ["classify", "publish"]


def test_parts_that_lack_a_column_can_be_read(folders):
    base, *_ = folders
    assert parts.read_known(str(base / "objects"), "p5", ["MAG", "gini"]).column_names == ["MAG"]
