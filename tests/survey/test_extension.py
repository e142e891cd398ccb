"""`[publish] extends`: our columns join another catalog's rows in LSDB, each its own; what is not in it is listed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hats.catalog import TableProperties
from upath import UPath

from catalogs import hats_catalog, storage
from catalogs.errors import Refused, TuningforkError
from catalogs.hats_catalog import Partition
from pipeline import flow
from pipeline.cli import printing
from tests.conftest import TinyRelease
from tests.survey.conftest import Runner, objects_of

ORDER = 15
"""Of the other catalog's smallest partitions: pixels of 6 arcsec, of which the release covers some."""
ABSENT = {7, 40}
"""Ids that the other catalog lacks."""


def write_primary(
    folder: str, ids: pa.Array, ra: np.ndarray, dec: np.ndarray, suffix: str = ".parquet"
) -> None:
    """A HATS catalog as other people write them: other names, partitions of two orders, with an index where each is a file."""
    index = hats_catalog.spatial_index(ra, dec)
    coarse = Partition(ORDER - 2, int(index[0]) >> 2 * (31 - ORDER))
    places = {Partition(ORDER, (coarse.pixel << 4) + n) for n in range(16)}
    places |= {Partition(ORDER - 2, int(i) >> 2 * (31 - ORDER)) for i in index} - {coarse}
    kept = []
    for place in places:
        inside = place.holds(index)
        if inside.any():
            columns = {"_healpix_29": index} if suffix == ".parquet" else {}
            columns |= {"source_id": ids, "RA": ra, "DEC": dec, "W1": ra - dec}
            rows = pa.table(columns).filter(pa.array(inside))
            file = hats_catalog.partition_file(folder, place)
            if suffix == "/":
                half = rows.num_rows // 2
                for number, piece in enumerate((rows.slice(0, half), rows.slice(half))):
                    storage.write(f"{file.removesuffix('.parquet')}/{number}.parquet", _parquet(piece))
            else:
                storage.write(file, _parquet(rows))
            kept.append(place)
    schema = pa.BufferOutputStream()
    pq.write_metadata(rows.schema, schema)
    storage.write(f"{folder}/dataset/_common_metadata", schema.getvalue().to_pybytes())
    lines = "".join(f"{p.order},{p.pixel}\n" for p in sorted(kept, key=lambda p: p.first))
    storage.write(f"{folder}/partition_info.csv", f"Norder,Npix\n{lines}".encode())
    values = {"catalog_name": "wise", "catalog_type": "object", "total_rows": len(ids), "npix_suffix": suffix}
    if suffix == ".parquet":
        values |= {"healpix_column": "_healpix_29", "healpix_order": 29}
    text = TableProperties(**values, ra_column="RA", dec_column="DEC").model_dump(
        by_alias=True, exclude_none=True
    )
    properties = "".join(f"{key}={value}\n" for key, value in text.items())
    storage.write(f"{folder}/hats.properties", properties.encode())


def _parquet(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    return sink.getvalue().to_pybytes()


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> TinyRelease:
    tiny = TinyRelease(tmp_path_factory.mktemp("extension") / "release")
    tiny.table["NUMBER"] += 2**60
    tiny.table["DEC"][5] = -95.0
    tiny.write(2)
    return tiny


def places_of(release: TinyRelease) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids and positions that the other catalog has: ours a little away, one of them by 30 arcsec, and as many others."""
    table = release.table
    known = np.isin(np.asarray(table["NUMBER"]) - 2**60, list(ABSENT), invert=True) & (table["DEC"] > -90)
    ids, ra, dec = (
        np.asarray(table[name], kind)[known]
        for name, kind in (("NUMBER", int), ("RA", float), ("DEC", float))
    )
    dec = dec + 0.4 / 3600
    dec[9] += 30 / 3600
    return np.concatenate([ids, ids + 1000]), np.concatenate([ra, ra]), np.concatenate([dec, dec + 1 / 3600])


@pytest.fixture(scope="module")
def primary(release) -> Path:
    folder = release.folder / "wise"
    ids, ra, dec = places_of(release)
    write_primary(str(folder), pa.array(ids.astype(np.uint64)), ra, dec)
    return folder


def config_of(release: TinyRelease, extends: str = "wise", column: str = "source_id", **keys) -> dict:
    publish = {"rows_per_partition": 16, "extends": extends, "extends_id": column, **keys}
    return release.config(run={"engine": "local"}, publish=publish)


@pytest.fixture(scope="module")
def finished(release, primary, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("extended") / "run"
    Runner()(config_of(release), release.folder, out)
    return out


def test_an_object_is_lost_or_in_another_objects_partition(finished, primary):
    folder, rows = finished / "extension" / "morphology", []
    for file in folder.rglob("Npix=*.parquet"):
        theirs = pq.read_table(primary / file.relative_to(folder), partitioning=None)
        ours = pq.read_table(file, partitioning=None)
        place = dict(
            zip(theirs["source_id"].to_pylist(), zip(theirs["RA"].to_pylist(), theirs["DEC"].to_pylist()))
        )
        assert [place[row["object_id"]] for row in ours.to_pylist()] == list(
            zip(ours["ra"].to_pylist(), ours["dec"].to_pylist())
        )
        rows.append(ours)
    assert len(rows) > 4
    found = pa.concat_tables(rows).sort_by("object_id")
    listed = pq.read_table(finished / "extension" / "absent", partitioning=None)
    assert set(listed["object_id"].to_pylist()) == {2**60 + n for n in ABSENT | {6}}
    whole = objects_of(finished)
    assert (
        sorted(found["object_id"].to_pylist() + listed["object_id"].to_pylist())
        == whole["object_id"].to_pylist()
    )
    same = whole.filter(pa.array(np.isin(whole["object_id"], found["object_id"])))
    for name in ("MAG", "group", "flags", "class_share"):
        assert found[name].equals(same[name])
    assert json.loads((finished / "published.json").read_text())["extension"] == {"rows": 61, "absent": 3}


def test_command_does_not_say_what_the_other_catalog_lacks(finished, capsys):
    printing.summary(str(finished))
    assert "extension: 61 objects" in (said := capsys.readouterr().out)
    assert f"not in that catalog: 3, {finished}/extension/absent" in said


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore:Right catalog does not have a margin", "ignore:_common_metadata"
)
def test_lsdb_joins_another_row(finished, primary):
    import lsdb

    catalog = lsdb.open_catalog(primary)
    folder = finished / "extension"
    with pytest.warns(RuntimeWarning, match="margin"):  # docs/catalog.md says why it means nothing here
        one = catalog.load_extension(folder / "morphology.properties")
    both = one.load_extension(folder / "embeddings.properties")
    joined = both.compute(progress_bar=False)
    assert len(joined) == 2 * 61
    known = joined[joined["flags"].notna()]
    assert len(known) == 61
    assert known["embedding"].notna().all()
    whole = objects_of(finished).to_pandas().set_index("object_id")
    assert (
        known["MAG"].to_numpy(float) == whole.loc[known["source_id"].astype("int64"), "MAG"].to_numpy()
    ).all()
    assert {"source_id", "RA", "DEC", "W1"} < set(joined.columns)
    assert "object_id" not in joined.columns


def test_files_depend_on_what_was_there_before(release, finished, tmp_path):
    """Publishing was killed in the middle: what is left of it is not taken for its end."""
    before = {str(p.relative_to(finished)): p.read_bytes() for p in finished.rglob("*") if p.is_file()}
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    (copy / "published.json").unlink()
    (copy / "margin" / "borders").mkdir()
    (copy / "margin" / "borders" / "6-1.parquet").write_bytes(b"rest")
    (copy / "extension" / "absent" / "part-000099.parquet").write_bytes(b"rest")
    flow.run(Runner().plan(config_of(release), release.folder, copy))
    after = {str(p.relative_to(copy)): p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == {
        "catalog.duckdb"
    }  # it names the folder


def test_primary_with_folders_for_partitions_or_on_an_object_store(bucket, release, finished, tmp_path):
    ids, ra, dec = places_of(release)
    url = f"{bucket}/wise"
    write_primary(url, pa.array(ids.astype(np.uint64)), ra, dec, suffix="/")
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    plan = Runner()(config_of(release, url), release.folder, copy)
    assert any(url in note for note in plan.notes)
    for name in ("morphology/dataset", "embeddings/dataset", "absent"):
        files = [p for p in (finished / "extension" / name).rglob("*") if p.is_file()]
        assert files
        for file in files:
            assert (copy / file.relative_to(finished)).read_bytes() == file.read_bytes()
    assert f"hats_primary_table_url={url}\n" in (copy / "extension" / "morphology.properties").read_text()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            {"extends": "nowhere"},
            ["key publish.extends,", "/nowhere", "is no HATS catalog", "Give the folder"],
        ),
        ({"column": "sourceid"}, ["key publish.extends_id", "sourceid", "no such column", "source_id"]),
        ({"column": "W1"}, ["key publish.extends_id", "W1", "double", "int64"]),
        ({"ra": None}, ["key publish.extends", "positions", "[survey] ra and dec"]),
    ],
)
def test_plan_takes_what_cannot_be_extended(release, primary, tmp_path, keys, words):
    config = config_of(release, **{name: value for name, value in keys.items() if name != "ra"})
    if "ra" in keys:
        del config["survey"]["ra"], config["survey"]["dec"]
        config["survey"]["images"] |= {"position": "pixel", "pixel_scale": 0.2}
    with pytest.raises(Refused) as refused:
        Runner().plan(config, release.folder, tmp_path / "run")
    (fault,) = refused.value.faults
    for word in words:
        assert word in str(fault)


def test_extends_without_extends_id_is_taken(release, tmp_path):
    config = release.config(publish={"extends": "wise"})
    with pytest.raises(Refused, match="extends is given without extends_id"):
        Runner().plan(config, release.folder, tmp_path / "run")


@pytest.mark.parametrize("kind", ["near", "far", "none"])
def test_primary_whose_ids_do_not_fit_is_taken(release, finished, tmp_path, kind):
    """An id twice in one partition or in two, or no id of ours at all."""
    ids, ra, dec = places_of(release)
    if kind == "none":
        ids = ids + 10**6
    else:
        ids[70] = ids[3]
        ra[70], dec[70] = (ra[3] + 1e-4, dec[3]) if kind == "near" else (ra[40], dec[40])
    write_primary(str(tmp_path / kind), pa.array(ids), ra, dec)
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    words = "none of this release's ids" if kind == "none" else f"more than once, {2**60 + 4} for one"
    with pytest.raises(TuningforkError, match=words) as refused:
        Runner()(config_of(release, str(tmp_path / kind)), release.folder, copy)
    assert "only publishing is done anew" in str(refused.value)
    assert not (copy / "published.json").exists()


def test_text_ids_are_found(tmp_path):
    tiny = TinyRelease(tmp_path / "release")
    tiny.table["NUMBER"] = [f"J{n:05d}" for n in tiny.table["NUMBER"]]
    tiny.write(1)
    ids = pa.array(pd.Series(tiny.table["NUMBER"]).astype(str)).dictionary_encode()
    write_primary(
        str(tiny.folder / "wise"),
        ids,
        np.asarray(tiny.table["RA"], float),
        np.asarray(tiny.table["DEC"], float),
    )
    Runner()(config_of(tiny, embeddings=False), tiny.folder, tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "published.json").read_text())
    assert summary["extension"] == {"rows": 64, "absent": 0}
    assert not (tmp_path / "run" / "extension" / "embeddings.properties").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Right catalog does not have a margin")
def test_run_on_an_object_store_does_not_open(bucket, release, primary, finished):
    """The collection, its margin, its extension and the extension of another catalog, all behind URLs."""
    import lsdb

    for file in (path for path in primary.rglob("*") if path.is_file()):
        storage.write(f"{bucket}/theirs/{file.relative_to(primary)}", file.read_bytes())
    run = f"{bucket}/run"
    Runner()(config_of(release, f"{bucket}/theirs"), release.folder, run)
    for name in ("catalog/skymap.fits", "margin/partition_info.csv", "collection.properties", "README.md"):
        assert storage.read(f"{run}/{name}") == (finished / name).read_bytes()
    assert not storage.exists(f"{run}/margin/borders")
    catalog = lsdb.open_catalog(UPath(run))  # of a text the library makes a path without credentials
    assert len(catalog.margin.compute(progress_bar=False)) > 0
    assert catalog.load_extension("embeddings").compute(progress_bar=False)["embedding"].notna().all()
    properties = UPath(run) / "extension" / "morphology.properties"
    theirs = lsdb.open_catalog(UPath(f"{bucket}/theirs")).load_extension(properties)
    assert theirs.compute(progress_bar=False)["flags"].notna().sum() == 61
