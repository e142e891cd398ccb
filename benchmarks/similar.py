"""Similar objects at scale: `python -m benchmarks.similar`. Writes similar.csv and similar_examples.csv.

Runs as published, of 10^6 and 10^7 objects: codes of 320 dimensions (float16) made of real ones (galaxy-atto on EFIGI and Galaxy Zoo 1) by going part of the way to one of
their ten nearest and adding noise of a tenth of the spread along every principal axis; one object in twenty has a flag. `tuningfork similar RUN` makes the index as a
process of its own. A question asks for the 50 objects most like one object: from opening the index to the rows of the catalog, in one process; `cold` after the files of run and index have been dropped from
the page cache, `warm` the median of questions after others; `command` is `tuningfork similar RUN --id ID` as typed, with the start of Python. Brute force computes the same similarity of all
objects with NumPy from the index's own uncompressed codes, on both cores. Recall is the share of its 50 that the index finds.

The second table: how well the 50 objects nearest to some examples share a property of theirs that people saw (EFIGI), for several ways to put examples together.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
from safetensors.numpy import save_file

from actors.encoder import Encoder
from benchmarks.common import read_csv, write_csv
from benchmarks.galaxies import galaxies
from catalogs import hats_catalog
from kernels.anomaly import oddness_of
from kernels.moments import fixed_point_exponent, moments, principal_components
from kernels.similarity import direction, similarity
from pipeline.config.file import load
from pipeline.plan.encoding import encoder_of
from pipeline.report.source import open_source
from pipeline.rundir.run_directory import RunDirectory
from pipeline.similar.index import Index
from pipeline.similar.layout import layout_of
from pipeline.similar.objects import Objects

COUNT, PARTITION = 50, 500_000
FLAGGED = 0.05
CHUNK = 100_000
PROPERTIES = {
    "barred": lambda t: t["bar_length"] >= 0.5,
    "inner ring": lambda t: t["inner_ring"] >= 0.5,
    "edge-on": lambda t: t["inclination_elongation"] >= 0.9,
    "several galaxies": lambda t: t["multiplicity"] >= 0.5,
    "perturbed": lambda t: t["perturbation"] >= 0.5,
    "irregular": lambda t: t["t_type"] > 8.5,
}


def codes_of(name: str, scratch: Path) -> tuple[np.ndarray, object]:
    """Codes (n, 320) float16 of real galaxies, and their labels."""
    found = galaxies(name, scratch)
    config, folder = load(scratch / name / "survey.toml")
    column = Encoder(**encoder_of(config, folder, name))(found.stamps)["embedding"].combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(found), -1), found.labels


class Made:
    """As many codes as are wanted, from real ones."""

    def __init__(self, real: np.ndarray) -> None:
        self.real = real.astype(np.float32)
        centred = self.real - self.real.mean(axis=0)
        _, spread, self.axes = np.linalg.svd(centred, full_matrices=False)
        self.spread = (spread / np.sqrt(len(real))).astype(np.float32)
        square = (self.real**2).sum(axis=1)
        gaps = square[:, None] + square - 2 * self.real @ self.real.T
        self.near = np.argpartition(gaps, 11, axis=1)[:, 1:11]
        scatter = np.random.default_rng(0).standard_normal((2 * CHUNK, len(real[0])), np.float32)
        self.noise = (scatter * (0.1 * self.spread)) @ self.axes

    def __call__(self, count: int, seed: int) -> np.ndarray:
        draw = np.random.default_rng(seed)
        noise = self.noise[draw.permutation(len(self.noise))[:count]]
        from_, which = draw.integers(len(self.real), size=count), draw.integers(10, size=count)
        a, b = self.real[from_], self.real[self.near[from_, which]]
        return (a + draw.random((count, 1), np.float32) * (b - a) + noise).astype(np.float16)


def publish(folder: Path, objects: int, made: Made, like: dict) -> None:
    """A run directory with everything that `similar` reads."""
    features = made.real.shape[1]
    list_type = pa.list_(pa.float16(), features)
    found = []
    for number, start in enumerate(range(0, objects, PARTITION)):
        rows = min(PARTITION, objects - start)
        draw = np.random.default_rng([number, 7])
        partition = hats_catalog.Partition(2, number)
        index = np.sort((np.int64(number) << 54) + draw.integers(1 << 54, size=rows))
        ids = np.arange(start, start + rows)
        flat = pa.array(
            np.concatenate(
                [made(min(CHUNK, rows - i), number * 1000 + i) for i in range(0, rows, CHUNK)]
            ).reshape(-1)
        )
        columns = {
            "_healpix_29": index,
            "object_id": ids,
            "ra": draw.uniform(0, 360, rows),
            "dec": draw.uniform(-60, 60, rows),
        }
        embedded = pa.table({**columns, "embedding": pa.FixedSizeListArray.from_arrays(flat, type=list_type)})
        hats_catalog.write_partition(str(folder / "embeddings"), partition, embedded)
        flags = np.where(draw.random(rows) < FLAGGED, 2, 0).astype(np.int32)
        group = draw.integers(0, 20, rows).astype(np.int16)
        more = {
            "shard": ["a.fits"] * rows,
            "row": ids,
            "flags": flags,
            "measure_flags": np.zeros(rows, np.int32),
        }
        voted = {
            "group": group,
            "kept": group > 5,
            "agreement": draw.random(rows, np.float32),
            "anomaly": 100 * draw.random(rows, np.float32),
        }
        hats_catalog.write_partition(
            str(folder / "catalog"), partition, pa.table({**columns, **more, **voted})
        )
        found.append(partition)
    some = made(20_000, 99)
    largest = float(np.abs(some).max()) * 1.5
    summed = moments(some, fixed_point_exponent(largest))
    components = principal_components(summed, 10).to_arrays()
    (folder / "models").mkdir()
    save_file(
        {
            k: np.ascontiguousarray(v)
            for k, v in {**components, **oddness_of(summed, some, largest).to_arrays()}.items()
        },
        folder / "models" / "components.safetensors",
    )
    (folder / "run.json").write_text(json.dumps(like))
    (folder / "published.json").write_text("{}")


def forget(*folders: Path) -> None:
    """Drop the files from the page cache."""
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                file = os.open(path, os.O_RDONLY)
                os.fsync(file)
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(file)


def command(*words: str) -> tuple[float, float, float]:
    """Seconds by the clock, peak memory (GiB), and CPU seconds of a command."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    began, most, before = time.perf_counter(), 0, resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", *words], env=environment, stdout=subprocess.DEVNULL
    )
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        most = max(
            [most, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))]
        )
        time.sleep(0.01)
    assert process.returncode == 0, words
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (
        time.perf_counter() - began,
        most / 2**20,
        used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime,
    )


def brute(index: Index, layout, examples: np.ndarray) -> tuple[list[list[int]], float]:
    """The nearest of each example among unflagged objects, numbered through, and seconds of one question."""
    mean = index._mean  # noqa: SLF001
    found = [(np.empty(0), np.empty(0, np.int64)) for _ in examples]
    wanted = np.stack([direction(each[None], mean) for each in examples], 1).astype(np.float32)
    seconds, before = 0.0, 0
    for shard in layout.shards:
        opened = index._open(shard)  # noqa: SLF001
        for start in range(0, shard.rows, CHUNK):
            now = time.perf_counter()
            codes = opened.codes[start : start + CHUNK].astype(np.float32) - mean.astype(np.float32)
            lengths = np.sqrt(np.einsum("nd,nd->n", codes, codes))
            (codes @ wanted[:, 0]) / lengths
            seconds += time.perf_counter() - now
            cosines = (codes @ wanted) / lengths[:, None]
            cosines[opened.marks[start : start + CHUNK] & 2 != 0] = -2
            for number in range(len(examples)):
                best = np.argpartition(-cosines[:, number], COUNT + 1)[: COUNT + 2]
                values, rows = found[number]
                values, rows = (
                    np.append(values, cosines[best, number]),
                    np.append(rows, best + before + start),
                )
                keep = np.argsort(-values)[: COUNT + 2]
                found[number] = values[keep], rows[keep]
        before += shard.rows
    return [rows.tolist() for _, rows in found], seconds


def measure(folder: Path, objects: int, questions: int) -> tuple[object, ...]:
    """One row of the table."""
    seconds, memory, cpu = command("similar", str(folder))
    lists = sum(path.stat().st_size for path in (folder / "index").glob("*.faiss")) / 2**30
    run = RunDirectory(str(folder))
    draw = np.random.default_rng(5)
    ids = draw.choice(objects, questions, replace=False)

    def ask(number: int) -> tuple[tuple[int, int], list, np.ndarray, float, float]:
        began = time.perf_counter()
        source = open_source(str(folder), for_plots=False)
        layout = layout_of(run, source.record, None)
        index = Index(layout, run)
        objects = Objects(source, layout)
        (place,) = objects.places([str(number)])
        code = index.code(*place)
        looked = time.perf_counter()
        hits = index.search(code[None], COUNT, [place])
        searched = time.perf_counter() - looked
        objects.rows([hit.place for hit in hits])
        return place, hits, code, time.perf_counter() - began, searched

    cold = []
    for number in ids[:5]:
        forget(folder)
        cold.append(ask(int(number))[3])
    ask(int(ids[0]))
    asked = [ask(int(number)) for number in ids]
    size = sum(path.stat().st_size for path in (folder / "index").iterdir()) / 2**30
    source = open_source(str(folder), for_plots=False)
    layout = layout_of(run, source.record, None)
    index = Index(layout, run)
    index.search(asked[0][2][None], COUNT)
    searches = []
    for _, _, code, _, _ in asked:
        began = time.perf_counter()
        index.search(code[None], COUNT)
        searches.append(time.perf_counter() - began)
    typed = min(command("similar", str(folder), "--id", str(number))[0] for number in ids[:3])
    starts = np.cumsum([0, *(shard.rows for shard in layout.shards)])
    truth, by_force = brute(index, layout, np.stack([code for _, _, code, _, _ in asked]))
    recalls = []
    for (place, hits, _, _, _), best in zip(asked, truth, strict=True):
        own = starts[place[0]] + place[1]
        wanted = [row for row in best if row != own][:COUNT]
        recalls.append(len({starts[hit.shard] + hit.row for hit in hits} & set(wanted)) / COUNT)
    return (
        objects,
        f"{seconds:.0f}",
        f"{objects / seconds:.0f}",
        f"{cpu:.0f}",
        f"{memory:.1f}",
        f"{size:.2f}",
        f"{lists:.2f}",
        f"{np.median(cold):.2f}",
        f"{np.median([a[3] for a in asked]):.3f}",
        f"{np.median(searches):.3f}",
        f"{typed:.1f}",
        f"{by_force:.2f}",
        f"{by_force / np.median(searches):.0f}",
        f"{np.mean(recalls):.3f}",
        f"{np.min(recalls):.2f}",
    )


COLUMNS = (
    *(
        "objects",
        "index_s",
        "objects_a_second",
        "index_cpu_s",
        "peak_gib",
        "index_gib",
        "of_it_lists_gib",
        "cold_s",
        "warm_s",
    ),
    *("search_s", "command_s", "brute_force_s", "brute_force_over_search", "recall_at_50", "least_recall"),
)


def together(codes: np.ndarray, labels, repeats: int = 60) -> list[tuple[object, ...]]:
    """Share of the 50 nearest objects that have a property of the examples."""
    wide = codes.astype(np.float64)
    mean, origin = wide.mean(axis=0), np.zeros(wide.shape[1])
    draw, found = np.random.default_rng(0), {}
    for name, has in PROPERTIES.items():
        having = has(labels).to_numpy()
        for size in (1, 3, 5, 10):
            for _ in range(repeats):
                chosen = draw.choice(np.flatnonzero(having), size, replace=False)
                each = {
                    seen: np.stack([similarity(wide, direction(wide[i][None], m), m) for i in chosen])
                    for seen, m in {"mean": mean, "zero": origin}.items()
                }
                ways = {
                    "mean of the examples, seen from the mean code": similarity(
                        wide, direction(wide[chosen], mean), mean
                    ),
                    "mean of the examples, seen from zero": similarity(
                        wide, direction(wide[chosen], origin), origin
                    ),
                    "most like any example, seen from the mean code": each["mean"].max(axis=0),
                    "most like any example, seen from zero": each["zero"].max(axis=0),
                }
                for way, scores in ways.items():
                    scores[chosen] = -np.inf
                    best = np.argsort(-scores, kind="stable")[:COUNT]
                    found.setdefault((way, size), {}).setdefault(name, []).append(having[best].mean())
    return [
        (
            way,
            size,
            *(f"{np.mean(found[way, size][name]):.2f}" for name in PROPERTIES),
            f"{np.mean([np.mean(v) for v in found[way, size].values()]):.3f}",
        )
        for way, size in found
    ]


def main() -> None:
    """Measure and write both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, nargs="*", default=[1_000_000, 10_000_000])
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument(
        "--like", type=Path, required=True, help="run.json of any run: its config goes with the made ones"
    )
    parser.add_argument("--scratch", type=Path, help="folder for the runs; default: a temporary one")
    parser.add_argument("--scale-alone", action="store_true", help="leave the table of examples as it is")
    options = parser.parse_args()
    with TemporaryDirectory(dir=options.scratch) as scratch:
        real, labels = codes_of("efigi", Path(scratch))
        if not options.scale_alone:
            write_csv(
                "similar_examples", ("examples_are", "examples", *PROPERTIES, "mean"), together(real, labels)
            )
        made = Made(np.concatenate([real, codes_of("gz1", Path(scratch))[0]]))
        like = json.loads(options.like.read_text())
        rows = [
            tuple(row.values()) for row in read_csv("similar") if int(row["objects"]) not in options.objects
        ]
        for objects in options.objects:
            folder = Path(scratch) / f"run-{objects}"
            folder.mkdir()
            publish(folder, objects, made, like)
            rows.append(measure(folder, objects, options.questions))
            write_csv("similar", COLUMNS, sorted(rows, key=lambda row: int(row[0])))
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
