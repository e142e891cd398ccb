"""Multi-modal codes on a simulated survey: modalities.csv, modalities_subsets.csv, modalities_flux.csv and modalities_speed.csv.

`tuningfork simulate --cosmology` makes 20,000 galaxies with stamps in five bands, nine magnitudes, an SED of 24 medium bands and a spectrum of 256 values. A fifth of
them, by their ids, is scored on: nothing is learned from or chosen on them. `tuningfork train autoregressive` learns an ar-1m of all the others, and chooses its embedding by
redshift and mass of a tenth of these, which it does not learn from. Then redshift and mass are learned from the labels of 1 %, 10 % and all of the others, three draws each:

- from codes, frozen: by ridge regression below 1,000 labels, else by a network of two layers of 256, which leaves out a twentieth of its inputs in each step where these are more than 100;
- from photometry and colours: by scikit-learn's gradient-boosted trees, by that network, and by a Gaussian process unless all labels are known;
- from stamps: by a ConvNeXt-atto that learns all of itself.

For the table of patches it is learned anew, a fifth as long, as it is, with standardised patches and with patches in raster order.

Everything is kept in `--folder` and made only once. One thread each; with the defaults about three hours of an idle core.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.common import RESULTS, read_csv
from benchmarks.modalities_peers import colours, filled, gaussian_process, supervised, trees
from benchmarks.modalities_speed import speed
from benchmarks.modalities_task import (
    GIVEN,
    SCALARS,
    SED,
    SPECTRUM,
    Survey,
    codes,
    config,
    probed,
    scores,
    survey,
)
from benchmarks.science import write_tables
from pipeline.simulate.cosmic_release import simulate_cosmic
from pipeline.training.train import train

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SHARES = (0.01, 0.1, 1.0)
METRICS = ("z_nmad", "z_outliers", "z_r2", "mass_nmad", "mass_r2")
TRAININGS = {
    "long": (20, ""),
    "short": (4, ""),
    "standardised": (4, 'flux = "standardised"'),
    "raster": (4, 'order = "raster"'),
}
"""Networks: epochs, and what differs in `[train.autoregressive]`."""
COMPARED = {
    "short": "spiral, flux kept",
    "standardised": "spiral, standardised",
    "raster": "raster, flux kept",
}


def main() -> None:
    """Measure, and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/modalities_data"))
    parser.add_argument("--galaxies", type=int, default=20_000)
    parser.add_argument("--shares", nargs="+", type=float, default=SHARES, help="of the labels")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--supervised-epochs", type=int, default=3, help="of all labels")
    parser.add_argument("--parts", nargs="+", default=["labels", "subsets", "flux", "speed"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder: Path = options.folder.resolve()
    if not (folder / "survey.toml").exists():
        simulate_cosmic(folder, options.galaxies, shards=8)
    if "speed" in options.parts:
        speed(_network(folder, "long"))
    data = survey(folder)
    if "labels" in options.parts:
        for share in options.shares:
            labels(data, share, options)
    if "subsets" in options.parts:
        subsets(data, options)
    if "flux" in options.parts:
        flux(data, options)
    write_tables()


def labels(data: Survey, share: float, options: argparse.Namespace) -> None:
    """Rows of modalities.csv for one share of the labels."""

    def of_codes(found: NDArray[np.float32]) -> Answers:
        return lambda drawn, seed: probed(found, data.labels, drawn, data.test, seed)

    steps = options.supervised_epochs
    contestants: dict[str, Answers] = {
        "trees on photometry": lambda drawn, seed: trees(
            colours(data.photometry), data.labels, drawn, data.test, seed
        ),
        "a network on photometry": of_codes(filled(data.photometry)),
        "a Gaussian process on photometry": lambda drawn, _: gaussian_process(
            filled(data.photometry), data.labels, drawn, data.test
        ),
        "galaxy-atto": of_codes(_codes(data, "galaxy-atto", "")),
        "ConvNeXt-atto, supervised": lambda drawn, seed: supervised(data, drawn, seed, epochs=steps),
        **{
            f"ar-1m, {name}": of_codes(_codes(data, "long", given))
            for name, given in GIVEN.items()
            if name in ("images", "images, photometry", "images, photometry, SED", "all")
        },
    }
    if share == 1:  # it would take the cube of the labels
        del contestants["a Gaussian process on photometry"]
    for name, answers in contestants.items():
        # all labels are the same in each draw, and this one takes long
        seeds = 1 if "supervised" in name and share == 1 else options.seeds
        _append("modalities", {"codes": name, "labels": f"{share:.0%}"}, data, share, seeds, answers)


def subsets(data: Survey, options: argparse.Namespace) -> None:
    """One network, whatever part of its modalities it is given, from all labels."""
    for name, given in GIVEN.items():
        found = _codes(data, "long", given)
        _append(
            "modalities_subsets",
            {"given": name},
            data,
            1.0,
            options.seeds,
            lambda drawn, seed, found=found: probed(found, data.labels, drawn, data.test, seed),  # type: ignore[misc]
        )


def flux(data: Survey, options: argparse.Namespace) -> None:
    """What flux and the spiral are worth: by images, and by images and photometry, from all labels."""
    for training, patches in COMPARED.items():
        for name in ("images", "images, photometry"):
            found = _codes(data, training, GIVEN[name])
            _append(
                "modalities_flux",
                {"patches": patches, "given": name},
                data,
                1.0,
                options.seeds,
                lambda drawn, seed, found=found: probed(found, data.labels, drawn, data.test, seed),  # type: ignore[misc]
            )


def _network(folder: Path, training: str) -> Path:
    """Weights of a training, which goes on where it was left."""
    out, (epochs, options) = folder / f"trained-{training}", TRAININGS[training]
    path = config(folder, f"train-{training}", everything=False, epochs=epochs, options=options)
    if not (out / "done").exists():
        train("autoregressive", [path], str(out))
        (out / "done").touch()
    return out / "autoregressive.safetensors"


def _codes(data: Survey, network: str, given: str) -> NDArray[np.float32]:
    """Codes of all objects, kept in the folder."""
    name = f"{network}-{'-'.join(k for k, part in (('phot', SCALARS), ('sed', SED), ('spec', SPECTRUM)) if part in given)}"
    kept = data.folder / f"codes-{name}.npy"
    if not kept.exists():
        if network == "galaxy-atto":
            path = config(data.folder, name, model=network, given="")
        else:
            checkpoint = _network(data.folder, network)
            path = config(data.folder, name, given=given, checkpoint=checkpoint)
        np.save(kept, codes(path))
    return np.asarray(np.load(kept))


def _append(
    table: str, keys: dict[str, str], data: Survey, share: float, seeds: int, answers: Answers
) -> None:
    """Score an answer for each draw of labels, and add a row to a table unless it is there."""
    columns = (*keys, "galaxies", *METRICS)
    there = read_csv(table)
    if any(all(row[key] == value for key, value in keys.items()) for row in there):
        return
    found, counts, start = [], [], time.perf_counter()
    for seed in range(seeds):
        drawn = data.drawn(share, seed)
        counts.append(int(drawn.sum()))
        found.append(scores(answers(drawn, seed), data.labels[data.test]))
    cells = [_spread([each[metric] for each in found]) for metric in METRICS]
    print(table, keys, cells, f"{time.perf_counter() - start:.0f} s", flush=True)
    path = RESULTS / f"{table}.csv"
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if not there:
            writer.writerow(columns)
        writer.writerow([*keys.values(), round(mean(counts)), *cells])


def _spread(values: list[float]) -> str:
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


if TYPE_CHECKING:
    Answers = Callable[[NDArray[np.bool_], int], NDArray[np.float32]]

if __name__ == "__main__":
    main()
