"""Training of an autoregressive network, which learns a release's stamps, scalars and vectors token by token."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from catalogs import storage
from catalogs.errors import Fault, Refused
from kernels import autoregressive_model
from kernels.nets.autoregressive import Autoregressive
from kernels.networks import NETWORKS, network_of
from kernels.training import choose_pooling
from kernels.training.autoregressive_objective import AutoregressiveObjective
from kernels.training.recipe import Recipe
from pipeline.training.autoregressive_dataset import AutoregressiveDataset, autoregressive_dataset
from pipeline.training.trainable import Trainable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from pipeline.config.file import Config
    from pipeline.training.job import TrainingJob
    from pipeline.training.label_targets import LabelTarget

_MOST, _BATCH = 4096, 256
"""Held-out objects that embeddings are chosen by, and of them those that are encoded at once."""


class AutoregressiveTraining(Trainable):
    """`tuningfork train autoregressive`."""

    name = "autoregressive"
    unused_keys = frozenset({"diffusion", "predictor", "teacher", "label_weight"})
    one_release = True
    finishes = True

    def settled(self, config: Config, folder: str, source: str) -> Config:
        """Refused unless the network is one of these."""
        del folder
        if network_of(config.encode.model).described:
            return config
        known = ", ".join(name for name, network in NETWORKS.items() if network.described)
        fault = Fault(
            source,
            "is no autoregressive network",
            f"Set one of {known}",
            value=repr(config.encode.model),
            key="encode.model",
        )
        raise Refused([fault])

    def dataset(self, config: Config, folder: str, source: str, side: int) -> AutoregressiveDataset:
        """Every usable object, with all that `[modalities]` names."""
        del side
        return autoregressive_dataset(config, folder, source)

    def recipe(self, config: Config, precision: str) -> Recipe:
        """As for encoders, without labels."""
        return Recipe(rate=config.train.rate, clip=1.0, precision=precision)

    def objective(self, job: TrainingJob, teacher_features: int) -> AutoregressiveObjective:
        """Every token from those before it."""
        del teacher_features
        description = _dataset(job).description
        net = description.build().train()
        return AutoregressiveObjective(net, job.recipe, description.components, job.settings.seed)

    def weights(self, job: TrainingJob, net: nn.Module) -> bytes:
        """With the description in it."""
        assert isinstance(net, Autoregressive)
        return autoregressive_model.to_bytes(net, _dataset(job).description)

    def finish(self, job: TrainingJob) -> None:
        """Choose by held-out objects which tokens of which layer an embedding is the mean of; without such objects, or labels, all of the middle layer."""
        dataset, path = _dataset(job), storage.join(job.out, self.weights_file)
        targets = [target for target in dataset.label_targets if target.heads[0].kind == "value"]
        if dataset.fold is None or not targets:
            return
        torch.set_num_threads(job.settings.threads)
        net = autoregressive_model.from_bytes(storage.read(path), path)[0].to(job.device)
        poolings, given = choose_pooling.candidates(net), choose_pooling.given(net)
        batches = list(_held_out(dataset, targets))
        labels, total = torch.cat([batch[2] for batch in batches]), torch.zeros(len(poolings))
        for names in given:
            parts = [
                choose_pooling.embeddings(net, images.to(job.device), rows.to(job.device), poolings, names)
                for images, rows, _ in batches
            ]
            codes = [torch.cat(each).cpu() for each in zip(*parts, strict=True)]
            total = total + choose_pooling.scores(codes, labels)
        best = int(total.argmax())
        score, named = float(total[best]) / len(given), ", ".join(each.heads[0].name for each in targets)
        by = f"R2 {score:.3f} of {named} by ridge regression, {len(labels)} held-out objects"
        if len(given) > 1:
            by += ", a mean over images alone, with each other modality, and with all"
        chosen = replace(dataset.description, pooling=poolings[best], chosen_by=by)
        storage.write(path, autoregressive_model.to_bytes(net, chosen))

    def usage(self, weights: str) -> list[str]:
        """In a config."""
        _, about = autoregressive_model.from_bytes(storage.read(weights), weights)
        chosen = [f"# its embeddings were chosen by {about.chosen_by}"] if about.chosen_by else []
        return [*chosen, "[encode]", f'model = "{about.model}"', f'checkpoint = "{weights}"']


def _held_out(
    dataset: AutoregressiveDataset, targets: list[LabelTarget]
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Batches of held-out objects: images, rows of other modalities, and labels (n, targets)."""
    aside, count = replace(dataset, held_out=True), 0
    for piece in aside.slices():
        rows, stamps = aside.usable(piece)
        images, others = aside.learned(rows, stamps)
        labels = torch.stack([target.targets(rows)[:, 0] for target in targets], dim=1)
        for batch in zip(
            images.split(_BATCH), others[:, :-1].split(_BATCH), labels.split(_BATCH), strict=True
        ):
            yield batch
            count += len(batch[0])
            if count >= _MOST:
                return


def _dataset(job: TrainingJob) -> AutoregressiveDataset:
    (dataset,) = job.datasets.each
    assert isinstance(dataset, AutoregressiveDataset)
    return dataset
