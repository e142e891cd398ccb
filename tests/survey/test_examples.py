"""The configs in examples/ run as they stand, on the real galaxies that they are about."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import lsdb
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from actors.encoder import Encoder
from catalogs import views
from catalogs.pack import pack
from kernels.nets import create
from kernels.nets.weights import half_precision
from pipeline.config.file import parse
from pipeline.detection.detect import detect
from pipeline.plan.make_plan import make_plan
from tests.survey.conftest import objects_of

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def example(name: str) -> dict:
    return tomllib.loads((EXAMPLES / name).read_text(encoding="utf-8"))


@pytest.mark.slow
def test_cosmos_100_galaxies_with_positions_in_hats(shared_data, runner, tmp_path):
    plan = runner(example("cosmos.toml"), EXAMPLES, tmp_path / "run")
    objects = objects_of(tmp_path / "run")
    truth = Table.read(shared_data / "cosmos" / "btk" / "real_galaxy_catalog_26_extension_example.fits")
    assert objects["object_id"].to_pylist() == sorted(truth["IDENT"].tolist())
    assert objects["group"].null_count == 0
    # nearly every galaxy has its parameters, and its radius is in arcsec
    for name in ("gini", "m20", "concentration", "r50", "sersic_n", "sersic_r_e"):
        assert objects[name].null_count < 5, name
    assert plan.schema.field("r50").metadata[b"unit"] == b"arcsec"
    assert 0.1 < np.nanmedian(objects["r50"].to_numpy(zero_copy_only=False)) < 1.0
    catalog = lsdb.open_catalog(tmp_path / "run" / "catalog").compute().sort_values("object_id")
    np.testing.assert_array_equal(catalog["ra"], truth["RA"][np.argsort(truth["IDENT"])])


@pytest.mark.slow
def test_efigi_2677_galaxies_and_the_purity_of_their_groups(shared_data, runner, tmp_path):
    pack(shared_data / "efigi" / "labels.csv", tmp_path / "efigi", shards=8)
    values = example("efigi.toml")
    values["survey"]["catalogs"] = str(tmp_path / "efigi" / "catalogs" / "*.fits")
    runner(values, EXAMPLES, tmp_path / "run")
    with views.connect(str(tmp_path / "run")) as connection:
        assert connection.sql("SELECT count(*), count(DISTINCT object_id) FROM objects").fetchall() == [
            (2677, 2677)
        ]
        rows = connection.sql(views.canned()["purity"].filled({"column": "t_type"})).fetchall()
    purity = {way: (objects, share) for way, objects, _, share in rows}
    assert purity["vote, all objects"][0] == purity["single k-means, all objects"][0] == 2677
    # The commonest of the five bins holds 0.45 of all galaxies: even random weights must do better than that.
    assert purity["vote, kept objects"][1] > 0.48
    assert purity["single k-means, all objects"][1] > 0.48
    # late disks are 0.64 of all galaxies; names that half of the types gave must say more of the other half than that
    score = json.loads((tmp_path / "run" / "models" / "classes.json").read_text())["held_out"]
    assert 400 < score["objects"] < 2677 / 2 + 100
    assert score["right"] / score["named"] > 0.74


@pytest.fixture
def kids(shared_data) -> Path:
    return shared_data / "kids_viking" / "inst" / "extdata" / "MultiBand"


@pytest.mark.slow
def test_kids_tile_without_wcs_in_nine_bands(kids, runner, tmp_path):
    with fits.open(kids / "r.fits") as hdus:
        image = hdus[1].data
    detect(EXAMPLES / "kids.toml", str(tmp_path / "made"))
    (shard,) = (tmp_path / "made" / "catalogs").glob("*.fits")
    found = Table.read(shard)
    assert len(found) > 900
    values = tomllib.loads((tmp_path / "made" / "survey.toml").read_text(encoding="utf-8"))
    plan = runner(values, tmp_path / "made", tmp_path / "run")
    objects = objects_of(tmp_path / "run")
    assert objects["object_id"].to_pylist() == found["NUMBER"].tolist()
    half = values["survey"]["images"]["size"] / 2
    x0, y0 = np.ceil(found["X_IMAGE"] - 1 - half), np.ceil(found["Y_IMAGE"] - 1 - half)
    over = (x0 < 0) | (y0 < 0) | (x0 + 2 * half > image.shape[1]) | (y0 + 2 * half > image.shape[0])
    np.testing.assert_array_equal(np.asarray(objects["flags"]) & 2 == 2, over)
    assert over.sum() > 20
    (piece, *_) = plan.slices()
    stamp = np.asarray(plan.release.read(piece)["stamp"].combine_chunks().values).reshape(-1, 9, 48, 48)[:, 2]
    inside = int(np.flatnonzero(~over[: len(stamp)])[0])
    box = np.s_[int(y0[inside]) : int(y0[inside]) + 48, int(x0[inside]) : int(x0[inside]) + 48]
    spread = stamp[inside] - image[box]
    assert np.ptp(spread) < 1e-4 * np.ptp(image[box])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "features"), [("paper.toml", 2048), pytest.param("zoobot.toml", 640, id="zoobot")]
)
def test_published_encoders_load_from_a_file_of_their_shape(shared_data, tmp_path, name, features):
    """Random weights of the real architecture stand in for the published ones, which are not in the repository."""
    values = example(name)
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(half_precision(create(values["encode"]["model"], bands=3)))
    values["encode"]["checkpoint"] = str(weights)
    if name == "zoobot.toml":
        pack(shared_data / "efigi" / "labels.csv", tmp_path / "efigi", shards=8)
        values["survey"]["catalogs"] = str(tmp_path / "efigi" / "catalogs" / "*.fits")
    config = parse(values, name)
    plan = make_plan(config, str(EXAMPLES), str(EXAMPLES / name), str(tmp_path / "run"))
    assert plan.features == features
    encoder = Encoder(**{**plan.encoder_options, "batch_size": 4})
    (piece, *_) = plan.slices()
    embeddings = encoder(plan.release.read(piece).slice(0, 4))["embedding"]
    assert len(embeddings[0]) == features
