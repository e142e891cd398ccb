"""Training of a predictor: an encoder and the heads that answer what the labels ask, learned together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from actors.encoder import Encoder
from catalogs import storage
from catalogs.errors import Fault, Refused
from catalogs.inspect import inspect
from kernels.networks import network_of
from kernels.normalisation import normalisation
from kernels.training.gentle_views import ViewSettings
from kernels.training.predictor_objective import (
    PredictorNet,
    PredictorObjective,
    TeachingSettings,
    with_drop_path,
)
from kernels.training.recipe import Recipe
from kernels.training.starting_heads import starting_heads
from pipeline.console import console
from pipeline.plan.encoding import encoder_options, look_at_encoder, resolved
from pipeline.plan.predictor_encoder import encoder_of_run
from pipeline.training import predictor_folder, taught_network
from pipeline.training.label_targets import TreeTarget
from pipeline.training.predictor_dataset import PredictorDataset, predictor_dataset
from pipeline.training.sampler import Datasets
from pipeline.training.targets import label_columns, with_labels
from pipeline.training.trainable import Trainable
from pipeline.training.trees import with_tree_files

if TYPE_CHECKING:
    from torch import nn

    from kernels.training.objectives import Objective
    from kernels.trees import Tree
    from pipeline.config.file import Config
    from pipeline.training.job import TrainingJob

MOST_IN_START = 20_000
"""Objects whose codes the first heads are fitted on."""
_ALIKE = ("model", "checkpoint", "input", "stretch", "normalise", "turns", "neighbours")
"""Of `[encode]`, in all configs."""


class PredictorTraining(Trainable):
    """`tuningfork train predictor` without `--from`."""

    name = "predictor"
    unused_keys = frozenset({"autoregressive", "diffusion", "teacher", "label_weight"})
    least_steps = 20
    finishes = True

    @property
    def weights_file(self) -> str:
        """It is no predictor yet."""
        return taught_network.FILE

    def settled(self, config: Config, folder: str, source: str) -> Config:
        """Paths of the network's weights are resolved; it sees stamps as they are, not unwrapped."""
        faults, settings = [], config.encode
        if config.denoise is not None:
            problem, remedy = "a predictor's network learns from stamps as they are", "Leave [denoise] out"
            faults.append(Fault(source, problem, remedy, key="denoise"))
        if settings.unwrap not in ("auto", "none"):
            problem = "training does not unwrap"
            remedy = 'Set "none", or leave it out'
            faults.append(Fault(source, problem, remedy, key="encode.unwrap", value=repr(settings.unwrap)))
        if network_of(settings.model).described:
            problem = "is no network that heads are learned with"
            remedy = "Run it, and train heads on the run's embeddings: --from RUN"
            faults.append(Fault(source, problem, remedy, key="encode.model", value=repr(settings.model)))
        if settings.weights == "pretrained" and len(config.survey.images.bands) not in (1, 3):
            problem = f"has weights for three bands or one, and there are {len(config.survey.images.bands)}"
            remedy = "Name one or three bands in survey.images.bands, or another checkpoint"
            faults.append(Fault(source, problem, remedy, key="encode.model", value=repr(settings.model)))
        if faults:
            raise Refused(faults)
        config = resolved(
            config.model_copy(update={"encode": settings.model_copy(update={"unwrap": "none"})})
        )
        checkpoint = config.encode.checkpoint
        if checkpoint not in ("bundled", "pretrained", "untrained"):
            checkpoint = storage.absolute(checkpoint, folder)
        encode = config.encode.model_copy(update={"checkpoint": checkpoint})
        return config.model_copy(update={"encode": encode})

    def dataset(self, config: Config, folder: str, source: str, side: int) -> PredictorDataset:
        """Every labelled stamp that is learned from."""
        del side
        config = self.settled(config, folder, source)
        labels = with_tree_files(config.train.labels, folder)
        config = config.model_copy(update={"train": config.train.model_copy(update={"labels": labels})})
        wanted = label_columns(labels)
        if not wanted:
            problem, remedy = "names no labels", "Name what is to be learned in [train.labels]"
            raise Refused([Fault(source, problem, remedy, key="train.labels")])
        release = replace(
            inspect(with_labels(config.survey, wanted), folder), cached_bytes=config.run.cached_bytes
        )
        options = encoder_options(config, folder)
        features, weights, faults = look_at_encoder(config, source, options)
        if faults:
            raise Refused(faults)
        encoder = encoder_of_run(config, weights, features)
        return predictor_dataset(config, release, source, encoder, options)

    def faults(self, datasets: Datasets, source: str) -> list[Fault]:
        """One network sees them all, and no two questions have one name."""
        found = []
        names = [head.name for head in datasets.heads]
        for name in sorted({name for name in names if names.count(name) > 1}):
            problem = "is a question of two releases, whose answers would have one column"
            found.append(Fault(source, problem, "Name its column otherwise in one of them", name))
        first, *others = _each(datasets)
        for other in others:
            for key in (*_ALIKE, "bands"):
                if other.encoder[key] != first.encoder[key]:
                    where = "survey.images.bands" if key == "bands" else f"encode.{key}"
                    problem = f"is {first.encoder[key]!r}, and {other.encoder[key]!r} in another config"
                    found.append(
                        Fault(source, problem, "One network sees all stamps: set the same", key=where)
                    )
            if other.shape[1:] != first.shape[1:]:
                problem = f"gives stamps of {first.shape[1]} pixels to learn from, another config's {other.shape[1]}"
                found.append(Fault(source, problem, "Set the same size", key="survey.images.size"))
        return found

    def recipe(self, config: Config, precision: str) -> Recipe:
        """The rate is that of the heads."""
        return Recipe(rate=config.train.rate, ema=0.99, precision=precision)

    def objective(self, job: TrainingJob, teacher_features: int) -> PredictorObjective:
        """The network of the config with new heads."""
        del teacher_features
        first, settings, heads = _each(job.datasets)[0], job.settings.predictor, job.datasets.heads
        network = Encoder.networks(**first.encoder_options)[0].train()
        if settings.drop_path:
            with_drop_path(network, settings.drop_path)
        outputs = sum(head.width for head in heads)
        net = PredictorNet(network, first.encoder["features"], outputs, settings.dropout)
        mean, deviation = normalisation(first.encoder["normalise"], first.encoder_options["bands"])
        return PredictorObjective(
            net,
            first.side,
            heads,
            job.recipe,
            TeachingSettings(
                settings.network_rate,
                settings.layer_decay,
                settings.smoothing,
                settings.mixup,
                views=ViewSettings(zoom=settings.zoom, noise=settings.noise, colours=settings.colours),
            ),
            None if mean is None or deviation is None else (mean, deviation),
            _trees(job) if settings.tree_loss == "challenge" else (),
        )

    def begin(self, objective: Objective, stamps: torch.Tensor, targets: torch.Tensor) -> None:
        """Heads begin as the best ones for the network as it is."""
        assert isinstance(objective, PredictorObjective)
        stamps, targets = stamps[:MOST_IN_START], targets[:MOST_IN_START]
        if not len(stamps):
            return
        weight, bias = starting_heads(objective.codes(stamps).cpu().numpy(), targets.numpy(), objective.heads)
        with torch.no_grad():
            objective.net.heads.weight.copy_(torch.tensor(weight))
            objective.net.heads.bias.copy_(torch.tensor(bias))

    def unseen(self, job: TrainingJob) -> Datasets:
        """The objects of validation."""
        return Datasets(tuple(dataset.of("validation") for dataset in _each(job.datasets)))

    def weights(self, job: TrainingJob, net: nn.Module) -> bytes:
        """The network in half precision, and the heads."""
        del job
        assert isinstance(net, PredictorNet)
        return taught_network.to_bytes(net)

    def finish(self, job: TrainingJob) -> None:
        """Calibrated and scored on codes as a run makes them."""
        taught_network.finish(job.out, _each(job.datasets), job.settings)

    def usage(self, weights: str) -> list[str]:
        """In a config."""
        return ["[predict]", f'with = ["{weights}"]']

    def show(self, out: str, rows: list[dict[str, float]]) -> None:
        """Scores, and how it is used."""
        del rows
        path = storage.join(out, predictor_folder.FILE)
        predictor_folder.show(console, taught_network.read(path), path)


def _each(datasets: Datasets) -> list[PredictorDataset]:
    found = [dataset for dataset in datasets.each if isinstance(dataset, PredictorDataset)]
    assert len(found) == len(datasets.each)
    return found


def _trees(job: TrainingJob) -> list[tuple[int, Tree]]:
    """Trees, each with the number of its first head among those of all releases."""
    found: list[tuple[int, Any]] = []
    number = 0
    for dataset in _each(job.datasets):
        for target in dataset.label_targets:
            if isinstance(target, TreeTarget):
                found.append((number, target.tree))
            number += len(target.heads)
    return found
