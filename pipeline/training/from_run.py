"""`tuningfork train predictor --from RUN`: heads on the embeddings that a finished run has; no pixels, seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from actors.embeddings import embeddings_of
from catalogs import parts, storage
from catalogs.errors import Fault, Refused
from catalogs.inspect import inspect_catalogs
from kernels.bags import canonical_order
from kernels.heads.assemble import Learned, assembled
from kernels.training.linear_heads import fit_linear_heads
from pipeline.config.check import checked
from pipeline.config.file import Config, load
from pipeline.console import console
from pipeline.output.lock import locked
from pipeline.plan.encoding import encoder_options, look_at_encoder, resolved
from pipeline.plan.predictor_encoder import encoder_of_run
from pipeline.rundir.run_directory import RunDirectory
from pipeline.rundir.status import slice_names
from pipeline.training import enough_labels, predictor_folder
from pipeline.training.dataset import fold_of
from pipeline.training.targets import label_columns, label_rows_by_id, label_targets_of, with_labels
from pipeline.training.trees import with_tree_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from kernels.heads.head import Head

MOST_OBJECTS = 200_000
"""Labelled objects that are learned from, at most; more bring nothing to a linear layer."""
MOST_FOR_SCALE = 50_000


def learn_from_run(path: Path, url: str, out: str, *, anew: bool = False) -> None:
    """Fit the heads that `[train.labels]` of a config names on a run's embeddings, and write the predictor.

    Parameters
    ----------
    path : Path
        The config; its catalogs hold the labels, and ids that the run's objects have.
    url : str
        Run directory.
    out : str
        Folder of the predictor.
    anew : bool
        Whether a predictor there may be replaced.

    Raises
    ------
    Refused
        With everything that is wrong.
    """
    torch.set_num_threads(1)  # so that the same labels give the same bytes on every machine of a kind
    config, folder = load(path)
    train = config.train.model_copy(update={"labels": with_tree_files(config.train.labels, folder)})
    encoder, names = _encoder_of(url)
    labelled = _labelled(config.model_copy(update={"train": train}), folder, str(path))
    predictor_folder.check(out, anew=anew)
    with locked(out, "train predictor"):
        predictor_folder.check(out, anew=anew)
        codes, targets, held_out = _matched(url, names, labelled, config, str(path))
        enough_labels.check(labelled.heads, targets[~held_out], str(path))
        learned = _learned(labelled, codes, targets, held_out, balance=train.predictor.balance)
        taught = predictor_folder.taught(
            config.survey.name,
            int((~held_out).sum()),
            int(held_out.sum()),
            **predictor_folder.provenance(config.train),
        )
        predictor = assembled(learned, encoder, taught)
        predictor_folder.write(out, predictor, predictor.to_bytes())
    predictor_folder.show(console, predictor, storage.join(out, predictor_folder.FILE))


@dataclass(frozen=True)
class _Labelled:
    """Targets of objects with a label, by id."""

    heads: list[Head]
    ids: pa.Array
    targets: NDArray[np.float32]


def _labelled(config: Config, folder: str, source: str) -> _Labelled:
    labels, slice_rows = config.train.labels, config.run.slice_rows
    wanted = label_columns(labels)
    if not wanted:
        raise Refused(
            [
                Fault(
                    source,
                    "names no labels",
                    "Name what is to be learned in [train.labels]",
                    key="train.labels",
                )
            ]
        )
    release = inspect_catalogs(with_labels(config.survey, wanted), folder)
    found = label_targets_of(release, labels, slice_rows)
    ids, rows = label_rows_by_id(release, slice_rows, wanted)
    targets = torch.cat([target.targets(rows) for target in found], dim=1).numpy()
    heads = [head for target in found for head in target.heads]
    some = np.isfinite(targets).any(axis=1)
    ids, targets = ids.filter(pa.array(some)), targets[some]
    counts = pc.value_counts(ids)
    doubled = [entry["values"] for entry in counts.to_pylist() if entry["counts"] > 1][:1]
    if doubled:
        problem, remedy = "occurs twice: its labels could be either row's", "Give each object one row"
        raise Refused(
            [Fault(release.shards[0].table.url, problem, remedy, config.survey.id, repr(doubled[0]))]
        )
    return _Labelled(heads, ids, targets)


def _encoder_of(url: str) -> tuple[dict[str, Any], list[str]]:
    """How a run's codes are made, and the names of its parts; its stage encode must be done."""
    run = RunDirectory(url)
    record = run.record()
    if record is None:
        raise Refused([Fault(url, "there is no run here", "Give a run directory: --from RUN")])
    names = [name for name, _ in slice_names(record)]
    missing = len(set(names) - parts.done(run.objects))
    if missing:
        problem = f"{missing} of {len(names)} slices are not encoded yet"
        raise Refused([Fault(url, problem, f"Finish it: tuningfork run {record['source']} --out {url}")])
    config = resolved(checked(Config, record["config"], storage.join(url, "run.json")))
    folder = str(storage.local_path(record["source"]).parent) if storage.is_local(record["source"]) else "."
    options = encoder_options(config, folder)
    features, weights, faults = look_at_encoder(config, storage.join(url, "run.json"), options)
    if faults:
        raise Refused(faults)
    return encoder_of_run(config, weights, features), names


def _matched(
    url: str, names: list[str], labelled: _Labelled, config: Config, source: str
) -> tuple[NDArray[np.float16], NDArray[np.float32], NDArray[np.bool_]]:
    """Codes and targets of the labelled objects that the run has, in canonical order, and which of them are held out."""
    ids, codes, rows = [], [], []
    for part_ids, values, place in _parts_with(RunDirectory(url).objects, names, labelled.ids):
        ids.append(part_ids)
        codes.append(values)
        rows.append(place)
    found = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    if not len(found):
        problem = f"none of its {len(labelled.ids)} labelled objects has an embedding in {url}"
        remedy = "Give the config of the run's own release, or one whose ids are the same"
        raise Refused([Fault(source, problem, remedy, key="survey.id", value=repr(config.survey.id))])
    _, first = np.unique(found, return_index=True)  # an object may have two rows in the run
    kept = pa.concat_arrays(
        [array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array for array in ids]
    )
    kept = kept.take(pa.array(first))
    order = canonical_order(kept.to_numpy(zero_copy_only=False), config.train.seed)[:MOST_OBJECTS]
    chosen = first[order]
    held_out = np.zeros(len(order), bool)
    if config.train.fold is not None:
        held_out = (
            fold_of(pa.chunked_array([kept.take(pa.array(order))]), config.train.folds) == config.train.fold
        )
    return np.concatenate(codes)[chosen], labelled.targets[found[chosen]], held_out


def _parts_with(
    folder: str, names: list[str], wanted: pa.Array
) -> Iterator[tuple[pa.Array, NDArray[np.float16], NDArray[np.int64]]]:
    """Of each part with a wanted object: ids, codes, and the objects' positions among the wanted."""
    for name in names:
        ids = parts.read(folder, name, ["object_id"])["object_id"]
        place = pc.index_in(ids.cast(wanted.type), wanted)
        if place.null_count == len(ids):
            continue
        values, usable = embeddings_of(parts.read(folder, name, ["embedding"])["embedding"])
        here = place.is_valid().to_numpy(zero_copy_only=False)
        both = here & usable
        yield (
            ids.filter(pa.array(both)).combine_chunks(),
            values[here[usable]],
            place.filter(pa.array(both)).to_numpy().astype(np.int64),
        )


def _learned(
    labelled: _Labelled,
    codes: NDArray[np.float16],
    targets: NDArray[np.float32],
    held_out: NDArray[np.bool_],
    *,
    balance: bool,
) -> Learned:
    heads = enough_labels.with_balance(labelled.heads, targets[~held_out]) if balance else labelled.heads
    values = codes.astype(np.float64)
    sample = values[:MOST_FOR_SCALE]
    mean, scale = sample.mean(axis=0), np.maximum(sample.std(axis=0), 1e-6)
    fitted = fit_linear_heads(values[~held_out], targets[~held_out], heads, mean, scale)
    among = targets[~held_out]
    scored = fitted.held_out, among
    if held_out.any():
        scored = values[held_out] @ fitted.weight.T + fitted.bias, targets[held_out]
    return Learned(
        heads,
        fitted.weight,
        fitted.bias,
        codes[~held_out],
        (fitted.held_out, among),
        scored,
        fitted.strength,
    )
