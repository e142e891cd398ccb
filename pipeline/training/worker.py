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
from pipeline.training.early_stopping import EarlyStopping
from pipeline.training.sampler import WindowSampler
from pipeline.training.trainables import TRAINABLES

if TYPE_CHECKING:
    from pipeline.training.job import TrainingJob

STATE = "state.pt"
FEWEST = 8
"""Objects of a batch, where there are not even enough for a few full ones, and batches that they are dealt out to."""


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
    memory = int(settings.memory_gib * 2**30)
    windows = WindowSampler(job.datasets, rank, world, memory, settings.seed, teacher)
    least_steps = -(-TRAINABLES[job.network].least_steps // windows.count)
    training = _training(job, device, world, windows, 0 if teacher is None else teacher.features)
    stopping = EarlyStopping(job, training, rank, world, device)
    epoch, window, rows = _restore(training, stopping)
    gauges = {
        name: Gauge(f"tuningfork_training_{name}", f"{name} of the training") for name in ("loss", "rate")
    }
    start, seen = time.perf_counter(), 0
    while epoch < settings.epochs and not stopping.now(epoch):
        sums: dict[str, float] = {}
        for stamps, targets, order in windows.epoch(epoch, window):
            batches = batches_of(order, settings.batch_size, least_steps)
            steps = _agreed(len(batches), device, world)
            for step, part in enumerate(batches[:steps]):
                progress = (epoch + (window + step / steps) / windows.count) / settings.epochs
                found = training.step(stamps[part].to(device), targets[part].to(device), progress, rank)
                for name, value in found.items():
                    sums[name] = sums.get(name, 0.0) + float(value) / steps
            window, seen = window + 1, seen + sum(map(len, batches[:steps])) * world
            if window >= windows.count:
                epoch, window = epoch + 1, 0
            if not steps:
                continue
            line = {"epoch": epoch + window / windows.count, "step": training.step_number, **sums}
            line |= stopping.look(line["epoch"])
            line["objects_per_second"] = seen / (time.perf_counter() - start)
            if not math.isfinite(line["loss"]):
                raise Diverged(
                    f"the loss became {line['loss']} at step {training.step_number}: lower train.rate"
                )
            rows, sums = [*rows, line], {}
            gauges["loss"].set(line["loss"])
            gauges["rate"].set(line["objects_per_second"])
            where = {"epoch": epoch, "window": window, "rows": rows, "best": stopping.state()}
            _report(job, training, stopping.kept, rank, where)
        if not rows:
            raise NothingLearned(
                "a process has no window with a full batch, or no labelled object: lower train.batch_size or train.workers, or raise train.memory_gib"
            )


def batches_of(order: torch.Tensor, size: int, least: int) -> list[torch.Tensor]:
    """Batches of an order (n,): full ones; where there would be fewer than `least`, so many smaller ones that go round it again and again."""
    full = len(order) // size
    if full >= least or not len(order):
        return list(order[: full * size].split(size)) if full else []
    size = min(size, max(FEWEST, len(order) // FEWEST), len(order))
    return list(order.repeat(-(-least * size // len(order)))[: least * size].split(size))


def _training(
    job: TrainingJob, device: torch.device, world: int, windows: WindowSampler, teacher_features: int = 0
) -> Training:
    torch.manual_seed(job.settings.seed)
    trainable = TRAINABLES[job.network]
    core = trainable.objective(job, teacher_features).to(device)
    if trainable.least_steps and ray.train.get_checkpoint() is None:
        stamps, targets, _ = next(windows.epoch(0))
        trainable.begin(core, stamps.to(device), targets)
        if world > 1:
            for weight in core.parameters():
                distributed.broadcast(weight.data, 0)
    averaged = copy.deepcopy(core.net).eval()
    objective: nn.Module = core
    if world > 1:
        objective = nn.parallel.DistributedDataParallel(
            core, device_ids=[device] if device.type == "cuda" else None, broadcast_buffers=False
        )
    return Training(objective, averaged, job.settings.seed)


def _restore(training: Training, stopping: EarlyStopping) -> tuple[int, int, list[dict[str, float]]]:
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return 0, 0, []
    with checkpoint.as_directory() as folder:
        state = torch.load(Path(folder) / STATE, map_location="cpu", weights_only=True)
    training.restore(state["training"])
    stopping.restore(state["best"])
    return state["epoch"], state["window"], state["rows"]


def _agreed(steps: int, device: torch.device, world: int) -> int:
    """The smallest number of steps of all processes: they step together."""
    if world == 1:
        return steps
    least = torch.tensor(steps, device=device)
    distributed.all_reduce(least, distributed.ReduceOp.MIN)
    return int(least)


def _report(job: TrainingJob, training: Training, kept: nn.Module, rank: int, where: dict[str, Any]) -> None:
    metrics = where["rows"][-1]
    if rank:
        ray.train.report(metrics)
        return
    storage.write(storage.join(job.out, history.CSV), history.as_csv(where["rows"]))
    trainable = TRAINABLES[job.network]
    storage.write(storage.join(job.out, trainable.weights_file), trainable.weights(job, kept))
    with tempfile.TemporaryDirectory() as folder:
        torch.save({"training": training.state(), **where}, Path(folder) / STATE)
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))
