"""From a network that was taught to a predictor: its codes are made once more as a run makes them, and calibrated and scored on."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import load, save

from actors.embeddings import embeddings_of
from actors.encoder import Encoder
from actors.factory import EncodeAndMeasure
from catalogs import storage
from kernels.bags import canonical_order, hash_ids
from kernels.heads.assemble import Learned, assembled
from kernels.heads.domain import MOST_CODES
from kernels.heads.predictor import Predictor
from kernels.nets import weights
from pipeline.plan.predictor_encoder import BUNDLE
from pipeline.training import predictor_folder
from pipeline.training.predictor_dataset import VALIDATION_SEED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kernels.training.predictor_objective import PredictorNet
    from pipeline.config.training import Train
    from pipeline.training.predictor_dataset import PredictorDataset

__all__ = ["FILE", "finish", "read", "to_bytes"]

FILE = "network.safetensors"
"""The best network so far with its heads; gone when the predictor is there."""
_HEADS = "heads."
_FOR_DOMAIN = 4 * MOST_CODES
_MOST = 50_000
"""Objects that are scored on, at most."""


def to_bytes(net: PredictorNet) -> bytes:
    """The network's weights in half precision, the heads' as they are."""
    state = net.network.state_dict()
    tensors = {
        weights.NETWORK + name: value.detach().cpu().half().contiguous() for name, value in state.items()
    }
    tensors |= {_HEADS + name: value.detach().cpu() for name, value in net.heads.state_dict().items()}
    return bytes(save(tensors))


def read(path: str) -> Predictor:
    """The predictor at a path."""
    return Predictor.from_bytes(storage.read(path), path)


@dataclass
class _Encoded:
    """Codes and targets of one part of the objects, and ids that order them."""

    ids: list[NDArray[np.uint64]] = field(default_factory=list)
    codes: list[NDArray[np.float16]] = field(default_factory=list)
    targets: list[NDArray[np.float32]] = field(default_factory=list)

    def ordered(self) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
        """In an order that does not depend on what objects are like."""
        order = canonical_order(np.concatenate(self.ids), 0)
        return np.concatenate(self.codes)[order], np.concatenate(self.targets)[order]


def finish(out: str, datasets: Sequence[PredictorDataset], train: Train) -> None:
    """Make the predictor of the network that a training has left in its folder, and remove that; without one there is nothing to do."""
    path = storage.join(out, FILE)
    if not storage.exists(path):
        return
    tensors = load(storage.read(path))
    network = {
        name.removeprefix(weights.NETWORK): value
        for name, value in tensors.items()
        if name.startswith(weights.NETWORK)
    }
    first = datasets[0]
    torch.set_num_threads(first.encoder_options["threads"])
    learned, validation, held_out, fingerprint = _encoded(network, datasets)
    codes, _ = learned.ordered()
    weight, bias = (tensors[f"{_HEADS}{name}"].double().numpy() for name in ("weight", "bias"))

    def outputs(part: _Encoded) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        found, targets = part.ordered()
        return found.astype(np.float64) @ weight.T + bias, targets

    calibrated = outputs(validation)
    scored = outputs(held_out) if sum(map(len, held_out.codes)) else calibrated
    heads = [head for dataset in datasets for head in dataset.heads]
    of_heads = Learned(heads, weight, bias, codes, calibrated, scored, [None] * len(heads))
    encoder = {**first.encoder, "checkpoint": BUNDLE, "weights": fingerprint}
    names = " and ".join(dict.fromkeys(dataset.release.survey.name for dataset in datasets))
    objects = sum(dataset.labelled for dataset in datasets) - len(calibrated[0])
    taught = predictor_folder.taught(
        names,
        objects,
        len(scored[0]),
        began_with=Path(first.encoder["checkpoint"]).name,
        validation=len(calibrated[0]),
        **predictor_folder.provenance(train),
    )
    predictor = assembled(of_heads, encoder, taught)
    data = predictor.to_bytes({name: value.numpy() for name, value in network.items()})
    predictor_folder.write(out, Predictor.from_bytes(data, path), data)
    storage.remove(path)


def _encoded(
    network: dict[str, torch.Tensor], datasets: Sequence[PredictorDataset]
) -> tuple[_Encoded, _Encoded, _Encoded, str]:
    """Learned objects (some of them), those of validation, and those that were held out; and the network's fingerprint."""
    found = {"learned": _Encoded(), "validation": _Encoded(), "held out": _Encoded()}
    widths = [dataset.answers for dataset in datasets]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        path.write_bytes(bytes(save(network)))
        options = [{**dataset.encoder_options, "checkpoint": str(path)} for dataset in datasets]
        fingerprint = weights.fingerprint(Encoder.networks(**options[0])[0])
        for number, dataset in enumerate(datasets):
            encode = EncodeAndMeasure(options[number], None, dataset.segmenter)
            before, after = sum(widths[:number]), sum(widths[number + 1 :])
            for piece in dataset.slices():
                rows = dataset.release.read(piece)
                parts = dataset.parts(rows["object_id"].to_numpy())
                kept = _some(rows, parts, dataset)
                if not kept.any():
                    continue
                rows, parts = rows.filter(pa.array(kept)), parts[kept]
                targets = np.pad(
                    dataset.targets(rows).numpy(), ((0, 0), (before, after)), constant_values=np.nan
                )
                codes, _ = embeddings_of(encode(rows)["embedding"])
                ids = hash_ids(rows["object_id"].to_numpy(), VALIDATION_SEED)
                for name, part in found.items():
                    here = parts == name
                    part.ids.append(ids[here])
                    part.codes.append(codes[here])
                    part.targets.append(targets[here])
    return found["learned"], found["validation"], found["held out"], fingerprint


def _some(rows: pa.Table, parts: NDArray[np.str_], dataset: PredictorDataset) -> NDArray[np.bool_]:
    """Usable objects with a label, (n,): of those that were learned from, and of very many held-out ones, a share that their ids choose."""
    usable = np.asarray(rows["usable"].fill_null(False)) & dataset.targets(rows).isfinite().any(dim=1).numpy()
    # another stream than that which deals objects out: those of validation have its lowest hashes
    lot = hash_ids(rows["object_id"].to_numpy(), VALIDATION_SEED + 1) / np.float64(2**64)
    most = np.where(parts == "learned", 1.25 * _FOR_DOMAIN, _MOST)
    return np.asarray(usable & (lot < most / max(1, dataset.labelled)))
