"""When a training stops before its end: when objects that it does not learn from are not answered better any more."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed, nn

from kernels.training.labels import mean_loss
from kernels.training.predictor_objective import PredictorObjective
from pipeline.training.sampler import WindowSampler
from pipeline.training.trainables import TRAINABLES

if TYPE_CHECKING:
    from kernels.training.trainer import Training
    from pipeline.training.group import Group
    from pipeline.training.job import TrainingJob

__all__ = ["EarlyStopping"]


class EarlyStopping:
    """Looks at the averaged weights, keeps the best, and says when to stop; without unseen objects the last ones are the best.

    Parameters
    ----------
    job : TrainingJob
    training : Training
    group : Group
        Each of its processes looks at its own share.
    """

    def __init__(self, job: TrainingJob, training: Training, group: Group) -> None:
        settings, unseen = job.settings, TRAINABLES[job.network].unseen(job)
        memory = int(settings.memory_gib * 2**30 / 4)
        self._windows = None if unseen is None else WindowSampler(unseen, group, memory, settings.seed)
        self._training, self._device, self._several = training, group.device, group.world > 1
        self._patience = settings.predictor.patience
        self._best, self._epoch = math.inf, 0.0
        self.kept: nn.Module = training.averaged
        if unseen is not None:
            self.kept = copy.deepcopy(training.averaged)

    def look(self, epoch: float) -> dict[str, float]:
        """Loss of the unseen objects, for the history; nothing where there are none."""
        if self._windows is None:
            return {}
        core = self._training.core
        assert isinstance(core, PredictorObjective)
        sums = torch.zeros(len(core.heads), 2, device=self._device)
        for stamps, targets, _ in self._windows.epoch(0):
            sums += core.unseen_sums(
                self._training.averaged, stamps.to(self._device), targets.to(self._device)
            )
        if self._several:
            distributed.all_reduce(sums)
        if not bool((sums[:, 1] > 0).any()):
            self.kept = self._training.averaged
            return {}
        loss = float(mean_loss(core.heads, sums))
        if loss < self._best:
            self._best, self._epoch = loss, epoch
            self.kept.load_state_dict(self._training.averaged.state_dict())
        return {"validation": loss}

    def now(self, epoch: float) -> bool:
        """Whether to stop."""
        return math.isfinite(self._best) and epoch - self._epoch >= self._patience

    def state(self) -> dict[str, Any]:
        """All that goes on changing."""
        weights = self.kept.state_dict() if math.isfinite(self._best) else {}
        return {"loss": self._best, "epoch": self._epoch, "weights": weights}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a `state`."""
        self._best, self._epoch = state["loss"], state["epoch"]
        if state["weights"]:
            self.kept.load_state_dict(state["weights"])
