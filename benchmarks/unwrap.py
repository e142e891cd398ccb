"""Polar unwrapping: `kernels.polar.unwrap` against the authors' algorithm as a plain Python loop.

    python benchmarks/unwrap.py [--stamps 512] [--threads 1]

Writes benchmarks/results/unwrap.csv. Both make the polar image of the paper (arXiv 2501.00380): 100 x 100 pixels to
125 angles (0.05 radians) by 100 radii, mirrored to 125 x 200. Ratios are to the loop with NumPy's scalars, as the authors' code has it; with Python's
own numbers it is in the table too.
"""

from __future__ import annotations

import argparse
import csv
import functools
import math
import time
from pathlib import Path

import numpy as np
import torch

from kernels.polar import unwrap

RESULTS = Path(__file__).parent / "results" / "unwrap.csv"
SIDE, ANGLES, RADII, STEP, ENLARGED = 100, 125, 100, 0.05, 2
BATCH = 32


def extreme(stamp: np.ndarray, value: float) -> tuple[np.int64, np.int64]:
    """Row and column of the pixel with this value that lies nearest the centre, then of lowest index."""
    rows, columns = np.where(stamp == value)
    centre = SIDE // 2
    return min(
        zip(rows, columns, strict=True), key=lambda p: ((p[0] - centre) ** 2 + (p[1] - centre) ** 2, p)
    )


def loop(stamp: np.ndarray, plain: bool = False) -> np.ndarray:
    """Nearest pixel along each ray of the stamp enlarged twofold; outside is zero, the mirror an exact flip.

    The published code differs in three places: it lets negative positions wrap around, it places the mirror image's
    column r = 0 at the far edge, and it leaves the centre column empty. The work is the same. It computes with NumPy's
    scalars; ``plain`` takes Python's own numbers and math functions, the kindest form of the loop.
    """
    top, left = extreme(stamp, stamp.max())
    low, west = extreme(stamp, stamp.min())
    theta = np.arctan2(low - top, west - left)
    large = stamp.repeat(ENLARGED, 0).repeat(ENLARGED, 1)
    top, left = top * ENLARGED + ENLARGED - 1, left * ENLARGED + ENLARGED - 1
    cos, sin = np.cos, np.sin
    if plain:
        theta, top, left, cos, sin = float(theta), int(top), int(left), math.cos, math.sin
    polar = np.zeros((ANGLES, RADII), stamp.dtype)
    for k in range(ANGLES):
        for r in range(RADII):
            y = int(r * sin(theta + k * STEP) + top)
            x = int(r * cos(theta + k * STEP) + left)
            if 0 <= y < SIDE * ENLARGED and 0 <= x < SIDE * ENLARGED:
                polar[k, r] = large[y, x]
    return np.concatenate([polar[:, ::-1], polar], axis=1)


def unwrap_batches(images: torch.Tensor, pole: str) -> None:
    """A batch after the other, as the encoder does: none is kept."""
    for part in images.split(BATCH):
        unwrap(part, ANGLES, RADII, pole=pole)


def stamps(n: int) -> np.ndarray:
    """Off-centre ellipses with noise, (n, 1, 100, 100)."""
    rng = np.random.default_rng(1)
    x, y = np.meshgrid(np.arange(SIDE) - SIDE / 2, np.arange(SIDE) - SIDE / 2)
    made = []
    for _ in range(n):
        x0, y0, a, b, turn = rng.uniform((-4, -4, 5, 3, 0), (4, 4, 12, 6, np.pi))
        u = (x - x0) * np.cos(turn) + (y - y0) * np.sin(turn)
        v = (y - y0) * np.cos(turn) - (x - x0) * np.sin(turn)
        made.append(50 * np.exp(-np.hypot(u / a, v / b)) + rng.normal(size=x.shape))
    return np.array(made, dtype=np.float32)[:, None]


def best(work, repeats: int) -> float:
    """Shortest CPU time of one call, in seconds, summed over threads: other work on the machine does not count."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    """Time, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stamps", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    images = stamps(options.stamps)
    tensor = torch.from_numpy(images)

    published = "loop as published"
    seconds = {
        published: best(lambda: [loop(image[0]) for image in images[:5]], 5) / 5,
        "loop, plain Python numbers": best(lambda: [loop(image[0], plain=True) for image in images[:5]], 5)
        / 5,
    }
    with torch.inference_mode():
        for pole in ("apct", "moments"):
            work = functools.partial(unwrap_batches, tensor, pole)
            work()
            seconds[f"kernels.polar, {pole}"] = best(work, 100) / len(images)
        ours = unwrap(tensor[:20], ANGLES, RADII, pole="apct").numpy()[:, 0]
    theirs = np.array([loop(image[0]) for image in images[:20]])
    likeness = np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(ours, theirs, strict=True)])
    slowest = seconds[published]
    with RESULTS.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "threads", "CPU microseconds per stamp", "times the published loop"])
        for name, value in seconds.items():
            threads = 1 if name.startswith("loop") else options.threads
            writer.writerow([name, threads, f"{value * 1e6:.1f}", f"{slowest / value:.1f}"])
    print(RESULTS.read_text())
    print(f"correlation of our apct with the loop: {likeness:.4f}")


if __name__ == "__main__":
    main()
