"""Speed and memory of an autoregressive network beside nanoGPT's loop: `python -m benchmarks.modalities --parts speed`. Writes modalities_speed.csv.

The bare loop has the same blocks, the same two layers that read a patch and the same two that answer it, Huber's loss, gradients clipped and AdamW. Its patches are cut, in order and in
memory, and what is not a patch are vectors that lie ready, of which nothing is predicted. Ours takes stamps, of half precision in training as a dataset gives them, and rows of the
catalog: it turns stamps, shuffles modalities, marks what is missing, reads and answers every modality, keeps an average of the weights, and its optimiser is Muon. Beside the bare loop stand
the same with that optimiser, and the same as nanoGPT has it: its attention is computed in bfloat16, as all else, on which a CPU takes longer.
CPU seconds of one thread, the best of 15 rounds in which all take their turn. Memory is what the resident set grows by in a process of its own, at most.
"""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from benchmarks.common import write_csv
from kernels.autoregressive_model import Description, describe
from kernels.nets.autoregressive import Block
from kernels.training.autoregressive_objective import AutoregressiveObjective
from kernels.training.optimiser import Optimiser
from kernels.training.recipe import Recipe
from kernels.training.trainer import Training

if TYPE_CHECKING:
    from collections.abc import Callable

    Work = dict[str, Callable[[], None]]

BATCH, ROUNDS = 64, 15
LOOPS = ("ours", "nanoGPT's", "bare", "bare, Muon")


def speed(checkpoint: Path) -> None:
    """Write the table."""
    description = describe(checkpoint)
    loops = {loop: work_of(description, loop) for loop in LOOPS}
    lines = []
    for what in ("training", "encoding"):
        seconds = {loop: float("inf") for loop, work in loops.items() if what in work}
        for _ in range(ROUNDS):
            for loop, least in seconds.items():
                seconds[loop] = min(least, _seconds(loops[loop][what]))
        for loop, taken in seconds.items():
            of_ours = "" if loop == "ours" else f"{taken / seconds['ours']:.2f}"
            lines.append(
                (what, loop, f"{BATCH / taken:.0f}", of_ours, f"{_memory(checkpoint, loop, what):.0f}")
            )
            print(*lines[-1], sep="  ", flush=True)
    write_csv("modalities_speed", ("work", "loop", "objects_s", "ours_over_it", "memory_mib"), lines)


def work_of(description: Description, loop: str) -> Work:
    """What a loop does with one batch."""
    torch.manual_seed(0)
    if loop != "ours":
        bare = Bare(description, loop)
        stamps = description.modalities.stamps
        patches = torch.randn(BATCH, stamps.tokens, len(stamps.bands) * stamps.patch**2)
        markers = len(description.modalities.names)
        others = torch.randn(BATCH, description.modalities.tokens - stamps.tokens + markers, bare.width)
        found: Work = {"training": lambda: bare.step(patches, others)}
        return found if "Muon" in loop else found | {"encoding": lambda: bare.encode(patches, others)}
    modalities = description.modalities
    images = torch.randn(BATCH, len(modalities.stamps.bands), modalities.stamps.side, modalities.stamps.side)
    rows = torch.rand(BATCH, modalities.width) + 20
    objective = AutoregressiveObjective(description.build().train(), Recipe(clip=1.0), description.components)
    training = Training(objective, description.build(), 0)
    targets = torch.cat([rows, torch.arange(float(BATCH))[:, None]], dim=1)
    net = description.build().eval()

    @torch.inference_mode()
    def encode() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            net(images, rows)

    learned = images.half()
    return {"training": lambda: training.step(learned, targets, 0.5) and None, "encoding": encode}


class Bare(nn.Module):
    """nanoGPT's loop over patches and ready-made tokens."""

    def __init__(self, description: Description, loop: str) -> None:
        super().__init__()
        net = description.build()
        self.blocks, self.norm, self.passed = net.blocks, net.norm, net.pooling.layer
        stamps = description.modalities.stamps
        self.width = net.norm.normalized_shape[0]
        if loop == "nanoGPT's":
            self.blocks = nn.ModuleList(NanoBlock(self.width, block.heads) for block in net.blocks)
        values = len(stamps.bands) * stamps.patch**2
        self.embedding, self.head = (
            nn.Sequential(nn.Linear(i, 4 * self.width, bias=False), nn.GELU(), nn.Linear(4 * self.width, o))
            for i, o in ((values, self.width), (self.width, values))
        )
        self.optimiser = (
            Optimiser(self, [], 0.05) if "Muon" in loop else torch.optim.AdamW(self.parameters(), 1e-3)
        )

    def step(self, patches: torch.Tensor, others: torch.Tensor) -> None:
        """Learn from one batch."""
        with torch.autocast("cpu", torch.bfloat16):
            x = self._passed(patches, others, len(self.blocks))
            answers = self.head(self.norm(x[:, : patches.shape[1]]))
        self.zero_grad(set_to_none=True)
        functional.huber_loss(answers.float(), patches).backward()
        nn.utils.clip_grad_norm_(self.parameters(), 1.0)
        self.optimiser.step(1e-3) if isinstance(self.optimiser, Optimiser) else self.optimiser.step()

    @torch.inference_mode()
    def encode(self, patches: torch.Tensor, others: torch.Tensor) -> None:
        """As many blocks as an embedding takes."""
        with torch.autocast("cpu", torch.bfloat16):
            self._passed(patches, others, self.passed).mean(dim=1)

    def _passed(self, patches: torch.Tensor, others: torch.Tensor, layers: int) -> torch.Tensor:
        x = torch.cat([self.embedding(patches).float(), others], dim=1)
        for block in self.blocks[:layers]:
            x = block(x)
        return x


class NanoBlock(Block):
    """With attention in the precision of all else."""

    def forward(self, x: torch.Tensor, asked: torch.Tensor | None = None) -> torch.Tensor:
        """All places; `asked` is never given."""
        del asked
        parts = self.attended(self.before_attention(x)).unflatten(2, (3, self.heads, -1))
        seen = functional.scaled_dot_product_attention(*parts.permute(2, 0, 3, 1, 4), is_causal=True)
        x = x + self.joined(seen.transpose(1, 2).flatten(2))
        return x + self.narrowed(functional.gelu(self.widened(self.before_mlp(x))))


def _seconds(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _memory(checkpoint: Path, loop: str, what: str) -> float:
    """MiB that a process grows by at most while it builds a loop and does its work three times."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
        return apart.submit(_grown, checkpoint, loop, what).result()


def _grown(checkpoint: Path, loop: str, what: str) -> float:
    torch.set_num_threads(1)
    before = _peak()
    work = work_of(describe(checkpoint), loop)[what]
    for _ in range(3):
        work()
    return (_peak() - before) / 1024


def _peak() -> int:
    """Of the resident set, KiB; unlike `resource`'s, it knows nothing of the process that started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
