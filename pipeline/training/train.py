"""`tuningfork train`: networks learn from releases in the usual config, resumable, on one machine or a cluster."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.precision import resolve_precision
from catalogs import storage
from catalogs.errors import Fault, Refused, TuningforkError
from pipeline.config.file import load
from pipeline.engine.cluster import cluster, refuse_or_wait
from pipeline.engine.progress import StageProgress
from pipeline.output.lock import locked
from pipeline.rundir.run_directory import run_id
from pipeline.training import history, output_folder
from pipeline.training.job import TrainingJob
from pipeline.training.sampler import Datasets
from pipeline.training.trainables import TRAINABLES
from pipeline.training.worker import learn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.config.file import Config
    from pipeline.training.dataset import Dataset
    from pipeline.training.trainable import Trainable

READING = 0.5
"""CPUs of the task that reads slices."""
POLL = 2.0
"""Seconds between looks at the history, for the progress line."""


class TrainingFailed(TuningforkError):
    """A training process died."""


def train(
    network: str, paths: Sequence[Path], out: str, address: str | None = None, *, anew: bool = False
) -> None:
    """Train a network, one of `TRAINABLES`, on the releases of these configs; continues what it finds in `out`.

    Raises
    ------
    Refused
        If a release or the config is wrong, or `out` holds another training.
    """
    out = out if "://" in out else str(Path(out).absolute())
    trainable, loaded = TRAINABLES[network], [load(path) for path in paths]
    loaded[0] = (trainable.settled(*loaded[0], str(paths[0])), loaded[0][1])
    first = loaded[0][0]
    datasets = Datasets(_datasets(trainable, paths, loaded, first))
    settings = first.train
    _check(trainable, datasets, first, str(paths[0]))
    device = "cuda" if settings.gpus else "cpu"
    recipe = trainable.recipe(first, resolve_precision("auto", device))
    job = TrainingJob(network, datasets, settings, recipe, out, device)
    record = output_folder.record_of([str(path) for path in paths], job)
    output_folder.check(out, record, anew=anew)
    run = run_id(f"train-{network}", out, record["fingerprint"])
    with locked(out, f"train {network}"), cluster(first.run, address, run=run):
        output_folder.check(out, record, anew=anew)  # another command may have begun there meanwhile
        refuse_or_wait(_lacking(job, str(paths[0])), address)
        output_folder.begin(out, record, anew=anew)
        done = int(output_folder.epochs_done(out) * datasets.rows)
        total = datasets.rows * settings.epochs
        with StageProgress("train", total, done, interval=first.run.interval, run=run) as progress:
            _fit(job, lambda epochs: progress.advance(int(epochs * datasets.rows) - progress.done))
        rows = history.from_csv(storage.read(storage.join(out, history.CSV)))
        storage.write(storage.join(out, history.CURVE), history.curve(rows))
        if trainable.finishes:
            _finish(job)
    trainable.show(out, rows)


def _datasets(
    trainable: Trainable, paths: Sequence[Path], loaded: Sequence[tuple[Config, str]], first: Config
) -> tuple[Dataset, ...]:
    faults: list[Fault] = []
    datasets: list[Dataset] = []
    if trainable.one_release and len(paths) > 1:
        problem, remedy = f"a {trainable.name} model learns from one release", "Give one config"
        raise Refused([Fault(str(paths[1]), problem, remedy)])
    for path, (config, folder) in zip(paths, loaded, strict=True):
        # The first config sets how to train; each config sets its own labels.
        for key in config.train.model_fields_set - {"labels"}:
            if getattr(config.train, key) != getattr(first.train, key):
                problem, remedy = "only the first config's [train] counts", f"Set it in {paths[0]}"
                value = repr(getattr(config.train, key))
                faults.append(Fault(str(path), problem, remedy, value=value, key=f"train.{key}"))
        for key in config.train.model_fields_set & trainable.unused_keys:
            problem, remedy = f"means nothing to {trainable.name} training", "Leave it out"
            faults.append(Fault(str(path), problem, remedy, key=f"train.{key}"))
        train = first.train.model_copy(update={"labels": config.train.labels})
        shared = config.model_copy(update={"train": train})
        try:
            datasets.append(trainable.dataset(shared, folder, str(path), first.encode.input))
        except Refused as refused:
            faults += refused.faults
    if faults:
        raise Refused(faults)
    return tuple(datasets)


def _check(trainable: Trainable, datasets: Datasets, config: Config, source: str) -> None:
    settings, faults = config.train, trainable.faults(datasets, source)
    slices = len(datasets.slices())
    if slices < settings.workers:
        remedy = f"Set at most {slices}, or smaller slices (run.slice_rows)"
        problem = f"there are only {slices} slices to deal out"
        faults.append(Fault(source, problem, remedy, key="train.workers", value=str(settings.workers)))
    few = datasets.rows // settings.workers < settings.batch_size
    if few and not trainable.least_steps:
        problem = f"a process has {datasets.rows // settings.workers} objects"
        remedy = "Set fewer: there is no step without a full batch"
        faults.append(Fault(source, problem, remedy, key="train.batch_size", value=str(settings.batch_size)))
    if faults:
        raise Refused(faults)


def _lacking(job: TrainingJob, source: str) -> list[Fault]:
    """Resources that the cluster lacks: Ray would wait for them forever without a message."""
    import ray  # noqa: PLC0415

    settings, faults = job.settings, []
    there, wanted = ray.cluster_resources(), _resources(job)
    for kind, key in (("CPU", "threads"), ("GPU", "gpus")):
        needed = settings.workers * wanted.get(kind, 0.0) + (READING if kind == "CPU" else 0.0)
        if needed > there.get(kind, 0.0):
            problem = (
                f"{settings.workers} workers need {needed:g} {kind}s, and there are {there.get(kind, 0.0):g}"
            )
            value = str(getattr(settings, key))
            remedy = "Lower it or train.workers, or give the --address of a larger cluster"
            faults.append(Fault(source, problem, remedy, value=value, key=f"train.{key}"))
    return faults


def _resources(job: TrainingJob) -> dict[str, float]:
    """Resources that a worker requests from Ray. Part of a CPU is left for the task that reads data."""
    settings = job.settings
    if job.device == "cuda":
        return {"CPU": 1.0, "GPU": settings.gpus}
    return {"CPU": settings.threads - READING}


def _finish(job: TrainingJob) -> None:
    """What comes after the last step, where a training process would run."""
    import ray  # noqa: PLC0415

    wanted = _resources(job)
    task = ray.remote(num_cpus=wanted["CPU"], num_gpus=wanted.get("GPU", 0.0))(_finished)
    ray.get(task.remote(job))


def _finished(job: TrainingJob) -> None:
    TRAINABLES[job.network].finish(job)


def _fit(job: TrainingJob, show: Any) -> None:
    """Run Ray Train to its end; meanwhile call `show` with the number of finished epochs."""
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig  # noqa: PLC0415
    from ray.train.torch import TorchTrainer  # noqa: PLC0415

    settings = job.settings
    trainer = TorchTrainer(
        functools.partial(learn, job),
        scaling_config=ScalingConfig(
            num_workers=settings.workers, use_gpu=bool(settings.gpus), resources_per_worker=_resources(job)
        ),
        run_config=RunConfig(
            name="checkpoints",
            storage_path=job.out,
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
        show(output_folder.epochs_done(job.out))
    if errors:
        raise TrainingFailed(f"training stopped: {errors[0]}") from errors[0]
