"""`tuningfork train`: networks learn from releases in the usual config, resumable, on one machine or a cluster."""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from catalogs import storage
from catalogs.errors import Fault, Refused, TuningforkError
from kernels.training.steps import Recipe
from pipeline import history
from pipeline.cluster import cluster
from pipeline.config import load
from pipeline.course import course_of
from pipeline.progress import StageProgress, console
from pipeline.trainwork import Lesson, learn
from pipeline.windows import Courses

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.config import Config

RECORD = "train.json"
POLL = 2.0
"""Seconds between looks at the history, for the progress line."""


class TrainingFailed(TuningforkError):
    """A training process died."""


def train(
    network: str, paths: Sequence[Path], out: str, address: str | None = None, *, anew: bool = False
) -> None:
    """Train a network, `encoder` or `denoiser`, on the releases of these configs; continues what it finds in `out`.

    Raises
    ------
    Refused
        If a release or the config is wrong, or `out` holds another training.
    """
    out = storage.absolute(out, ".")
    loaded = [load(path) for path in paths]
    first = loaded[0][0]
    courses = Courses(_courses(network, loaded, first))
    settings = first.train
    _check(courses, first, str(paths[0]))
    lesson = Lesson(network, courses, settings, _recipe(first), out, "cuda" if settings.gpus else "cpu")
    _prepare(out, _record([str(path) for path in paths], loaded, lesson), anew=anew)
    objects = courses.rows * settings.epochs
    with (
        cluster(first.run, address),
        StageProgress("train", objects, interval=first.run.interval) as progress,
    ):
        _fit(lesson, lambda epochs: progress.advance(int(epochs * courses.rows) - progress.done))
    rows = history.from_csv(storage.read(storage.join(out, history.CSV)))
    storage.write(storage.join(out, history.CURVE), history.curve(rows))
    weights = escape(storage.join(out, f"{network}.safetensors"))
    console.print(f"weights: {weights}, loss {rows[-1]['loss']:.4f}; use them by", soft_wrap=True)
    lines = ["[encode]", 'model = "galaxy-atto"'] if network == "encoder" else ["[denoise]"]
    for line in (*lines, f'checkpoint = "{weights}"'):
        console.print(f"  {escape(line)}", soft_wrap=True)


def _courses(network: str, loaded: Sequence[tuple[Config, str]], first: Config) -> tuple[Any, ...]:
    faults: list[Fault] = []
    courses = []
    for config, folder in loaded:
        # How it is learned says the first config; what there is to learn, every config for itself.
        train = first.train.model_copy(update={"labels": config.train.labels})
        taught = config.model_copy(update={"train": train})
        try:
            courses.append(course_of(taught, folder, first.encode.input, network))
        except Refused as refused:
            faults += refused.faults
    if faults:
        raise Refused(faults)
    return tuple(courses)


def _check(courses: Courses, config: Config, source: str) -> None:
    settings, faults = config.train, []
    slices = len(courses.slices())
    if slices < settings.workers:
        remedy = f"Set at most {slices}, or smaller slices (run.slice_rows)"
        problem = f"there are only {slices} slices to deal out"
        faults.append(Fault(source, problem, remedy, key="train.workers", value=str(settings.workers)))
    if courses.rows // settings.workers < settings.batch_size:
        problem = f"a process has {courses.rows // settings.workers} objects"
        remedy = "Set fewer: there is no step without a full batch"
        faults.append(Fault(source, problem, remedy, key="train.batch_size", value=str(settings.batch_size)))
    if faults:
        raise Refused(faults)


def _recipe(config: Config) -> Recipe:
    return Recipe(rate=config.train.rate, label_weight=config.train.label_weight)


def _record(paths: list[str], loaded: Sequence[tuple[Config, str]], lesson: Lesson) -> dict[str, Any]:
    configs = [config.model_dump(mode="json", include={"survey", "train", "encode"}) for config, _ in loaded]
    heads = [vars(head) for head in lesson.courses.heads]
    versions = {name: version(name) for name in ("tuningfork", "torch", "timm", "ray")}
    fingerprint = hashlib.sha256(
        json.dumps([lesson.network, configs, heads], sort_keys=True).encode()
    ).hexdigest()
    return {
        "network": lesson.network,
        "fingerprint": fingerprint,
        "paths": paths,
        "configs": configs,
        "heads": heads,
        "versions": versions,
    }


def _prepare(out: str, record: dict[str, Any], *, anew: bool) -> None:
    path = storage.join(out, RECORD)
    if storage.exists(path):
        try:
            before = json.loads(storage.read(path))["fingerprint"]
        except (ValueError, KeyError, TypeError) as error:
            problem = f"is damaged ({error})"
            raise Refused(
                [Fault(path, problem, "Remove it and what lies beside it, or give another --out")]
            ) from error
        if before == record["fingerprint"] and not anew:
            return
        if not anew:
            problem = "holds another training (config or labels differ)"
            raise Refused([Fault(out, problem, "Give another --out, or --anew to throw that one away")])
        storage.remove(out)
    elif storage.names(out):
        raise Refused([Fault(out, "is neither empty nor a training's folder", "Give another --out")])
    storage.write(path, json.dumps(record, indent=1).encode())


def _fit(lesson: Lesson, tell: Any) -> None:
    """Run Ray Train to its end, and tell how many epochs are done while it runs."""
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig  # noqa: PLC0415
    from ray.train.torch import TorchTrainer  # noqa: PLC0415

    settings = lesson.settings
    # Half a CPU stays for the task that reads: on a machine that training fills it would wait for ever.
    resources = {"CPU": settings.threads - 0.5 if lesson.device == "cpu" else 1.0}
    if settings.gpus:
        resources["GPU"] = settings.gpus
    trainer = TorchTrainer(
        functools.partial(learn, lesson),
        scaling_config=ScalingConfig(
            num_workers=settings.workers, use_gpu=bool(settings.gpus), resources_per_worker=resources
        ),
        run_config=RunConfig(
            name="checkpoints",
            storage_path=lesson.out,
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            failure_config=FailureConfig(max_failures=3),
        ),
    )
    errors: list[BaseException] = []

    def fit() -> None:
        try:
            trainer.fit()
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
            errors.append(error)

    thread = threading.Thread(target=fit, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(POLL)
        if storage.exists(storage.join(lesson.out, history.CSV)):
            tell(history.from_csv(storage.read(storage.join(lesson.out, history.CSV)))[-1]["epoch"])
    if errors:
        raise TrainingFailed(f"training stopped: {errors[0]}") from errors[0]
