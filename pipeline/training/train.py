"""`tuningfork train`: networks learn from releases in the usual config, resumable, on one machine or a cluster."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from actors.precision import resolve_precision
from catalogs import storage
from catalogs.errors import Fault, Refused
from pipeline.config.file import load
from pipeline.engine.cluster import cluster, refuse_or_wait
from pipeline.engine.progress import StageProgress
from pipeline.output.lock import locked
from pipeline.plan.engine_choice import decided
from pipeline.rundir.run_directory import run_id
from pipeline.training import history, local_group, output_folder
from pipeline.training.job import TrainingJob
from pipeline.training.sampler import Datasets
from pipeline.training.trainables import TRAINABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.config.file import Config
    from pipeline.training.dataset import Dataset
    from pipeline.training.trainable import Trainable


class Trainer(Protocol):
    """Who trains: the modules `pipeline.training.local_group` and `pipeline.training.ray_group`."""

    def lacking(self, job: TrainingJob, source: str) -> list[Fault]:
        """Resources that are not there."""

    def fit(self, job: TrainingJob, show: Callable[[float], None]) -> None:
        """Train to the end; meanwhile call `show` with the number of finished epochs."""

    def finish(self, job: TrainingJob) -> None:
        """What comes after the last step."""


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
    with locked(out, f"train {network}"), _trainer(job, first, address, run) as trainer:
        output_folder.check(out, record, anew=anew)  # another command may have begun there meanwhile
        refuse_or_wait(trainer.lacking(job, str(paths[0])), address)
        output_folder.begin(out, record, anew=anew)
        done = int(output_folder.epochs_done(out) * datasets.rows)
        total = datasets.rows * settings.epochs
        with StageProgress("train", total, done, interval=first.run.interval, run=run) as progress:
            trainer.fit(job, lambda epochs: progress.advance(int(epochs * datasets.rows) - progress.done))
        rows = history.from_csv(storage.read(storage.join(out, history.CSV)))
        storage.write(storage.join(out, history.CURVE), history.curve(rows))
        if trainable.finishes:
            trainer.finish(job)
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
    for key in ("workers", "gpus"):
        value = getattr(settings, key)
        if config.run.engine == "local" and value > (key == "workers"):
            problem = f"trains in one process, on its CPUs, without Ray; train.{key} asks for more"
            remedy = f'Leave train.{key} out, or engine = "auto"'
            faults.append(Fault(source, problem, remedy, key="run.engine", value="local"))
    few = datasets.rows // settings.workers < settings.batch_size
    if few and not trainable.least_steps:
        problem = f"a process has {datasets.rows // settings.workers} objects"
        remedy = "Set fewer: there is no step without a full batch"
        faults.append(Fault(source, problem, remedy, key="train.batch_size", value=str(settings.batch_size)))
    if faults:
        raise Refused(faults)


@contextlib.contextmanager
def _trainer(job: TrainingJob, config: Config, address: str | None, run: str) -> Iterator[Trainer]:
    """Who trains, while the block runs."""
    if _fits_here(job, config, address):
        yield local_group
    else:
        with cluster(config.run, address, run=run):
            from pipeline.training import ray_group  # noqa: PLC0415 - after `cluster` has set what Ray reads

            yield ray_group


def _fits_here(job: TrainingJob, config: Config, address: str | None) -> bool:
    """Whether this process trains, without Ray: alone, on CPUs, on stamps that are read but once."""
    known = decided(config, address, dashboard=False)
    if known is not None:
        return known[0] == "local"
    fits = job.datasets.rows * job.datasets.bytes_each <= job.settings.memory_gib * 2**30
    return job.settings.workers == 1 and job.device == "cpu" and fits
