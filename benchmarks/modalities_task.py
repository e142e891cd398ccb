"""What multi-modal networks are asked of simulated galaxies, and how codes are probed; for `benchmarks.modalities`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from torch import nn
from torch.nn import functional

from actors.encoder import Encoder
from actors.stamps import modalities_of, stamps_of
from catalogs.inspect import inspect
from catalogs.slices import slices_of
from kernels.bags import hash_ids
from pipeline.config.file import load
from pipeline.plan.encoding import encoder_of
from pipeline.plan.modalities import source_of
from pipeline.training.targets import with_labels

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

BANDS = ("u", "g", "r", "i", "z", "y", "J", "H", "K")
TARGETS = ("redshift", "log_mass")
TEST = "object_id % 5 = 4"
"""Objects that nothing is learned from or chosen on."""
FEW = 1000
"""Labels below which codes are probed by ridge regression alone."""
MANY_LABELS, MANY_FEATURES = 5000, 100
DROPPED = 0.05
"""Share of a network's many inputs that is left out; chosen from 0.05 to 0.3, with 10 % of the labels, on objects that are not scored on."""
CONFIG = """
[survey]
name = "simulated"
catalogs = "{catalogs}/*.fits"
id = "object_id"
ra = "ra"
dec = "dec"
{where}

[survey.images]
layout = "column"
column = "IMAGE"
bands = ["g", "r", "i", "z", "y"]
size = 64
pixel_scale = 0.2
background = "none"

[encode]
model = "{model}"
{checkpoint}
neighbours = "keep"  # there are none

[train]
epochs = {epochs}
threads = {threads}
fold = 0
folds = 10
labels.values = [{{ columns = ["redshift", "log_mass"] }}]
autoregressive = {{ {options} }}
"""
SCALARS = """
[[modalities.scalars]]
name = "photometry"
columns = ["mag_u", "mag_g", "mag_r", "mag_i", "mag_z", "mag_y", "mag_J", "mag_H", "mag_K"]
error = "{column}_err"
"""
SED = """
[[modalities.vectors]]
name = "sed"
column = "sed"
ivar = "sed_ivar"
wavelengths = "sed_wavelength"
patch = 4
"""
SPECTRUM = """
[[modalities.vectors]]
name = "spectrum"
column = "spectrum"
ivar = "spectrum_ivar"
wavelengths = "spectrum_wavelength"
"""
GIVEN = {
    "images": "",
    "images, photometry": SCALARS,
    "images, photometry, SED": SCALARS + SED,
    "images, photometry, spectrum": SCALARS + SPECTRUM,
    "images, spectrum": SPECTRUM,
    "images, SED": SED,
    "all": SCALARS + SED + SPECTRUM,
}
"""What a network is given at inference, by the config of it."""


@dataclass(frozen=True)
class Survey:
    """A simulated release, in memory."""

    folder: Path
    ids: NDArray[np.int64]
    stamps: Floats
    """(n, bands, y, x) in nJy."""
    photometry: Floats
    """(n, 2 * BANDS): magnitudes and errors, NaN where not detected."""
    labels: Floats
    """(n, TARGETS)."""

    @property
    def test(self) -> NDArray[np.bool_]:
        """Objects that are scored on."""
        return np.asarray(self.ids % 5 == 4)

    def drawn(self, share: float, seed: int) -> NDArray[np.bool_]:
        """Objects whose labels are known."""
        return np.asarray(~self.test & (hash_ids(self.ids, 100 + seed) / np.float64(2**64) < share))


def config(
    folder: Path,
    name: str,
    *,
    model: str = "ar-1m",
    given: str = SCALARS + SED + SPECTRUM,
    checkpoint: Path | None = None,
    everything: bool = True,
    epochs: int = 1,
    threads: int = 1,
    options: str = "",
) -> Path:
    """Write a config beside the release: of all objects, or of those that may be learned from."""
    path = folder / f"{name}.toml"
    text = CONFIG.format(
        catalogs="catalogs",
        where="" if everything else f'where = "NOT ({TEST})"',
        model=model,
        checkpoint="" if checkpoint is None else f'checkpoint = "{checkpoint}"',
        epochs=epochs,
        threads=threads,
        options=options,
    )
    path.write_text(text + given)
    return path


def survey(folder: Path) -> Survey:
    """Read the release of a folder."""
    settings, where = load(config(folder, "labels", given=SCALARS))
    release = inspect(with_labels(settings.survey, TARGETS), where, modalities=source_of(settings))
    tables = [release.read(piece) for piece in slices_of(release.shards, 1024)]
    return Survey(
        folder,
        np.concatenate([table["object_id"].to_numpy() for table in tables]),
        np.concatenate([stamps_of(table["stamp"], 5, 64) for table in tables]),
        np.concatenate([modalities_of(table["modalities"], 2 * len(BANDS)) for table in tables]),
        np.concatenate(
            [np.stack([table[f"label_{name}"].to_numpy() for name in TARGETS], axis=1) for table in tables]
        ).astype(np.float32),
    )


def codes(path: Path) -> Floats:
    """Codes of all objects by the encoder of a config, as a run makes them."""
    settings, where = load(path)
    release = inspect(settings.survey, where, modalities=source_of(settings))
    encoder = Encoder(**encoder_of(settings, where, str(path)))
    found = []
    for piece in slices_of(release.shards, 1024):
        column = encoder(release.read(piece))["embedding"].combine_chunks()
        found.append(column.values.to_numpy().reshape(len(column), -1).astype(np.float32))
    return np.concatenate(found)


def probed(
    features: Floats, known: Floats, drawn: NDArray[np.bool_], test: NDArray[np.bool_], seed: int
) -> Floats:
    """Answers (m, targets) for the objects of `test`, learned from the labels of `drawn`: by ridge regression where they are few, else by a network of two hidden layers."""
    mean, scale = features[drawn].mean(axis=0), features[drawn].std(axis=0)
    differs = scale > 1e-3  # what is always the same says nothing, and might elsewhere be far off
    x = (features[:, differs] - mean[differs]) / scale[differs]
    level, spread = known[drawn].mean(axis=0), known[drawn].std(axis=0)
    y = (known[drawn] - level) / spread
    if drawn.sum() < FEW:
        answers = RidgeCV(np.logspace(-2, 5, 15)).fit(x[drawn], y).predict(x[test])
    else:
        answers = _network(x[drawn], y, x[test], seed)
    return np.asarray(answers * spread + level, np.float32)


def _network(x: Floats, y: Floats, asked: Floats, seed: int, *, width: int = 256) -> Floats:
    """Huber's loss and AdamW; of many features a share is left out in each step, of few none."""
    torch.manual_seed(seed)
    tensors = [torch.tensor(each, dtype=torch.float32) for each in (x, y, asked)]
    dropped = DROPPED if x.shape[1] > MANY_FEATURES else 0.0
    net = nn.Sequential(
        nn.Dropout(dropped),
        nn.Linear(x.shape[1], width),
        nn.GELU(),
        nn.Dropout(dropped),
        nn.Linear(width, width),
        nn.GELU(),
        nn.Linear(width, y.shape[1]),
    )
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=1e-2)
    epochs, steps = 30 if len(x) > MANY_LABELS else 60, max(1, len(x) // 128)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=epochs * steps)
    for _ in range(epochs):
        for part in torch.randperm(len(x))[: steps * 128].tensor_split(steps):
            loss = functional.huber_loss(net(tensors[0][part]), tensors[1][part])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    net.eval()
    with torch.inference_mode():
        return np.asarray(net(tensors[2]).numpy())


def scores(answers: Floats, truth: Floats) -> dict[str, float]:
    """Of redshifts: sigma_NMAD, share of outliers beyond 0.15, R²; of masses: sigma_NMAD and R²."""
    missed = (answers[:, 0] - truth[:, 0]) / (1 + truth[:, 0])
    mass = answers[:, 1] - truth[:, 1]
    return {
        "z_nmad": nmad(missed),
        "z_outliers": float((np.abs(missed) > 0.15).mean()),
        "z_r2": _r2(answers[:, 0], truth[:, 0]),
        "mass_nmad": nmad(mass),
        "mass_r2": _r2(answers[:, 1], truth[:, 1]),
    }


def nmad(values: Floats) -> float:
    """1.4826 times the median absolute deviation from the median."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def _r2(answers: Floats, truth: Floats) -> float:
    return float(1 - np.square(answers - truth).sum() / np.square(truth - truth.mean()).sum())
