"""Training of galaxy-atto: self-supervised, with whatever labels releases have, and with a teacher."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from actors.segmenter import Segmenter
from catalogs import storage
from catalogs.errors import Fault, Refused
from catalogs.inspect import inspect
from kernels.bands import band_order
from kernels.nets.galaxy import CHANNELS, GalaxyAtto
from kernels.training.objectives import EncoderObjective
from kernels.training.prepare import prepare, prepared_side
from kernels.training.recipe import Recipe
from kernels.training.teacher import Teacher
from pipeline.plan.encoding import segmenter_options
from pipeline.training.dataset import Dataset
from pipeline.training.targets import label_columns, label_targets_of, with_labels
from pipeline.training.trainable import Trainable

if TYPE_CHECKING:
    import pyarrow as pa

    from kernels.heads.head import Head
    from pipeline.config.file import Config
    from pipeline.config.training import Train
    from pipeline.training.job import TrainingJob
    from pipeline.training.label_targets import LabelTarget


@dataclass(frozen=True)
class EncoderDataset(Dataset):
    """Stamps with the labels that the release has."""

    side: int
    """Of what the network sees, pixels."""
    stretch: str
    label_targets: list[LabelTarget] = field(default_factory=list)
    segmenter: dict[str, Any] | None = None
    """Options of `actors.segmenter.Segmenter`; None: neighbours are kept."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Finer than what the network sees."""
        return (CHANNELS, prepared_side(self.side), prepared_side(self.side))

    @property
    def answers(self) -> int:
        """Of all targets."""
        return sum(head.width for head in self.heads)

    @property
    def heads(self) -> list[Head]:
        """One a target."""
        return [head for target in self.label_targets for head in target.heads]

    @property
    def metadata(self) -> dict[str, Any]:
        """Stretch, side, targets and what is done with neighbours."""
        questions = [asdict(head) for head in self.heads]
        neighbours = "keep" if self.segmenter is None else "fill"
        return {
            "stretch": self.stretch,
            "side": self.side,
            "questions": questions,
            "neighbours": neighbours,
        }

    def looked_at(self, rows: pa.Table, side: int) -> pa.Table:
        """Neighbours are filled, as before a stamp is encoded."""
        if self.segmenter is None:
            return rows
        segmenter = Segmenter(**{**self.segmenter, "size": side})
        return segmenter.filled(rows, segmenter(rows))

    def learned(self, rows: pa.Table, stamps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `kernels.training.prepare.prepare`."""
        bands = self.release.survey.images.bands
        stamps = stamps[:, band_order(bands) or list(range(len(bands)))]
        targets = [target.targets(rows) for target in self.label_targets]
        answers = torch.cat(targets, dim=1) if targets else torch.empty(len(stamps), 0)
        return prepare(stamps, self.side, self.stretch), answers


class EncoderTraining(Trainable):
    """`tuningfork train encoder`."""

    name = "encoder"
    unused_keys = frozenset({"autoregressive", "diffusion", "predictor"})

    def settled(self, config: Config, folder: str, source: str) -> Config:
        """The path of the teacher's weights is resolved; refused here if they cannot be loaded."""
        teacher = config.train.teacher
        if teacher is None:
            return config
        if teacher.checkpoint != "pretrained":
            absolute = storage.absolute(teacher.checkpoint, folder)
            teacher = teacher.model_copy(update={"checkpoint": absolute})
        settings = config.train.model_copy(update={"teacher": teacher})
        try:
            _teacher(settings, torch.device("cpu"), "float32")
        except ValueError as error:
            remedy = "Give another model or checkpoint, or leave [train.teacher] out"
            fault = Fault(source, str(error), remedy, key="train.teacher", value=repr(teacher.model))
            raise Refused([fault]) from error
        return config.model_copy(update={"train": settings})

    def dataset(self, config: Config, folder: str, source: str, side: int) -> EncoderDataset:
        """Every usable stamp, with the release's labels."""
        del source
        labels = config.train.labels
        release = inspect(with_labels(config.survey, label_columns(labels)), folder)
        release = replace(release, cached_bytes=config.run.cached_bytes)
        label_targets = label_targets_of(release, labels, config.run.slice_rows)
        dealt = (config.run.slice_rows, config.train.fold, config.train.folds)
        segmenter = segmenter_options(config)
        return EncoderDataset(release, *dealt, side, config.encode.stretch, label_targets, segmenter)

    def recipe(self, config: Config, precision: str) -> Recipe:
        """With the weights of labels and teacher."""
        teacher = config.train.teacher
        return Recipe(
            rate=config.train.rate,
            label_weight=config.train.label_weight,
            teacher_weight=0.0 if teacher is None else teacher.weight,
            precision=precision,
        )

    def teacher(self, job: TrainingJob, device: torch.device) -> Teacher | None:
        """Loaded, where there is one."""
        return _teacher(job.settings, device, job.recipe.precision)

    def objective(self, job: TrainingJob, teacher_features: int) -> EncoderObjective:
        """VICReg between two views, labels, and the teacher's features."""
        net, dataset = GalaxyAtto().train(), job.datasets.each[0]
        assert isinstance(dataset, EncoderDataset)
        return EncoderObjective(
            net, net.features, dataset.side, job.datasets.heads, job.recipe, teacher_features
        )

    def usage(self, weights: str) -> list[str]:
        """In a config."""
        return ["[encode]", 'model = "galaxy-atto"', f'checkpoint = "{weights}"']


def _teacher(settings: Train, device: torch.device, precision: str) -> Teacher | None:
    teacher = settings.teacher
    return (
        None
        if teacher is None
        else Teacher(teacher.model, teacher.checkpoint, teacher.input, device, precision)
    )
