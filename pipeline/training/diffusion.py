"""Training of a diffusion model, which draws a release's stamps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernels.diffusion_model import DiffusionModel
from kernels.nets.unet import GalaxyUNet
from kernels.training.diffusion_objective import DiffusionObjective
from kernels.training.recipe import Recipe
from pipeline.training.diffusion_dataset import DiffusionDataset, diffusion_dataset
from pipeline.training.trainable import Trainable

if TYPE_CHECKING:
    from torch import nn

    from kernels.diffusion_model import Description
    from pipeline.config.file import Config
    from pipeline.training.job import TrainingJob


class DiffusionTraining(Trainable):
    """`tuningfork train diffusion`."""

    name = "diffusion"
    unused_keys = frozenset({"autoregressive", "labels", "label_weight", "teacher", "predictor"})
    one_release = True

    def dataset(self, config: Config, folder: str, source: str, side: int) -> DiffusionDataset:
        """Every usable stamp as it is, with its conditions."""
        del side
        return diffusion_dataset(config, folder, source)

    def recipe(self, config: Config, precision: str) -> Recipe:
        """What is drawn rests on the average of the weights: it is a long one."""
        return Recipe(rate=config.train.rate, weight_decay=0.02, ema=0.999, precision=precision)

    def objective(self, job: TrainingJob, teacher_features: int) -> DiffusionObjective:
        """See `kernels.diffusion.diffusion_loss`."""
        del teacher_features
        return DiffusionObjective(_description(job), job.recipe, job.settings.diffusion.degrade)

    def weights(self, job: TrainingJob, net: nn.Module) -> bytes:
        """With the model's description in it."""
        assert isinstance(net, GalaxyUNet)
        return DiffusionModel(net, _description(job)).to_bytes()

    def usage(self, weights: str) -> list[str]:
        """A command."""
        return [f"tuningfork augment {weights} --out SYNTHETIC --count 100"]


def _description(job: TrainingJob) -> Description:
    (dataset,) = job.datasets.each
    assert isinstance(dataset, DiffusionDataset)
    return dataset.description
