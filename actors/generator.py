"""The generator: seeds and conditions in, synthetic stamps out. Holds one diffusion model on one device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from kernels.diffusion import Sampling
from kernels.diffusion_model import DiffusionModel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from kernels.attributes import Attribute

__all__ = ["SURE", "StampGenerator", "request_table"]

SURE = "_confidence"
"""Suffix of an attribute's name: the column with the confidence in its value."""


class StampGenerator:
    """One loaded diffusion model; call it with a table of `requests`.

    A stamp has the same bits whatever else is in the table.

    Parameters
    ----------
    model : path
        A .safetensors file of a diffusion model.
    steps, guidance, rescale
        See `kernels.diffusion.Sampling`.
    device : str
        "cpu", "cuda" or "cuda:0" and so on.
    threads : int, optional
        CPU threads of this process; None leaves torch's setting.
    precision : {"float32", "bfloat16"}
        Of the network's arithmetic.

    Raises
    ------
    kernels.nets.weights.WeightsError
        If the file is no diffusion model.
    """

    def __init__(
        self,
        *,
        model: str | Path,
        steps: int = 20,
        guidance: float = 1.0,
        rescale: float = 0.7,
        device: str = "cpu",
        threads: int | None = None,
        precision: str = "float32",
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self._model = DiffusionModel.load(model)
        self._model.net.to(device)
        self._how, self._precision = Sampling(steps, guidance, rescale), precision

    @staticmethod
    def columns(bands: int, size: int) -> pa.Table:
        """The column that is added, as an empty table."""
        return pa.schema([pa.field("stamp", pa.list_(pa.float32(), bands * size * size))]).empty_table()

    def __call__(self, requests: pa.Table) -> pa.Table:
        """Add the stamps, (b, y, x) float32 in the unit of the release that the model learned from, to a table of `requests`."""
        model = self._model
        values = _matrix(requests, [a.name for a in model.attributes], np.nan)
        confidence = _matrix(requests, [a.name + SURE for a in model.attributes], 1.0)
        seeds = requests["seed"].to_numpy().astype(np.int64)
        # on a GPU, an algorithm chosen by timing may differ from process to process; TF32 is no float32
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            stamps = model.draw(values, confidence, seeds, self._how, self._precision)
        field = self.columns(len(model.bands), model.size).schema.field("stamp")
        pixels = pa.array(stamps.numpy().reshape(-1))
        return requests.append_column(field, pa.FixedSizeListArray.from_arrays(pixels, field.type.list_size))


def request_table(
    seeds: NDArray[np.int64],
    values: NDArray[np.float32],
    confidence: NDArray[np.float32],
    attributes: Sequence[Attribute],
) -> pa.Table:
    """The requests of a generator: `seed`, and value and confidence of each attribute, null where it is unknown.

    Parameters
    ----------
    seeds : (n,) int64
    values, confidence : (n, attributes) float32
        NaN values are unknown.
    attributes : sequence of Attribute
        The model's.
    """
    columns = {"seed": pa.array(seeds, pa.int64())}
    for i, attribute in enumerate(attributes):
        unknown = np.isnan(values[:, i])
        columns[attribute.name] = pa.array(values[:, i], pa.float32(), mask=unknown)
        columns[attribute.name + SURE] = pa.array(confidence[:, i], pa.float32(), mask=unknown)
    return pa.table(columns)


def _matrix(requests: pa.Table, names: Sequence[str], null: float) -> NDArray[np.float32]:
    """Columns (n, names) as float32, `null` for null and for columns that are absent."""
    matrix = np.full((requests.num_rows, len(names)), null, np.float32)
    for i, name in enumerate(names):
        if name in requests.column_names:
            matrix[:, i] = requests[name].fill_null(null).to_numpy()
    return matrix
