"""Strangers among EFIGI's galaxies: `python -m benchmarks.anomalies`. Writes anomalies.csv and anomalies_kinds.csv.

One object in a hundred of a release is none of EFIGI's galaxies (`benchmarks.strangers`): stars, blank frames, galaxies crossed by cosmic rays, doubled images and HST stamps, as many of each.
The release is run as it stands, with a run's defaults, and objects are ranked by how odd they are: by the column `anomaly_distance`, and on the same embeddings by the local outlier factor
(cosine, the mean over 5 to 50 neighbours as AstroPT's authors take it, and 20 neighbours alone) and by an Isolation Forest (200 trees) of scikit-learn. Found are the strangers
among the first 2 %. With flags, objects that flags explain (`catalogs.explained`) come after all others, as in `tuningfork anomalies`: a stranger is then found or explained.
Means over releases with other strangers.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor

from benchmarks.common import write_csv
from benchmarks.galaxies import SHARED, SIZE
from benchmarks.strangers import KINDS, strangers
from catalogs import views
from catalogs.explained import condition
from catalogs.pack import pack
from pipeline import flow
from pipeline.plan.make_plan import plan_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]

SHARE, FIRST = 0.01, 0.02
NEIGHBOURS = (5, 10, 15, 20, 35, 50)
GALAXY = "galaxy"


def release(folder: Path, seed: int, most: int | None) -> None:
    """EFIGI with strangers."""
    with (SHARED / "efigi" / "labels.csv").open(newline="") as file:
        names = [row["file"] for row in csv.DictReader(file)][:most]
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    rows = [(str(SHARED / "efigi" / name), GALAXY) for name in names]
    for number, (kind, picture) in enumerate(strangers(round(SHARE * len(names)), seed)):
        file = pictures / f"stranger-{number}.png"
        Image.fromarray(picture).save(file)
        rows.append((str(file), kind))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "kind"), *rows])
    pack(folder / "labels.csv", folder / "release", size=SIZE)


def run(folder: Path, encode: str = "") -> pd.DataFrame:
    """The catalog of the release, with its embeddings; `encode` takes the place of the config's last section, of that name."""
    config = folder / "release" / "survey.toml"
    if encode:
        config.write_text(config.read_text().split("[encode]")[0] + encode)
    with config.open("a") as file:
        file.write('\n[measure]\nquantities = ["shape"]\n')  # flags need no more
    plan = plan_of(config, str(folder / "run"))
    plan.run.prepare(plan.record, anew=False, remedy="")
    flow.run(plan, engine="local")
    with views.connect(str(folder / "run")) as connection:
        sql = f"""SELECT o.*, {condition({"measure_flags": None})} AS explained, embedding FROM objects o
                  JOIN embeddings USING (object_id) WHERE embedding IS NOT NULL ORDER BY object_id"""
        return connection.sql(sql).df()


def _factor(codes: Scores, neighbours: int) -> Scores:
    return -LocalOutlierFactor(n_neighbors=neighbours, metric="cosine").fit(codes).negative_outlier_factor_


def rankings(seed: int) -> dict[str, Callable[[pd.DataFrame, Scores], Scores]]:
    """What each way to rank says of the objects, given their columns and their codes (n, d)."""
    return {
        "anomaly_distance": lambda table, _: table["anomaly_distance"].to_numpy(float),
        "local outlier factor, 5 to 50": lambda _, codes: np.mean([_factor(codes, k) for k in NEIGHBOURS], 0),
        "local outlier factor, 20": lambda _, codes: _factor(codes, 20),
        "Isolation Forest": lambda _, codes: (
            -IsolationForest(n_estimators=200, random_state=seed).fit(codes).score_samples(codes)
        ),
    }


def main() -> None:
    """Run the releases and write both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--releases", type=int, default=5)
    parser.add_argument("--most", type=int, help="galaxies, at most")
    parser.add_argument("--keep", type=Path, help="folder where the last release and its run stay")
    options = parser.parse_args()
    totals: dict[str, list[tuple[float, ...]]] = {}
    kinds: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for seed in range(options.releases):
        with TemporaryDirectory() as scratch:
            folder = Path(scratch)
            release(folder, seed, options.most)
            table = run(folder)
            if options.keep and seed == options.releases - 1:
                shutil.copytree(folder, options.keep, dirs_exist_ok=True)
        codes = np.stack(table["embedding"].to_list()).astype(np.float64)
        kind, explained = table["kind"].to_numpy(str), table["explained"].to_numpy(bool)
        strange, first = kind != GALAXY, round(FIRST * len(table))
        for name, ranking in rankings(seed).items():
            began = time.perf_counter()
            scores = ranking(table, codes)
            seconds = time.perf_counter() - began
            plain = np.argsort(-scores, kind="stable")[:first]
            flagged = np.lexsort((-scores, explained))[:first]
            found, unexplained = (np.isin(np.arange(len(table)), chosen) for chosen in (plain, flagged))
            found_or_explained = unexplained | explained
            totals.setdefault(name, []).append(
                (
                    found[strange].mean(),
                    found_or_explained[strange].mean(),
                    explained[strange].mean(),
                    explained[~strange].mean(),
                    unexplained[strange & ~explained].mean(),
                    seconds,
                )
            )
            for each in KINDS:
                here = kind == each
                both = found[here].mean(), explained[here].mean(), found_or_explained[here].mean()
                kinds.setdefault((name, each), []).append(both)
        print(seed, {name: np.round(values[-1], 3).tolist() for name, values in totals.items()}, flush=True)
    columns = (
        "found",
        "found_or_explained",
        "strangers_explained",
        "galaxies_explained",
        "found_of_unexplained",
    )
    write_csv(
        "anomalies",
        ("ranked_by", *columns, "seconds"),
        [_row(name, values) for name, values in totals.items()],
    )
    rows = [_row(f"{name}|{kind}", values) for (name, kind), values in kinds.items()]
    write_csv(
        "anomalies_kinds",
        ("ranked_by", "kind", "found", "explained", "found_or_explained"),
        [(*row[0].split("|"), *row[1:]) for row in rows],
    )


def _row(name: str, values: list[tuple[float, ...]]) -> tuple[str, ...]:
    mean, spread = np.mean(values, 0), np.std(values, 0)
    return name, *(f"{a:.2f} ± {b:.2f}" for a, b in zip(mean, spread, strict=True))


if __name__ == "__main__":
    main()
