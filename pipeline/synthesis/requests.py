"""The options of an augmentation, and what they give for each stamp: seed, condition and exemplar."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from actors.generator import SURE, request_table
from catalogs import storage
from catalogs.errors import Fault, Refused
from kernels.diffusion import Sampling
from kernels.diffusion_model import DiffusionModel
from kernels.nets import weights
from pipeline import conditions
from pipeline.config.file import load
from pipeline.synthesis.exemplars import Exemplars, exemplars, table_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kernels.attributes import Attribute

__all__ = ["ASKED", "MODEL_DIGITS", "Order", "Requests", "look"]

JITTER = 0.05
LARGEST_SHARD = 1 << 28
"""Bytes of stamps: shards travel whole."""
LAST_SEED = 2**63
MODEL_DIGITS = 16
"""Of the model's hash, in the column `model`."""
SHORT = 8
"""Hexadecimal digits of hashes in an id."""
ASKED = "asked_"
"""Prefix of a measured attribute's column that holds the requested value: the catalog has the measured value, too."""
_RANGES: dict[str, tuple[float, float]] = {
    "count": (1, 2**40),
    "jitter": (0, 1),
    "seed": (0, 2**62),
    "steps": (1, 1000),
    "guidance": (0, 100),
    "rescale": (0, 1),
    "shard_rows": (1, 2**20),
    "workers": (1, 10_000),
    "gpus": (0, 64),
    "threads": (1, 1024),
}


@dataclass(frozen=True)
class Order:
    """The options of `tuningfork augment`, None where not given; see its `--help`."""

    model: str
    out: str
    count: int | None = None
    condition: str | None = None
    like: str | None = None
    jitter: float | None = None
    again: str | None = None
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    rescale: float | None = None
    shard_rows: int = 512
    workers: int = 2
    gpus: float = 0.0
    threads: int = 1

    @property
    def how(self) -> Sampling:
        """How stamps are drawn."""
        options = {name: getattr(self, name) for name in ("steps", "guidance", "rescale")}
        return Sampling(**{name: value for name, value in options.items() if value is not None})


@dataclass(frozen=True)
class Requests:
    """What is wanted of each of n stamps."""

    seeds: NDArray[np.int64]
    values: NDArray[np.float32]
    """(n, attributes), NaN where unknown."""
    confidence: NDArray[np.float32]
    """(n, attributes)."""
    exemplars: list[str]
    """Id of the row that a stamp is like; empty where there is none."""
    how: Sampling

    def table(self, model: DiffusionModel) -> pa.Table:
        """`id`, `like` and the columns of `actors.generator.request_table`, one row a stamp."""
        table = request_table(self.seeds, self.values, self.confidence, model.attributes)
        table = table.add_column(0, "id", pa.array(self._ids(model), pa.string()))
        return table.append_column("like", pa.array(self.exemplars, pa.string()))

    def _ids(self, model: DiffusionModel) -> list[str]:
        """Ids differ by seed, model, condition and sampling: each of them changes the galaxy."""
        unknown = np.isnan(self.values)
        conditions = (
            np.where(unknown, np.float32(np.nan), self.values),
            np.where(unknown, np.float32(0), self.confidence),
        )
        rows = np.ascontiguousarray(np.concatenate(conditions, axis=1).astype("<f4"))
        start = hashlib.sha256(repr(self.how).encode())
        ids = []
        for seed, row in zip(self.seeds.tolist(), rows, strict=True):
            digest = start.copy()
            digest.update(row.tobytes())
            ids.append(f"synthetic-{model.fingerprint[:SHORT]}-{seed}-{digest.hexdigest()[:SHORT]}")
        return ids


def look(order: Order, faults: Sequence[Fault] = ()) -> tuple[str, DiffusionModel, Requests]:
    """Path of the order's model, the model, and what is wanted of each stamp.

    Stamp i has the order's seed + i; which row it is like (where there are fewer rows than stamps) and how its values are shifted rest on
    its seed.

    Parameters
    ----------
    order : Order
    faults : sequence of Fault
        What is known to be wrong already.

    Raises
    ------
    Refused
        With all that is wrong with the options, the model, the condition and the table.
    """
    faults = [*faults, *_option_faults(order)]
    try:
        path, model = _model(order.model)
    except Refused as refused:
        raise Refused([*faults, *refused.faults]) from refused
    each = 4 * len(model.bands) * model.size**2
    if order.shard_rows * each > LARGEST_SHARD:
        problem = f"a shard would hold {order.shard_rows * each / 2**20:.0f} MiB of stamps"
        remedy = f"Give at most {LARGEST_SHARD // each}"
        faults.append(Fault("--shard-rows", problem, remedy, value=str(order.shard_rows)))
    if order.condition is not None:
        faults += conditions.parsed(order.condition, model.attributes)[2]
    again, found = None, None
    try:
        again = None if order.again is None else _again(order.again, model)
        found = None if order.like is None else exemplars(order.like, model)
    except Refused as refused:
        faults += refused.faults
    if faults:
        raise Refused(faults)
    return path, model, _requests(order, model, found) if again is None else again


def _model(name: str) -> tuple[str, DiffusionModel]:
    try:
        is_file = name.endswith(".safetensors") or "/" in name
        path = str(Path(name).absolute()) if is_file else str(weights.bundled(f"diffusion-{name}"))
        return path, DiffusionModel.load(path)
    except (weights.WeightsError, OSError) as error:
        problem = str(error).removeprefix(f"{Path(name).absolute()}: ").replace(". ", "; ").rstrip(".")
        remedy = "Give a .safetensors file of a diffusion model, or efigi for the bundled one"
        raise Refused([Fault(name, problem, remedy)]) from error


def _option_faults(order: Order) -> list[Fault]:
    given = {f.name: value for f in fields(order) if (value := getattr(order, f.name)) is not None}
    faults = []
    for name, (low, high) in _RANGES.items():
        if name in given and not low <= given[name] <= high:  # NaN is out of every range
            faults.append(
                Fault(_option(name), "is out of range", f"Give {low:g} to {high:g}", value=str(given[name]))
            )
    if order.again is not None:
        for name in ("count", "condition", "like", "jitter", "seed", "steps", "guidance", "rescale"):
            if name in given:
                problem = "does not go with --again, which draws every row of its table as it was"
                faults.append(
                    Fault(_option(name), problem, "Leave one of the two out", value=str(given[name]))
                )
        return faults
    if order.count is None:
        faults.append(Fault("--count", "is missing", "Say how many stamps to draw"))
    if order.jitter is not None and order.like is None:
        problem = "there is nothing to scatter around: a --condition is meant as it stands"
        faults.append(Fault("--jitter", problem, "Give --like too, or leave it out", value=str(order.jitter)))
    return faults


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _requests(order: Order, model: DiffusionModel, found: Exemplars | None) -> Requests:
    seeds = np.arange(order.count or 0, dtype=np.int64) + (order.seed or 0)
    n = len(seeds)
    values, confidence, _ = conditions.parsed(order.condition or "", model.attributes)
    if found is None:
        return Requests(seeds, np.tile(values, (n, 1)), np.tile(confidence, (n, 1)), [""] * n, order.how)
    rows = conditions.chosen_rows(len(found.names), seeds)
    jitter = JITTER if order.jitter is None else order.jitter
    near, sure = (
        conditions.jittered(found.values[rows], model.attributes, seeds, jitter),
        found.confidence[rows],
    )
    named = np.flatnonzero(~np.isnan(values))
    near[:, named], sure[:, named] = values[named], confidence[named]
    near = conditions.settled(near, model.attributes)
    return Requests(seeds, near, sure, [found.names[row] for row in rows], order.how)


def _again(path: str, model: DiffusionModel) -> Requests:
    """The requests that a synthetic catalog's rows came from."""
    names = [name for a in model.attributes for name in (a.name, ASKED + a.name, a.name + SURE)]
    how_columns = [f.name for f in fields(Sampling)]
    wanted = ["seed", "model", *how_columns, "like", *names]
    if path.endswith(".toml"):
        config, folder = load(path)
        shards = [url for pattern in config.survey.patterns for url in storage.expand(pattern, folder)]
        rows = (
            pa.concat_tables([table_of(shard, wanted, "--again") for shard in shards])
            if shards
            else pa.table({})
        )
    else:
        rows = table_of(path, wanted, "--again")
    absent = [name for name in ("seed", "model", *how_columns) if name not in rows.column_names]
    if absent or not rows.num_rows:
        problem = f"has no column {', '.join(absent)}" if absent else "has no row"
        raise Refused([Fault(path, problem, "Give a table that `tuningfork augment` made, or rows of one")])
    faults = _again_faults(path, rows, model, how_columns)
    if faults:
        raise Refused(faults)
    how = Sampling(
        *(kind(rows[name][0].as_py()) for name, kind in zip(how_columns, (int, float, float), strict=True))
    )
    values, confidence = _requested(rows, model.attributes)
    like = (
        [text or "" for text in rows["like"].to_pylist()]
        if "like" in rows.column_names
        else [""] * rows.num_rows
    )
    return Requests(rows["seed"].to_numpy().astype(np.int64), values, confidence, like, how)


def _again_faults(path: str, rows: pa.Table, model: DiffusionModel, how: Sequence[str]) -> list[Fault]:
    faults = []
    own = model.fingerprint[:MODEL_DIGITS]
    others = sorted({str(name) for name in rows["model"].to_pylist()} - {own})
    if others:
        problem = f"was drawn by another model than this one, {own}"
        faults.append(Fault(path, problem, "Give the model that drew it", "model", ", ".join(others[:3])))
    for name in how:
        found = sorted({str(value) for value in rows[name].to_pylist()})
        if len(found) > 1 or found == ["None"]:
            faults.append(
                Fault(path, "differs from row to row", "Draw them apart", name, ", ".join(found[:3]))
            )
    seeds = rows["seed"]
    if (
        not pa.types.is_integer(seeds.type)
        or seeds.null_count
        or not all(0 <= s < LAST_SEED for s in seeds.to_pylist())
    ):
        faults.append(Fault(path, "are no seeds", "Give rows as they were written", "seed"))
    return faults


def _requested(
    rows: pa.Table, attributes: Sequence[Attribute]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    columns: dict[str, list[Any]] = {"": [], SURE: []}
    for suffix, found in columns.items():
        for attribute in attributes:
            # a run's catalog has what was measured under the attribute's own name
            names = [
                name
                for name in (ASKED + attribute.name, attribute.name)
                if name + suffix in rows.column_names
            ]
            column = rows[names[0] + suffix].to_pylist() if names else [None] * rows.num_rows
            found.append(np.array(column, np.float32))
    values, confidence = (np.stack(found, axis=1) for found in columns.values())
    return values, np.where(np.isnan(confidence), np.float32(1), confidence)
