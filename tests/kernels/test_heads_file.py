"""A predictor's file comes back as it went, answers the same in any batch, and one that is damaged is told in one line."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from kernels.heads.answers import Calibration
from kernels.heads.domain import Domain, domain_of
from kernels.heads.head import Head
from kernels.heads.predictor import KEY, NotAPredictor, Predictor, TaughtHead
from kernels.heads.scores import Scores
from kernels.linear_map import LinearMap

HEADS = (
    TaughtHead(
        Head("bar", "classes", ("no", "yes"), balance=(0.5, 1.5)),
        Calibration(1.25, 1.0),
        Scores(40, {"accuracy": 0.9}, ((20, 0.7, 0.75), (20, 0.9, 0.95)), ((0.6, 1.0, 0.85),)),
        0.1,
    ),
    TaughtHead(Head("arms", "ordinal", ("0", "1"), (0.0, 1.0))),
    TaughtHead(Head("spiral", "votes", ("yes", "no"))),
    TaughtHead(Head("tight", "votes", ("yes", "no"), asked=(("spiral", "yes"),), about="How tight?")),
    TaughtHead(Head("z", "value", transform="log1p", shift=0.3, scale=0.2), Calibration(1.0, 1.5)),
)


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(0, 1, (5000, 24)) @ rng.normal(0, 1, (24, 24))).astype(np.float16)


@pytest.fixture(scope="module")
def predictor(codes) -> Predictor:
    rng = np.random.default_rng(1)
    largest = float(np.abs(codes).max())
    layer = LinearMap.of(rng.normal(0, 0.3, (10, 24)), rng.normal(0, 1, 10), largest)
    return Predictor(
        HEADS, layer, domain_of(codes, largest), {"model": "galaxy-atto", "bands": ["i"]}, {"objects": 5000}
    )


def test_a_linear_map_depends_on_the_batch(codes):
    rng = np.random.default_rng(2)
    weight, bias = rng.normal(0, 1, (7, 24)), rng.normal(0, 1, 7)
    map_ = LinearMap.of(weight, bias, float(np.abs(codes).max()))
    whole = map_(codes)
    assert whole == pytest.approx(codes.astype(float) @ weight.T + bias, abs=1e-3)
    for size in (1, 3, 4096, 4097):
        pieces = [map_(codes[start : start + size]) for start in range(0, min(len(codes), 40 * size), size)]
        found = np.concatenate(pieces)
        assert np.array_equal(found, whole[: len(found)])
    shuffled = rng.permutation(len(codes))
    assert np.array_equal(map_(codes[shuffled]), whole[shuffled])
    assert map_(codes[:0]).shape == (0, 7)


def test_a_linear_map_takes_what_it_cannot(codes):
    map_ = LinearMap.of(np.ones((1, 24)), np.zeros(1), 1.0)
    assert np.isfinite(map_(np.full((1, 24), 6e4))).all(), "far values are cut off"
    with pytest.raises(ValueError, match="23 dimensions"):
        map_(codes[:, 1:])
    with pytest.raises(ValueError):
        map_(np.full((1, 24), np.nan))


def test_a_file_does_not_come_back_as_it_went(predictor, codes):
    data = predictor.to_bytes()
    back = Predictor.from_bytes(data, "p.safetensors")
    assert back.heads == predictor.heads
    assert (back.encoder, back.taught, back.has_network) == (predictor.encoder, predictor.taught, False)
    assert back.to_bytes() == data
    for name, values in predictor.answers(codes[:300], "p").items():
        again = back.answers(codes[:300], "p")[name]
        assert np.array_equal(np.ma.getdata(again), np.ma.getdata(values))
        assert np.array_equal(np.ma.getmaskarray(again), np.ma.getmaskarray(values))


def test_answers_depend_on_the_batch(predictor, codes):
    whole = predictor.answers(codes[:600], "p")
    for size in (1, 7, 599):
        starts = range(0, 600 if size > 1 else 20, size)
        pieces = [predictor.answers(codes[start : min(start + size, 600)], "p") for start in starts]
        for name, values in whole.items():
            found = np.ma.concatenate([piece[name] for piece in pieces])
            assert np.array_equal(np.ma.getdata(found), np.ma.getdata(values)[: len(found)])
            assert np.array_equal(np.ma.getmaskarray(found), np.ma.getmaskarray(values)[: len(found)])
    assert [column.name for column in predictor.columns("p")][-2:] == ["p_outside", "p_distance"]
    assert all(len(values) == 0 for values in predictor.answers(codes[:0], "p").values())


def test_its_own_network_is_lost(predictor):
    network = {"stem.weight": np.ones((2, 3), np.float32)}
    back = Predictor.from_bytes(predictor.to_bytes(network), "p.safetensors")
    assert back.has_network
    assert back.heads == predictor.heads


def damaged(predictor: Predictor, change) -> bytes:
    """The file with another description."""
    values = json.loads(predictor.description())
    change(values)

    class Changed(Predictor):
        def description(self) -> str:
            return json.dumps(values)

    fields = {field.name: getattr(predictor, field.name) for field in dataclasses.fields(predictor)}
    return Changed(**fields).to_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v: v.update(version=99), "is of version 99"),
        (lambda v: v.pop("heads"), "is damaged"),
        (lambda v: v["heads"][0].pop("calibration"), "is damaged"),
        (lambda v: v["heads"][0]["head"].update(nonsense=1), "is damaged"),
        (lambda v: v.update(heads=[1]), "is damaged"),
        (lambda v: v["heads"].pop(), "is damaged"),
        (lambda v: v["heads"][3]["head"].update(asked=[["nobody", "yes"]]), "is damaged"),
    ],
)
def test_a_damaged_description_is_not_told_in_one_line(predictor, change, said):
    with pytest.raises(NotAPredictor, match=said) as told:
        Predictor.from_bytes(damaged(predictor, change), "p.safetensors")
    assert str(told.value).startswith("p.safetensors: ")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("cut", [0, 4, 8, 40, -1, -5000])
def test_a_cut_file_is_not_told_in_one_line(predictor, cut):
    with pytest.raises(NotAPredictor) as told:
        Predictor.from_bytes(predictor.to_bytes()[:cut], "p.safetensors")
    assert "\n" not in str(told.value)


def test_weights_of_something_else_are_taken_for_a_predictor():
    from safetensors.numpy import save

    for metadata in ({}, {"model": "x"}, {KEY: "no JSON"}):
        with pytest.raises(NotAPredictor) as told:
            Predictor.from_bytes(save({"a": np.ones(3)}, metadata), "weights.safetensors")
        assert "weights.safetensors" in str(told.value)


@pytest.mark.parametrize("n", [2, 40, 1200, 2500])
def test_what_was_taught_lies_outside_and_what_was_not_inside(codes, n):
    domain = domain_of(codes[:n], float(np.abs(codes).max()))
    assert (domain.distance(codes[:n][-500:]) > 1).mean() < 0.03
    if n >= 1200:
        assert (domain.distance(codes[-1000:]) > 1).mean() < 0.04
    far = codes[:20].astype(np.float64) + 40 * codes.astype(np.float64).std(axis=0)
    if n > 2:
        assert (domain.distance(far) > 1).all()
    back = Domain.from_arrays(domain.to_arrays())
    assert np.array_equal(back.distance(codes[:50]), domain.distance(codes[:50]))
    assert np.array_equal(domain.distance(codes[:50])[7:8], domain.distance(codes[7:8]))
