"""A network is built and run without torch's compiler, which is there as ever for whoever asks for it."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import torch
from kernels import nets

net = nets.create("timm:convnext_atto", bands=1, size=64)
with torch.inference_mode():
    assert net(torch.zeros(2, 1, 64, 64)).shape[-1] == 320
assert not {"torch._dynamo", "sympy"} & sys.modules.keys(), "the compiler is loaded"
assert nets.features("timm:convnext_atto", bands=1, size=64) == 320
assert "torch._dynamo" not in sys.modules, "the compiler is loaded to plan"

import torchvision.ops
from timm.models.naflexvit import NaFlexRopeIterator
pooled = torchvision.ops.roi_align.__globals__["is_compile_supported"]
assert isinstance(pooled("cpu"), bool)
import torch._dynamo
assert torch._dynamo is sys.modules["torch._dynamo"]
assert torch._dynamo.disable.__module__.startswith("torch._dynamo")

"""


def test_networks_load_the_compiler_or_spoil_it():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


ASKED = """
import sys
import torch
from kernels.nets._compiler import left_out

with left_out():
    import torch._dynamo.utils
    stand_in = sys.modules["torch._dynamo"]
    from torch._dynamo.utils import counters
    assert sys.modules["torch._dynamo"] is not stand_in
assert counters is torch._dynamo.utils.counters
with left_out():  # it is loaded already
    assert torch._dynamo.utils.counters is counters
"""


def test_another_version_of_timm_that_asks_for_more_is_not_served():
    done = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
