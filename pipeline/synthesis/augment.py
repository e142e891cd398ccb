"""`tuningfork augment`: a pool of generators draws a synthetic release, shard by shard; what is there already is kept."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from actors.generator import SURE
from catalogs import storage
from catalogs.column_layout import survey_toml
from catalogs.errors import Fault, Refused
from catalogs.slices import Slice
from kernels.diffusion import Sampling
from pipeline.config.run import Run
from pipeline.engine.cluster import is_own, refuse_or_wait
from pipeline.engine.engine import Actors, Reader, Writer
from pipeline.engine.start import started
from pipeline.engine.streams import Stream
from pipeline.output.lock import locked
from pipeline.rundir.run_directory import differences, run_id
from pipeline.synthesis.requests import ASKED, MODEL_DIGITS, look
from pipeline.synthesis.tasks import Generate, WriteShard, requested, shard_url

if TYPE_CHECKING:
    import pyarrow as pa

    from kernels.diffusion_model import DiffusionModel
    from pipeline.engine.engine import Engine
    from pipeline.synthesis.requests import Order, Requests

RECORD = "augment.json"
CONFIG = "survey.toml"
READING = 0.1
"""CPUs of the tasks that read requests and write shards."""
SPARED = 0.25
"""CPUs that each generator leaves to them, on a machine that drawing fills."""
PRECISION = "float32"
TO_UNCOMMENT = "# synthetic = true  # uncomment to run it all the same: a diffusion model drew these objects"


def augment(order: Order, address: str | None = None, *, anew: bool = False) -> int:
    """Draw a synthetic release; continues what it finds in the order's folder. Returns the number of its stamps.

    Parameters
    ----------
    order : Order
    address : str, optional
        Ray cluster to join; by default one is started on this machine.
    anew : bool
        Throw away what an earlier augmentation left in the folder.

    Raises
    ------
    Refused
        With all that is wrong with the order, before anything is written.
    pipeline.engine.streams.SlicesFailed
        If a shard could not be drawn or written.
    """
    out = order.out if "://" in order.out else str(Path(order.out).absolute())
    path, model, requests = look(order, _gpu_faults(order, address))
    table = requests.table(model)
    _check_ids(order, table)
    record = _record(order, model, requests, table)
    _check_folder(out, record, anew=anew)
    run = run_id("augment", out, record["fingerprint"])
    with locked(out, "augment"), started("ray", Run(), address, run=run) as engine:
        _check_folder(out, record, anew=anew)  # another command may have begun there meanwhile
        refuse_or_wait(_lacking(order), address)
        _open_folder(out, record, anew=anew)
        options = {**asdict(requests.how), "model": path, "precision": PRECISION, "threads": order.threads}
        options["device"] = "cuda" if order.gpus else "cpu"
        _draw(engine, run, order, out, model, requests, table, options)
        storage.write(storage.join(out, CONFIG), _config(out, model, table).encode())
    return table.num_rows


def _draw(
    engine: Engine,
    run: str,
    order: Order,
    out: str,
    model: DiffusionModel,
    requests: Requests,
    table: pa.Table,
    options: dict[str, Any],
) -> None:
    """Draw and write the shards that are missing."""
    starts = range(0, table.num_rows, order.shard_rows)
    shards = [
        Slice(i, start, min(start + order.shard_rows, table.num_rows)) for i, start in enumerate(starts)
    ]
    done = set(storage.names(storage.join(out, "catalogs")))
    missing = [piece for piece in shards if shard_url(out, piece.shard).rsplit("/", 1)[-1] not in done]
    if not missing:
        return
    stream = Stream(
        run,
        "augment",
        missing,
        len(shards) - len(missing),
        table.num_rows,
        Run().interval,
        lambda number: shard_url(out, number),
    )
    shape = (len(model.bands), model.size, model.size)
    constants = {"model": model.fingerprint[:MODEL_DIGITS], **asdict(requests.how)}
    write = WriteShard(out, shape, constants, _cards(order, model, requests), _about(model), stream.metrics)
    cpus, gpus = _resources(order)
    row_bytes = 4 * model.size**2 * len(model.bands)
    engine.stream(
        stream,
        Reader(functools.partial(requested, table), row_bytes, READING),
        Actors(Generate, (options,), order.workers, cpus, gpus),
        Writer(write, READING),
    )


def _cards(
    order: Order, model: DiffusionModel, requests: Requests
) -> dict[str, tuple[float | int | str, str]]:
    return {
        "MODEL": (model.fingerprint[:MODEL_DIGITS], "first digits of the model's SHA-256"),
        "STEPS": (requests.how.steps, "steps of the sampling"),
        "GUIDANCE": (requests.how.guidance, "weight of the condition"),
        "RESCALE": (requests.how.rescale, "share of guidance's contrast taken back"),
        "SEED": (int(requests.seeds[0]), "of the release's first stamp"),
        "PRECIS": (PRECISION, "of the network's arithmetic"),
        "DEVICE": ("cuda" if order.gpus else "cpu", "what it was drawn on"),
    }


def _about(model: DiffusionModel) -> dict[str, dict[str, str]]:
    """Unit and description of the shards' columns."""
    about = {
        "id": {"description": "model, seed and condition of this synthetic stamp"},
        "seed": {"description": "of the stamp's noise"},
        "model": {"description": "first digits of the model's SHA-256"},
        "steps": {"description": "steps of the sampling"},
        "guidance": {"description": "weight of the condition"},
        "rescale": {"description": "share of the contrast of guidance that was taken back"},
        "like": {"description": "id of the row that the condition comes from"},
    }
    for attribute in model.attributes:
        metadata = {"unit": attribute.unit, "description": "asked for; NaN where unknown"}
        about[attribute.name] = {key: text for key, text in metadata.items() if text}
        about[attribute.name + SURE] = {"description": f"confidence in {attribute.name}, from 0 to 1"}
    return about


def _config(out: str, model: DiffusionModel, table: pa.Table) -> str:
    """The release's config; measured attributes are renamed, since a run measures them again."""
    measured = {a.name for a in model.attributes if a.kind == "measured"}
    own = ["seed", "model", *(f.name for f in fields(Sampling)), "like"]
    conditions = [name for name in table.column_names if name not in {"id", *own}]
    kept = [f"{name} as {ASKED}{name}" if name in measured else name for name in conditions]
    return survey_toml(
        out.rstrip("/").rsplit("/", 1)[-1],
        [*own, *kept],
        model.bands,
        model.size,
        model.stretch,
        more=[TO_UNCOMMENT],
        pixel_scale=model.pixel_scale,
        background="none",
    )


def _check_ids(order: Order, table: pa.Table) -> None:
    doubles = table.num_rows - pc.count_distinct(table["id"]).as_py()
    if doubles:
        problem = f"{doubles} of its rows stand there more than once"
        raise Refused([Fault(order.again or "--again", problem, "Give every row once")])


def _gpu_faults(order: Order, address: str | None) -> list[Fault]:
    import torch  # noqa: PLC0415

    if not order.gpus or not is_own(address) or torch.cuda.is_available():
        return []
    remedy = "Leave it out, or give the --address of a cluster that has GPUs"
    return [Fault("--gpus", "this machine shows no GPU", remedy, value=f"{order.gpus:g}")]


def _lacking(order: Order) -> list[Fault]:
    """Resources that the cluster lacks: Ray would wait for them forever without a message."""
    import ray  # noqa: PLC0415

    there, (cpus, gpus), faults = ray.cluster_resources(), _resources(order), []
    for kind, each, spare in (("CPU", cpus, READING), ("GPU", gpus, 0.0)):
        needed = order.workers * each + (spare if each else 0.0)
        if needed > there.get(kind, 0.0):
            problem = f"need {needed:.3g} {kind}s, and there are {there.get(kind, 0.0):g}"
            remedy = "Give fewer, or smaller ones, or the --address of a larger cluster"
            faults.append(Fault("--workers", problem, remedy, value=str(order.workers)))
    return faults


def _resources(order: Order) -> tuple[float, float]:
    """CPUs and GPUs of a generator."""
    return (0.5, order.gpus) if order.gpus else (order.threads - SPARED, 0.0)


def _record(order: Order, model: DiffusionModel, requests: Requests, table: pa.Table) -> dict[str, Any]:
    """What `augment.json` keeps; the fingerprint covers all that the shards' bytes depend on."""
    lines = pc.binary_join_element_wise(table["id"], table["like"], "\t").to_pylist()
    wanted = {
        "model": model.fingerprint,
        "requests": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        **asdict(requests.how),
        "shard_rows": order.shard_rows,
        "precision": PRECISION,
        "device": "cuda" if order.gpus else "cpu",
    }
    spread = {"out", "workers", "gpus", "threads"}
    options = {name: value for name, value in asdict(order).items() if name not in spread}
    versions = {name: version(name) for name in ("tuningfork", "torch", "diffusers", "astropy")}
    fingerprint = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    drawn = {"bands": list(model.bands), "size": model.size, "attributes": [a.name for a in model.attributes]}
    return {
        "fingerprint": fingerprint,
        "wanted": wanted,
        "options": options,
        "model": drawn,
        "versions": versions,
    }


def _check_folder(out: str, record: dict[str, Any], *, anew: bool) -> None:
    """Refuse a folder that holds something else."""
    path = storage.join(out, RECORD)
    if not storage.exists(path):
        if storage.names(out):
            raise Refused([Fault(out, "is neither empty nor an augmentation's folder", "Give another --out")])
        return
    try:
        before = json.loads(storage.read(path))
        same = before["fingerprint"] == record["fingerprint"]
        changed = differences({"config": before["options"]}, {"config": record["options"]})
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        remedy = "Remove it and what lies beside it, or give another --out"
        raise Refused([Fault(path, f"is damaged ({error})", remedy)]) from error
    if not same and not anew:
        problem = f"holds another augmentation; changed: {', '.join(changed) or 'the model, its table or the device'}"
        raise Refused([Fault(out, problem, "Give another --out, or --anew to throw that one away")])


def _open_folder(out: str, record: dict[str, Any], *, anew: bool) -> None:
    """Clear the folder if it is to begin anew, and leave the record in it."""
    path = storage.join(out, RECORD)
    if storage.exists(path) and not anew:
        return
    # Only what an augmentation leaves, the record last: whatever else lies there is somebody's.
    for name in (CONFIG, "catalogs", RECORD):
        storage.remove(storage.join(out, name))
    storage.write(path, json.dumps(record, indent=1).encode())
