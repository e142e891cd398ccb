"""Training in processes that Ray Train starts, on this machine or a cluster, and starts again if one dies."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING

import ray
import ray.data
import ray.train
import ray.train.torch
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.util.metrics import Gauge

from catalogs import storage
from catalogs.errors import Fault, TuningforkError
from catalogs.packed import unpack
from catalogs.source import SliceSource
from pipeline.training.group import Group
from pipeline.training.output_folder import epochs_done
from pipeline.training.trainables import TRAINABLES
from pipeline.training.worker import learn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from catalogs.packed import SliceTable
    from catalogs.slices import Slice
    from pipeline.training.job import TrainingJob

__all__ = ["finish", "fit", "lacking", "read_by_ray"]

READING = 0.5
"""CPUs of the task that reads slices."""
POLL = 2.0
"""Seconds between looks at the history, for the progress line."""
_FOLDER = "ray-train"
"""Ray Train keeps its own state here, while it runs."""


class TrainingFailed(TuningforkError):
    """A training process died."""


def lacking(job: TrainingJob, source: str) -> list[Fault]:
    """Resources that the cluster lacks: Ray would wait for them forever without a message."""
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


def fit(job: TrainingJob, show: Callable[[float], None]) -> None:
    """Train to the end; meanwhile call `show` with the number of finished epochs.

    Raises
    ------
    TrainingFailed
        If a process has died too often, or says what is wrong.
    """
    settings = job.settings
    trainer = TorchTrainer(
        functools.partial(_learn, job),
        scaling_config=ScalingConfig(
            num_workers=settings.workers, use_gpu=bool(settings.gpus), resources_per_worker=_resources(job)
        ),
        run_config=RunConfig(
            name=_FOLDER, storage_path=job.out, failure_config=FailureConfig(max_failures=3)
        ),
    )
    errors: list[BaseException] = []

    def run() -> None:
        try:
            trainer.fit()
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
            errors.append(error)

    storage.remove(storage.join(job.out, _FOLDER))  # of a training that was killed
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(POLL)
        show(epochs_done(job.out))
    if errors:
        raise TrainingFailed(f"training stopped: {errors[0]}") from errors[0]
    storage.remove(storage.join(job.out, _FOLDER))


def finish(job: TrainingJob) -> None:
    """What comes after the last step, where a training process would run."""
    wanted = _resources(job)
    task = ray.remote(num_cpus=wanted["CPU"], num_gpus=wanted.get("GPU", 0.0))(_finished)
    ray.get(task.remote(job))


def read_by_ray(
    read: Callable[[Slice], pa.Table], pieces: Sequence[Slice], bytes_each: int
) -> Iterator[SliceTable]:
    """Slices, read by tasks of Ray Data, in order."""
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.target_max_block_size = None
    source = SliceSource(read, pieces, bytes_each)
    dataset = ray.data.read_datasource(source, num_cpus=READING, override_num_blocks=len(pieces))
    yield from map(unpack, dataset.iter_batches(batch_size=1, batch_format="pyarrow"))


def _resources(job: TrainingJob) -> dict[str, float]:
    """Resources that a worker requests from Ray. Part of a CPU is left for the task that reads data."""
    settings = job.settings
    if job.device == "cuda":
        return {"CPU": 1.0, "GPU": settings.gpus}
    return {"CPU": settings.threads - READING}


def _learn(job: TrainingJob) -> None:
    """What each process of the group runs."""
    context = ray.train.get_context()
    loss, rate = (
        Gauge(f"tuningfork_training_{name}", f"{name} of the training") for name in ("loss", "rate")
    )

    def report(line: dict[str, float]) -> None:
        loss.set(line["loss"])
        rate.set(line["objects_per_second"])
        ray.train.report(line)

    device = ray.train.torch.get_device() if job.device == "cuda" else torch.device("cpu")
    learn(job, Group(context.get_world_rank(), context.get_world_size(), device, read_by_ray, report))


def _finished(job: TrainingJob) -> None:
    TRAINABLES[job.network].finish(job)
