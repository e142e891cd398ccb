"""astroformer: its stacks and numbers are the published ones."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from kernels.nets import create
from kernels.nets.astroformer import SHAPES
from kernels.nets.weights import WeightsError, load

TINY = {"dims": (8, 16, 32, 32), "depths": (1, 1, 1, 1), "stem": 8}


@pytest.mark.parametrize(("variant", "millions"), [("0", 22.77), ("4", 241.09), ("5", 593.56)])
def test_variant_has_another_number_of_weights_than_the_published_code(variant, millions):
    with torch.device("meta"):
        net = create(f"astroformer-{variant}", bands=3, size=256)
    classes = 10 * (SHAPES[variant][0][-1] + 1)  # its classifier's
    assert round((sum(weight.numel() for weight in net.parameters()) + classes) / 1e6, 2) == millions


@pytest.mark.parametrize("stack", ["C-C-C-T", "C-C-T-T"])
def test_stack_is_ignored(stack):
    net = create("astroformer-atto", bands=1, **TINY, stack=stack)
    kinds = ["T" if "Transformer" in type(stage.blocks[0]).__name__ else "C" for stage in net.backbone.stages]
    assert "-".join(kinds) == stack


@pytest.mark.parametrize("side", [16, 48, 65])
def test_side_of_the_input_must_be_a_multiple(side):
    net = create("astroformer-atto", bands=2, size=side, **TINY)
    with torch.inference_mode():
        codes = net(torch.rand(3, 2, side, side))
    assert codes.shape == (3, 32)
    assert bool(codes.isfinite().all())


def test_weights_of_another_side_are_half_loaded(tmp_path):
    save_file(create("astroformer-atto", size=64, **TINY).state_dict(), tmp_path / "w.safetensors")
    load(create("astroformer-atto", size=50, **TINY), tmp_path / "w.safetensors")  # both are padded to 64
    with pytest.raises(WeightsError, match="relative_position_bias_table"):
        load(create("astroformer-atto", size=96, **TINY), tmp_path / "w.safetensors")


def test_stochastic_depth_is_left_on_or_never_on():
    net, stamps = create("astroformer-atto", **TINY, drop_path=0.9), torch.rand(4, 1, 64, 64)
    plain = create("astroformer-atto", **TINY)
    with torch.inference_mode():
        assert torch.equal(net(stamps), plain(stamps))
    drops = [layer.drop_prob for layer in net.modules() if type(layer).__name__ == "DropPath"]
    assert max(drops) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"stack": "C-T-C-T"}, "it is one of"),
        ({"dims": (8, 16, 32)}, "four stages"),
        ({"dims": (8, 16, 32, 40)}, "multiple of 32 channels, not 40"),
        ({"variant": "6"}, "it is one of"),
    ],
)
def test_impossible_shape_is_a_riddle(options, told):
    with pytest.raises(ValueError, match=told):
        create("astroformer-atto", **{**TINY, **options})
