"""What measured columns beside the principal components are worth (`[reduce] columns`): `python -m benchmarks.vote_columns`. Writes vote_columns.csv.

EFIGI (five bins of visual type) and Galaxy Zoo 1 (classes), in colour and in one grey band, and three releases of `tuningfork simulate`, neighbours filled, with
the bundled encoder; measured without a PSF, in the green band or the only one. Groups are named by the truth of most of one part of the objects, and scored on the
other: in EFIGI and GZ1 the fold that the encoder was trained without, in simulated releases each half in turn. Of the share of them that ranks highest, purity is
how many are of their group's name; means and standard deviations of the seeds, and of the releases. The columns are those of simulated releases' configs; no setting was chosen on these objects.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.spatial.distance import cdist

from actors.embeddings import embeddings_of
from actors.encoder import Encoder
from actors.measurer import Measurer
from actors.segmenter import Segmenter
from benchmarks import contestants
from benchmarks.common import write_csv
from benchmarks.galaxies import SIZE
from benchmarks.science import write_tables
from benchmarks.vote_crowded import FIRST_SEED, halves, names_of
from benchmarks.vote_rules import HELD_OUT, SETS, apart, drawer, embeddings, filled, margin
from benchmarks.votes import COMPONENTS
from catalogs import computed
from kernels.codes import Codes, scales_of
from kernels.confidence import share_of
from kernels.measure.quantities import QUANTITIES
from kernels.moments import fixed_point_exponent, moments, principal_components
from kernels.vote import vote
from pipeline.plan.make_plan import plan_of
from pipeline.simulate.release import GROUPED_BY, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SHARES = (1.0, 0.8, 0.66, 0.5, 0.33)
RELEASES, GALAXIES = 3, 3000
WEIGHTS = {
    "components": 0.0,
    "columns alone": np.inf,
    "components and columns, weight 0.5": 0.5,
    "weight 2": 2.0,
}


def numbers_of(measured: pa.Table) -> NDArray[np.float64]:
    """(n, k) of the columns."""
    return np.stack([computed.numbers(expression, measured) for expression in GROUPED_BY], axis=1)


def real(name: str, bands: int, codes: Path) -> dict[str, NDArray]:
    """Embeddings, ids, truth, numbers and which objects are scored, of a labelled set; made once."""
    file, found = codes / f"{name}-{bands}-measured.npz", embeddings(name, bands, codes)
    if not file.exists():
        _, stamps = filled(name, bands)
        rows = stamps.append_column("flags", pa.array(np.zeros(len(stamps), np.int32)))
        measure = Measurer(bands=bands, size=SIZE, band=bands // 2, quantities=QUANTITIES)
        np.savez(file, numbers=numbers_of(measure(rows)))
    scored = found["fold"] == HELD_OUT
    return {**found, "numbers": np.load(file)["numbers"], "scored": scored[None]}


def simulated(seed: int, codes: Path) -> dict[str, NDArray]:
    """The same of a simulated release."""
    file = codes / f"simulated-{GALAXIES}-{seed}-measured.npz"
    if not file.exists():
        with TemporaryDirectory() as scratch:
            folder = Path(scratch) / "release"
            simulate(folder, GALAXIES, shards=1, seed=seed)
            plan = plan_of(folder / "survey.toml", "nowhere")
            rows = pa.concat_tables([plan.release.read(piece) for piece in plan.slices()])
            truth = pq.read_table(folder / "truth.parquet").to_pandas().set_index("object_id")
        assert plan.measurer_options is not None
        rows = rows.filter(rows["usable"]).combine_chunks()
        ids, segmenter = rows["object_id"].to_numpy(), Segmenter(bands=1, size=64)
        seen = segmenter(rows)
        values, _ = embeddings_of(Encoder(**plan.encoder_options)(segmenter.filled(rows, seen))["embedding"])
        classes = np.unique(truth.loc[ids, "class"].to_numpy(str), return_inverse=True)[1]
        numbers = numbers_of(Measurer(**plan.measurer_options)(rows, seen))
        codes.mkdir(parents=True, exist_ok=True)
        np.savez(file, embeddings=values, ids=ids, truth=classes, numbers=numbers)
    found = dict(np.load(file))
    return {**found, "scored": np.stack(halves(found["ids"], 0))}


def codes_of(data: dict[str, NDArray], weight: float) -> NDArray[np.float32]:
    """Codes as a run makes them; of weight 0 components alone, of an infinite one columns alone."""
    values, numbers = data["embeddings"].astype(np.float16), data["numbers"]
    components = principal_components(
        moments(values, fixed_point_exponent(float(np.abs(values).max()))), COMPONENTS
    )
    beside = numbers if weight else numbers[:, :0]
    codes = Codes(components, scales_of(beside, components, min(weight, 1e6) or 1.0))(values, beside)
    return codes[:, COMPONENTS:] if np.isinf(weight) else codes


def purities(data: dict[str, NDArray], weight: float, seed: int) -> Iterator[tuple[str, list[float]]]:
    """Rule: purity of each of SHARES."""
    codes, ids, truth = codes_of(data, weight), data["ids"], data["truth"]
    members = drawer(codes, ids, seed)(seed)
    ballot = vote(codes, members)
    squared = cdist(codes.astype(float), members.centres.astype(float), "sqeuclidean")
    found: dict[str, list[list[float]]] = {}
    for scored in data["scored"]:
        voted, alone = (
            names_of(group[~scored], truth[~scored]) for group in (ballot.group, ballot.reference_group)
        )
        by_vote = share_of(ballot, np.unique(voted, return_inverse=True)[1])
        by_margin = margin(apart(squared, np.unique(alone, return_inverse=True)[1]))
        for rule, named, score in (
            ("vote, by share of the name", voted[ballot.group], by_vote),
            ("one k-means, by margin between names", alone[ballot.reference_group], by_margin),
        ):
            best = np.lexsort((np.random.default_rng(seed).random(len(ids)), -score))
            right = (named == truth)[best[scored[best]]]
            found.setdefault(rule, []).append([right[: round(s * len(right))].mean() for s in SHARES])
    for rule, curves in found.items():
        yield rule, np.mean(curves, axis=0).tolist()


def main() -> None:
    """Embed, measure, vote, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--codes", type=Path, default=contestants.FOLDER / "codes")
    options = parser.parse_args()
    sets = {title: [real(name, bands, options.codes)] for (name, bands), title in SETS.items()}
    sets["simulated"] = [simulated(FIRST_SEED + number, options.codes) for number in range(RELEASES)]
    rows = []
    for title, samples in sets.items():
        for what, weight in WEIGHTS.items():
            found: dict[str, list[list[float]]] = {}
            for data in samples:
                for seed in range(options.seeds):
                    for rule, curve in purities(data, weight, seed):
                        found.setdefault(rule, []).append(curve)
            for rule, curves in found.items():
                mean, spread = np.mean(curves, axis=0), np.std(curves, axis=0)
                told = (f"{m:.3f} ± {s:.3f}" for m, s in zip(mean, spread, strict=True))
                rows.append((title, what, rule, *told))
                print(*rows[-1], sep="  ", flush=True)
    write_csv("vote_columns", ("set", "codes", "rule", *(f"{100 * share:.0f}_%" for share in SHARES)), rows)
    write_tables()


if __name__ == "__main__":
    main()
