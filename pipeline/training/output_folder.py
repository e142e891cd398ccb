"""The folder of a training: its record, and whether a command may go on with what lies there."""

from __future__ import annotations

import hashlib
import json
import math
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalogs import identity, storage
from catalogs.errors import Fault, Refused
from pipeline.rundir.file_versions import shown
from pipeline.training import history, predictor_folder

if TYPE_CHECKING:
    from pipeline.training.job import TrainingJob

__all__ = ["CHECKPOINT", "begin", "check", "checkpoint", "epochs_done", "keep", "record_of"]

RECORD = "train.json"
CHECKPOINT = "checkpoint.pt"
WEIGHTS = (
    "autoregressive.safetensors",
    "encoder.safetensors",
    "denoiser.safetensors",
    "diffusion.safetensors",
    "network.safetensors",
)


def record_of(paths: list[str], job: TrainingJob) -> dict[str, Any]:
    """What `train.json` keeps; the fingerprint covers what the weights depend on, a teacher's file too.

    Not the number of epochs: a training may go on to another end than it began with, and `schedules` says so.
    """
    releases = [
        {
            "survey": dataset.release.survey.model_dump(
                mode="json", exclude={"name", "catalogs", "synthetic", "identify"}
            ),
            "shards": [[shard.label, shard.table.rows] for shard in dataset.release.shards],
            "slice_rows": dataset.slice_rows,
            **dataset.metadata,
        }
        for dataset in job.datasets.each
    ]
    settings = job.settings.model_dump(mode="json", exclude={"labels", "threads", "gpus"})
    recorded = {"network": job.network, "recipe": vars(job.recipe), "train": settings, "releases": releases}
    teacher = job.settings.teacher
    if teacher is not None and teacher.checkpoint != "pretrained":
        recorded["teacher"] = hashlib.sha256(Path(teacher.checkpoint).read_bytes()).hexdigest()
    lasting = {**recorded, "train": {key: value for key, value in settings.items() if key != "epochs"}}
    fingerprint = hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()
    versions = {name: version(name) for name in ("tuningfork", "torch", "timm", "ray")}
    return {
        "fingerprint": fingerprint,
        "configs": paths,
        **recorded,
        "files": _files(job),
        "versions": versions,
    }


def _files(job: TrainingJob) -> dict[str, str]:
    """Which versions of the releases' files are learned from, as far as the plan has looked at them."""
    found: dict[str, str] = {}
    for dataset in job.datasets.each:
        release = dataset.release
        found |= {shard.table.url: shard.table.identity for shard in release.shards}
        found |= {storage.absolute(name, release.folder): v for name, v in release.images.items()}
    return found


def epochs_done(out: str) -> float:
    path = storage.join(out, history.CSV)
    return history.from_csv(storage.read(path))[-1]["epoch"] if storage.exists(path) else 0.0


def checkpoint(out: str) -> bytes | None:
    """What `keep` kept, if anything."""
    path = storage.join(out, CHECKPOINT)
    return storage.read(path) if storage.exists(path) else None


def keep(out: str, state: bytes) -> None:
    """Keep what a training goes on from, in place of what was there."""
    storage.write(storage.join(out, CHECKPOINT), state)


def check(out: str, record: dict[str, Any], *, anew: bool) -> None:
    """Refuse a folder that holds something else, or that is past its end already."""
    path = storage.join(out, RECORD)
    if not storage.exists(path):
        if storage.names(out):
            raise Refused([Fault(out, "is neither empty nor a training's folder", "Give another --out")])
        return
    try:
        kept = json.loads(storage.read(path))
        before, files = kept["fingerprint"], {str(k): str(v) for k, v in kept.get("files", {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        remedy = "Remove it and what lies beside it, or give another --out"
        raise Refused([Fault(path, f"is damaged ({error})", remedy)]) from error
    if before != record["fingerprint"] and not anew:
        problem = "holds another training (config or labels differ)"
        raise Refused([Fault(out, problem, "Give another --out, or --anew to throw that one away")])
    changed = [
        f"{url} {identity.changed(url, files[url], version)}"
        for url, version in record["files"].items()
        if url in files and not identity.same(files[url], version)
    ]
    if changed and not anew:
        problem = f"learned from other files than there are now: {shown(changed)}"
        raise Refused([Fault(out, problem, "Give another --out, or --anew to throw that one away")])
    epochs, done = record["train"]["epochs"], epochs_done(out)
    if epochs < done and not anew:
        remedy = f"Set at least {math.ceil(done)}, or --anew to begin anew"
        problem = f"{out} is at epoch {done:g} already"
        raise Refused([Fault(record["configs"][0], problem, remedy, key="train.epochs", value=str(epochs))])


def begin(out: str, record: dict[str, Any], *, anew: bool) -> None:
    """Clear the folder if it is to begin anew, and leave the record in it."""
    path = storage.join(out, RECORD)
    if storage.exists(path) and not anew:
        before = json.loads(storage.read(path))
        if before["train"]["epochs"] != record["train"]["epochs"]:
            earlier = {"epochs": before["train"]["epochs"], "until": epochs_done(out)}
            record = {**record, "schedules": [*before.get("schedules", []), earlier]}
            storage.write(path, json.dumps(record, indent=1).encode())
        return
    # Only what a training leaves, the record last: whatever else lies there is somebody's.
    for name in (CHECKPOINT, history.CSV, history.CURVE, *WEIGHTS, *predictor_folder.FILES, RECORD):
        storage.remove(storage.join(out, name))
    storage.write(path, json.dumps(record, indent=1).encode())
