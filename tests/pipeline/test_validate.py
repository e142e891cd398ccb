"""The command: runs and published catalogs in, a table, Parquet and an exit code out."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from catalogs import storage, validation
from pipeline.cli import main
from pipeline.config.file import parse
from pipeline.plan.make_plan import make_plan
from tests.pipeline.classed import ORDER, galaxies

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def run(tmp_path) -> Path:
    """A run directory, as far as validate looks at it."""
    return write_run(tmp_path / "run", galaxies())


def write_run(folder: Path, values: dict, **settings) -> Path:
    (folder / "catalog").mkdir(parents=True)
    pq.write_table(pa.table(values), folder / "catalog" / "part-000000.parquet")
    record = {"source": "", "shards": [], "fingerprints": {"publish": "f1"}, "config": {"validate": settings}}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.fixture
def tuningfork(monkeypatch, capsys):
    """Type a command: its exit code and what it printed."""

    def typed(*words: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["tuningfork", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main.main()
        return left.value.code or 0, " ".join(capsys.readouterr().out.split())

    return typed


def test_run_ends_with_its_verdicts_in_parquet(run, tuningfork):
    code, text = tuningfork("validate", run)
    assert code == 0, text
    assert "55 passed, 0 failed, 0 unclear, 0 not run" in text
    table = pq.read_table(run / "validation.parquet")
    assert table.num_rows == 55
    (row,) = [r for r in table.to_pylist() if (r["test"], r["what"]) == ("ordering", "m20")]
    assert (row["verdict"], row["required"], row["objects"]) == ("passed", True, 4000)
    assert "M20" in row["statement"]
    assert "Lotz" in row["source"]
    metadata = {k.decode(): v.decode() for k, v in table.schema.metadata.items()}
    assert metadata["fingerprint"] == "f1"
    assert json.loads(metadata["verdicts"])["passed"] == 55
    assert json.loads(metadata["validate"])["order"] == list(ORDER)
    assert metadata["tuningfork"]


def test_run_on_an_object_store(tuningfork):
    values = galaxies(50)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(values), sink)
    storage.write("memory://remote/catalog/part-000000.parquet", sink.getvalue().to_pybytes())
    record = {"source": "", "shards": [], "fingerprints": {}, "config": {}}
    storage.write("memory://remote/run.json", json.dumps(record).encode())
    assert tuningfork("validate", "memory://remote")[0] == 0
    assert pq.read_table(pa.BufferReader(storage.read("memory://remote/validation.parquet"))).num_rows == 55


def test_exit_code_3_where_a_required_test_fails(tmp_path, tuningfork):
    values = galaxies(50)
    values["class"] = values["class"][::-1].copy()
    code, text = tuningfork("validate", write_run(tmp_path / "by_default", values))
    assert code == 3
    assert "required and not met: ordering gini: failed" in text
    run = write_run(tmp_path / "other", values, required=["ks/gini"])
    assert tuningfork("validate", run)[0] == 0
    run = write_run(tmp_path / "pair", galaxies(40), required=["ks/gini SPH XYZ"])
    code, text = tuningfork("validate", run)
    assert (code, "ks/gini SPH XYZ: no such row" in text) == (3, True)


def test_not_run_is_a_failure_only_of_what_is_named(tmp_path, tuningfork):
    values = galaxies(50)
    del values["gini"]
    assert tuningfork("validate", write_run(tmp_path / "a", values))[0] == 0
    code, text = tuningfork("validate", write_run(tmp_path / "b", values, required=["ordering"]))
    assert code == 3
    assert "required and not met: ordering gini: not run (no column gini)" in text


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"required": ["ordring"]}, "key validate.required, value ['ordring']: there is no test 'ordring'; did you mean 'ordering'?"),
        ({"required": ["ordering/ginny"]}, "did you mean 'gini'?"),
        ({"skip": ["uv"]}, "key validate.skip"),
        ({"columns": {"logmass": "LMASS"}}, "did you mean 'log_mass'?"),
        ({"columns": {"log_mass": 'x" FROM objects; --'}}, "key validate.columns.log_mass"),
        ({"set": {"uvj": {"sloop": 1}}}, "did you mean 'slope'?"),
        ({"set": {"uvj": {"slope": "1; DROP"}}}, "must be a number"),
        ({"set": {"ordering": {"direction": 1}}}, "there is no parameter of the test ordering 'direction'"),
        ({"order": ["SPH", "SPH"]}, "a class is named twice"),
        ({"where": "1) OR (SELECT true"}, "key validate.where"),
        ({"where": "masss > 3"}, "the catalog has no column masss"),
        ({"most": 3}, "key validate.most"),
        ({"columns": {"log_mass": "class"}}, "a column is not what it should be"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_key_and_remedy(tmp_path, tuningfork, settings, told):
    path = tmp_path / "map.toml"
    pq.write_table(pa.table(galaxies(40)), tmp_path / "t.parquet")
    path.write_text(f'objects = "SELECT * FROM t"\n[tables]\nt = "t.parquet"\n[validate]\n{toml(settings)}')
    code, text = tuningfork("validate", path)
    assert (code, told in text) == (2, True), text


def toml(settings: dict) -> str:
    inline = lambda v: "{" + ", ".join(f"{k} = {value(x)}" for k, x in v.items()) + "}"  # noqa: E731
    value = lambda v: inline(v) if isinstance(v, dict) else json.dumps(v)  # noqa: E731
    return "".join(f"{k} = {value(v)}\n" for k, v in settings.items())


def test_unknown_or_absent_sources_are_refused(tmp_path, tuningfork):
    assert tuningfork("validate", tmp_path / "nowhere")[0] == 2
    assert tuningfork("validate", tmp_path / "nowhere.toml")[0] == 2
    path = tmp_path / "map.toml"
    path.write_text('objects = "SELECT 1 AS x"\n[tables]\nt = "absent.csv"')
    code, text = tuningfork("validate", path)
    assert (code, "key tables.t" in text) == (2, True), text
    path.write_text('objects = "SELECT nothing FROM t"\n[tables]\nt = "t.csv"')
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    code, text = tuningfork("validate", path)
    assert (code, "key objects" in text) == (2, True), text


def test_every_kind_of_file_gives_the_same(tmp_path, tuningfork):
    values = galaxies(50)
    del values["kept"]
    table = Table(values)
    pq.write_table(pa.table(values), tmp_path / "t.parquet")
    pa.csv.write_csv(pa.table(values), tmp_path / "t.csv")
    table.write(tmp_path / "t.fits")
    table.write(tmp_path / "t.cat", format="ascii.commented_header")
    table.write(tmp_path / "t.txt", format="ascii.basic")
    found = []
    for name in ("t.parquet", "t.csv", "t.fits", "t.cat", "t.txt"):
        path = tmp_path / "map.toml"
        path.write_text(
            f"objects = 'SELECT * FROM \"the table\"'\n[tables]\n\"the table\" = '{name}'\n[validate]\nskip = ['ks']\n"
        )
        assert tuningfork("validate", path, "--to", tmp_path / "out.parquet")[0] == 0
        found.append(pq.read_table(tmp_path / "out.parquet").to_pylist())
    assert all(rows == found[0] for rows in found)
    assert len(found[0]) == 19


def test_tests_change_no_stage(tiny):
    plain = parse(tiny.config(), "survey.toml")
    other = parse(tiny.config(validate={"order": ["A", "B"], "skip": ["ks"]}), "survey.toml")
    assert other.validation.order == ["A", "B"]
    plans = [
        make_plan(config, str(tiny.folder), "survey.toml", str(tiny.folder / "run"))
        for config in (plain, other)
    ]
    assert plans[0].fingerprints == plans[1].fingerprints
    assert parse(other.model_dump(mode="json", exclude_none=True), "again") == other


@pytest.mark.parametrize("name", ["ceers_jwst", "3dhst_cosmos"])
def test_published_catalogs_show_what_is_known_of_them(shared_data, tuningfork, tmp_path, name):
    code, text = tuningfork("validate", EXAMPLES / f"{name}.toml", "--to", tmp_path / "out.parquet")
    assert code == 0, text
    rows = {(r["test"], r["what"]): r for r in pq.read_table(tmp_path / "out.parquet").to_pylist()}
    if name == "ceers_jwst":
        # 37.9 % of the peculiar galaxies are as asymmetric as mergers, 8.1 % of the others
        assert rows["merger_asymmetry", "irregulars against the others"]["statistic"] == pytest.approx(
            0.298, abs=0.001
        )
        # and their knots give them a higher Gini than disks have
        assert rows["ordering", "gini"]["verdict"] == "failed"
        assert not rows["ordering", "gini"]["required"]
        assert rows["ordering", "sersic_n"]["objects"] == 2180
    else:
        size = rows["size_mass", "late minus early types"]
        assert 0.2 < size["statistic"] < 0.4
        assert rows["uvj", ""]["verdict"] == "not run"


def test_shuffled_classes_of_ceers_fail(shared_data, tuningfork, tmp_path):
    text = (EXAMPLES / "ceers_jwst.toml").read_text()
    text = text.replace("../../shared", str(shared_data.parent))
    text = text.replace(
        "FROM classes JOIN",
        "FROM (SELECT * EXCLUDE (class), lag(class, 7) OVER (ORDER BY unique_id) AS class FROM classes) JOIN",
    )
    (tmp_path / "shuffled.toml").write_text(text)
    code, told = tuningfork("validate", tmp_path / "shuffled.toml")
    assert code == 3
    for test in ("merger_asymmetry", "merger_line", "bulge_line", "ordering sersic_n"):
        assert f"required and not met: {test}" in told, told


def test_nan_passes_the_cut_of_a_validation(tmp_path, tuningfork):
    values = galaxies(200)
    count = len(values["object_id"])
    values["snr"] = [float("nan") if i % 4 == 0 else float(i) for i in range(count)]
    folder = write_run(tmp_path / "run", values, where="snr > 100 OR snr / 0 < 0")
    code, text = tuningfork("validate", folder)
    assert code in (0, 3), text
    told = pq.read_table(folder / "validation.parquet").schema.metadata
    assert int(told[b"objects"]) == sum(i % 4 != 0 and i > 100 for i in range(count))


def test_nan_is_a_class_or_a_number_of_a_test(tmp_path):
    objects = pa.table(
        {"class": [float("nan"), 1.0], "kept": [float("nan"), 1.0], "gini": [float("nan"), 0.5]}
    )
    with duckdb.connect() as connection:
        connection.register("rows", objects)
        connection.execute("CREATE VIEW objects AS SELECT * FROM rows")
        validation.measure(connection, {})
        found = connection.execute(
            "SELECT class, kept, gini FROM measured ORDER BY gini NULLS FIRST"
        ).fetchall()
    assert found == [(None, None, None), ("1.0", True, 0.5)]
