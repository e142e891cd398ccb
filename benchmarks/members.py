"""Time to fit and vote with 24 members, beside one scikit-learn clusterer of each kind.

    python benchmarks/members.py --sizes 10000 20000 100000 1000000

Ours: 8 bags of at most 100,000 objects, k-means + BIRCH + Ward on each, k = 20, the calibration of confidences on the pilot, then the vote of all 24
members on every object, in two worker processes with one thread each. Theirs: one clusterer, fitted to all objects, with the
library's defaults and all threads. Codes are a synthetic anisotropic mixture of 40 dimensions; a run's default is 10 (`--dimensions 10`).
Memory is the resident peak of this process, which holds all codes, and of the larger worker.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from kernels.bags import bag_masks, canonical_order, in_pilot, inclusion, stratify
from kernels.confidence import branches, calibrate
from kernels.families import FAMILIES
from kernels.members import fit_member
from kernels.vote import align, ensemble, vote

DIMENSIONS, GROUPS, BRANCHES, BAGS = 40, 20, 6, 8
BAG_ROWS, PILOT_ROWS, WORKERS, SLICE = 100_000, 50_000, 2, 16_384
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
LARGEST_QUADRATIC = 20_000  # sklearn's Ward needs 8 n^2 / 2 bytes and its BIRCH joins nearly n leaves by Ward


def mixture(rows: int, dimensions: int = DIMENSIONS, seed: int = 0) -> np.ndarray:
    """Overlapping anisotropic Gaussians with falling variances, (rows, dimensions) float32."""
    draw = np.random.default_rng(seed)
    fall = np.exp(-np.arange(dimensions) / 12)
    centres = draw.normal(size=(60, dimensions)) * fall
    mixing = draw.normal(size=(60, dimensions, dimensions)) / np.sqrt(dimensions) * fall
    which = draw.choice(60, rows, p=draw.dirichlet(np.full(60, 2.0)))
    codes = np.empty((rows, dimensions), dtype=np.float32)
    for one in range(60):
        own = np.flatnonzero(which == one)
        codes[own] = centres[one] + draw.normal(size=(len(own), dimensions)) @ mixing[one]
    return codes


def peak_memory(*, forget: bool = False) -> float:
    """Resident peak of this process in GiB, since it was last forgotten."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    if forget:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak / 2**20


def worker_memory(_: int) -> float:
    """Resident peak of a worker in GiB, forgotten."""
    time.sleep(0.2)  # so that one worker can't answer twice
    return peak_memory(forget=True)


def fit_bag(path: str, rows: np.ndarray, bag: int, family: str):
    """One member, in a worker."""
    return fit_member(family, np.load(path, mmap_mode="r")[rows], GROUPS, 0, bag)


def vote_slice(path: str, start: int, arrays: dict):
    """One slice's ballot, in a worker."""
    from kernels.vote import Ensemble

    return vote(np.load(path, mmap_mode="r")[start : start + SLICE], Ensemble.from_arrays(arrays)).agreement


def ours(codes: np.ndarray, pool: ProcessPoolExecutor, folder: Path) -> dict[str, tuple[float, str]]:
    """Seconds and remarks by step."""
    path = str(folder / "codes.npy")
    np.save(path, codes)
    ids = np.arange(len(codes)) * 7919
    peak_memory(forget=True)
    list(pool.map(worker_memory, range(WORKERS)))
    begin = time.perf_counter()
    order = canonical_order(ids, 0)
    pilot = order[in_pilot(ids[order], len(ids), PILOT_ROWS, 0)]
    strata = stratify(codes[pilot], seed=0)
    rates = inclusion(strata.shares, len(ids), BAG_ROWS)
    masks = bag_masks(ids, codes, strata, rates, BAGS, 0)
    bagged = time.perf_counter()
    reference = pool.submit(fit_bag, path, pilot, BAGS, "kmeans")
    jobs = [
        pool.submit(fit_bag, path, order[masks[bag][order]], bag, family)
        for bag in range(BAGS)
        for family in FAMILIES
    ]
    members = align([job.result() for job in jobs], reference.result(), codes[pilot])
    stacked = ensemble(members, reference.result())
    fitted = time.perf_counter()
    calibrate(
        codes[pilot], stacked, [np.arange(GROUPS, dtype=np.int16), branches(stacked, codes[pilot], BRANCHES)]
    )
    calibrated = time.perf_counter()
    arrays = stacked.to_arrays()
    ballots = [pool.submit(vote_slice, path, start, arrays) for start in range(0, len(codes), SLICE)]
    agreement = np.concatenate([ballot.result() for ballot in ballots])
    done = time.perf_counter()
    share = f"{(agreement >= 0.66).mean():.2f} of the objects reach agreement 0.66"
    prototypes = f"{len(stacked.labels)} prototypes"
    own, theirs = peak_memory(), max(pool.map(worker_memory, range(WORKERS)))
    memory = f"peak {own:.2f} GiB, and {theirs:.2f} in a worker"
    return {
        "ours: bags": (bagged - begin, f"{int(masks.sum(axis=1).mean())} objects a bag"),
        "ours: fit and align 24 members": (fitted - bagged, prototypes),
        "ours: calibrate confidences": (calibrated - fitted, f"{len(pilot)} objects in the pilot"),
        "ours: vote of all objects": (done - calibrated, share),
        "ours: all": (done - begin, f"24 members, {WORKERS} workers; {memory}"),
    }


def sklearns(codes: np.ndarray) -> dict[str, tuple[float | None, str]]:
    """Seconds (None: not run) and remarks by clusterer."""
    from sklearn.cluster import AgglomerativeClustering, Birch, KMeans

    found: dict[str, tuple[float | None, str]] = {}
    for what, model in {
        "sklearn: KMeans": KMeans(GROUPS, random_state=0),
        "sklearn: Birch": Birch(n_clusters=GROUPS),
        "sklearn: AgglomerativeClustering ward": AgglomerativeClustering(GROUPS, linkage="ward"),
    }.items():
        if len(codes) > LARGEST_QUADRATIC and "KMeans" not in what:
            found[what] = (None, f"skipped: memory and time grow as N^2 beyond {LARGEST_QUADRATIC} objects")
            continue
        begin = time.perf_counter()
        model.fit(codes)
        leaves = getattr(model, "subcluster_centers_", None)
        note = "1 member" if leaves is None else f"1 member, {len(leaves)} leaves"
        found[what] = (time.perf_counter() - begin, note)
    return found


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 20_000, 100_000, 1_000_000])
    parser.add_argument("--dimensions", type=int, default=DIMENSIONS)
    results = Path(__file__).parent / "results" / "members.csv"
    parser.add_argument("--output", type=Path, default=results)
    options = parser.parse_args()

    import multiprocessing

    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))  # inherited by the workers alone: ours is loaded already
    pool = ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn"))
    list(pool.map(time.sleep, [0.2] * WORKERS))  # workers of a pipeline run before the vote begins
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})

    rows = []
    with pool, TemporaryDirectory() as folder:
        fit_warm = np.random.default_rng(0).normal(size=(6000, options.dimensions)).astype(np.float32)
        np.save(Path(folder) / "warm.npy", fit_warm)
        warm = [str(Path(folder) / "warm.npy")] * WORKERS
        list(pool.map(fit_bag, warm, [np.arange(6000)] * WORKERS, range(WORKERS), ["ward"] * WORKERS))
        for size in options.sizes:
            codes = mixture(size, options.dimensions)
            for what, (seconds, note) in {**ours(codes, pool, Path(folder)), **sklearns(codes)}.items():
                shown = "" if seconds is None else f"{seconds:.2f}"
                rows.append((size, what, shown, note))
                print(f"{size:>9,}  {what:<40} {shown:>8}  {note}", flush=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with options.output.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("objects", "what", "seconds", "note"))
        writer.writerows(rows)


if __name__ == "__main__":
    main()
