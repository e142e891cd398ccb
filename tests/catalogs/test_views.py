"""Canned queries answer rightly, take odd column names, and refuse what they can't take."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs import views


@pytest.fixture
def run(tmp_path):
    """A run as published, by hand: 12 objects of known group and truth."""
    n = 12
    objects = pa.table(
        {
            "object_id": [f"o{i}" for i in range(n)],
            "flags": pa.array([0] * 11 + [64 + 1], pa.int32()),
            'odd "name" of': [i % 2 for i in range(n)],
            "t_type": pa.array([-5.0] * 4 + [4.0] * 8),
            "group": pa.array([0] * 4 + [1] * 7 + [None], pa.int16()),
            "kept": pa.array([True] * 9 + [False, False, None]),
            "agreement": pa.array([1.0] * 6 + [0.7] * 3 + [0.4] * 2 + [None], pa.float32()),
            "distance": pa.array([1.0] * 11 + [None], pa.float32()),
            "class": ["SPH"] * 4 + [None] * 5 + ["UNC", "UNC", None],
            "reference_group": pa.array([0] * 5 + [1] * 6 + [None], pa.int16()),
        }
    )
    vectors = [[1.0, 0.1 * i] for i in range(11)] + [None]
    embeddings = pa.table(
        {"object_id": objects["object_id"], "embedding": pa.array(vectors, pa.list_(pa.float32(), 2))}
    )
    for name, table in (("catalog", objects), ("embeddings", embeddings)):
        (tmp_path / name).mkdir()
        pq.write_table(table, tmp_path / name / "part-000000.parquet")
    return str(tmp_path)


def ask(run, name, **values):
    with views.connect(run) as connection:
        return connection.sql(views.canned()[name].filled(values)).to_arrow_table().to_pylist()


def test_groups_kept_and_agreement_count_every_object_once(run):
    assert [(g["group"], g["objects"], g["kept"]) for g in ask(run, "groups")] == [(0, 4, 4), (1, 7, 5)]
    (kept,) = ask(run, "kept")
    assert (kept["objects"], kept["usable"], kept["kept"], kept["kept_fraction"]) == (12, 11, 9, 0.8182)
    assert sum(row["objects"] for row in ask(run, "agreement")) == 11


def test_classes_are_counted_and_unusable_objects_are_in_none(run):
    found = {row["class"]: (row["objects"], row["kept"], row["share"]) for row in ask(run, "classes")}
    assert found == {"SPH": (4, 4, 0.3636), None: (5, 5, 0.4545), "UNC": (2, 0, 0.1818)}


def test_purity_is_the_share_of_the_commonest_bin_in_each_group(run):
    found = {row["way"]: row for row in ask(run, "purity", column="t_type", edges="0")}
    assert found["vote, all objects"]["purity"] == 1.0
    assert found["single k-means, all objects"]["purity"] == pytest.approx(10 / 11, abs=1e-4)
    assert found["vote, kept objects"]["fraction"] == pytest.approx(9 / 11, abs=1e-4)


def test_crosstab_takes_a_column_with_quotes_and_spaces(run):
    rows = ask(run, "crosstab", column='odd "name" of')
    assert sum(row["objects"] for row in rows) == 9
    assert {row["value"] for row in rows} == {0, 1}


def test_neighbours_are_the_nearest_by_cosine_and_not_the_object_itself(run):
    assert [row["object_id"] for row in ask(run, "neighbours", id="o0", count="2")] == ["o1", "o2"]


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """Pairs of objects across borders of cells, of ra = 0 and at a pole, and twins by their embeddings."""
    folder = tmp_path_factory.mktemp("crowded")
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(0, 360, 300), np.degrees(np.arcsin(rng.uniform(-1, 1, 300)))
    near = [
        (10.0, 5.0),
        (10.0, 5.0 + 0.9 / 3600),
        (359.9999, 0.0),
        (0.0001, 0.0),
        (0.0, 89.9999),
        (180.0, 89.9999),
    ]
    ra, dec = np.append(ra, [r for r, _ in near]), np.append(dec, [d for _, d in near])
    ids = np.arange(len(ra))
    embedding = rng.normal(size=(len(ra), 4)).astype(np.float16)
    embedding[[7, 9]] = embedding[3]
    objects = pa.table({"object_id": ids, "ra": ra, "dec": dec, "flags": pa.array(ids * 0, pa.int32())})
    lists = pa.FixedSizeListArray.from_arrays(pa.array(embedding.reshape(-1)), 4)
    for name, table in (
        ("catalog", objects),
        ("embeddings", pa.table({"object_id": ids, "embedding": lists})),
    ):
        (folder / name).mkdir()
        pq.write_table(table, folder / name / "part-000000.parquet")
    return str(folder), ra, dec


def test_near_duplicates_are_others_than_all_pairs_say(crowded):
    folder, ra, dec = crowded
    x = np.stack(
        [np.cos(np.radians(dec)) * f(np.radians(ra)) for f in (np.cos, np.sin)] + [np.sin(np.radians(dec))], 1
    )
    gaps = 2 * np.degrees(np.arcsin(np.linalg.norm(x[:, None] - x, axis=2) / 2)) * 3600
    for radius in (1.0, 3.0, 36000.0):
        wanted = {tuple(map(int, pair)) for pair in np.argwhere(np.triu(gaps <= radius, 1))}
        found = [
            row
            for row in ask(folder, "near-duplicates", radius=str(radius), count="9999")
            if row["separation"] is not None
        ]
        assert {(row["object_id"], row["other"]) for row in found} == wanted
        assert len(found) == len(wanted)
        assert [row["separation"] for row in found] == pytest.approx(
            [gaps[row["object_id"], row["other"]] for row in found], abs=1e-3
        )


def test_twins_by_their_embeddings_are_missed(crowded, run):
    pairs = [
        (row["object_id"], row["other"]) for row in ask(crowded[0], "near-duplicates") if row["same_code"]
    ]
    assert pairs == [(3, 7), (3, 9)]
    assert ask(run, "near-duplicates") == []  # which has no positions


def test_flags_are_counted_by_name(run):
    assert {r["flag"]: r["objects"] for r in ask(run, "flags") if r["objects"]} == {
        "off_image": 1,
        "bad_position": 1,
    }


def test_flag_query_knows_every_flag():
    from catalogs.flags import Flag

    sql = views.canned()["flags"].sql
    names, bits = ", ".join(f"'{str(f.name).lower()}'" for f in Flag), ", ".join(str(f.value) for f in Flag)
    assert f"[{names}]" in sql
    assert f"[{bits}]" in sql


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("crosstab", {}),
        ("crosstab", {"colum": "t_type"}),
        ("purity", {"column": "t_type", "edges": "1]) FROM objects; DROP TABLE x --"}),
        ("neighbours", {"id": "o1", "count": "ten"}),
    ],
)
def test_missing_unknown_and_hostile_parameters_are_refused(name, values):
    with pytest.raises(views.BadQuery):
        views.canned()[name].filled(values)


def test_quotes_in_an_id_stay_inside_the_string(run):
    assert ask(run, "neighbours", id="' OR 1=1 --") == []


def test_every_query_says_what_it_answers():
    for query in views.canned().values():
        assert query.sql.startswith("-- ")
        assert query.about.endswith(".")


def test_run_without_catalog_says_so(tmp_path):
    with pytest.raises(views.NoCatalog, match="no catalog yet"):
        views.connect(str(tmp_path))


@pytest.mark.parametrize("url", ["nosuch://bucket/run", "s3a:/x://y", ""])
def test_a_place_that_cannot_be_looked_into_is_told_in_one_line(url):
    with pytest.raises(views.NoCatalog) as told:
        views.connect(url)
    assert "\n" not in str(told.value)


def test_a_damaged_partition_is_told_in_one_line(run, tmp_path):
    part = tmp_path / "catalog" / "part-000000.parquet"
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(views.NoCatalog, match="cannot be read"):
        views.connect(run)
