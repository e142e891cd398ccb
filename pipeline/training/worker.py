"""What one training process does: steps through its windows, and reports a checkpoint after each."""

from __future__ import annotations

import copy
import math
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray.train
import ray.train.torch
import torch
from ray.util.metrics import Gauge
from torch import distributed, nn

from catalogs import storage
from catalogs.errors import TuningforkError
from kernels.training.trainer import Training
from pipeline.training import history
from pipeline.training.sampler import WindowSampler
from pipeline.training.trainables import TRAINABLES

if TYPE_CHECKING:
    from pipeline.training.job import TrainingJob

STATE = "state.pt"


class Diverged(TuningforkError):
    """A training has no loss any more."""


class NothingLearned(TuningforkError):
    """There are too few objects for a single step."""


def learn(job: TrainingJob) -> None:
    """Train, from the last checkpoint on where there is one; every process of the group runs this."""
    settings, context = job.settings, ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    device = ray.train.torch.get_device() if job.device == "cuda" else torch.device("cpu")
    torch.set_num_threads(settings.threads)
    teacher = TRAINABLES[job.network].teacher(job, device)
    training = _training(job, device, world, 0 if teacher is None else teacher.features)
    memory = int(settings.memory_gib * 2**30)
    windows = WindowSampler(job.datasets, rank, world, memory, settings.seed, teacher)
    epoch, window, rows = _restore(training)
    gauges = {
        name: Gauge(f"tuningfork_training_{name}", f"{name} of the training") for name in ("loss", "rate")
    }
    start, seen = time.perf_counter(), 0
    while epoch < settings.epochs:
        sums: dict[str, float] = {}
        for stamps, targets, order in windows.epoch(epoch, window):
            steps = _agreed(len(stamps) // settings.batch_size, device, world)
            for step in range(steps):
                part = order[step * settings.batch_size : (step + 1) * settings.batch_size]
                progress = (epoch + (window + step / steps) / windows.count) / settings.epochs
                found = training.step(stamps[part].to(device), targets[part].to(device), progress, rank)
                for name, value in found.items():
                    sums[name] = sums.get(name, 0.0) + float(value) / steps
            window, seen = window + 1, seen + steps * settings.batch_size * world
            if window >= windows.count:
                epoch, window = epoch + 1, 0
            if not steps:
                continue
            line = {"epoch": epoch + window / windows.count, "step": training.step_number, **sums}
            line["objects_per_second"] = seen / (time.perf_counter() - start)
            if not math.isfinite(line["loss"]):
                raise Diverged(
                    f"the loss became {line['loss']} at step {training.step_number}: lower train.rate"
                )
            rows, sums = [*rows, line], {}
            gauges["loss"].set(line["loss"])
            gauges["rate"].set(line["objects_per_second"])
            _report(job, training, rank, {"epoch": epoch, "window": window, "rows": rows})
        if not rows:
            raise NothingLearned(
                "no window has a full batch: lower train.batch_size, or raise train.memory_gib"
            )


def _training(job: TrainingJob, device: torch.device, world: int, teacher_features: int = 0) -> Training:
    torch.manual_seed(job.settings.seed)
    core = TRAINABLES[job.network].objective(job, teacher_features).to(device)
    averaged = copy.deepcopy(core.net).eval()
    objective: nn.Module = core
    if world > 1:
        objective = nn.parallel.DistributedDataParallel(
            core, device_ids=[device] if device.type == "cuda" else None, broadcast_buffers=False
        )
    return Training(objective, averaged, job.settings.seed)


def _restore(training: Training) -> tuple[int, int, list[dict[str, float]]]:
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return 0, 0, []
    with checkpoint.as_directory() as folder:
        state = torch.load(Path(folder) / STATE, map_location="cpu", weights_only=True)
    training.restore(state["training"])
    return state["epoch"], state["window"], state["rows"]


def _agreed(steps: int, device: torch.device, world: int) -> int:
    """The smallest number of steps of all processes: they step together."""
    if world == 1:
        return steps
    least = torch.tensor(steps, device=device)
    distributed.all_reduce(least, distributed.ReduceOp.MIN)
    return int(least)


def _report(job: TrainingJob, training: Training, rank: int, where: dict[str, Any]) -> None:
    metrics = where["rows"][-1]
    if rank:
        ray.train.report(metrics)
        return
    storage.write(storage.join(job.out, history.CSV), history.as_csv(where["rows"]))
    storage.write(
        storage.join(job.out, f"{job.network}.safetensors"),
        TRAINABLES[job.network].weights(job, training.averaged),
    )
    with tempfile.TemporaryDirectory() as folder:
        torch.save({"training": training.state(), **where}, Path(folder) / STATE)
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))
