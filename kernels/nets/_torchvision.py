"""The one place that makes torchvision importable beside a CPU-only torch; call `install` before timm is first imported.

timm imports torchvision. The torchvision of PyPI is built for CUDA: beside a CPU torch its compiled half does not load, and then
its import fails because two operators are not declared. Declaring them (they are never called here) lets its Python half,
all that timm needs, be imported. Where torchvision imports by itself, as beside a CUDA torch, nothing is changed.
"""

from __future__ import annotations

import sys

import torch

__all__ = ["install"]

# a torch.library.Library takes its declarations with it when it is collected
_kept: list[torch.library.Library] = []


def install() -> None:
    """Import torchvision, declaring its missing operators if that is what stops it. Once a process; cheap after that."""
    if "torchvision" in sys.modules:
        return
    try:
        import torchvision  # noqa: PLC0415
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            if not hasattr(getattr(torch.ops.torchvision, operator, None), "default"):
                library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(library)
        import torchvision  # noqa: F401, PLC0415
