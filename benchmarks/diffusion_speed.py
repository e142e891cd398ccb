"""Speed: an actor beside the bare sampling loop, turn by turn in one run; and what is lost with fewer steps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import ray
import torch

from actors.generator import StampGenerator, request_table
from benchmarks.common import read_csv, write_csv
from benchmarks.diffusion_adherence import Reader
from benchmarks.diffusion_judges import frechet, resampled
from benchmarks.diffusion_study import LABELLED
from kernels.attributes import scaled
from kernels.diffusion import Sampling, initial_noise, sample
from kernels.diffusion_model import BATCH

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.diffusion_study import Study

STEPS = (5, 10, 20, 50)
MAIN = ("inclination_elongation", "t_type", "bulge_to_total", "arm_strength")
ROUNDS = 5


def run(study: Study) -> None:
    """Both tables; rows of other devices stay."""
    device = study.device
    stamps = (8 if device.startswith("cuda") else 1 if study.small else 2) * BATCH
    rows = [tuple(row.values()) for row in read_csv("diffusion_speed") if row["device"] != _name(device)]
    ways = _ways(study, device, stamps)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range((1 if study.small else ROUNDS) + 1):
        for name, work in ways.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    ray.shutdown()
    best = {name: stamps / min(found[1:]) for name, found in times.items()}  # the first warms up
    bare = next(iter(best.values()))
    rows += [(_name(device), name, f"{rate:.1f}", f"{rate / bare:.3f}") for name, rate in best.items()]
    write_csv("diffusion_speed", ("device", "20 steps", "stamps/s", "of the bare loop"), rows)
    if device == "cpu":
        _steps(study)


def _ways(study: Study, device: str, stamps: int) -> dict[str, Callable[[], object]]:
    """The same stamps, drawn in a bare loop, by a generator, and by one that is a Ray actor."""
    rows = np.resize(np.flatnonzero(study.held), stamps)
    seeds = np.arange(stamps)
    net, attributes = study.model.net.to(device), study.model.attributes
    noise = initial_noise(seeds, (len(study.model.bands), study.model.size, study.model.size))
    wanted = scaled(torch.from_numpy(study.values[rows]), attributes)
    batches = [
        [part.to(device) for part in batch]
        for batch in zip(
            noise.split(BATCH),
            wanted.split(BATCH),
            torch.from_numpy(study.confidence[rows]).split(BATCH),
            strict=True,
        )
    ]
    requests = request_table(seeds, study.values[rows], study.confidence[rows], attributes)
    threads = torch.get_num_threads()
    generator = StampGenerator(model=study.path, device=device)
    ray.init(
        num_cpus=1, num_gpus=int(device.startswith("cuda")), include_dashboard=False, ignore_reinit_error=True
    )
    actor = (
        ray.remote(StampGenerator)
        .options(num_gpus=int(device.startswith("cuda")))
        .remote(model=str(study.path), device=device, threads=threads)
    )
    return {
        "bare loop": lambda: [sample(net, *batch, Sampling()).cpu() for batch in batches],
        "generator": lambda: generator(requests),
        "generator as a Ray actor": lambda: ray.get(actor.__call__.remote(requests)),
    }


def _steps(study: Study) -> None:
    """What more steps cost, and what they bring."""
    held, learned = np.flatnonzero(study.held), np.flatnonzero(~study.held)
    judged_by = study.embed(LABELLED, study.stamps[held])
    base = resampled(study.embed(LABELLED, study.stamps[learned]), judged_by, len(held))[0]
    read = Reader(study)
    rows = []
    for steps in STEPS:
        how = Sampling(steps=steps)
        batch = held[:BATCH]
        start = time.perf_counter()
        study.model.draw(study.values[batch], study.confidence[batch], batch, how)
        rate = len(batch) / (time.perf_counter() - start)
        drawn = study.draw_like(held, how)
        distance = frechet(study.embed(LABELLED, drawn), judged_by)
        agreed = read.agreement(drawn, study.values[held])
        rows.append(
            (
                steps,
                f"{rate:.1f}",
                f"{distance / base:.2f}",
                f"{np.mean([agreed[name] for name in MAIN]):.3f}",
            )
        )
    head = (
        "steps",
        "stamps/s",
        "Fréchet distance over that of real galaxies",
        "adherence, mean of four attributes",
    )
    write_csv("diffusion_steps", head, rows)


def _name(device: str) -> str:
    return torch.cuda.get_device_name() if device.startswith("cuda") else "CPU"
