"""The whole encoder as one ONNX graph, for tritonserver's onnxruntime backend and for whoever else runs ONNX."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from actors.encoder import Encoder
from actors.serving import contract

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["write_onnx"]

_OPSET = 20  # the first whose GridSample and Resize do all that torch's do


class _Whole(nn.Module):
    """Stamps (n, b, y, x) to embeddings (n, features) and the fingerprint's first bytes (n, 8)."""

    mark: torch.Tensor
    _encoder: Encoder

    def __init__(self, encoder: Encoder, mark: bytes, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.denoiser = encoder.modules()
        self._encoder, self._dtype = encoder, dtype
        self.register_buffer("mark", torch.tensor(list(mark), dtype=torch.uint8))

    def forward(self, stamps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        embeddings = self._encoder.tensors(stamps.float())
        return embeddings.to(self._dtype), self.mark.expand(stamps.shape[0], -1)


def write_onnx(options: dict[str, Any], path: Path, wire: str) -> None:
    """Write the graph of an encoder in float32, with a free batch size.

    Parameters
    ----------
    options : dict
        Of `actors.encoder.Encoder`; its `precision` must be "float32".
    path : Path
    wire : {"float32", "float16"}
        Type of input and embedding.

    Raises
    ------
    ValueError
        For another precision: its arithmetic would not be that of the fingerprint.
    ImportError
        Without the packages of the extra ``onnx``.
    """
    if options["precision"] != "float32":
        raise ValueError(f'precision = "{options["precision"]}": ONNX graphs compute in float32')
    mark = contract.mark(contract.fingerprint(options, Encoder.weights_fingerprint(**options)))
    dtype = getattr(torch, wire)
    encoder = Encoder(**options)
    shape = contract.input_shape(encoder.bands, encoder.size, encoder.width)
    example = torch.randn(2, *shape).to(dtype)
    whole = _Whole(encoder, mark, dtype).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own parts
        program = torch.onnx.export(
            whole,
            (example,),
            input_names=[contract.STAMP],
            output_names=[contract.EMBEDDING, contract.FINGERPRINT],
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.save(path)
