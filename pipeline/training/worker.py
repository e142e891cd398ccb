"""What one training process does: steps through its windows, and reports a checkpoint after each."""

from __future__ import annotations

import copy
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray.train
import ray.train.torch
import torch
from ray.util.metrics import Gauge
from torch import distributed, nn

from catalogs import storage
from catalogs.errors import TuningforkError
from kernels.diffusion_model import DiffusionModel
from kernels.nets.denoiser import Denoiser
from kernels.nets.galaxy import GalaxyAtto
from kernels.nets.unet import GalaxyUNet
from kernels.nets.weights import half_precision
from kernels.training.diffusion_objective import DiffusionObjective
from kernels.training.objectives import DenoiserObjective, EncoderObjective, Objective
from kernels.training.teacher import Teacher
from kernels.training.trainer import Training
from pipeline.training import history
from pipeline.training.dataset import EncoderDataset
from pipeline.training.diffusion_dataset import DiffusionDataset
from pipeline.training.sampler import Datasets, WindowSampler

if TYPE_CHECKING:
    from kernels.training.recipe import Recipe
    from pipeline.config.training import Train

STATE = "state.pt"


class Diverged(TuningforkError):
    """A training has no loss any more."""


class NothingLearned(TuningforkError):
    """There are too few objects for a single step."""


@dataclass(frozen=True)
class TrainingJob:
    """Everything that a training process needs to know."""

    network: str
    """`encoder`, `denoiser` or `diffusion`."""
    datasets: Datasets
    settings: Train
    recipe: Recipe
    out: str
    device: str


def learn(job: TrainingJob) -> None:
    """Train, from the last checkpoint on where there is one; every process of the group runs this."""
    settings, context = job.settings, ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    device = ray.train.torch.get_device() if job.device == "cuda" else torch.device("cpu")
    torch.set_num_threads(settings.threads)
    teacher = teacher_of(settings, device, job.recipe.precision) if job.network == "encoder" else None
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


def teacher_of(settings: Train, device: torch.device, precision: str) -> Teacher | None:
    """The teacher, loaded, where there is one."""
    told = settings.teacher
    return None if told is None else Teacher(told.model, told.checkpoint, told.input, device, precision)


def _training(job: TrainingJob, device: torch.device, world: int, taught: int = 0) -> Training:
    torch.manual_seed(job.settings.seed)
    core = _objective(job, taught).to(device)
    averaged = copy.deepcopy(core.net).eval()
    objective: nn.Module = core
    if world > 1:
        objective = nn.parallel.DistributedDataParallel(
            core, device_ids=[device] if device.type == "cuda" else None, broadcast_buffers=False
        )
    return Training(objective, averaged, job.settings.seed)


def _objective(job: TrainingJob, taught: int) -> Objective:
    dataset = job.datasets.each[0]
    if isinstance(dataset, DiffusionDataset):
        return DiffusionObjective(dataset.description, job.recipe, job.settings.diffusion.degrade)
    if isinstance(dataset, EncoderDataset):
        net = GalaxyAtto().train()
        return EncoderObjective(net, net.features, dataset.side, job.datasets.heads, job.recipe, taught)
    return DenoiserObjective(Denoiser(), job.recipe)


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
    storage.write(storage.join(job.out, f"{job.network}.safetensors"), _weights(job, training.averaged))
    with tempfile.TemporaryDirectory() as folder:
        torch.save({"training": training.state(), **where}, Path(folder) / STATE)
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))


def _weights(job: TrainingJob, net: nn.Module) -> bytes:
    """The file that the training is for."""
    dataset = job.datasets.each[0]
    if isinstance(dataset, DiffusionDataset) and isinstance(net, GalaxyUNet):
        return DiffusionModel(net, dataset.description).to_bytes()
    return half_precision(net)
