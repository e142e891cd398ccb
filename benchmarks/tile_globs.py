"""What it costs to find each object's tile by footprint: `python -m benchmarks.tile_globs [--tiles 10000] [--objects 1000000]`. Writes tile_globs.csv.

Tiles of 64 x 64 pixels (their size does not matter: headers alone are read) on a grid that overlaps by a tenth, and objects at random over all of it: no two neighbouring
rows are on one tile, which is the worst case. `all headers` lists and opens the tiles and makes their footprints; `all objects` finds the tile of every row. The others are what a plan does
besides, also where a column names the tiles. Seconds of CPU, all in one process, and its largest memory after each step.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits

from benchmarks.common import write_csv
from catalogs.inspect import inspect
from catalogs.survey import Survey
from catalogs.tile_index import find_tiles

SIDE, SCALE = 64, 0.2


def write_release(folder: Path, tiles: int, objects: int) -> Survey:
    """Write tiles and a catalog, and say where they are."""
    across = int(np.ceil(np.sqrt(tiles)))
    step = 0.9 * SIDE * SCALE / 3600
    (folder / "tiles").mkdir()
    header = fits.Header()
    pixels = np.zeros((SIDE, SIDE), np.float32)
    for number in range(tiles):
        ra, dec = 150 + step * (number % across), step * (number // across)
        header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=ra, CRVAL2=dec, CRPIX1=32.5, CRPIX2=32.5)
        header.update(CDELT1=-SCALE / 3600, CDELT2=SCALE / 3600, CUNIT1="deg", CUNIT2="deg")
        fits.PrimaryHDU(pixels, header).writeto(folder / "tiles" / f"{number:05d}_r.fits")
    rng = np.random.default_rng(1)
    far = step * across
    table = {
        "id": np.arange(objects),
        "ra": 150 + rng.uniform(-0.01 * far, far, objects),
        "dec": rng.uniform(-0.01 * far, far, objects),
    }
    pq.write_table(pa.table(table), folder / "objects.parquet")
    images = {"layout": "tiles", "path": "tiles/*_{band}.fits", "bands": ["r"], "size": 32}
    return Survey.model_validate(
        {"catalogs": "objects.parquet", "id": "id", "ra": "ra", "dec": "dec", "images": images}
    )


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiles", type=int, default=10_000)
    parser.add_argument("--objects", type=int, default=1_000_000)
    options = parser.parse_args()
    rows = list[tuple[object, ...]]()

    def measured(what: str, begun: float) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        rows.append(
            (what, options.tiles, options.objects, f"{time.process_time() - begun:.1f}", f"{peak:.0f}")
        )
        print(*rows[-1], sep=", ", flush=True)

    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        survey = write_release(folder, options.tiles, options.objects)
        table = pq.read_table(folder / "objects.parquet")
        begun = time.process_time()
        index, _ = find_tiles(survey, scratch)
        measured("all headers", begun)
        begun = time.process_time()
        index.tiles_of(survey, table)
        measured("all objects", begun)
        begun = time.process_time()
        inspect(survey, scratch)
        measured("the whole inspection of the release", begun)

    write_csv("tile_globs", ("what", "tiles", "objects", "cpu_s", "peak_mib"), rows)


if __name__ == "__main__":
    main()
