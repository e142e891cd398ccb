"""Whether two votes that share no object find the same groups: `python -m benchmarks.vote_halves`. Writes vote_halves.csv.

A sample is parted into two halves by a hash of the ids. Each half has principal components, a reference, bags and members of its own, and votes on all objects of the
sample. Both keep the objects of which `branch_confidence` is above what it keeps two thirds of its own half with. Then the groups of both are compared by the
adjusted Rand index: on all objects, and on those that both keep; for one k-means the same, by its margin between branches. Means over seeds of the parting.

Samples: the 100 COSMOS galaxies and the sources of the KiDS tile of `examples/`, simulated releases, and pictures of EFIGI, Galaxy Zoo 1 and the Galaxy Challenge in
colour, whole and as smaller samples, so that one sees what the number of objects alone brings.
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from astropy.io import fits
from scipy.spatial.distance import cdist
from sklearn.metrics import adjusted_rand_score

from actors.encoder import Encoder
from actors.segmenter import Segmenter
from benchmarks import contestants
from benchmarks.common import write_csv
from benchmarks.galaxies import SHARED
from benchmarks.plain_detection import detect
from benchmarks.science import write_tables
from benchmarks.vote_crowded import FIRST_SEED, halves, simulated
from benchmarks.vote_rules import BRANCHES, apart, drawer, filled, margin
from benchmarks.votes import COMPONENTS
from kernels.bags import canonical_order
from kernels.confidence import branches, share_of
from kernels.moments import fixed_point_exponent, moments, principal_components, project
from kernels.nets.weights import bundled
from kernels.vote import vote
from pipeline.config.file import parse
from pipeline.plan.make_plan import make_plan
from pipeline.simulate.mosaics import DENSITY

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXAMPLES = Path(__file__).parents[1] / "examples"
GROUPS = (20, 10, 5)
SIZES = (100, 300, 1000, 3000)
"""Smaller samples of the large ones."""
KEEP = 0.66


def example(name: str, codes: Path) -> tuple[NDArray, NDArray]:
    """Embeddings and ids of a config in examples/, neighbours filled; made once."""
    file = codes / f"{name}.npz"
    if not file.exists():
        values = tomllib.loads((EXAMPLES / f"{name}.toml").read_text(encoding="utf-8"))
        with TemporaryDirectory() as scratch:
            if name == "kids":
                values["survey"]["catalogs"] = str(_detected(Path(scratch)))
                values["survey"]["images"]["bands"] = ["r"]
            plan = make_plan(parse(values, name), str(EXAMPLES), str(EXAMPLES / f"{name}.toml"), "nowhere")
            rows = pa.concat_tables([plan.release.read(piece) for piece in plan.slices()])
        rows = rows.filter(rows["usable"]).combine_chunks()
        segmenter = Segmenter(**plan.segmenter_options)
        found = Encoder(**plan.encoder_options)(segmenter.filled(rows, segmenter(rows)))["embedding"]
        embeddings = found.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        np.savez(file, embeddings=embeddings.reshape(len(rows), -1), ids=rows["object_id"].to_numpy())
    stored = np.load(file)
    return stored["embeddings"].astype(np.float32), stored["ids"]


def _detected(folder: Path) -> Path:
    """Catalog of the KiDS tile."""
    with fits.open(SHARED / "kids_viking" / "inst" / "extdata" / "MultiBand" / "r.fits") as hdus:
        image = hdus[1].data
    detect(image).write(folder / "catalog.fits")
    return folder / "catalog.fits"


def pictures(name: str, codes: Path) -> tuple[NDArray, NDArray]:
    """Embeddings and ids of a set of pictures in colour; made once."""
    file = codes / f"{name}-3.npz"
    if not file.exists():
        stamps = filled(name, 3)[1]
        found = contestants.ours(stamps, 3, checkpoint=bundled("galaxy-atto"))
        np.savez(file, embeddings=found.astype(np.float16), ids=np.asarray(stamps["object_id"].to_pylist()))
    stored = np.load(file)
    return stored["embeddings"].astype(np.float32), stored["ids"]


def half_vote(
    values: NDArray[np.float32], ids: NDArray, own: NDArray[np.bool_], groups: int, seed: int
) -> list[tuple[NDArray, NDArray]]:
    """Groups of all objects and whether they are kept, by the vote of one half and by its reference k-means."""
    exponent = fixed_point_exponent(float(np.abs(values).max()))
    codes = project(values, principal_components(moments(values[own], exponent), COMPONENTS))
    members = drawer(codes[own], ids[own], seed, groups)(seed)
    ballot = vote(codes, members)
    level = branches(members, codes[own][canonical_order(ids[own], seed)], BRANCHES)
    squared = cdist(codes.astype(float), members.centres.astype(float), "sqeuclidean")
    answers = []
    for group, score in (
        (ballot.group, share_of(ballot, level)),
        (ballot.reference_group, margin(apart(squared, level))),
    ):
        answers.append((group, score >= np.quantile(score[own], 1 - KEEP)))
    return answers


def agreed(values: NDArray[np.float32], ids: NDArray, groups: int, seed: int) -> list[float]:
    """Vote: index on all objects, on those that both keep, and their share; k-means: the same."""
    both = [half_vote(values, ids, own, groups, seed) for own in halves(ids, seed)]
    found = []
    for (one, kept), (other, also) in zip(*both, strict=True):
        held = kept & also
        found += [
            adjusted_rand_score(one, other),
            adjusted_rand_score(one[held], other[held]),
            held.mean(),
        ]
    return found


def rows_of(name: str, values: NDArray, ids: NDArray, sizes: list[int], seeds: int) -> list[tuple]:
    """A sample's rows of the table."""
    rows = []
    for size in sizes:
        for groups in GROUPS:
            found = []
            for seed in range(seeds):
                some = canonical_order(ids, seed)[:size]
                found.append(agreed(values[some], ids[some], groups, seed))
            pairs = zip(np.mean(found, axis=0), np.std(found, axis=0), strict=True)
            rows.append((name, size, groups, *(f"{mean:.2f} ± {spread:.2f}" for mean, spread in pairs)))
            print(*rows[-1], sep="  ", flush=True)
    return rows


def main() -> None:
    """Embed, part, vote, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--codes", type=Path, default=contestants.FOLDER / "codes")
    options = parser.parse_args()
    options.codes.mkdir(parents=True, exist_ok=True)
    rows = []
    for title, name in (("COSMOS, F814W", "cosmos"), ("KiDS, r", "kids")):
        values, ids = example(name, options.codes)
        rows += rows_of(title, values, ids, [len(ids)], options.seeds)
    data = simulated(DENSITY, 3000, FIRST_SEED, options.codes)
    values = data["embeddings"].astype(np.float32)
    rows += rows_of("simulated", values, data["ids"], [len(values)], options.seeds)
    for title, name in (("EFIGI", "efigi"), ("GZ1", "gz1"), ("Galaxy Challenge", "gz2_kaggle")):
        values, ids = pictures(name, options.codes)
        sizes = [*(size for size in SIZES if size < len(ids)), len(ids)]
        rows += rows_of(title, values, ids, sizes, options.seeds)
    head = ("all", "both_keep", "kept_by_both", "k-means_all", "k-means_both_keep", "k-means_kept_by_both")
    write_csv("vote_halves", ("sample", "objects", "groups", *head), rows)
    write_tables()


if __name__ == "__main__":
    main()
