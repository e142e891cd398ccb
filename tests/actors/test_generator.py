"""Synthetic stamps are reproducible one by one, and drawing costs little more than drawing."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from actors.generator import StampGenerator, request_table
from actors.stamps import stamps_of
from kernels.attributes import Attribute
from kernels.diffusion import Sampling
from kernels.diffusion_model import DiffusionModel, untrained
from kernels.nets.weights import WeightsError

ATTRIBUTES = (
    Attribute("t_type", -6, 11),
    Attribute("arm_strength", 0, 1),
    Attribute("noise_r", 0.01, 10, "noise"),
)
NET = {"width": 32, "depth": 2, "patch": 4, "skin": 4}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    untrained(("r",), 16, ATTRIBUTES, **NET).save(path)
    return path


@pytest.fixture(scope="module")
def asked():
    rng = np.random.default_rng(3)
    values = np.stack([rng.uniform(-6, 11, 50), rng.uniform(0, 1, 50), np.full(50, 0.1)], 1).astype(
        np.float32
    )
    values[::3, 0] = np.nan
    return request_table(np.arange(50) + 7, values, np.full((50, 3), 0.5, np.float32), ATTRIBUTES)


def pixels(drawn: pa.Table) -> np.ndarray:
    return stamps_of(drawn["stamp"], 1, 16)


def test_stamp_depends_on_its_neighbours(model, asked):
    generator = StampGenerator(model=model, steps=3)
    whole = pixels(generator(asked))
    assert len(np.unique(whole.reshape(50, -1), axis=0)) == 50
    order = np.random.default_rng(0).permutation(50)
    assert (pixels(generator(asked.take(order))) == whole[order]).all()
    for start, stop in ((0, 1), (31, 33), (49, 50), (5, 5)):
        assert (pixels(generator(asked.slice(start, stop - start))) == whole[start:stop]).all()


def test_drawn_table_keeps_its_columns_and_adds_what_was_declared(model, asked):
    asked = asked.append_column("object_id", pa.array(range(50)))
    drawn = StampGenerator(model=model, steps=2)(asked)
    assert drawn.drop_columns("stamp").equals(asked)
    assert drawn.schema.field("stamp").equals(StampGenerator.columns(1, 16).schema.field("stamp"))


def test_generator_draws_something_else_than_its_model(model, asked):
    how = Sampling(3, 1.5, 0.2)
    values = np.stack([asked[a.name].fill_null(np.nan).to_numpy() for a in ATTRIBUTES], 1)
    bare = DiffusionModel.load(model).draw(
        values, np.full((50, 3), 0.5, np.float32), asked["seed"].to_numpy(), how
    )
    drawn = StampGenerator(model=model, steps=3, guidance=1.5, rescale=0.2)(asked)
    assert (pixels(drawn) == bare.numpy()).all()


def test_unknown_is_not_told_from_a_value(model, asked):
    """Null and an absent column say the same; any value says something else."""
    generator = StampGenerator(model=model, steps=2)
    nothing = asked.select(["seed"])
    null = request_table(
        np.arange(50) + 7, np.full((50, 3), np.nan, np.float32), np.ones((50, 3), np.float32), ATTRIBUTES
    )
    assert (pixels(generator(nothing)) == pixels(generator(null))).all()
    assert (pixels(generator(nothing)) != pixels(generator(asked))).any(axis=(1, 2, 3)).all()


def test_file_that_is_no_model_is_loaded(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        StampGenerator(model=tmp_path / "absent.safetensors")
