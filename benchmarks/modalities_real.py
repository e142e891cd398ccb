"""Redshift and mass of real galaxies from few numbers, and from stamps where there are some: `python -m benchmarks.modalities_real`. Writes modalities_real.csv.

3D-HST's COSMOS field has galaxies with good Sersic fits (H < 24.5; van der Wel et al. 2012): magnitudes in F125W and F160W, half-light radii, Sersic indices, axis ratios, and no stamps.
Redshift and mass are those of FAST, from the photometry of all bands of the field (Skelton et al. 2014). A fifth, by a hash of the ids, is scored on; an ar-1m learns the scalars of all others
without labels. A release without stamps is no release to tuningfork, so this network is trained here on stamps that are missing.

COSMOS, 100 galaxies in the format of GalSim's RealGalaxy, has HSC's magnitudes in five bands, redshifts and HST stamps, 16 to 190 pixels wide, which are cut or filled up to 64. That is too few to train a network: ridge regression in ten
folds, from magnitudes, from galaxy-atto's codes (their first 8 principal components), and from both. One thread, some minutes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from astropy.io import fits
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from actors.encoder import Encoder
from benchmarks.common import write_csv
from benchmarks.galaxies import SHARED
from benchmarks.modalities_peers import trees
from benchmarks.modalities_task import probed, scores
from benchmarks.science import write_tables
from kernels.autoregressive_model import Description
from kernels.bags import hash_ids
from kernels.brightness import Brightness
from kernels.modalities import Modalities, Scalars, Stamps
from kernels.nets.autoregressive import Pooling
from kernels.training.autoregressive_objective import AutoregressiveObjective
from kernels.training.draws import keys
from kernels.training.recipe import Recipe
from kernels.training.trainer import Training

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from benchmarks.modalities_task import Floats

    Answers = Callable[[NDArray[np.bool_], int], Floats]

BANDS = ("f125w", "f160w")
SHARES, SEEDS, EPOCHS, BATCH = (0.01, 0.1, 1.0), 3, 20, 256
SIDE, COMPONENTS, FOLDS = 64, 8, 10


def main() -> None:
    """Learn, score, write."""
    torch.set_num_threads(1)
    rows = [*_field(), *_stamps()]
    columns = ("galaxies", "from", "labels", "z nmad", "z outliers", "z r2", "mass nmad", "mass r2")
    write_csv("modalities_real", columns, rows)
    write_tables()


def _field() -> list[tuple[str, ...]]:
    """3D-HST: trees, a network and codes, from scalars alone."""
    ids, values, errors, truth = _3dhst()
    test = hash_ids(ids, 0) % np.uint64(5) == 4
    share = hash_ids(ids, 1) / np.float64(2**64)
    codes = _codes(ids, values, errors, ~test)
    features = np.concatenate([values, values[:, :1] - values[:, 1:2]], axis=1)
    contestants: dict[str, Answers] = {
        "trees": lambda drawn, seed: trees(features, truth, drawn, test, seed),
        "a network": lambda drawn, seed: probed(features, truth, drawn, test, seed),
        "ar-1m's codes": lambda drawn, seed: probed(codes, truth, drawn, test, seed),
    }
    rows = []
    for labels in SHARES:
        for name, answers in contestants.items():
            found = []
            for seed in range(SEEDS):
                drawn = ~test & ((share + seed / SEEDS) % 1 < labels)
                found.append(scores(answers(drawn, seed), truth[test]))
            cells = [f"{np.mean([each[m] for each in found]):.3f}" for m in found[0]]
            rows.append((f"3D-HST, {int(drawn.sum())} learned from", name, f"{labels:.0%}", *cells))
            print(*rows[-1], sep="  ", flush=True)
    return rows


def _3dhst() -> tuple[NDArray[np.int64], Floats, Floats, Floats]:
    """Ids, scalars and their errors (n, 5) each, redshift and log mass (n, 2)."""
    folder = SHARED / "3dhst_cosmos"
    fitted = [np.loadtxt(folder / f"cosmos_3dhst.v4.1_{band}.galfit") for band in BANDS]
    fast = np.loadtxt(folder / "cosmos_3dhst.v4.1.fout")
    j, h = fitted
    good = (j[:, 3] == 0) & (h[:, 3] == 0) & (h[:, 4] < 24.5) & (fast[:, 6] > 0) & (fast[:, 1] > 0)
    j, h, fast = j[good], h[good], fast[good]
    values = np.stack([j[:, 4], h[:, 4], np.log10(h[:, 6]), np.log10(h[:, 8]), h[:, 10]], axis=1)
    relative = h[:, [7, 9]] / h[:, [6, 8]] / np.log(10)
    errors = np.stack([j[:, 5], h[:, 5], *relative.T, h[:, 11]], axis=1)
    return (
        h[:, 0].astype(np.int64),
        values.astype(np.float32),
        errors.astype(np.float32),
        fast[:, [1, 6]].astype(np.float32),
    )


def _codes(ids: NDArray[np.int64], values: Floats, errors: Floats, learned: NDArray[np.bool_]) -> Floats:
    """Codes of all objects by a network that learned the scalars of some."""
    mean, scale = values[learned].mean(axis=0), values[learned].std(axis=0)
    names = ("mag_J", "mag_H", "log_re", "log_n", "q")
    scalars = Scalars("scalars", names, ("",) * 5, "none", tuple(mean.tolist()), tuple(scale.tolist()))
    none = Brightness("linear", (1.0,), (0.0,), (1.0,))
    stamps = Stamps(("none",), 8, 8, "raster", "kept", none)
    about = Description("ar-1m", Modalities(stamps, (scalars,)), 0, Pooling(4, 1, "scalars"))
    torch.manual_seed(0)
    net = about.build()
    averaged = about.build().eval()
    averaged.load_state_dict(net.state_dict())
    recipe = Recipe(clip=1.0, precision="float32")
    training = Training(AutoregressiveObjective(net.train(), recipe, 0), averaged, 0)
    rows = torch.from_numpy(np.concatenate([values, errors, keys(ids)[:, None]], axis=1))
    blank = torch.full((BATCH, 1, 8, 8), torch.nan)
    own, order = torch.from_numpy(np.flatnonzero(learned)), torch.Generator().manual_seed(0)
    for epoch in range(EPOCHS):
        parts = own[torch.randperm(len(own), generator=order)].split(BATCH)[:-1]
        for step, part in enumerate(parts):
            training.step(blank, rows[part], (epoch + step / len(parts)) / EPOCHS, epoch=epoch)
    with torch.inference_mode():
        blank = torch.full((len(rows), 1, 8, 8), torch.nan)
        return averaged(blank, rows[:, :-1]).numpy()


def _stamps() -> list[tuple[str, ...]]:
    """COSMOS: magnitudes, stamps, and both."""
    folder = SHARED / "cosmos" / "btk"
    table = fits.getdata(folder / "real_galaxy_catalog_26_extension_example_fits.fits", 1)
    bands = np.stack([table[f"HSC_{band}"] for band in "grizy"], axis=1).astype(np.float32)
    magnitudes = np.concatenate([bands, np.diff(bands, axis=1)], axis=1)
    truth = table["ZPHOT"].astype(np.float32)
    with fits.open(folder / "real_galaxy_images_extension.fits") as hdus:
        images = np.stack([_of_side(hdu.data.astype(np.float32)) for hdu in hdus if hdu.data is not None])
    codes = PCA(COMPONENTS, random_state=0).fit_transform(_atto(images))
    rows = []
    for name, features in (
        ("magnitudes", magnitudes),
        ("galaxy-atto's codes", codes),
        ("magnitudes, galaxy-atto's codes", np.concatenate([magnitudes, codes], axis=1)),
    ):
        answers = np.zeros((FOLDS, len(truth)), np.float32)
        for seed in range(FOLDS):
            head = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))
            answers[seed] = cross_val_predict(
                head, features, truth, cv=KFold(FOLDS, shuffle=True, random_state=seed)
            )
        each = [scores(np.stack([a, a], 1), np.stack([truth, truth], 1)) for a in answers]
        cells = [f"{np.mean([e[m] for e in each]):.3f}" for m in ("z_nmad", "z_outliers", "z_r2")]
        rows.append((f"COSMOS, {len(truth)}", name, "100%", *cells, "", ""))
        print(*rows[-1], sep="  ", flush=True)
    return rows


def _of_side(image: Floats) -> Floats:
    """The middle of an image, or the image on a blank sky."""
    found = np.zeros((SIDE, SIDE), np.float32)
    height, width = (min(length, SIDE) for length in image.shape)
    top, left = ((length - part) // 2 for length, part in zip(image.shape, (height, width), strict=True))
    y, x = (SIDE - height) // 2, (SIDE - width) // 2
    found[y : y + height, x : x + width] = image[top : top + height, left : left + width]
    return found


def _atto(images: Floats) -> Floats:
    """galaxy-atto's codes (n, 320) of stamps (n, y, x)."""
    encoder = Encoder(
        model="galaxy-atto", checkpoint="bundled", bands=1, size=SIDE, unwrap="none", stretch="linear"
    )
    column = pa.FixedSizeListArray.from_arrays(pa.array(images.reshape(-1)), SIDE * SIDE)
    table = pa.table({"stamp": column, "usable": np.ones(len(images), bool)})
    codes = encoder(table)["embedding"].combine_chunks()
    return codes.flatten().to_numpy(zero_copy_only=False).reshape(len(codes), -1).astype(np.float32)


if __name__ == "__main__":
    main()
