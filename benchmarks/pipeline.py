"""Pipeline efficiency: objects a second of a real run, over the bare encoder on stamps that are in memory already.

    python -m benchmarks.pipeline [--objects 30000]

The bare loop is `actors.encoder.Encoder`, loaded and warm, called on tables that the release gave beforehand: no FITS, no
Ray, no Parquet, nobody else on the cores. The run is `tuningfork run` on the same release with the same options, from
FITS on disk to a published catalog. Its encoding stage counts everything: start of the workers, loading of the model,
cutting of the stamps, writing of the parts; the line "without its start" leaves out what came before the first slices
were written. The bare loop is timed before and after the run, each time in processes of their own with OpenMP threads
that spin while they wait and with threads that sleep (OMP_WAIT_POLICY); the best of the four counts. Nothing is measured in
that run; two more runs say what measuring adds to the encoding stage, and one what it takes if neighbours are kept: the bare encoder fills none.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from actors.encoder import Encoder
from benchmarks.common import write_csv
from benchmarks.releases import write_release
from pipeline.plan.make_plan import plan_of

SIZE, SHARDS, THREADS = 64, 4, 2
CONFIG = f"""
[run]
engine = "ray"
interval = 0.5

[measure]
quantities = []

[encode]
model = "timm:convnext_atto"
input = {SIZE}
unwrap = "moments"
"""
NOTHING, LAST = "quantities = []", 'unwrap = "moments"'
KEPT = "run: encoding stage, neighbours kept"
STEADY = "from the first slices written on: others are under way then, so a little too high"
MEASURED = {
    "run: encoding stage, measuring all but Sersic fits": 'quantities = ["gini", "cas", "mid"]',
    "run: encoding stage, measuring everything": "fwhm = 0.5",
}
"""What is added to a run that otherwise measures nothing."""


def bare(config: Path, threads: int = THREADS) -> dict[str, float]:
    """Objects a second of the encoder alone, by OpenMP's wait policy."""
    rates, before = {}, os.environ.get("OMP_WAIT_POLICY")
    for policy in ("ACTIVE", "PASSIVE"):
        os.environ["OMP_WAIT_POLICY"] = policy  # read when a process loads its libraries
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            rates[policy.lower()] = process.submit(encode_all, config, threads).result()
        os.environ.pop("OMP_WAIT_POLICY")
    if before is not None:
        os.environ["OMP_WAIT_POLICY"] = before
    return rates


def encode_all(config: Path, threads: int) -> float:
    """Objects a second of the encoder on tables in memory, in a fresh process."""
    plan = plan_of(config, "nowhere")
    tables = [plan.release.read(piece) for piece in plan.slices()]
    encoder = Encoder(**{**plan.encoder_options, "threads": threads})
    encoder(tables[0].slice(0, 256))
    start = time.perf_counter()
    for table in tables:
        encoder(table)
    return plan.release.rows / (time.perf_counter() - start)


def run(config: Path, out: Path) -> tuple[list[dict], float]:
    """The progress lines of a whole run in a process of its own, and its seconds."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "pipeline.cli", "run", str(config), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet())
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"tuningfork run failed:\n{done.stdout}\n{done.stderr}")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [line for line in lines if "state" in line], seconds


def quiet() -> dict[str, str]:
    """An environment in which a run writes JSON lines."""
    return {**os.environ, "TERM": "dumb", "NO_COLOR": "1"}


def without_start(lines: list[dict]) -> float | None:
    """Objects a second of the encoding stage from the first slices written to the last."""
    counted = [line for line in lines if line["stage"] == "encode" and line["objects"]]
    first, last = counted[0], counted[-1]
    if last["seconds"] <= first["seconds"]:
        return None
    return (last["objects"] - first["objects"]) / (last["seconds"] - first["seconds"])


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=30_000)
    options = parser.parse_args()
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        config = write_release(folder / "release", options.objects, SHARDS, SIZE, CONFIG)
        before = bare(config)
        lines, seconds = run(config, folder / "run")
        kept = run(changed(config, LAST, LAST + '\nneighbours = "keep"'), folder / "kept")[0]
        measured = {
            what: run(changed(config, NOTHING, text), folder / what)[0] for what, text in MEASURED.items()
        }
        after = bare(config)
    alone = max(*before.values(), *after.values())
    note = "; ".join(
        f"{when} the run {', '.join(f'{policy} {rate:.0f}/s' for policy, rate in rates.items())}"
        for when, rates in (("before", before), ("after", after))
    )
    stage, n = encoding(lines), options.objects
    rows = [
        ("bare encoder loop", n, f"{n / alone:.1f}", f"{alone:.0f}", "1.00", note),
        stage_row(
            "run: encoding stage", n, n / stage["seconds"], alone, "with the start of workers and model"
        ),
    ]
    steady = without_start(lines)
    if steady is not None:
        rows.append(
            stage_row(
                "run: encoding stage, without its start",
                n,
                steady,
                alone,
                STEADY,
            )
        )
    rate = without_start(kept) or n / encoding(kept)["seconds"]
    rows.append(
        stage_row(
            KEPT,
            n,
            rate,
            alone,
            STEADY,
        )
    )
    for what, timings in measured.items():
        took = encoding(timings)["seconds"]
        note = f"measuring takes {1 - stage['seconds'] / took:.0%} of the stage"
        rows.append(stage_row(what, n, n / took, alone, note))
    others = {
        line["stage"]: line["seconds"]
        for line in lines
        if line["state"] == "done" and line["stage"] != "encode"
    }
    note = "FITS to published catalog; " + ", ".join(
        f"{name} {value:.0f} s" for name, value in others.items()
    )
    rows.append(stage_row("run: all", n, n / seconds, alone, note))
    write_csv("pipeline", ("what", "objects", "seconds", "objects_per_s", "share_of_bare", "note"), rows)


def encoding(lines: list[dict]) -> dict:
    """The last progress line of the encoding stage."""
    return next(line for line in lines if line["stage"] == "encode" and line["state"] == "done")


def changed(config: Path, line: str, to: str) -> Path:
    """The same release with another line in its config."""
    other = config.with_name("changed.toml")
    other.write_text(config.read_text(encoding="utf-8").replace(line, to), encoding="utf-8")
    return other


def stage_row(what: str, objects: int, rate: float, alone: float, note: str) -> tuple:
    """One line of the table."""
    return what, objects, f"{objects / rate:.1f}", f"{rate:.0f}", f"{rate / alone:.2f}", note


if __name__ == "__main__":
    main()
