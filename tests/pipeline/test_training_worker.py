"""Training processes of one group, without Ray: gloo on loopback, as Ray Train sets it up."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from kernels.heads.head import Head
from kernels.training.recipe import Recipe
from kernels.training.trainer import Training
from pipeline.config.training import Train
from pipeline.training.encoder import EncoderDataset
from pipeline.training.group import Group
from pipeline.training.job import TrainingJob
from pipeline.training.worker import _training

SIDE = 32


def job() -> TrainingJob:
    datasets = SimpleNamespace(
        each=[EncoderDataset(None, 1, None, 5, SIDE, "linear")],
        heads=[Head("kind", "classes", ("a", "b", "c"))],
    )
    return TrainingJob("encoder", datasets, Train(), Recipe(precision="float32"), "nowhere", "cpu")


def made(rank: int, world: int) -> Training:
    group = Group(rank, world, torch.device("cpu"), None, None)
    return _training(job(), group, None, 0, fresh=True)


def learn(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world
    )
    training = made(rank, world)
    stamps = torch.rand(8, 3, 44, 44, generator=torch.Generator().manual_seed(rank))
    targets = torch.nn.functional.one_hot(torch.arange(8) % 3, 3).float()
    for step in range(2):
        training.step(stamps, targets, 0.5 + step / 4, rank, 0)
    weights = torch.nn.utils.parameters_to_vector(training.core.parameters()).detach()
    torch.save(weights, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_learn_each_for_itself(tmp_path):
    """Each has stamps of its own, and all end with the same weights: gradients were shared."""
    torch.multiprocessing.spawn(learn, (2, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(
        first,
        torch.nn.utils.parameters_to_vector(made(0, 1).core.parameters()),
    )
