"""What a diffusion model learns from: stamps in their own units, told what the release, its measurer and its sky say of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from catalogs.errors import Refused
from kernels.stretch import noise_level
from pipeline.config.file import parse
from pipeline.training.dataset import fold_of
from pipeline.training.diffusion_dataset import DiffusionDataset, diffusion_dataset

ARMS = {
    "columns": ["ARMS"],
    "range": [0.0, 1.0],
    "missing": -1.0,
    "low": "{column}_lo",
    "high": "{column}_hi",
}
SENSE = {"columns": ["SENSE"], "range": [0.0, 1.0], "needs": "ARMS", "mirrored": True}
NET = {"width": 32}


@pytest.fixture
def told(tiny):
    """The tiny release with attributes."""
    k = np.arange(len(tiny.table))
    tiny.table["ARMS"] = np.array([0.0, 0.5, 1.0, -1.0])[k % 4]
    tiny.table["ARMS_lo"], tiny.table["ARMS_hi"] = tiny.table["ARMS"] - 0.1, tiny.table["ARMS"] + 0.15
    tiny.table["SENSE"] = np.array([0.25, 0.75])[k % 2]
    tiny.table["NAME"] = np.array([b"spiral", b"smooth"])[k % 2]
    tiny.write(2)
    return tiny


def dataset(tiny, attributes=(ARMS, SENSE), fold=None, stretch="asinh", **keys) -> DiffusionDataset:
    diffusion = {**NET, "attributes": list(attributes), **keys}
    train = {"diffusion": diffusion, **({} if fold is None else {"fold": fold})}
    config = parse(tiny.config(train=train, encode={"input": 32, "stretch": stretch}), "survey.toml")
    return diffusion_dataset(config, str(tiny.folder), "survey.toml")


def read_all(found: DiffusionDataset) -> tuple[torch.Tensor, np.ndarray]:
    parts = [found.read(piece) for piece in found.slices()]
    stamps = [torch.tensor(np.array(part["stamp"].to_pylist(), np.float32)) for part in parts]
    targets = np.concatenate([np.array(part["targets"].to_pylist(), np.float32) for part in parts])
    return torch.cat(stamps).reshape(-1, *found.shape), targets


def test_attributes_lose_what_the_release_says(told):
    found = dataset(told)
    assert [a.name for a in found.description.attributes] == ["ARMS", "SENSE", "noise_r", "psf"]
    arms, sense, noise, psf = found.description.attributes
    assert (arms.low, arms.high, arms.missing, arms.limits) == (0.0, 1.0, -1.0, ("ARMS_lo", "ARMS_hi"))
    assert sense.needs == "ARMS"
    assert sense.mirrored
    assert 0 < noise.low < 1 < noise.high  # the tiny release has noise of 1
    assert (psf.low, psf.high) == (0.0, 3.0)
    _, targets = read_all(found)
    values, sure = targets[:, :2], targets[:, 2:]
    np.testing.assert_array_equal(values[:4, 0], [0.0, 0.5, 1.0, np.nan])
    np.testing.assert_allclose(sure[:3, 0], 0.75, atol=1e-6)
    # the sense of arms that are not there means nothing
    np.testing.assert_array_equal(values[:4, 1], [np.nan, 0.75, 0.25, 0.75])


@pytest.mark.parametrize("stretch", ["asinh", "linear"])
def test_stamps_do_not_come_back_in_the_release_s_units(told, stretch):
    found = dataset(told, stretch=stretch)
    stamps, _ = read_all(found)
    rows = [found.usable(piece)[1] for piece in found.slices()]
    fluxes = torch.cat(rows)
    back = found.description.brightness.inverse(stamps)
    # halves of the stretched values: a thousandth of a bright pixel
    torch.testing.assert_close(back.sum(dim=(1, 2, 3)), fluxes.sum(dim=(1, 2, 3)), rtol=2e-3, atol=1.0)
    torch.testing.assert_close(noise_level(back), noise_level(fluxes), rtol=0.02, atol=0)


def test_held_out_objects_are_learned_from(told):
    found = dataset(told, fold=1)
    ids = told.table["NUMBER"]
    import pyarrow as pa

    held = int((fold_of(pa.chunked_array([pa.array(ids)]), 5) == 1).sum())
    assert len(read_all(found)[0]) == 64 - held < 64


def test_measured_attributes_are_not_measured(told):
    found = dataset(told, [ARMS], measured=["r50", "gini"])
    arms, r50, gini, *_ = found.description.attributes
    assert (arms.kind, r50.kind, gini.kind) == ("label", "measured", "measured")
    _, targets = read_all(found)
    values = targets[:, 1:3]
    known = np.isfinite(values)
    assert known.mean() > 0.8
    assert (values[known[:, 0], 0] >= r50.low).all()
    assert (values[known[:, 0], 0] <= r50.high).all()
    assert 0 < gini.low < gini.high < 1


def test_measured_attributes_alone_are_not_enough(told):
    found = dataset(told, [], measured=["r50"])
    assert [a.kind for a in found.description.attributes] == ["measured", "noise", "psf"]
    stamps, targets = read_all(found)
    assert targets.shape == (len(stamps), 2)
    assert np.isfinite(targets).all()


def test_psf_of_the_release_is_forgotten(told):
    config = told.config(train={"diffusion": NET}, measure={"quantities": [], "fwhm": 0.8})
    found = diffusion_dataset(parse(config, "survey.toml"), str(told.folder), "survey.toml")
    psf = found.description.attributes[-1]
    assert psf.low == pytest.approx(4.0, rel=1e-3)  # 0.8 arcsec of 0.2 arcsec a pixel
    assert psf.high == pytest.approx(5.0, rel=1e-3)


def test_wrong_attributes_are_found_out_during_training(told):
    with pytest.raises(Refused, match="Did you mean 'ARMS'"):
        dataset(told, [{"columns": ["ARM"]}])
    with pytest.raises(Refused, match=r"'ARMS', value -1: .*out of the range 0 to 1"):
        dataset(told, [{"columns": ["ARMS"], "range": [0.0, 1.0]}])
    with pytest.raises(Refused, match="'NAME': must be a number"):
        dataset(told, [{"columns": ["NAME"]}])
    with pytest.raises(Refused) as refused:
        dataset(told, [{**SENSE, "needs": "BAR"}, SENSE], measured=["r51", "position_angle"], patch=5)
    said = str(refused.value)
    for problem in (
        "value 'r51': is not measured",
        "value 'position_angle': changes when a stamp is turned",
        "value 'BAR': is no attribute",
        "value 'SENSE': is named twice",
        "stamps of 32 pixels are no multiple of two",
    ):
        assert problem in said
    with pytest.raises(Refused, match="mirrored attributes need a range"):
        dataset(told, [{"columns": ["SENSE"], "mirrored": True}])
    with pytest.raises(Refused, match="the least value comes first"):
        dataset(told, [{"columns": ["SENSE"], "range": [1.0, 0.0]}])
