"""A release on an object store must read like the one on disk, byte ranges only."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits

from catalogs import hats_catalog, hats_metadata, identity, parts, storage
from catalogs.errors import FileChanged, Refused
from catalogs.inspect import inspect
from catalogs.slices import Slice, slices_of
from catalogs.survey import Survey
from catalogs.tables import open_table


@pytest.mark.parametrize("kind", ["plain", "fz", "gz"])
def test_release_on_s3_gives_the_same_objects(bucket, tiny, kind):
    suffix = {"plain": "", "fz": ".fz", "gz": ".gz"}[kind]
    plain = tiny.folder / "images" / "t0_r.fits"
    if kind == "fz":
        data, header = fits.getdata(plain, header=True)
        plane = fits.CompImageHDU(data, header, compression_type="GZIP_2", quantize_level=0)
        fits.HDUList([fits.PrimaryHDU(), plane]).writeto(f"{plain}.fz")
    elif kind == "gz":
        fits.writeto(f"{plain}.gz", *fits.getdata(plain, header=True))
    base = f"{bucket}/{kind}"
    for path in sorted(tiny.folder.rglob("*.fits*")):
        storage.write(f"{base}/{path.relative_to(tiny.folder)}", path.read_bytes())
    values = tiny.config(images={"path": "images/{TILE}_{band}.fits" + suffix})["survey"]
    near = inspect(Survey.model_validate(values), str(tiny.folder))
    far = inspect(Survey.model_validate({**values, "catalogs": f"{base}/catalogs/*.fits"}), base)
    assert [s.label for s in far.shards] == [s.label for s in near.shards] == ["s00.fits", "s01.fits"]
    for piece in slices_of(near.shards, 10):
        here, there = near.read(piece), far.read(piece)
        assert there.equals(here)
        assert np.isfinite(here["stamp"].combine_chunks().values).all()


def test_an_asterisk_in_a_path_on_s3_fits_nothing(bucket, tiny):
    base = f"{bucket}/star"
    storage.write(f"{base}/images/t0-2024T12.5Z_r.fits", (tiny.folder / "images" / "t0_r.fits").read_bytes())
    values = tiny.config(images={"path": f"{base}/images/{{TILE}}-*_{{band}}.fits"})["survey"]
    far = inspect(Survey.model_validate(values), str(tiny.folder))
    near = inspect(Survey.model_validate(tiny.config()["survey"]), str(tiny.folder))
    (piece, *_) = slices_of(near.shards, 10)
    assert far.read(piece)["stamp"].equals(near.read(piece)["stamp"])
    values["images"]["path"] = "nowhere://host/{TILE}-*_{band}.fits"
    with pytest.raises(
        Refused, match=r"\[survey.images\] path: 'nowhere://host/t0-\*_r.fits' cannot be listed"
    ):
        inspect(Survey.model_validate(values), str(tiny.folder))


def test_header_of_a_large_shard_on_s3_takes_one_small_request(bucket, monkeypatch):
    import s3fs

    table = fits.BinTableHDU(np.zeros(2_000_000, [("FLUX", "f4")]))
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(file)
    storage.write(f"{bucket}/large.fits", file.getvalue())
    ranges, fetch = [], s3fs.core.S3File._fetch_range

    def counted(self, start, end):
        ranges.append((start, end))
        return fetch(self, start, end)

    monkeypatch.setattr(s3fs.core.S3File, "_fetch_range", counted)
    assert open_table(f"{bucket}/large.fits").rows == 2_000_000
    assert len(ranges) == 1
    assert ranges[0][1] < 100_000


@pytest.mark.parametrize("flags", [10, 10_000], ids=["short", "longer than is read at once"])
def test_receipt_is_read_from_s3(bucket, flags):
    told = parts.Receipt(0, 0, 2, 2, 2, "f", {f"flag{n}": n for n in range(flags)})
    parts.write(f"{bucket}/parts{flags}", Slice(0, 0, 2), pa.table({"object_id": [1, 2]}), told)
    assert parts.receipt(f"{bucket}/parts{flags}", Slice(0, 0, 2).name) == told


def test_parts_written_to_s3_are_found_again(bucket):
    storage.write(f"{bucket}/run/objects/part-1.parquet", b"whole")
    assert storage.names(f"{bucket}/run/objects") == ["part-1.parquet"]
    assert storage.read(f"{bucket}/run/objects/part-1.parquet") == b"whole"
    storage.remove(f"{bucket}/run")
    assert storage.names(f"{bucket}/run/objects") == []


def test_catalog_published_to_s3_has_the_bytes_of_a_local_one(bucket, tmp_path):
    rng = np.random.default_rng(1)
    index = hats_catalog.spatial_index(rng.uniform(10, 12, 500), rng.uniform(-1, 1, 500))
    fields = pa.schema([hats_catalog.INDEX_FIELD, ("object_id", pa.int64())])
    rows = pa.Table.from_arrays([pa.array(index), pa.array(np.arange(500))], schema=fields)
    pixels, counts = np.unique(index >> 2 * (29 - hats_catalog.ORDER), return_counts=True)
    histogram = dict(zip(pixels.tolist(), counts.tolist(), strict=True))
    found = hats_catalog.partitions(histogram, 200)
    assert len(found) > 3
    for base in (f"{bucket}/catalog", str(tmp_path / "catalog")):
        for partition in found:
            hats_catalog.write_partition(base, partition, rows.filter(pa.array(partition.holds(index))))
        hats_metadata.finish(base, "test", list(found), 500, histogram)
    local = [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()]
    assert len(local) == len(found) + 7
    for name in local:
        assert storage.read(f"{bucket}/{name}") == (tmp_path / name).read_bytes(), name


def test_an_object_that_was_replaced_is_taken_for_the_same(bucket):
    """Of the same size, and listed before: fsspec remembers listings."""
    url = f"{bucket}/replaced/a.fits"
    storage.write(url, b"old")
    (listed,) = storage.expand(f"{bucket}/replaced/*.fits", "")
    before = identity.identity(listed, fresh=False)
    assert before.startswith("3@ETag:")
    identity.check(listed, before)
    fs, path = storage.filesystem(url)
    fs.call_s3("put_object", Bucket="survey", Key=path.split("/", 1)[1], Body=b"new")  # by somebody else
    with pytest.raises(FileChanged, match="has changed"):
        identity.check(listed, before)
    for n in range(identity.LISTED):
        storage.write(f"{bucket}/replaced/{n}.fits", b"new")
    now = identity.identities([f"{bucket}/replaced/{n}.fits" for n in range(identity.LISTED)])
    assert len(now) == identity.LISTED
    assert not identity.same(before, next(iter(now.values())))
    assert identity.identities([f"{bucket}/replaced/gone.fits"]) == {}


def test_a_copy_in_another_store_is_the_same_by_its_content(bucket, tmp_path):
    (tmp_path / "a.fits").write_bytes(b"old")
    storage.write(f"{bucket}/copied/a.fits", b"old")
    here, there = (
        identity.identity(url, "digest") for url in (f"{tmp_path}/a.fits", f"{bucket}/copied/a.fits")
    )
    assert here != there
    assert identity.same(here, there)
