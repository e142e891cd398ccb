"""Training of a denoiser, on clean stamps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from catalogs.inspect import inspect
from kernels.nets.denoiser import Denoiser
from kernels.training.objectives import DenoiserObjective
from kernels.training.prepare import prepare_clean
from kernels.training.recipe import Recipe
from pipeline.training.dataset import Dataset
from pipeline.training.trainable import Trainable

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.config.file import Config
    from pipeline.training.job import TrainingJob


@dataclass(frozen=True)
class DenoiserDataset(Dataset):
    """Clean stamps, every band by itself."""

    side: int
    """Of what the network sees, pixels."""

    @property
    def stamps_each(self) -> int:
        """One of every band."""
        return len(self.release.survey.images.bands)

    @property
    def shape(self) -> tuple[int, int, int]:
        """One band."""
        return (1, self.side, self.side)

    @property
    def metadata(self) -> dict[str, Any]:
        """The side."""
        return {"side": self.side}

    def learned(self, rows: pa.Table, stamps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `kernels.training.prepare.prepare_clean`; there are no targets."""
        del rows
        clean = prepare_clean(stamps, self.side)
        return clean, torch.empty(len(clean), 0)


class DenoiserTraining(Trainable):
    """`tuningfork train denoiser`."""

    name = "denoiser"
    unused_keys = frozenset({"autoregressive", "labels", "label_weight", "teacher", "diffusion", "predictor"})

    def dataset(self, config: Config, folder: str, source: str, side: int) -> DenoiserDataset:
        """Every usable stamp; no columns are kept."""
        del source
        bare = config.survey.model_copy(update={"keep": []})
        release = replace(inspect(bare, folder), cached_bytes=config.run.cached_bytes)
        return DenoiserDataset(release, config.run.slice_rows, config.train.fold, config.train.folds, side)

    def recipe(self, config: Config, precision: str) -> Recipe:
        """The usual one."""
        return Recipe(
            rate=config.train.rate,
            label_weight=config.train.label_weight,
            teacher_weight=0.0,
            precision=precision,
        )

    def objective(self, job: TrainingJob, teacher_features: int) -> DenoiserObjective:
        """See `kernels.denoise.denoising_loss`."""
        del teacher_features
        return DenoiserObjective(Denoiser(), job.recipe)

    def usage(self, weights: str) -> list[str]:
        """In a config."""
        return ["[denoise]", f'checkpoint = "{weights}"']
