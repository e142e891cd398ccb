"""What `tuningfork detect` finds, and how fast: `python -m benchmarks.detect`. Writes detect_simulated.csv, detect_kids.csv and detect_speed.csv.

Simulated: tiles of `tuningfork simulate`, whose light is known: catalogued galaxies, and the faint ones and stars that its catalog leaves out. A source and an
object are one if each is the other's nearest, in units of the object's half-light radius (0.6 arcsec at least), and less than one of them apart. Completeness: the share of objects of a (true) magnitude that have a source; purity: the share of sources of a (measured)
magnitude that have an object; `pieces` are those without one of their own that lie on a catalogued galaxy, within two of these radii: knots, arms and halves of mergers.

KiDS: one real r-band tile has no truth. Completeness: point sources as wide as the tile's own stars are added to it where `detect` sees nothing, 60 of a magnitude at a time.
Purity: 1 - N(-) / N(+), from the sources of the same tile with its sign turned around, whose noise is as bright and whose sources are none.

Speed: best of several turns, all in one run. The bare calls are those of the tutorial of `sep` on one core, with the same settings: read the file, background, extract, and the same measurements (Kron
radius, its ellipse, half-light radius). `find` does what a worker does for a tile, its part on the disk included. Whole programs are timed from their start to their end, the command beside a script of the same bare calls; it also plans, starts
its workers and writes the catalog.
"""

from __future__ import annotations

import argparse
import inspect
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import sep
from astropy.io import fits
from astropy.table import Table, vstack
from scipy.spatial import cKDTree

from benchmarks.common import write_csv
from benchmarks.science import write_tables
from pipeline.detection.detect import detect
from pipeline.detection.find import find
from pipeline.detection.planning import planned
from pipeline.simulate import mosaics, release, rendering
from pipeline.simulate.release import simulate

KIDS = Path(__file__).resolve().parents[2] / "shared/data/kids_viking/inst/extdata/MultiBand/r.fits"
WITHIN = 0.6
"""Arcsec."""
FAINTEST, BRIGHTEST = 25.5, 18.5
SEED = 5
TILES, TURNS = 12, 3
"""Of the command that is timed: Python's start is a second or two of it."""
CONTRASTS = (0.005, 0.05)
"""SExtractor's default, and one that takes fewer knots for sources."""


def config(
    path: str, out: Path, more: str = "", zeropoint: float = 0.0, images: str = "", run: str = ""
) -> Path:
    """Write a config of one band."""
    out.write_text(
        f"""[survey.images]
layout = "tiles"
path = "{path}"
bands = ["r"]
size = 48
{images}
[measure]
zeropoint = {zeropoint}
[run]
engine = "local"
{run}
[detect]
workers = 1
{more}
""",
        encoding="utf-8",
    )
    return out


def catalog(out: Path) -> Table:
    """All sources."""
    return vstack(
        [Table.read(path) for path in sorted((out / "catalogs").glob("*.fits"))], metadata_conflicts="silent"
    )


def uncatalogued(tile: mosaics.Tile) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and magnitude of what a simulated tile shows beside its catalog."""
    places, drawn = [], []
    render = rendering.render_faint

    def rendered(magnitude, *arguments):
        drawn.append(magnitude)
        return render(magnitude, *arguments)

    light = np.zeros((len(tile.bands), tile.side, tile.side), np.float32)
    with (
        mock.patch.object(rendering, "render_faint", rendered),
        mock.patch.object(mosaics, "_add", lambda _light, _stamp, x, y: places.append((x, y))),
    ):
        mosaics._add_faint(tile, light, np.random.default_rng([tile.seed, tile.number, 1]))  # noqa: SLF001 - nothing else knows it
    x, y = np.array(places, float).T
    return x, y, drawn[0]


Rows = list[tuple[object, ...]]


def simulated(folder: Path, galaxies: int) -> tuple[Rows, Rows]:
    """Completeness and purity by magnitude, for each contrast of the deblending; and what is marked as a star."""
    simulate(folder / "sim", galaxies, shards=1, seed=SEED, bands=("r",))
    table: list[tuple[object, ...]] = []
    for contrast in CONTRASTS:
        path = config(
            "sim/images/{TILE}_{band}.fits",
            folder / "sim.toml",
            zeropoint=rendering.MAGZERO,
            more=f"deblend_contrast = {contrast}",
        )
        detect(path, str(folder / f"found{contrast}"))
        objects, sources = compared(folder, catalog(folder / f"found{contrast}"), galaxies)
        table += [(contrast, *row) for row in by_magnitude(objects, sources)]
    return table, stars_by_magnitude(objects)


def compared(folder: Path, rows: Table, galaxies: int) -> tuple[np.ndarray, np.ndarray]:
    """Magnitude of each object, whether it has a source, whether it is a star, and whether that is marked; of each source, and whether it has an object, or is a piece of one."""
    listed = Table.read(next((folder / "sim" / "catalogs").glob("*.fits")))
    truth = pq.read_table(folder / "sim" / "truth.parquet").to_pandas()
    tiles = release._plan(folder / "sim", galaxies, 1, SEED, ("r",), mosaics.DENSITY, noisy=True)  # noqa: SLF001
    objects, sources = [], []
    for tile in tiles:
        own, found = np.asarray(listed["TILE"] == tile.name), rows[rows["TILE"] == tile.name]
        x, y, magnitude = uncatalogued(tile)
        radius = truth["r_e"].to_numpy()[own] / rendering.PIXEL_SCALE
        x = np.append(np.asarray(listed["X_IMAGE"])[own] - 1, x)
        y = np.append(np.asarray(listed["Y_IMAGE"])[own] - 1, y)
        magnitude = np.append(truth["magnitude"].to_numpy()[own], magnitude)
        radius = np.maximum(np.append(radius, np.zeros(len(x) - len(radius))), WITHIN / rendering.PIXEL_SCALE)
        apart = np.hypot(x[:, None] - (found["X_IMAGE"] - 1), y[:, None] - (found["Y_IMAGE"] - 1))
        apart = np.asarray(apart / radius[:, None])
        hit = apart.argmin(1)
        hit = np.where((apart.min(1) < 1) & (apart.argmin(0)[hit] == np.arange(len(x))), hit, -1)
        inside = (np.minimum(x, y) > 0) & (np.maximum(x, y) < tile.side - 1)
        star = np.arange(len(x)) >= len(x) - round(mosaics.STARS * (tile.side / mosaics.TILE_SIDE) ** 2)
        marked = np.asarray(found["STAR"])[hit] & (hit >= 0)
        seen = zip(magnitude, hit >= 0, star, marked, inside, strict=True)
        objects += [each for *each, is_inside in seen if is_inside]
        matched = np.isin(np.arange(len(found)), hit)
        piece = ~matched & (apart[: own.sum()] < 2).any(0)
        sources += list(zip(np.asarray(found["MAG_AUTO"], float), matched, piece, strict=True))
    return np.array(objects, float), np.array(sources, float)


def by_magnitude(objects: np.ndarray, sources: np.ndarray) -> list[tuple[object, ...]]:
    """Rows of the table."""
    table: list[tuple[object, ...]] = []
    for low in np.arange(BRIGHTEST, FAINTEST):
        there, seen = (a[(a[:, 0] >= low) & (a[:, 0] < low + 1)] for a in (objects, sources))
        table.append(
            (
                f"{low:.1f} to {low + 1:.1f}",
                len(there),
                f"{there[:, 1].mean():.3f}" if len(there) else "-",
                len(seen),
                f"{seen[:, 1].mean():.3f}" if len(seen) else "-",
                int(seen[:, 2].sum()),
            )
        )
    return table


def stars_by_magnitude(objects: np.ndarray) -> Rows:
    """Rows of the table of stars."""
    table: Rows = []
    for low in np.arange(BRIGHTEST, 24):
        there = objects[(objects[:, 0] >= low) & (objects[:, 0] < low + 1) & (objects[:, 1] == 1)]
        star = there[:, 2] == 1
        cells = (int(star.sum()), int(there[star, 3].sum()), int((~star).sum()), int(there[~star, 3].sum()))
        table.append((f"{low:.1f} to {low + 1:.1f}", *cells))
    return table


def paired(objects: np.ndarray, sources: np.ndarray, within: float) -> np.ndarray:
    """The source of each object, each the other's nearest; -1 where there is none."""
    apart, nearest = cKDTree(sources).query(objects)
    _, back = cKDTree(objects).query(sources)
    return np.where((apart < within) & (back[nearest] == np.arange(len(objects))), nearest, -1)


def kids(folder: Path) -> list[tuple[object, ...]]:
    """Completeness of added point sources, and purity by the turned sign."""
    (folder / "kids").mkdir()
    image = np.asarray(fits.getdata(KIDS), np.float32)
    fits.writeto(folder / "kids" / "plus.fits", image)
    fits.writeto(folder / "kids" / "minus.fits", -image)
    unknown = 'position = "pixel"\npixel_scale = "unknown"'
    detect(config("kids/*.fits", folder / "kids.toml", images=unknown), str(folder / "seen"))
    rows = catalog(folder / "seen")
    plus, minus = (rows[np.asarray(rows["TILE"], str) == name] for name in ("plus", "minus"))
    stars = plus[plus["STAR"] & (plus["FLAGS"] == 0) & (plus["FLUX_AUTO"] > 50 * plus["FLUXERR_AUTO"])]
    sigma = float(np.median(np.asarray(stars["FLUX_RADIUS"]))) / 1.1774
    table = []
    rng = np.random.default_rng(0)
    taken = cKDTree(np.c_[plus["X_IMAGE"] - 1, plus["Y_IMAGE"] - 1])
    (folder / "added").mkdir()
    bins, places = np.arange(19.5, 26.0), {}
    for low in bins:
        added, magnitudes = image.copy(), rng.uniform(low, low + 1, 60)
        spots: list[np.ndarray] = []
        while len(spots) < len(magnitudes):
            spot = rng.uniform(30, min(image.shape) - 30, 2)
            if taken.query(spot)[0] > 15 and all(np.hypot(*(spot - other)) > 40 for other in spots):
                spots.append(spot)
        for (x, y), magnitude in zip(spots, magnitudes, strict=False):
            x0, y0 = round(x), round(y)
            yy, xx = np.mgrid[y0 - 12 : y0 + 13, x0 - 12 : x0 + 13]
            star = np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * sigma**2))
            added[yy, xx] += (10 ** (-0.4 * magnitude) * star / star.sum()).astype(np.float32)
        fits.writeto(folder / "added" / f"from{low:.1f}.fits", added)
        places[f"from{low:.1f}"] = np.array(spots)
    detect(config("added/*.fits", folder / "added.toml", images=unknown), str(folder / "again"))
    again = catalog(folder / "again")
    for low in bins:
        name = f"from{low:.1f}"
        now = again[np.asarray(again["TILE"], str) == name]
        hit = paired(places[name], np.c_[now["X_IMAGE"] - 1, now["Y_IMAGE"] - 1], 2.0)
        up, down = (
            int(np.sum((found["MAG_AUTO"] >= low) & (found["MAG_AUTO"] < low + 1))) for found in (plus, minus)
        )
        share = f"{1 - down / up:.3f}" if up else "-"
        table.append((f"{low:.1f} to {low + 1:.1f}", len(hit), f"{np.mean(hit >= 0):.3f}", up, down, share))
    return table


def bare(path: Path, *, measure: bool) -> int:
    """The calls of the tutorial of `sep`."""
    data = np.ascontiguousarray(next(h.data for h in fits.open(path) if h.data is not None), np.float32)
    data = data.astype(data.dtype.newbyteorder("="))
    back = sep.Background(data, bw=64, bh=64, fw=3, fh=3)
    back.subfrom(data)
    found, segments = sep.extract(data, 1.5, err=back.globalrms, segmentation_map=True)
    if measure:
        ids = np.arange(1, len(found) + 1, dtype=np.int32)
        theta = np.clip(found["theta"], -np.pi / 2, np.pi / 2)  # without this, some tiles end in an error
        ellipse = found["x"], found["y"], found["a"], found["b"], theta
        kron, _ = sep.kron_radius(data, *ellipse, 6.0, seg_id=ids, segmap=segments)
        kron = np.maximum(2.5 * np.nan_to_num(kron), 3.5)
        flux, _, _ = sep.sum_ellipse(data, *ellipse, kron, err=back.globalrms, seg_id=ids, segmap=segments)
        sep.flux_radius(
            data, found["x"], found["y"], 6 * found["a"], 0.5, normflux=flux, seg_id=ids, segmap=segments
        )
    return len(found)


def speed(folder: Path, repeats: int) -> list[tuple[object, ...]]:
    """Rows of the table of rates."""
    (folder / "four").mkdir()
    image = np.asarray(fits.getdata(KIDS), np.float32)
    for number in range(TILES):
        fits.writeto(folder / "four" / f"{number}.fits", np.roll(image, 40 * number, axis=0))
    unknown = 'position = "pixel"\npixel_scale = "unknown"'
    path = config("four/*.fits", folder / "four.toml", images=unknown)
    job = planned(path, str(folder / "alone")).job
    tile = folder / "four" / "0.fits"
    works = {
        "bare sep: background and extract": lambda: bare(tile, measure=False),
        "bare sep: the same measurements too": lambda: bare(tile, measure=True),
        "detect: a worker's tile (find)": lambda: find(0, job)["sources"],
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    counts = {}
    for _ in range(repeats):  # in turns: whatever else the machine does, it does to all
        for name, work in works.items():
            start = time.perf_counter()
            counts[name] = work()
            times[name].append(time.perf_counter() - start)
    size = image.size / 1e6
    peer = size / min(times["bare sep: the same measurements too"])
    table: Rows = [
        (name, 1, counts[name], f"{size / min(t):.2f}", f"{size / min(t) / peer:.2f}")
        for name, t in times.items()
    ]
    return table + commands(folder, path, size)


def commands(folder: Path, path: Path, size: float) -> Rows:
    """The same of whole programs, a script of bare calls and the command, from their start to their end."""
    script = folder / "bare.py"
    calls = (
        "import sys\nfrom pathlib import Path\nimport numpy as np\nimport sep\nfrom astropy.io import fits\n"
    )
    loop = "print(sum(bare(Path(name), measure=True) for name in sys.argv[1:]))\n"
    script.write_text(f"{calls}{inspect.getsource(bare)}\n{loop}", encoding="utf-8")
    names = [str(tile) for tile in sorted((folder / "four").glob("*.fits"))]
    works = {f"a script of bare sep, {TILES} such tiles": [str(script), *names]}
    for workers in (1, 2):
        own, out = path.with_name(f"by{workers}.toml"), str(folder / f"by{workers}")
        own.write_text(path.read_text().replace("workers = 1", f"workers = {workers}"), encoding="utf-8")
        name = f"the command, {TILES} such tiles, {workers} worker{'s' if workers > 1 else ''}"
        works[name] = ["-m", "pipeline.cli", "detect", str(own), "--out", out, "--anew"]
    times: dict[str, list[float]] = {name: [] for name in works}
    counts = {}
    for _ in range(TURNS):
        for name, words in works.items():
            start = time.perf_counter()
            ran = subprocess.run([sys.executable, *words], check=True, stdout=subprocess.PIPE, text=True)
            times[name].append(time.perf_counter() - start)
            counts[name] = int(ran.stdout) if "bare" in name else len(catalog(Path(words[-2])))
    first = min(next(iter(times.values())))
    return [
        (
            name,
            2 if "2 w" in name else 1,
            counts[name],
            f"{TILES * size / min(t):.2f}",
            f"{first / min(t):.2f}",
        )
        for name, t in times.items()
    ]


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--galaxies", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=["simulated", "kids", "speed"])
    options = parser.parse_args()
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if options.only in (None, "speed"):
            head = ("what", "processes", "sources", "mpix_per_s", "ratio_to_bare_sep")
            write_csv("detect_speed", head, speed(folder, options.repeats))
        if options.only in (None, "simulated"):
            head = ("deblend_contrast", "magnitude", "objects", "completeness", "sources", "purity", "pieces")
            table, stars = simulated(folder, options.galaxies)
            write_csv("detect_simulated", head, table)
            head = ("magnitude", "stars_found", "marked", "galaxies_found", "marked_as_stars")
            write_csv("detect_stars", head, stars)
        if options.only in (None, "kids"):
            head = ("magnitude", "added", "completeness", "sources", "sources_of_negative", "purity")
            write_csv("detect_kids", head, kids(folder))
    write_tables()


if __name__ == "__main__":
    main()
