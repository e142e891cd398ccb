"""`catalog.duckdb` opens in the DuckDB that other people have."""

from __future__ import annotations

import struct
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs import views

ASK = """
import duckdb, os, sys
assert duckdb.__version__ == sys.argv[2], duckdb.__version__
with duckdb.connect(sys.argv[1], read_only=True) as connection:
    print(connection.sql('SELECT count(*), max(object_id) FROM objects').fetchall())
    if sys.argv[2] >= "1.3":
        print(connection.sql('SELECT count(*), max(len(embedding)) FROM embeddings').fetchall())
moved = os.path.dirname(sys.argv[1]) + ' moved'
os.rename(os.path.dirname(sys.argv[1]), moved)
os.chdir(moved)
with duckdb.connect("catalog.duckdb", read_only=True) as connection:
    print(connection.sql('SELECT count(*), max(object_id) FROM here.objects').fetchall())
"""


@pytest.fixture
def database(tmp_path):
    """Of a run in a folder whose name is a pattern, with objects that have no position."""
    run = tmp_path / "[DR1] run's"
    for name in ("catalog", "embeddings"):
        folder = run / name / "dataset" / "Norder=0" / "Dir=0"
        folder.mkdir(parents=True)
        vectors = pa.array([[1.0, 2.0]], pa.list_(pa.float16(), 2))
        columns = {"object_id": [2**62 + 1]} | ({"embedding": vectors} if name == "embeddings" else {})
        pq.write_table(pa.table(columns), folder / "Npix=1.parquet")
    pq.write_table(pa.table({"object_id": [1]}), run / "unplaced.parquet")
    views.write_database(str(run))
    return run / "catalog.duckdb"


def test_file_is_of_a_format_that_only_the_newest_duckdb_reads(database):
    (version,) = struct.unpack("<Q", database.read_bytes()[12:20])
    assert version == 64  # of DuckDB 0.9.0 to 1.1.3: docs/catalog.md promises 1.0


def test_database_depends_on_when_it_is_written(database):
    before = database.read_bytes()
    views.write_database(str(database.parent))
    assert database.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.0.0", "1.2.2", "1.3.0", "1.4.4"])
def test_older_client_cannot_open_the_catalog(database, tmp_path, version):
    folder = tmp_path / "older"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    done = subprocess.run([*install, f"duckdb=={version}"], capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"NOT TESTED with DuckDB {version}, which pip cannot get: {done.stderr.splitlines()[-1]}")
    asked = subprocess.run(
        [sys.executable, "-c", ASK, str(database), version],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(folder)},
        timeout=60,
    )
    assert asked.returncode == 0, asked.stderr
    objects = f"[(2, {2**62 + 1})]"
    assert asked.stdout.splitlines() == [objects, *(["[(1, 2)]"] if version >= "1.3" else []), objects]
