"""Served encoding: stamps a second through a tritonserver on this machine, over those of the encoder in process.

    python -m benchmarks.served [--stamps 3072] [--quick]

The encoder is galaxy-atto on 64-pixel stamps in three bands. In process: two worker processes of one thread each, as a run on two
cores has them. Served: two instances of one thread each behind a real tritonserver, and one client process that sends from memory.
Both are warm, and each rate is the best of several passes; those in process are run before and after all others. Queue and
compute are the server's own times of a batch, in ms.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from tritonclient import grpc

from actors.encoder import Encoder
from actors.precision import resolve_precision
from actors.serving import contract
from actors.serving.client import ServedEncoder
from actors.serving.repository import Serving, export
from benchmarks.common import best, write_csv
from pipeline.serving.serve import Ports, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

BANDS, SIZE, WORKERS, PASSES = 3, 64, 2, 2
OPTIONS: dict[str, Any] = {
    "model": "galaxy-atto",
    "checkpoint": "bundled",
    "denoise": None,
    "order": None,
    "bands": BANDS,
    "size": SIZE,
    "input": SIZE,
    "unwrap": "none",
    "stretch": "asinh",
    "normalise": "none",
    "precision": resolve_precision("auto", "cpu"),
    "turns": 1,
    "batch_size": 128,
    "threads": 1,
}
BATCHES, FLIGHTS = (16, 64, 128, 256), (1, 2, 4)
COLUMNS = (
    "wire", "shared_memory", "batch", "in_flight", "stamps_per_s", "over_in_process", "queue_ms", "compute_ms"
)  # fmt: skip


def galaxies(n: int) -> np.ndarray:
    """Noise with a blob, (n, bands, size, size)."""
    rng = np.random.default_rng(0)
    line = np.arange(SIZE) - SIZE / 2
    blob = 50 * np.exp(-(line**2 + line[:, None] ** 2) / 60)
    return (rng.normal(size=(n, BANDS, SIZE, SIZE)) + blob).astype(np.float32)


def here(n: int) -> tuple[float, float]:
    """Start and end of encoding in a process of its own, after a warm-up."""
    stamps, encoder = galaxies(n), Encoder(**OPTIONS)
    encoder.embed(stamps, np.arange(min(n, 2 * OPTIONS["batch_size"])))
    start = time.time()
    encoder.embed(stamps, np.arange(n))
    return start, time.time()


def in_process(n: int) -> float:
    """Stamps a second of all workers together, while all are at work."""
    with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn")) as pool:
        spans = list(pool.map(here, [n] * WORKERS))
    return WORKERS * n / (max(end for _, end in spans) - min(start for start, _ in spans))


def expected(wire: str) -> dict[str, Any]:
    """What the client expects of the server."""
    return {
        "name": "encoder",
        "bands": BANDS,
        "size": SIZE,
        "features": Encoder.columns(**OPTIONS).schema.field("embedding").type.list_size,
        "wire": wire,
        "fingerprint": contract.fingerprint(OPTIONS, Encoder.weights_fingerprint(**OPTIONS)),
        "values": contract.values(OPTIONS),
    }


def split(client: grpc.InferenceServerClient) -> tuple[int, int, int]:
    """Requests so far, and their nanoseconds in the queue and computing."""
    statistics = client.get_inference_statistics("encoder", as_json=True)["model_stats"][0]
    spent = statistics["inference_stats"]
    times = [int(spent[part].get("ns", 0)) for part in ("queue", "compute_infer")]
    return int(spent["success"].get("count", 0)), times[0], times[1]


def served(stamps: np.ndarray, wire: str, batch: int) -> Iterator[tuple[str, int, float, float, float]]:
    """Shared memory, requests in flight, stamps a second, ms in the queue and computing, for one server."""
    n, ports = len(stamps), Ports(grpc=18001, http=18000, metrics=18002)
    with TemporaryDirectory() as scratch, (Path(scratch) / "log").open("wb") as log:
        repository = Path(scratch) / "repository"
        export({**OPTIONS, "batch_size": batch}, repository, Serving("encoder", wire, WORKERS))
        with serving(repository, ports, log=log.fileno()):
            teller = grpc.InferenceServerClient(f"{ports.host}:{ports.grpc}")
            for shared, flights in itertools.product(("off", "on"), FLIGHTS):
                client = ServedEncoder(
                    endpoints=[ports.endpoint],
                    expected=expected(wire),
                    batch_size=batch,
                    in_flight=flights,
                    shared_memory=shared,
                )
                client.embed(stamps, np.arange(min(n, 4 * batch)))
                before = split(teller)
                rate = n / best(partial(client.embed, stamps, np.arange(n)), PASSES)
                count, queue, compute = (b - a for a, b in zip(before, split(teller), strict=True))
                client.close()
                yield shared, flights, rate, queue / count / 1e6, compute / count / 1e6
            teller.close()


def main() -> None:
    """Measure every setting, write benchmarks/results/served.csv."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stamps", type=int, default=3072)
    parser.add_argument("--quick", action="store_true", help="two settings only")
    options = parser.parse_args()
    n, stamps = options.stamps, galaxies(options.stamps)
    bare = [in_process(n // WORKERS) for _ in range(PASSES)]
    measured = []
    settings = [("float32", 128)] if options.quick else list(itertools.product(contract.DTYPES, BATCHES))
    for wire, batch in settings:
        for shared, flights, rate, queue, compute in served(stamps, wire, batch):
            measured.append((wire, shared, batch, flights, rate, f"{queue:.1f}", f"{compute:.1f}"))
            print(*measured[-1], sep="  ", flush=True)
    whole = max(*bare, *(in_process(n // WORKERS) for _ in range(PASSES)))
    rows: list[tuple[object, ...]] = [
        ("in process", "", OPTIONS["batch_size"], "", round(whole), "1.00", "", "")
    ]
    rows += [(*row[:4], round(row[4]), f"{row[4] / whole:.2f}", *row[5:]) for row in measured]
    write_csv("served", COLUMNS, rows)


if __name__ == "__main__":
    main()
