"""What one training process does: steps through its windows, and leaves a checkpoint after each."""

from __future__ import annotations

import copy
import io
import math
import time
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed, nn

from catalogs import storage
from catalogs.errors import TuningforkError
from kernels.training.trainer import Training
from pipeline.training import history, output_folder
from pipeline.training.early_stopping import EarlyStopping
from pipeline.training.sampler import WindowSampler
from pipeline.training.trainables import TRAINABLES

if TYPE_CHECKING:
    from pipeline.training.group import Group
    from pipeline.training.job import TrainingJob

FEWEST = 8
"""Objects of a batch, where there are not even enough for a few full ones, and batches that they are dealt out to."""


class Diverged(TuningforkError):
    """A training has no loss any more."""


class NothingLearned(TuningforkError):
    """There are too few objects for a single step."""


def learn(job: TrainingJob, group: Group) -> None:
    """Train, from the last checkpoint on where there is one; every process of the group runs this."""
    settings, device = job.settings, group.device
    torch.set_num_threads(settings.threads)
    teacher = TRAINABLES[job.network].teacher(job, device)
    memory = int(settings.memory_gib * 2**30)
    windows = WindowSampler(job.datasets, group, memory, settings.seed, teacher)
    least_steps = -(-TRAINABLES[job.network].least_steps // windows.count)
    before = output_folder.checkpoint(job.out)
    training = _training(
        job, group, windows, 0 if teacher is None else teacher.features, fresh=before is None
    )
    stopping = EarlyStopping(job, training, group)
    epoch, window, rows = _restored(before, training, stopping)
    start, seen = time.perf_counter(), 0
    while epoch < settings.epochs and not stopping.now(epoch):
        sums: dict[str, float] = {}
        for stamps, targets, order in windows.epoch(epoch, window):
            batches = batches_of(order, settings.batch_size, least_steps)
            steps = _agreed(len(batches), group)
            for step, part in enumerate(batches[:steps]):
                progress = (epoch + (window + step / steps) / windows.count) / settings.epochs
                batch = stamps[part].to(device), targets[part].to(device)
                found = training.step(*batch, progress, group.rank, epoch)
                for name, value in found.items():
                    sums[name] = sums.get(name, 0.0) + float(value) / steps
            window, seen = window + 1, seen + sum(map(len, batches[:steps])) * group.world
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
            if group.rank == 0:
                where = {"epoch": epoch, "window": window, "rows": rows, "best": stopping.state()}
                _keep(job, training, stopping.kept, where)
            group.report(line)
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
    job: TrainingJob, group: Group, windows: WindowSampler, teacher_features: int, *, fresh: bool
) -> Training:
    torch.manual_seed(job.settings.seed)
    trainable, device = TRAINABLES[job.network], group.device
    core = trainable.objective(job, teacher_features).to(device)
    if trainable.least_steps and fresh:
        stamps, targets, _ = next(windows.epoch(0))
        trainable.begin(core, stamps.to(device), targets)
        if group.world > 1:
            for weight in core.parameters():
                distributed.broadcast(weight.data, 0)
    averaged = copy.deepcopy(core.net).eval()
    objective: nn.Module = core
    if group.world > 1:
        objective = nn.parallel.DistributedDataParallel(
            core, device_ids=[device] if device.type == "cuda" else None, broadcast_buffers=False
        )
    return Training(objective, averaged, job.settings.seed)


def _restored(
    checkpoint: bytes | None, training: Training, stopping: EarlyStopping
) -> tuple[int, int, list[dict[str, float]]]:
    if checkpoint is None:
        return 0, 0, []
    state = torch.load(io.BytesIO(checkpoint), map_location="cpu", weights_only=True)
    training.restore(state["training"])
    stopping.restore(state["best"])
    return state["epoch"], state["window"], state["rows"]


def _agreed(steps: int, group: Group) -> int:
    """The smallest number of steps of all processes: they step together."""
    if group.world == 1:
        return steps
    least = torch.tensor(steps, device=group.device)
    distributed.all_reduce(least, distributed.ReduceOp.MIN)
    return int(least)


def _keep(job: TrainingJob, training: Training, kept: nn.Module, where: dict[str, Any]) -> None:
    """Write the history, the weights, and last the checkpoint: after a kill between them, the others are written again."""
    storage.write(storage.join(job.out, history.CSV), history.as_csv(where["rows"]))
    trainable = TRAINABLES[job.network]
    storage.write(storage.join(job.out, trainable.weights_file), trainable.weights(job, kept))
    state = io.BytesIO()
    torch.save({"training": training.state(), **where}, state)
    output_folder.keep(job.out, state.getvalue())
