"""Similar and odd objects: the index says what brute force says, its bytes rest on the embeddings alone, and what cannot be asked is refused in a line."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from PIL import Image

from catalogs import views
from catalogs.errors import CorruptFile
from catalogs.explained import MEASURE_FLAGS, condition
from kernels.measure.flags import MeasureFlag
from kernels.similarity import direction, similarity
from pipeline.cli import main
from pipeline.engine.local_engine import LocalEngine
from pipeline.report.source import open_source
from pipeline.rundir import arrays
from pipeline.similar import build, layout
from pipeline.similar.anomalies import anomalies
from pipeline.similar.similar import Wanted, similar
from tests.conftest import TinyRelease
from tests.survey.conftest import Runner, write_toml

EDGE = 3
"""An object of which half a stamp is off the image."""


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A run of a tiny release in several partitions, one of whose objects is at the edge and one nowhere."""
    base = tmp_path_factory.mktemp("similar")
    tiny = TinyRelease(base / "release")
    tiny.table["RA"][6] = np.nan
    tiny.table["DEC"][EDGE - 1] -= 20 * 0.2 / 3600
    tiny.write(2)
    values = tiny.config(measure={"quantities": ["shape"]}, publish={"rows_per_partition": 20})
    write_toml(values, tiny.folder / "survey.toml")
    Runner()(values, tiny.folder, base / "run")
    return base / "run"


@pytest.fixture
def again(ended, tmp_path):
    """A copy of it to change."""
    return Path(shutil.copytree(ended, tmp_path / "run"))


@pytest.fixture
def typed(monkeypatch, capsysbinary):
    """Type a command: its exit code and what it printed."""

    def typed(*words) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["tuningfork", *map(str, words)])
        try:
            main.main()
        except SystemExit as left:
            return left.code or 0, capsysbinary.readouterr().out.decode()
        return 0, capsysbinary.readouterr().out.decode()

    return typed


def by_force(run, ids, count):
    """Ids and similarities of the nearest unexplained objects."""
    with views.connect(str(run)) as connection:
        sql = f"""SELECT object_id, embedding, {condition({"measure_flags": 0})} AS explained
                  FROM objects JOIN embeddings USING (object_id) WHERE embedding IS NOT NULL"""
        table = connection.sql(sql).to_arrow_table()
    codes, names = np.stack(table["embedding"].to_pylist()), table["object_id"].to_numpy()
    mean = arrays.load(f"{run}/models/components.safetensors")["mean"]
    found = similarity(codes, direction(codes[np.isin(names, ids)], mean), mean)
    found[np.isin(names, ids) | np.array(table["explained"].to_pylist())] = -2
    order = np.argsort(-found)[:count]
    return names[order].tolist(), found[order]


@pytest.mark.parametrize("ids", [[5], [5, 20, 33]])
def test_the_index_finds_others_than_brute_force(ended, ids):
    found = similar(str(ended), Wanted([str(each) for each in ids], count=12)).table
    names, cosines = by_force(ended, ids, 12)
    assert found["object_id"].to_pylist() == names
    assert found["similarity"].to_numpy() == pytest.approx(cosines, abs=1e-12)


def test_the_query_in_sql_says_something_else(ended, typed):
    code, text = typed(
        "query", ended, "--name", "similar", "--set", "ids=5, 20", "--set", "count=7", "--format", "json"
    )
    assert code == 0, text
    names, cosines = by_force(ended, [5, 20], 7)
    assert [row["object_id"] for row in json.loads(text)] == names
    assert [row["similarity"] for row in json.loads(text)] == pytest.approx(cosines, abs=1e-5)


def test_flagged_objects_are_answers_unless_they_are_asked_for(ended):
    everyone = {
        flagged: similar(str(ended), Wanted(["5"], count=100, flagged=flagged)).table
        for flagged in (False, True)
    }
    assert EDGE not in everyone[False]["object_id"].to_pylist()
    rows = {row["object_id"]: row for row in everyone[True].to_pylist()}
    assert len(rows) == 62  # of 64: itself, and the one without a position
    assert "edge" in rows[EDGE]["flags"]


def files_of(folder):
    return {
        path.name: path.read_bytes()
        for path in Path(folder).iterdir()
        if path.is_file() and path.name[0] != "."
    }


def test_an_index_that_was_killed_or_was_of_other_embeddings_differs(again, monkeypatch):
    monkeypatch.setattr(layout, "SHARD_ROWS", 25)
    source = open_source(str(again))
    whole = layout.layout_of(source.run, source.record, None)
    assert len(whole.shards) > 1

    def make(folder):
        with LocalEngine() as engine:
            build.build(replace(whole, folder=str(folder)), source.run, engine, lambda _: None)
        return files_of(folder)

    undisturbed = make(again / "one")
    left = again / "two"
    left.mkdir()
    for name in ("cells.safetensors", "shard-00000.codes", "shard-00000.marks"):  # killed before the rest
        (left / name).write_bytes(undisturbed[name])
    (left / ".shard-00000.faiss.0.partial").write_bytes(b"half")
    assert make(left) == undisturbed
    cells = arrays.load(str(left / "cells.safetensors"))
    arrays.save(str(left / "cells.safetensors"), {**cells, "fingerprint": cells["fingerprint"][::-1]})
    (left / "shard-00000.codes").write_bytes(b"others")
    assert make(left) == undisturbed
    assert not list(left.glob(".*.partial"))


def test_an_index_of_other_embeddings_is_asked(again):
    similar(str(again), Wanted(["5"]))
    before = files_of(again / "index")
    file = next((again / "embeddings").rglob("Npix=*.parquet"))
    table = pq.read_table(file)
    pq.write_table(
        table.set_column(4, table.schema.field(4), table["embedding"].take(list(range(len(table)))[::-1])),
        file,
    )
    similar(str(again), Wanted(["5"]))
    assert files_of(again / "index")["shard-00000.codes"] != before["shard-00000.codes"]


def test_answers_show_columns_of_an_earlier_catalog(again):
    before = similar(str(again), Wanted(["5"], count=60)).table.to_pylist()
    for file in (again / "catalog").rglob("Npix=*.parquet"):
        table = pq.read_table(file)
        place = table.schema.get_field_index("group")
        pq.write_table(
            table.set_column(place, table.schema.field(place), pc.add(table["group"], 1).cast("int16")), file
        )
    after = similar(str(again), Wanted(["5"], count=60)).table.to_pylist()
    assert [row["group"] for row in after] == [row["group"] + 1 for row in before]
    assert len(list((again / "index").glob("*.rows"))) == 1


@pytest.mark.parametrize("kind", ["plane", "cube", "named", "grey PNG"])
def test_an_image_of_an_object_is_not_like_it(ended, tmp_path, kind):
    tile = fits.getdata(ended.parent / "release" / "images" / "t0_r.fits")
    stamp = tile[44:76, 124:156]  # of object 12: the fourth of the second row
    file = tmp_path / "image.fits"
    if kind == "plane":
        fits.PrimaryHDU(stamp).writeto(file)
    elif kind == "cube":
        fits.PrimaryHDU(stamp[None]).writeto(file)
    elif kind == "named":
        fits.HDUList([fits.PrimaryHDU(stamp[::-1] * 0), fits.ImageHDU(stamp, name="R")]).writeto(file)
    else:
        grey = np.clip(stamp[::-1] * 2 + 20, 0, 255).astype(np.uint8)
        Image.fromarray(grey).save(tmp_path / "image.png")
        file = tmp_path / "image.png"
    found = similar(str(ended), Wanted(images=[str(file)], count=3))
    assert found.images[0][0] == file.name
    ids, alike = found.table["object_id"].to_pylist(), found.table["similarity"].to_pylist()
    assert ids[0] == 12 or kind == "grey PNG"
    assert alike[0] > (0.8 if kind == "grey PNG" else 0.99)


def bad_image(name, tmp_path):
    file = tmp_path / name
    if name == "colour.png":
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(file)
    elif name == "blank.fits":
        fits.PrimaryHDU(np.zeros((32, 32))).writeto(file)
    elif name == "two.fits":
        fits.HDUList([fits.PrimaryHDU(), *[fits.ImageHDU(np.eye(32)) for _ in range(2)]]).writeto(file)
    elif name == "table.fits":
        fits.HDUList(
            [fits.PrimaryHDU(), fits.BinTableHDU.from_columns([fits.Column("A", "J", array=[1])])]
        ).writeto(file)
    elif name == "text.jpg":
        file.write_text("no picture")
    return file


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("colour.png", "has 3 bands, and the run's stamps have 1 (r)"),
        ("two.fits", "has 2 bands, and the run's stamps have 1 (r)"),
        ("blank.fits", "nothing of it can be encoded (blank)"),
        ("table.fits", "holds no image"),
        ("text.jpg", "cannot be read"),
        ("gone.fits", "cannot be read (No such file or directory)"),
    ],
)
def test_a_bad_image_is_not_refused_in_one_line(ended, typed, tmp_path, name, said):
    file = bad_image(name, tmp_path)
    code, text = typed("similar", ended, "--image", file)
    assert (code, text.count("\n")) == (2, 1), text
    assert said in text
    assert str(file) in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--id", "5000"], "object '5000' is not in the catalog"),
        (["--id", "x'; DROP TABLE objects --"], "is not in the catalog"),
        (["--id", "7"], "object '7' has no position, and so no published embedding"),
        (["--ids", "empty.txt"], "names no object"),
        (["--ids", "gone.txt"], "cannot be read (No such file or directory)"),
        (["--id", "5", "--index", "s3://bucket/index"], "an index is mapped into memory"),
        (["--id", "5", "--format", "parquet"], "needs --to FILE"),
    ],
)
def test_a_bad_question_is_not_refused_in_one_line(ended, typed, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").write_text("\n \n")
    code, text = typed("similar", ended, *words)
    assert (code, text.count("\n")) == (2, 1), text
    assert said in text


@pytest.mark.parametrize("kind", ["faiss", "codes"])
def test_a_damaged_index_ends_in_a_traceback(again, kind):
    similar(str(again), Wanted())
    (again / "index" / f"shard-00000.{kind}").write_bytes(b"not an index")
    with pytest.raises(CorruptFile, match="Delete the folder and ask again") as told:
        similar(str(again), Wanted(["5"]))
    assert "\n" not in str(told.value)


def test_answers_are_no_files_that_others_read(ended, typed, tmp_path):
    (tmp_path / "ids.txt").write_text("5\n20\n")
    sheet, table = tmp_path / "a sheet.html", tmp_path / "found.parquet"
    code, text = typed(
        *("similar", ended, "--ids", tmp_path / "ids.txt", "-n", "9"),
        *("--sheet", sheet, "--format", "parquet", "--to", table),
    )
    assert code == 0, text
    assert pq.read_table(table).num_rows == 9
    assert pq.read_schema(table).names[:2] == ["object_id", "similarity"]
    page = sheet.read_text()
    assert page.count("<img") == 2 + 9
    assert "Pictures are missing" not in page
    code, text = typed("anomalies", ended, "-n", "4", "--sheet", sheet)
    assert (code, sheet.read_text().count("<img")) == (0, 4), text


def test_a_sheet_without_its_release_says_nothing(ended, typed, tmp_path):
    (tmp_path / "other.toml").write_text((ended.parent / "release" / "survey.toml").read_text())
    sheet = tmp_path / "sheet.html"
    code, text = typed("anomalies", ended, "-n", "2", "--sheet", sheet, "--config", tmp_path / "other.toml")
    assert code == 0, text
    assert "Pictures are missing" in sheet.read_text()


def test_what_flags_explain_comes_first(ended):
    found = anomalies(str(ended), 100).table.to_pylist()
    explained = [row["explained"] for row in found]
    assert explained == sorted(explained)
    assert any(explained)
    for part in (False, True):
        distances = [row["anomaly_distance"] for row in found if row["explained"] == part]
        assert distances == sorted(distances, reverse=True)
    assert "edge" in next(row["reasons"] for row in found if row["object_id"] == EDGE)
    alone = [row["anomaly_distance"] for row in anomalies(str(ended), 100, flagged=True).table.to_pylist()]
    assert alone == sorted(alone, reverse=True)


def test_the_query_ranks_otherwise_than_the_command(ended, typed):
    code, text = typed("query", ended, "--name", "anomalies", "--set", "count=100", "--format", "json")
    assert code == 0, text
    ranked = anomalies(str(ended), 100).table["object_id"].to_pylist()
    assert [row["object_id"] for row in json.loads(text)] == ranked


def test_flags_that_explain_have_other_bits_in_sql():
    named = (
        MeasureFlag.NO_OBJECT
        | MeasureFlag.BELOW_PSF
        | MeasureFlag.OFF_CENTRE
        | MeasureFlag.BAD_PIXELS
        | MeasureFlag.BLENDED
    )
    assert int(named) == MEASURE_FLAGS
    for name in ("similar", "anomalies"):
        assert "flags & 38 <> 0 OR coalesce(measure_flags & 67625 <> 0, false)" in views.canned()[name].sql
    assert condition({"measure_flags": 0}) == "(flags & 38 <> 0 OR measure_flags & 67625 <> 0)"
