"""An autoregressive encoder on pictures of real galaxies, beside galaxy-atto: modalities_efigi.csv.

ar-1m learns the stamps of EFIGI outside fold 0 (2,100 galaxies, 88 pixels, three bands, no labels), which is little; galaxy-atto as it is bundled learned the same galaxies and
many others, with their labels. Linear probes and nearest neighbours learn from four folds and are scored on fold 0, of EFIGI and of Galaxy Zoo 1, which neither
network of ours has seen but for galaxy-atto's other folds. Strangers among EFIGI's galaxies are looked for as in `benchmarks.anomalies`, by the column `anomaly_distance`
of a run. One thread, twenty minutes.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors

from actors.encoder import Encoder
from benchmarks import anomalies, contestants
from benchmarks.common import write_csv
from benchmarks.encoder import HELD_OUT, scores
from benchmarks.galaxies import SIZE, galaxies, type_bins
from benchmarks.science import write_tables
from kernels.autoregressive_model import describe
from kernels.nets.weights import bundled
from pipeline.training.train import train

if TYPE_CHECKING:
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
ENCODE = """
[encode]
model = "ar-1m"
checkpoint = "{checkpoint}"
"""
NEAREST = 10


def main() -> None:
    """Train, probe, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--releases", type=int, default=3, help="with other strangers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    scratch = contestants.FOLDER / "releases"
    scratch.mkdir(parents=True, exist_ok=True)
    efigi, gz1 = galaxies("efigi", scratch), galaxies("gz1", scratch)
    path, out = scratch / "ar.toml", scratch / "ar"
    path.write_text(CONFIG.format(epochs=options.epochs, fold=HELD_OUT))
    train("autoregressive", [path], str(out))
    checkpoint = out / "autoregressive.safetensors"
    encoders = {
        "galaxy-atto, bundled": (partial(contestants.ours, checkpoint=str(bundled("galaxy-atto"))), ""),
        "ar-1m, of EFIGI alone": (partial(_ar, checkpoint=checkpoint), ENCODE.format(checkpoint=checkpoint)),
    }
    truth, test = type_bins(efigi.labels), efigi.fold == HELD_OUT
    rows = []
    for name, (embed, encode) in encoders.items():
        codes = embed(efigi.stamps, 3)
        found = scores(codes, efigi, HELD_OUT) | scores(embed(gz1.stamps, 3), gz1, HELD_OUT)
        found["same type of the 10 nearest"] = _alike(codes, truth, test)
        found["strangers among the first 2 %"] = _strangers(encode, options.releases)
        rows.append((name, *(f"{value:.3f}" for value in found.values())))
        print(*rows[-1], sep="  ", flush=True)
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


def _strangers(encode: str, releases: int) -> float:
    """Share of strangers among the first 2 % of a run by its anomaly_distance, the mean over releases."""
    shares = []
    for seed in range(releases):
        with TemporaryDirectory() as folder:
            anomalies.release(Path(folder), seed, None)
            table = anomalies.run(Path(folder), encode)
        first = np.argsort(-table["anomaly_distance"].to_numpy(float), kind="stable")
        strange = table["kind"].to_numpy(str) != anomalies.GALAXY
        shares.append(strange[first[: round(anomalies.FIRST * len(table))]].sum() / strange.sum())
    return float(np.mean(shares))


if __name__ == "__main__":
    main()
