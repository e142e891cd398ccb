"""What is registered in one place is there: networks can be made, families fitted, and every measured column has its values."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kernels import members
from kernels.families import FAMILIES
from kernels.measure.morphology import measure
from kernels.measure.quantities import COLUMNS, QUANTITIES
from kernels.nets import UnknownNetError, create, features, weights
from kernels.networks import NETWORKS, encoders, network_of


@pytest.mark.parametrize(
    "name",
    [name for name, network in NETWORKS.items() if network.role != "diffusion" and not network.described],
)
def test_registered_network_cannot_be_made(name):
    bundled = NETWORKS[name].checkpoint == "bundled"
    with torch.device("cpu" if bundled else "meta"):  # the largest have half a billion weights
        net = create(name, bands=1, size=NETWORKS[name].input)
    assert isinstance(net, torch.nn.Module)
    if bundled:
        path = weights.bundled(name)
        weights.load(net, path)
        assert Path(path).with_suffix(".md").is_file(), "a model card lies beside the weights"


def test_what_is_no_encoder_has_features():
    for name in NETWORKS.keys() - set(encoders()):
        with pytest.raises(UnknownNetError, match="is no encoder"):
            features(name)


def test_nets_of_timm_are_not_known():
    assert network_of("timm:convnext_atto").role == "encoder"
    for name in ("timm:", "convnext_atto", ""):
        with pytest.raises(UnknownNetError):
            network_of(name)


def test_a_family_cannot_be_fitted():
    assert set(members._FITS) == set(FAMILIES)


def test_a_measured_column_has_no_values():
    found = measure(torch.zeros(1, 32, 32), torch.zeros(1, 32, 32, dtype=torch.bool))
    assert set(found) == {name for names in QUANTITIES.values() for name in names} | {"measure_flags"}
    assert {column.name for column in COLUMNS if column.needs_zeropoint} == {"sersic_magnitude"}
