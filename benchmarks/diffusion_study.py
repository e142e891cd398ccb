"""What the sections of `benchmarks.diffusion` share: real galaxies with their conditions, the model, its drawings, and a cache of all that is slow.

EFIGI at the model's size, as `tuningfork pack --fit resize` makes it. Fold 0, by a hash of the ids, is held out: the model never saw these galaxies.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from benchmarks import contestants
from benchmarks.galaxies import FOLDS, SHARED
from catalogs.inspect import inspect
from catalogs.pack import pack
from catalogs.slices import slices_of
from kernels.diffusion_model import DiffusionModel
from kernels.nets.weights import bundled
from kernels.stretch import noise_level
from pipeline.conditions import of_rows
from pipeline.config.file import load
from pipeline.training.dataset import fold_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from kernels.diffusion import Sampling

HELD_OUT = 0
"""Fold that neither the model nor the bundled galaxy-atto saw."""
_WITHOUT_LABELS = contestants.FOLDER / "taught-0.safetensors"
LABELLED, IMAGENET = "galaxy-atto", "ImageNet EfficientNet-lite0"
"""The bundled one was trained with the labels of all galaxies that are not held out, ImageNet's without galaxies."""
UNLABELLED = "galaxy-atto, without labels" if _WITHOUT_LABELS.exists() else IMAGENET
"""`make encoders` trains the first, on the galaxies that are not held out, without labels."""


@dataclass(frozen=True)
class Study:
    """A model, and the galaxies that it is judged by."""

    model: DiffusionModel
    path: Path
    """The model's file."""
    ids: NDArray[np.str_]
    stamps: torch.Tensor
    """(n, b, y, x) float32."""
    labels: pd.DataFrame
    held: NDArray[np.bool_]
    """Held out from the model's training."""
    values: NDArray[np.float32]
    """(n, attributes): the condition that describes each galaxy, NaN where unknown."""
    confidence: NDArray[np.float32]
    cache: Path
    figures: Path
    """Folder that figures go to."""
    small: bool = False
    """A few galaxies, to see that all works."""
    device: str = "cpu"
    """What the section `speed` draws on."""

    def cached(self, what: str, key: list[object], make: Callable[[], NDArray]) -> NDArray:
        """An array that is made once for a key of arrays and plain values, and then read."""
        digest = hashlib.blake2b(what.encode(), digest_size=12)
        for part in key:
            digest.update(
                np.ascontiguousarray(part).tobytes() if hasattr(part, "dtype") else repr(part).encode()
            )
        path = self.cache / f"{what}-{digest.hexdigest()}.npy"
        if not path.exists():
            scratch = path.with_suffix(".part.npy")
            np.save(scratch, make())
            scratch.rename(path)
        return np.load(path)

    def draw(
        self,
        values: NDArray[np.float32],
        confidence: NDArray[np.float32],
        seeds: NDArray[np.int64],
        how: Sampling,
    ) -> torch.Tensor:
        """Stamps of these conditions, (n, b, y, x)."""
        key = [self.model.fingerprint, values, confidence, seeds, how]
        return torch.from_numpy(
            self.cached("drawn", key, lambda: self.model.draw(values, confidence, seeds, how).numpy())
        )

    def draw_like(self, galaxies: NDArray[np.int64], how: Sampling, copy: int = 0) -> torch.Tensor:
        """Synthetic galaxies with the conditions of these real ones; other copies have other seeds."""
        seeds = copy * len(self.ids) + galaxies
        return self.draw(self.values[galaxies], self.confidence[galaxies], seeds, how)

    def embed(self, encoder: str, stamps: torch.Tensor) -> NDArray[np.float32]:
        """Embeddings of stamps (n, features), by `LABELLED` or `UNLABELLED`."""

        def make() -> NDArray[np.float32]:
            table, (bands, size) = as_table(stamps), stamps.shape[1:3]
            if encoder == IMAGENET:
                return contestants.efficientnet(table, bands, size)
            weights = bundled("galaxy-atto") if encoder == LABELLED else _WITHOUT_LABELS
            return contestants.ours(table, bands, str(weights), size=size)

        return self.cached("embedded", [encoder, stamps], make)


def study(path: Path, cache: Path, figures: Path, most: int | None = None, device: str = "cpu") -> Study:
    """EFIGI beside a model; with `most`, only so many held-out galaxies and four times as many others."""
    model = DiffusionModel.load(path)
    folder = cache / f"efigi-{model.size}"
    if not folder.exists():
        pack(SHARED / "efigi" / "labels.csv", folder, shards=8, size=model.size, fit="resize")
    config, where = load(folder / "survey.toml")
    release = inspect(config.survey, where)
    assert tuple(release.survey.images.bands) == model.bands, (
        f"the model draws {model.bands}, EFIGI has r, g, b"
    )
    rows = pa.concat_tables([release.read(piece) for piece in slices_of(release.shards, 1024)])
    rows = rows.filter(rows["usable"])
    held = fold_of(rows["object_id"], FOLDS) == HELD_OUT
    if most is not None:
        chosen = np.union1d(np.flatnonzero(held)[:most], np.flatnonzero(~held)[: 4 * most])
        rows, held = rows.take(chosen), held[chosen]
    pixels = rows["stamp"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    stamps = torch.tensor(pixels.reshape(len(rows), len(model.bands), model.size, model.size))
    noise = noise_level(stamps).numpy()
    for band, name in enumerate(model.bands):
        rows = rows.append_column(f"noise_{name}", pa.array(noise[:, band]))
    # nothing was blurred: beyond the survey's own PSF, which nobody knows, there is none
    rows = rows.append_column("psf", pa.array(np.zeros(len(rows), np.float32)))
    values, sure = of_rows(rows, model.attributes)
    labels = rows.drop_columns(["stamp"]).to_pandas()
    ids, small = labels["object_id"].to_numpy(str), most is not None
    return Study(
        model, path.resolve(), ids, stamps, labels, held, values, sure, cache, figures, small, device
    )


def as_table(stamps: torch.Tensor) -> pa.Table:
    """Stamps (n, b, y, x) as actors take them."""
    flat = pa.array(stamps.float().contiguous().numpy().reshape(-1))
    lists = pa.FixedSizeListArray.from_arrays(flat, int(np.prod(stamps.shape[1:])))
    there = pa.array(np.ones(len(stamps), bool))
    return pa.table({"usable": there, "flags": pa.array(np.zeros(len(stamps), np.int32)), "stamp": lists})
