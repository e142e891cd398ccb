"""A path is a path, whatever characters are in it: nothing that reads files takes it for a pattern."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs import published, readers, storage, views
from catalogs.canned import literal
from catalogs.errors import BadRequest
from pipeline.report import scoring
from pipeline.report.source import Source
from pipeline.rundir.run_directory import RunDirectory

ODD = [
    *("[DR1] run", "run ?", "run *", "a**b", "a]b[", "[[x", "[!a]", "[]]", "we'ird", "per%20cent", "ha#sh"),
    *(
        "{a,b}",
        "{}",
        "back\\slash",
        "new\nline",
        "a=b",
        "Norder=1",
        "ünï",
        'q"uote',
        "~home",
        "$HOME",
        "a::b",
    ),
    *("-dash", "semi;colon", "run.parquet"),
]
ON_STORES = [name for name in ODD if name not in ("a::b", "back\\slash", "new\nline", "~home")]


def table(name: str) -> bytes:
    sink = pa.BufferOutputStream()
    columns = {"object_id": [1], "class": [name], "group": [0], "embedding": [[1.0, 2.0]]}
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def write_run(folder: str, name: str) -> None:
    for catalog in ("catalog", "embeddings"):
        storage.write(storage.join(folder, catalog, "dataset/Norder=0/Dir=0/Npix=1.parquet"), table(name))
    storage.write(storage.join(folder, "unplaced.parquet"), table(name))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Runs side by side, in each of which every class is its folder's name."""
    base = tmp_path_factory.mktemp("odd")
    for name in [*ODD, "run 1", "run", "D run", "a", "x", "!a]"]:
        write_run(str(base / name), name)
    return base


@pytest.mark.parametrize("name", ODD)
def test_folder_is_taken_for_a_pattern(folders, name, tmp_path, monkeypatch):
    for run in (str(folders / name), f"{name}/below"):
        if run.endswith("below"):
            monkeypatch.chdir(folders)
            write_run(run, name)
        with views.connect(run) as connection:
            found = connection.sql("SELECT * FROM objects").to_arrow_table()
            assert found["class"].to_pylist() == [name, name]
            assert set(found.column_names) == {"object_id", "class", "group", "embedding"}
            assert connection.sql('SELECT "class" FROM embeddings').fetchall() == [(name,)]
        views.write_database(run)
        # A copy, since DuckDB itself opens no database in a folder with a backslash.
        shutil.copyfile(f"{run}/catalog.duckdb", tmp_path / "views.duckdb")
        with duckdb.connect(tmp_path / "views.duckdb", read_only=True) as connection:
            assert connection.sql('SELECT "class" FROM objects').fetchall() == [(name,), (name,)]
            connection.execute(f"SET file_search_path = {literal(str(folders / 'run'))}")
            assert connection.sql('SELECT "class" FROM here.objects').fetchall() == [("run",), ("run",)]
        assert views.mend_database(run) is None
        shutil.copytree(run, tmp_path / "moved", dirs_exist_ok=True)
        assert views.mend_database(str(tmp_path / "moved")) == str(Path(run).resolve())
        assert views.mend_database(str(tmp_path / "moved")) is None


@pytest.mark.parametrize("name", ON_STORES)
def test_folder_on_an_object_store_is_taken_for_a_pattern(name):
    root = "memory://odd"
    for other in (name, "run 1", "run", "D run", "a", "x"):
        write_run(f"{root}/{other}", other)
    with views.connect(f"{root}/{name}") as connection:
        assert connection.sql('SELECT "class" FROM objects').fetchall() == [(name,), (name,)]
    there = set(fsspec.filesystem("memory").find("/odd"))
    storage.remove(f"{root}/{name}")
    gone = there - set(fsspec.filesystem("memory").find("/odd"))
    assert {path.split("/")[2] for path in gone} == {name}
    assert len(gone) == 3
    storage.remove(root)


@pytest.mark.parametrize("name", ODD)
def test_file_is_taken_for_a_pattern(folders, name, tmp_path):
    for kind in ("parquet", "csv"):
        path = folders / name / f"t[1]?.{kind}" if "\\" not in name else folders / name / f"t.{kind}"
        path.write_bytes(table(name) if kind == "parquet" else b"object_id,class\n1,of csv\n")
        (folders / name / f"t11.{kind}").write_bytes(path.read_bytes())
        with published.connect({"t": str(path)}, "SELECT * FROM t", "", "test") as connection:
            assert connection.sql("SELECT count(*) FROM objects").fetchall() == [(1,)]
            assert "a" not in connection.sql("FROM objects").columns
        with views.connect(str(folders / name)) as connection:
            source = Source(RunDirectory(str(folders / name)), {}, connection)
            scoring.truth_of_file(source, str(path), "class")
            assert connection.sql("SELECT count(*) FROM truth").fetchall() == [(1,)]
        path.unlink()


def test_path_that_no_pattern_can_hold_is_refused():
    with pytest.raises(BadRequest, match="Rename the folder"):
        readers.parquet_file("a\\b[1].parquet")


def test_files_are_found_by_name_alone(folders):
    found = list(readers.files(str(folders / "[DR1] run"), "catalog/dataset/*/*/*.parquet"))
    assert found == [str(folders / "[DR1] run/catalog/dataset/Norder=0/Dir=0/Npix=1.parquet")]
