"""What machines may decide, and what they should not look at: `python -m benchmarks.experts`. Writes results/experts.csv and results/outside.csv, and the
tables of docs/experts.md.

Yes-or-no questions of EFIGI are learned by linear heads on the bundled galaxy-atto's codes. The least probability that stands without people is found
among the four folds that were learned from, by cross-validation, and tried on the fifth; the encoder itself never saw fold 0, but the labels of the others.
Outside: the share of objects that the predictor without fold 0 calls unlike what it was taught on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from astropy.io import fits

from benchmarks import contestants
from benchmarks.common import read_csv, with_tables, write_csv
from benchmarks.galaxies import FOLDS, SHARED, SIZE, Galaxies, galaxies
from kernels.bags import canonical_order
from kernels.heads.answers import probabilities
from kernels.heads.calibrate import truths
from kernels.heads.head import Head
from kernels.heads.scores import calibration_error, decided_at
from kernels.nets.weights import bundled
from kernels.training.linear_heads import fit_linear_heads
from pipeline.training.predictor_file import Learned, assembled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from kernels.heads.predictor import Predictor

QUESTIONS = {"edge-on": ("inclination_elongation", 1.0), "bar": ("bar_length", 0.25)}
"""Attribute of each question, and the least value that counts as yes."""
ACCURACIES = (0.9, 0.95, 0.98)
STRANGERS = 300
"""Made stamps of each kind."""
PAGE = Path(__file__).parents[1] / "docs" / "experts.md"


def learned(codes: NDArray[np.float32], targets: NDArray[np.float64], heads: list[Head]) -> Predictor:
    """A predictor of all heads, as `tuningfork train predictor --from` makes it."""
    values = codes.astype(np.float64)
    fitted = fit_linear_heads(
        values, targets, heads, values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
    )
    scored = fitted.held_out, targets
    return assembled(
        Learned(heads, fitted.weight, fitted.bias, codes, scored, scored, fitted.strength), {}, {}
    )


def triage(
    predictor: Predictor, codes: NDArray[np.float32], targets: NDArray[np.float64]
) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.bool_], dict[float, float]]]:
    """For each question: probabilities of the likeliest answers, whether they are right, and the least that stands at each accuracy."""
    outputs, start = predictor.layer(codes), 0
    for taught in predictor.heads:
        of = slice(start, start + taught.head.width)
        start += taught.head.width
        truth = truths(taught.head, targets[:, of])
        known = np.isfinite(truth)
        shares = probabilities(outputs[known, of], taught.calibration)
        found = {accuracy: decided_at(taught.scores, accuracy) for accuracy in ACCURACIES}
        least = {accuracy: entry[0] if entry else np.inf for accuracy, entry in found.items()}
        yield taught.head.name, shares.max(axis=1), shares.argmax(axis=1) == truth[known], least


def targets_of(data: Galaxies) -> tuple[NDArray[np.float64], list[Head]]:
    """One-hot answers to all questions side by side; NaN where an attribute is unknown."""
    found = []
    for column, least in QUESTIONS.values():
        values = data.labels[column].to_numpy(float)
        yes = np.where(values >= 0, values >= least, np.nan)
        found.append(np.column_stack([1 - yes, yes]))
    return np.concatenate(found, axis=1), [Head(name, "classes", ("no", "yes")) for name in QUESTIONS]


def strangers(scratch: Path) -> Iterator[tuple[str, pa.Table]]:
    """Stamps of what the predictor was not taught on."""
    rng = np.random.default_rng(0)
    flat = np.ones((STRANGERS, 3, SIZE, SIZE), np.float32)
    yield "blank stamps", _table(flat * rng.uniform(0, 1, (STRANGERS, 1, 1, 1)))
    yield "noise alone", _table(rng.normal(0, 1, flat.shape))
    yield "stars with noise", _table(_stars(rng) + rng.normal(0, 1, flat.shape))
    yield "HST, one band, COSMOS", _table(_cosmos())
    yield "Galaxy Zoo 1", galaxies("gz1", scratch).stamps.slice(0, 2 * STRANGERS)


def _stars(rng: np.random.Generator) -> NDArray[np.float64]:
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    width = rng.uniform(1.2, 2.5, (STRANGERS, 1, 1, 1))
    light = rng.uniform(30, 1000, (STRANGERS, 1, 1, 1)) * rng.uniform(0.5, 1, (STRANGERS, 3, 1, 1))
    return np.asarray(light * np.exp(-(x**2 + y**2) / (2 * width**2)))


def _cosmos() -> NDArray[np.float32]:
    """Middles of the postage stamps, the same in three bands; those that are smaller stand on an empty sky."""
    found = []
    with fits.open(SHARED / "cosmos" / "btk" / "real_galaxy_images_extension.fits") as file:
        for image in file:
            if image.data is None or image.data.ndim != 2:
                continue
            pixels = np.pad(image.data.astype(np.float32), SIZE // 2)
            top, left = ((side - SIZE) // 2 for side in pixels.shape)
            found.append(np.repeat(pixels[None, top : top + SIZE, left : left + SIZE], 3, axis=0))
    return np.stack(found)


def _table(pixels: NDArray[np.floating]) -> pa.Table:
    flat = np.ascontiguousarray(pixels.astype(np.float32)).reshape(len(pixels), -1)
    stamps = pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), flat.shape[1])
    return pa.table(
        {"object_id": pa.array(range(len(flat))), "usable": pa.array([True] * len(flat)), "stamp": stamps}
    )


def main() -> None:
    """Learn, decide, look at strangers, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one fold, to see that it works")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        efigi = galaxies("efigi", scratch)
        codes = contestants.ours(efigi.stamps, 3, str(bundled("galaxy-atto")))
        targets, heads = targets_of(efigi)
        order = canonical_order(np.asarray(efigi.stamps["object_id"].to_pylist()), 0)
        found: dict[str, list[tuple[NDArray[np.float64], NDArray[np.bool_], dict[float, float]]]] = {}
        outside: list[tuple[object, ...]] = []
        for fold in range(1 if options.quick else FOLDS):
            inside, test = order[efigi.fold[order] != fold], efigi.fold == fold
            predictor = learned(codes[inside], targets[inside], heads)
            for name, *tried in triage(predictor, codes[test], targets[test]):
                found.setdefault(name, []).append(tuple(tried))  # type: ignore[arg-type]
            if fold == 0:
                sets = [("EFIGI, learned from", codes[inside]), ("EFIGI, held out", codes[test])]
                sets += [
                    (name, contestants.ours(stamps, 3, str(bundled("galaxy-atto"))))
                    for name, stamps in strangers(scratch)
                ]
                for name, of in sets:
                    distance = predictor.domain.distance(of)
                    outside.append(
                        (name, len(of), f"{np.mean(distance > 1):.3f}", f"{np.median(distance):.2f}")
                    )
    rows = [row for name, tried in found.items() for row in summary(name, tried)]
    write_csv("experts", ("question", "folds", "objects", "accuracy", "calibration_error", "wanted", "decided", "reached"), rows)  # fmt: skip
    write_csv("outside", ("set", "objects", "outside", "median_distance"), outside)
    if not options.quick:
        write_tables()


def summary(
    name: str, tried: list[tuple[NDArray[np.float64], NDArray[np.bool_], dict[float, float]]]
) -> Iterator[tuple[object, ...]]:
    """Rows of one question, for the fold that the encoder has not seen and for all."""
    for folds, which in (("0", tried[:1]), ("all five", tried)):
        sure = np.concatenate([confidence for confidence, _, _ in which])
        right = np.concatenate([each for _, each, _ in which])
        for wanted in ACCURACIES:
            decided = np.concatenate([confidence >= least[wanted] for confidence, _, least in which])
            reached = f"{right[decided].mean():.3f}" if decided.any() else ""
            yield (
                *(name, folds, len(right), f"{right.mean():.3f}", f"{calibration_error(sure, right):.3f}"),
                *(wanted, f"{decided.mean():.3f}", reached),
            )


def write_tables() -> None:
    """Put the tables into the page."""
    triaged = "| question | folds | objects | accuracy of all | calibration error | wanted accuracy | decided | accuracy reached |\n| --- |" + " --- |" * 7 + "\n"  # fmt: skip
    triaged += "".join(f"| {' | '.join(row.values())} |\n" for row in read_csv("experts"))
    strange = "| stamps | objects | outside | median distance |\n| --- | --- | --- | --- |\n"
    strange += "".join(f"| {' | '.join(row.values())} |\n" for row in read_csv("outside"))
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), {"experts": triaged, "outside": strange}), encoding="utf-8")  # fmt: skip


if __name__ == "__main__":
    main()
