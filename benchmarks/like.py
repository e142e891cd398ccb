"""Whether the next release gets the same classes from an earlier release's run as from a run of both: `python -m benchmarks.like`. Writes like.csv.

A release of `tuningfork simulate` is parted by the parity of the objects' numbers, on which nothing else depends. The first half is run; the second half is run with
`--like` that run; and both halves together are run by themselves. All three are the commands that a user types, with the simulated release's own config, whose rules name the
groups. Agreement is the share of equal classes among the second half's objects that both of its runs keep.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from benchmarks.common import write_csv
from benchmarks.science import write_tables
from catalogs import views
from pipeline.simulate.release import simulate

COMMAND = str(Path(sys.executable).with_name("tuningfork"))
FIRST_SEED = 20
ID = 'id = "NUMBER"\n'
COLUMNS = (
    "seed",
    "objects",
    "kept_by_--like",
    "kept_by_the_run_of_both",
    "kept_by_both",
    "equal_classes",
    "equal_if_named_by_truth",
    "true_classes_by_--like",
    "true_classes_by_the_run_of_both",
)


def compared(galaxies: int, seed: int, folder: Path) -> list[float]:
    """What COLUMNS say after the first, of one simulated release."""
    if not (folder / "release" / "survey.toml").exists():
        simulate(folder / "release", galaxies, seed=seed)
    first, second, both = folder / "first", folder / "second", folder / "both"
    _run(_config(folder / "release", "first", "NUMBER % 2 = 1"), first)
    _run(_config(folder / "release", "second", "NUMBER % 2 = 0"), second, "--like", first)
    _run(folder / "release" / "survey.toml", both)
    truth = pq.read_table(folder / "release" / "truth.parquet").to_pandas().set_index("object_id")["class"]
    like, joint = _objects(second), _objects(both)
    # as the rules name groups, so the commonest true class would: of the run that has fitted them
    names = [_commonest(_objects(out), truth) for out in (first, both)]
    joint = joint.loc[like.index]
    kept = like["kept"] & joint["kept"]
    true = truth.loc[like.index]
    by_truth = [each["group"].map(of) for each, of in zip((like, joint), names, strict=True)]
    return [
        len(like),
        like["kept"].mean(),
        joint["kept"].mean(),
        kept.mean(),
        (like["class"] == joint["class"])[kept].mean(),
        (by_truth[0] == by_truth[1])[kept].mean(),
        *((each["class"] == true)[kept].mean() for each in (like, joint)),
    ]


def _commonest(objects: pd.DataFrame, truth: pd.Series) -> pd.Series:
    """The true class that most kept objects of each group have."""
    groups = objects["group"][objects["kept"]]
    return pd.crosstab(groups, truth.loc[groups.index]).idxmax(axis=1)


def _config(release: Path, name: str, where: str) -> Path:
    text = (release / "survey.toml").read_text(encoding="utf-8")
    assert text.count(ID) == 1, "the simulated release's config has changed"
    path = release / f"{name}.toml"
    path.write_text(text.replace(ID, f'{ID}where = "{where}"\n'), encoding="utf-8")
    return path


def _run(config: Path, out: Path, *options: str | Path) -> None:
    if not (out / "published.json").exists():
        subprocess.run([COMMAND, "run", config, "--out", out, *options], check=True, capture_output=True)


def _objects(out: Path) -> pd.DataFrame:
    """Usable objects, by their id."""
    sql = 'SELECT object_id, "group", kept, class FROM objects WHERE "group" IS NOT NULL ORDER BY ALL'
    with views.connect(str(out)) as connection:
        return connection.sql(sql).df().set_index("object_id")


def main() -> None:
    """Simulate, run, compare, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--galaxies", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--keep", type=Path, help="folder to keep releases and runs in, and to go on in")
    options = parser.parse_args()
    found = []
    for seed in range(FIRST_SEED, FIRST_SEED + options.seeds):
        with TemporaryDirectory() as scratch:
            folder = Path(scratch) if options.keep is None else options.keep / str(seed)
            found.append(compared(options.galaxies, seed, folder))
        print(seed, *(f"{value:.3f}" for value in found[-1]), flush=True)
    rows = [
        (str(seed), f"{values[0]:.0f}", *(f"{value:.3f}" for value in values[1:]))
        for seed, values in enumerate(found, FIRST_SEED)
    ]
    mean, spread = np.mean(found, axis=0), np.std(found, axis=0)
    summary = (f"{m:.3f} ± {s:.3f}" for m, s in zip(mean[1:], spread[1:], strict=True))
    rows.append(("mean ± spread", f"{mean[0]:.0f}", *summary))
    write_csv("like", COLUMNS, rows)
    write_tables()


if __name__ == "__main__":
    main()
