"""The plan: everything that a run will do, found out and checked before anything is done."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch

from actors.encoder import Encoder
from actors.voter import Voter
from catalogs import parts, storage
from catalogs.errors import Fault, Refused
from catalogs.inspect import inspect
from catalogs.slices import Slice, slices_of
from pipeline.rundir import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catalogs.release import Release
    from pipeline.config import Config

LARGEST_SLICE = 1 << 30
TRIAL = 32
VALUES_VERSION = 1
"""Raise this when equal configs begin to give other catalog values, so that old parts are not mixed with new."""


@dataclass(frozen=True)
class Plan:
    """A run, resolved: small enough to travel, printable, and complete."""

    config: Config
    source: str
    """Path of the config file, for messages."""
    release: Release
    run: RunDirectory
    encoder_options: dict[str, Any]
    features: int
    """Length of an embedding."""
    fingerprints: dict[str, str]
    """One a stage, each resting on the one before it."""
    notes: list[str] = field(default_factory=list)
    """What a person should know before the run starts."""

    def slices(self) -> Iterator[Slice]:
        """All slices of the release, in order."""
        return slices_of(self.release.shards, self.config.run.slice_rows)

    @property
    def slice_bytes(self) -> int:
        """Memory of a full slice while its stamps are in it."""
        return self.config.run.slice_rows * (4 * self.release.stamp_values + 200)

    @property
    def schema(self) -> pa.Schema:
        """Columns of the published catalog."""
        return pa.schema([*self.release.objects_schema, *Voter.columns(self.config.fit.families).schema])

    @property
    def record(self) -> dict[str, Any]:
        """What `run.json` keeps."""
        shards = [{"label": s.label, "url": s.table.url, "rows": s.table.rows} for s in self.release.shards]
        config = self.config.model_dump(mode="json")
        return {"config": config, "source": self.source, "fingerprints": self.fingerprints, "shards": shards}

    @property
    def command(self) -> str:
        """The command that starts or continues this run."""
        return f"tuningfork run {self.source} --out {self.run.url}"

    def seconds_for_encoding(self) -> float:
        """Time that encoding will take, judged by a trial batch on this machine's CPU; NaN where a GPU will do it."""
        settings = self.config.encode
        done = parts.done(self.run.objects)
        left = sum(piece.rows for piece in self.slices() if piece.name not in done)
        if settings.gpus or not left:
            return 0.0 if not left else float("nan")
        encoder = Encoder(**{**self.encoder_options, "batch_size": TRIAL})
        noise = np.random.default_rng(0).normal(size=TRIAL * self.release.stamp_values).astype(np.float32)
        stamps = pa.FixedSizeListArray.from_arrays(pa.array(noise), self.release.stamp_values)
        ids = pa.array(range(TRIAL))
        batch = pa.table({"object_id": ids, "usable": pa.array([True] * TRIAL), "stamp": stamps})
        encoder(batch)
        start = time.perf_counter()
        encoder(batch)
        return (time.perf_counter() - start) / TRIAL * left / settings.workers


def make_plan(config: Config, folder: str, source: str, out: str) -> Plan:
    """Resolve a config against its release, its model and its run directory.

    Parameters
    ----------
    config : Config
    folder : str
        Folder of the config file: relative paths are relative to it.
    source : str
        Path of the config file.
    out : str
        Run directory.

    Raises
    ------
    Refused
        With everything that is wrong.
    """
    faults: list[Fault] = []
    release = None
    try:
        release = inspect(config.survey, folder)
    except Refused as refused:
        faults += refused.faults
    options = _encoder_options(config, folder)
    features, weights = 0, ""
    try:
        features = Encoder.columns(**options).schema.field("embedding").type.list_size
        weights = Encoder.weights_fingerprint(**options)
    except (ValueError, OSError, RuntimeError) as error:
        checkpoint = config.encode.checkpoint
        faults.append(
            Fault(source, str(error), "See [encode] in docs/config.md", "encode.checkpoint", checkpoint)
        )
    faults += _resource_faults(config, source, release, features)
    if faults or release is None:
        raise Refused(faults)
    run = RunDirectory(out)
    prints = fingerprints(config, release, weights)
    return Plan(config, source, release, run, options, features, prints, _notes(config, release))


def _encoder_options(config: Config, folder: str) -> dict[str, Any]:
    settings, layout = config.encode, config.survey.images
    checkpoint: str | None = settings.checkpoint
    if checkpoint == "untrained":
        checkpoint = None
    elif checkpoint != "pretrained":
        checkpoint = storage.absolute(str(checkpoint), folder)
    denoise: str | None = None
    if config.denoise is not None:
        denoise = config.denoise.checkpoint
        denoise = denoise if denoise == "bundled" else storage.absolute(denoise, folder)
    copied = (
        "model",
        "input",
        "unwrap",
        "stretch",
        "normalise",
        "precision",
        "batch_size",
        "threads",
        "turns",
    )
    return {
        **{name: getattr(settings, name) for name in copied},
        "checkpoint": checkpoint,
        "denoise": denoise,
        "bands": len(layout.bands),
        "size": layout.size,
        "device": "cuda" if settings.gpus else "cpu",
    }


def _resource_faults(config: Config, source: str, release: Release | None, features: int) -> list[Fault]:
    faults = []
    if config.encode.gpus and not torch.cuda.is_available():
        problem = "asks for a GPU, but this machine shows none"
        remedy = "Set gpus = 0, or plan on a machine like those of the cluster"
        faults.append(Fault(source, problem, remedy, "encode.gpus", str(config.encode.gpus)))
    wanted = config.reduce.components
    if features and isinstance(wanted, int) and wanted > features:
        problem = f"more components than the encoder's {features} features"
        faults.append(Fault(source, problem, "Lower it", "reduce.components", str(wanted)))
    if release is not None:
        bytes_each = config.run.slice_rows * 4 * release.stamp_values
        if bytes_each > LARGEST_SLICE:
            most = LARGEST_SLICE // (4 * release.stamp_values)
            problem = f"a slice would hold {bytes_each / 2**30:.1f} GiB of stamps"
            faults.append(
                Fault(source, problem, f"Set at most {most}", "run.slice_rows", str(config.run.slice_rows))
            )
        if release.selected is not None and release.selected <= config.fit.groups:
            problem = f"{config.fit.groups} groups are too many for {release.selected} objects"
            faults.append(Fault(source, problem, "Lower it", "fit.groups", str(config.fit.groups)))
    return faults


def fingerprints(config: Config, release: Release, weights: str) -> dict[str, str]:
    """One fingerprint a stage: equal where the stage would write the same, and resting on the stage before."""
    # How the work is spread (workers, threads, batch size) does not change what comes out.
    spread = {"workers", "cpus", "gpus", "threads", "batch_size"}
    shards = [
        [s.label, s.table.rows, hashlib.sha256(s.table.header.encode()).hexdigest()] for s in release.shards
    ]
    own = {
        "encode": {
            "values": VALUES_VERSION,
            "survey": config.survey.model_dump(mode="json", exclude={"name", "catalogs"}),
            "shards": shards,
            "slice_rows": config.run.slice_rows,
            "denoise": config.denoise is not None,
            "encode": config.encode.model_dump(mode="json", exclude={*spread, "checkpoint"}),
            "weights": weights,
        },
        "reduce": {
            "reduce": config.reduce.model_dump(mode="json"),
            "pilot": [config.fit.pilot_rows, config.fit.seed],
        },
        "fit": config.fit.model_dump(mode="json"),
        "vote": config.vote.model_dump(mode="json"),
        "publish": {**config.publish.model_dump(mode="json"), "name": config.survey.name},
    }
    chained, before = {}, ""
    for stage, values in own.items():
        text = json.dumps([before, values], sort_keys=True)
        before = chained[stage] = hashlib.sha256(text.encode()).hexdigest()
    return chained


def _notes(config: Config, release: Release) -> list[str]:
    notes = []
    if config.encode.checkpoint == "untrained":
        notes.append(
            f"UNTRAINED WEIGHTS: {config.encode.model} is random. Groups will be of little worth; give [encode] "
            'checkpoint = "file.safetensors", or "pretrained" where the hub can be reached.'
        )
    if config.survey.ra is None:
        notes.append("No ra/dec: the catalog will be plain Parquet, without HATS partitions.")
    if release.pixel_scale is None:
        notes.append("The pixel scale is unknown: nothing will be measured in arcsec.")
    if release.selected is None:
        notes.append("The release is large: ids and image paths of single rows are checked during the run.")
    empty = [shard.label for shard in release.shards if not shard.table.rows]
    if empty:
        notes.append(f"{len(empty)} shards are empty, {empty[0]} for one.")
    return notes


def plan_of(path: str | Path, out: str) -> Plan:
    """Load a config file and make its plan."""
    from pipeline.config import load  # noqa: PLC0415

    config, folder = load(path)
    return make_plan(config, folder, str(path), out)


def as_dict(plan: Plan) -> dict[str, Any]:
    """The plan as plain values, for `--json`."""
    return {
        **plan.record,
        "rows": plan.release.rows,
        "selected": plan.release.selected,
        "slices": sum(1 for _ in plan.slices()),
        "columns": {f.name: str(f.type) for f in plan.schema},
        "embedding": plan.features,
        "pixel_scale": plan.release.pixel_scale,
        "notes": plan.notes,
        "encoder": {k: v for k, v in plan.encoder_options.items() if not isinstance(v, Path)},
    }
