"""What comes out of a run is complete and opens in the tools that people use."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings

import duckdb
import lsdb
import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning
from hats.io.skymap import read_skymap
from hats.io.validation import is_valid_collection
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.results.export import export
from pipeline.rundir.status import status
from tests.conftest import TinyRelease
from tests.survey.conftest import objects_of, write_toml


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run as a user types it, with objects that can't be used among the others."""
    base = tmp_path_factory.mktemp("finished")
    tiny = TinyRelease(base / "release", bands=("g", "r"))
    tiny.table["RA"][3] = np.nan
    tiny.table["DEC"][4] = -95.0
    tiny.table["DEC"][5] = 40.0
    tiny.write(3)
    config = write_toml(tiny.config(), tiny.folder / "survey.toml")
    done = CliRunner().invoke(app, ["run", str(config), "--out", str(base / "run")])
    assert done.exit_code == 0, done.output
    return tiny, base / "run", done.output


def test_every_row_comes_out_once_and_the_unusable_ones_say_why(finished):
    tiny, out, _ = finished
    objects = objects_of(out)
    assert objects["object_id"].to_pylist() == sorted(tiny.table["NUMBER"].tolist())
    flags = dict(zip(objects["object_id"].to_pylist(), objects["flags"].to_pylist(), strict=True))
    assert {i: f for i, f in flags.items() if f & 65} == {4: 65, 5: 65, 6: 1}
    groups = dict(zip(objects["object_id"].to_pylist(), objects["group"].to_pylist(), strict=True))
    assert {i for i, group in groups.items() if group is None} == {4, 5, 6}
    assert all(0 <= group < 4 for group in groups.values() if group is not None)


def test_output_ends_with_groups_and_what_to_type_next(finished):
    _, out, text = finished
    assert "kept" in text
    assert f"catalog: {out}/catalog" in text
    commands = [line.strip() for line in text.splitlines() if line.strip().startswith("tuningfork query")]
    assert len(commands) == 2
    for command in commands:
        typed = subprocess.run(
            f"{sys.executable} -m pipeline.cli {command.removeprefix('tuningfork ')}",
            shell=True,
            capture_output=True,
            text=True,
        )
        assert typed.returncode == 0, typed.stderr


def test_progress_is_json_lines_where_there_is_no_terminal(finished):
    lines = [json.loads(line) for line in finished[2].splitlines() if line.startswith("{")]
    assert {line["stage"] for line in lines} == {"encode", "reduce", "fit", "vote", "classify", "publish"}
    assert next(x for x in lines if (x["stage"], x["state"]) == ("encode", "done"))["objects"] == 64


def test_catalog_opens_in_lsdb_duckdb_and_pandas(finished):
    _, out, _ = finished
    catalog = lsdb.open_catalog(out / "catalog").compute()
    assert len(catalog) == 62
    assert catalog.index.name == "_healpix_29"
    embeddings = lsdb.open_catalog(out / "embeddings").compute()
    known = embeddings["embedding"].dropna()
    assert len(known) == 61
    assert len({len(values) for values in known}) == 1
    with duckdb.connect(out / "catalog.duckdb", read_only=True) as connection:
        assert connection.sql("SELECT count(*) FROM objects").fetchall() == [(64,)]
    assert len(pd.read_parquet(out / "unplaced.parquet")) == 2


def test_run_is_no_collection(finished):
    _, out, _ = finished
    catalog = lsdb.open_catalog(out)
    assert len(catalog.compute(progress_bar=False)) == 62
    assert catalog.margin is not None
    assert catalog.all_extensions == {"embeddings": "embeddings.properties"}
    assert is_valid_collection(out, strict=True)
    skymap = read_skymap(catalog.hc_collection.main_catalog, 8)
    assert skymap.sum() == 62
    page = (out / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in page for name in catalog.columns)


@pytest.mark.slow  # the library compiles
@pytest.mark.filterwarnings("ignore:Right catalog does not have a margin")
def test_embeddings_do_not_join_their_objects(finished):
    catalog = lsdb.open_catalog(finished[1])
    both = catalog.load_extension("embeddings").compute(progress_bar=False)
    assert len(both) == 62
    assert both["embedding"].notna().sum() == 61
    assert list(both.columns) == [*catalog.columns, "embedding"]


def test_moved_run_does_not_open_in_duckdb(finished, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(finished[1], moved)
    before = (moved / "catalog.duckdb").read_bytes()
    asked = CliRunner().invoke(app, ["query", str(moved), "SELECT count(*) FROM objects", "--format", "csv"])
    assert asked.exit_code == 0, asked.output
    assert f"which was for {finished[1]}," in asked.stderr
    assert "64" in asked.stdout
    assert (moved / "catalog.duckdb").read_bytes() != before
    assert "moved" not in CliRunner().invoke(app, ["query", str(moved), "SELECT 1"]).stderr
    (moved / "catalog.duckdb").write_bytes(b"damaged")
    assert CliRunner().invoke(app, ["query", str(moved), "--repair"]).exit_code == 0
    with duckdb.connect(moved / "catalog.duckdb", read_only=True) as connection:
        ((sql,),) = connection.sql(
            "SELECT sql FROM duckdb_views() WHERE schema_name = 'main' AND view_name = 'objects'"
        ).fetchall()
        assert f"'{moved}/catalog/" in sql
        assert connection.sql("SELECT count(*) FROM objects").fetchall() == [(64,)]


def test_units_ucds_and_descriptions_travel_with_the_columns(finished):
    import pyarrow.parquet as pq

    schema = pq.read_schema(finished[1] / "catalog" / "dataset" / "_common_metadata")
    assert schema.field("ra").metadata[b"unit"] == b"deg"
    assert schema.field("MAG").metadata[b"unit"] == b"mag"
    assert schema.field("ra").metadata[b"ucd"] == b"pos.eq.ra;meta.main"
    for name in ("flags", "group", "agreement", "kept", "vote_ward"):
        assert schema.field(name).metadata[b"description"]


@pytest.mark.parametrize("suffix", ["fits", "vot", "parquet"])
def test_exported_catalog_loses_rows_or_units(finished, tmp_path, suffix):
    _, out, _ = finished
    file = tmp_path / f"objects.{suffix}"
    export(str(out), str(file), "SELECT * FROM objects ORDER BY object_id")
    if suffix == "parquet":
        table = pd.read_parquet(file)
    else:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Column .* contains NULL", AstropyUserWarning)
            table = Table.read(file)
        assert (table["ra"].unit, table["MAG"].unit) == ("deg", "mag")
        assert np.ma.getmaskarray(table["group"]).nonzero()[0].tolist() == [3, 4, 5]
    assert list(table["object_id"]) == objects_of(out)["object_id"].to_pylist()
    assert list(table.columns) == objects_of(out).column_names


def test_status_counts_slices_objects_and_flags(finished):
    found = status(str(finished[1]))
    assert found.published
    assert [(s.stage, s.done, s.total, s.objects) for s in found.stages] == [
        ("encode", 6, 6, 64),
        ("vote", 6, 6, 64),
    ]
    assert found.stages[0].flags == {"off_image": 3, "bad_position": 2}
    assert found.stages[0].usable == 61


def test_release_without_positions_becomes_plain_parquet_and_says_so(tiny, runner, tmp_path):
    values = tiny.config(images={"position": "pixel", "pixel_scale": 0.2})
    del values["survey"]["ra"], values["survey"]["dec"]
    plan = runner(values, tiny.folder, tmp_path / "run")
    assert any("plain Parquet" in note for note in plan.notes)
    objects = objects_of(tmp_path / "run")
    assert objects.num_rows == 64
    assert "ra" not in objects.column_names
    assert not (tmp_path / "run" / "catalog" / "dataset").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["int32", "string"])
def test_ids_of_every_kind_survive(tiny, runner, tmp_path, kind):
    numbers = tiny.table["NUMBER"]
    tiny.table["NUMBER"] = (
        numbers.astype(np.int32) if kind == "int32" else [f"J{n:04d} é".encode() for n in numbers]
    )
    tiny.write(2)
    runner(tiny.config(), tiny.folder, tmp_path / "run")
    ids = objects_of(tmp_path / "run")["object_id"]
    assert str(ids.type) == kind
    expected = numbers.tolist() if kind == "int32" else [f"J{n:04d} é" for n in numbers]
    assert ids.to_pylist() == expected
