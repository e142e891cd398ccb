"""An autoregressive encoder on pictures of real galaxies, beside galaxy-atto: modalities_efigi.csv.

ar-1m learns the stamps of EFIGI outside fold 0 (2,100 galaxies, 88 pixels, three bands, no labels), which is little; galaxy-atto as it is bundled learned the same galaxies and
many others, with their labels. Linear probes and nearest neighbours learn from four folds and are scored on fold 0. One thread, ten minutes.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors

from actors.encoder import Encoder
from benchmarks import contestants
from benchmarks.common import write_csv
from benchmarks.encoder import HELD_OUT, scores
from benchmarks.galaxies import SIZE, galaxies, type_bins
from benchmarks.science import write_tables
from kernels.autoregressive_model import describe
from kernels.nets.weights import bundled
from pipeline.training.train import train

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

CONFIG = """
[survey]
catalogs = "efigi/catalogs/*.fits"
id = "id"

[survey.images]
layout = "column"
column = "IMAGE"
bands = ["r", "g", "b"]
size = 88
pixel_scale = "unknown"

[encode]
model = "ar-1m"

[train]
epochs = {epochs}
threads = 1
fold = {fold}
labels.values = [{{ columns = ["t_type"] }}]
"""
NEAREST = 10


def main() -> None:
    """Train, probe, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    scratch = contestants.FOLDER / "releases"
    scratch.mkdir(parents=True, exist_ok=True)
    data = galaxies("efigi", scratch)
    encoders = {"galaxy-atto, bundled": partial(contestants.ours, checkpoint=str(bundled("galaxy-atto")))}
    path, out = scratch / "ar.toml", scratch / "ar"
    path.write_text(CONFIG.format(epochs=options.epochs, fold=HELD_OUT))
    train("autoregressive", [path], str(out))
    encoders["ar-1m, of EFIGI alone"] = partial(_ar, checkpoint=out / "autoregressive.safetensors")
    truth, test = type_bins(data.labels), data.fold == HELD_OUT
    rows = []
    for name, embed in encoders.items():
        codes = embed(data.stamps, 3)
        found = scores(codes, data, HELD_OUT)
        found["same type of the 10 nearest"] = _alike(codes, truth, test)
        rows.append((name, *(f"{value:.3f}" for value in found.values())))
    write_csv("modalities_efigi", ("encoder", *found), rows)
    write_tables()


def _ar(stamps: pa.Table, bands: int, checkpoint: Path) -> NDArray[np.float32]:
    """Codes of an autoregressive network."""
    encoder = Encoder(
        model="ar-1m",
        checkpoint=str(checkpoint),
        bands=bands,
        size=SIZE,
        input=SIZE,
        unwrap="none",
        stretch="none",
        modalities=describe(checkpoint).modalities.to_values(),
    )
    column = encoder(stamps)["embedding"].combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1).astype(np.float32)


def _alike(codes: NDArray[np.float32], truth: NDArray[np.int64], test: NDArray[np.bool_]) -> float:
    """Share of the nearest among all others (cosine) that are of the same bin of types."""
    found = NearestNeighbors(n_neighbors=NEAREST + 1, metric="cosine").fit(codes)
    nearest = found.kneighbors(codes[test], return_distance=False)[:, 1:]
    return float((truth[nearest] == truth[test][:, None]).mean())


if __name__ == "__main__":
    main()
