"""The stamps that `benchmarks.measure` measures: simulated surveys and published images, one band of each."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import galsim
import numpy as np
import pyarrow as pa
import torch
from astropy.io import fits
from scipy import ndimage

from benchmarks.galaxies import SHARED
from benchmarks.plain_detection import detect
from catalogs.inspect import inspect
from catalogs.psf import read_psf
from catalogs.slices import slices_of
from kernels.measure.morphology import Optics, measure
from kernels.measure.psf import full_width
from kernels.segmentation.no_data import outside
from pipeline.config.file import load
from pipeline.simulate.release import simulate

if TYPE_CHECKING:
    from astropy.table import Table

_SIMULATED, _COSMOS, _KIDS = 128, 192, 128  # sides, pixels
_CANDELS = {"h": 0.13, "j": 0.13, "v": 0.0495, "z": 0.0495}  # bands, arcsec a pixel of their model PSFs
_LEAST_AREA, _LARGEST_AREA, _MOST = 100, 3000, 200  # of sources in the tile, pixels; how many of them
_STARS = (1.55, 1.8)  # half-light radii of the tile's stars, pixels


@dataclass(frozen=True)
class StampSet:
    """Stamps of one camera."""

    name: str
    label: str
    images: torch.Tensor
    """(n, y, x) float32."""
    bad: torch.Tensor
    """(n, y, x) bool: no data."""
    optics: Optics
    truth: dict[str, np.ndarray] = field(default_factory=dict)
    """Quantity: (n,), where it is known."""
    light: torch.Tensor | None = None
    """(n, y, x) float32: the images without noise, where they are known."""

    def at(self, places: list[int]) -> StampSet:
        """Some of the stamps."""
        truth = {name: values[places] for name, values in self.truth.items()}
        light = None if self.light is None else self.light[places]
        return StampSet(
            self.name, self.label, self.images[places], self.bad[places], self.optics, truth, light
        )


def survey(count: int, size: int = _SIMULATED) -> StampSet:
    """`tuningfork simulate`, read as a run reads it: bulges, arms, mergers and neighbours."""
    with TemporaryDirectory() as scratch:
        simulate(Path(scratch) / "release", count, shards=1, seed=1, workers=1)
        config, folder = load(Path(scratch) / "release" / "survey.toml")
        images = config.survey.images.model_copy(update={"size": size})
        release = inspect(config.survey.model_copy(update={"images": images}), folder)
        rows = pa.concat_tables([release.read(piece) for piece in slices_of(release.shards, 1024)])
        psf = torch.from_numpy(read_psf(str(Path(scratch) / "release" / "psf" / "i.fits")))
    pixels = rows.filter(rows["usable"])["stamp"].combine_chunks().flatten()
    stamps = torch.tensor(pixels.to_numpy(zero_copy_only=False)).reshape(-1, size, size)
    optics = Optics(psf, full_width(psf), config.measure.gain)
    return StampSet("survey", "simulated survey", stamps, outside(stamps), optics)


def cosmos() -> StampSet | None:
    """100 HST galaxies; sky of their own correlated noise is drawn around stamps smaller than 192 pixels, as GalSim does."""
    folder = SHARED / "cosmos" / "btk"
    if not folder.exists():
        return None
    catalog = galsim.RealGalaxyCatalog("real_galaxy_catalog_26_extension_example.fits", dir=str(folder))
    random = galsim.BaseDeviate(1)
    stamps = []
    for index in range(catalog.nobjects):
        scale = 0.03
        galaxy = galsim.RealGalaxy(catalog, index=index, noise_pad_size=_COSMOS * scale, rng=random)
        image = galsim.Image(_COSMOS, _COSMOS, scale=scale, dtype=np.float32)
        galaxy.original_gal.drawImage(image, method="no_pixel")
        stamps.append(image.array.copy())
    psf = np.mean([catalog.getPSFImage(index).array for index in range(catalog.nobjects)], axis=0)
    return _real("cosmos", "COSMOS, HST/ACS I", np.stack(stamps), psf.astype(np.float32))


def candels(band: str) -> StampSet | None:
    """17 HST galaxies of GOODS-S in one band, with a model PSF."""
    folder, scale = SHARED / "candels_goodss", 0.06
    if not folder.exists():
        return None
    stamps = []
    for path in sorted(folder.glob("*.tar.gz")):
        with tarfile.open(path) as archive:
            name = next(name for name in archive.getnames() if name.endswith(f"_{band}.fits"))
            stamps.append(np.array(fits.getdata(io.BytesIO(archive.extractfile(name).read())), np.float32))
    if band == "h":
        stamps.append(np.array(fits.getdata(folder / "GDS_deep2_10006_h.fits"), np.float32))
    model = fits.getdata(folder / "tinytim_psf" / f"{band}.fits").astype(np.float32)
    coarse = galsim.InterpolatedImage(galsim.Image(model), scale=_CANDELS[band])
    psf = coarse.drawImage(nx=41, ny=41, scale=scale, method="no_pixel", dtype=np.float32).array
    return _real(f"candels_{band}", "CANDELS GOODS-S", np.stack(stamps), psf)


def kids() -> StampSet | None:
    """Galaxies of one KiDS tile in r, as GAMA's are seen; the PSF is the mean of the tile's stars."""
    path = SHARED / "kids_viking" / "inst" / "extdata" / "MultiBand" / "r.fits"
    if not path.exists():
        return None
    with fits.open(path) as hdus:
        tile = np.asarray(hdus[1].data, np.float32)
    sources = detect(tile)
    sky = np.median(tile)
    noise = 1.4826 * np.median(np.abs(tile - sky))
    tile = (tile - sky) / noise  # its unit is so small that fits of others stop at their first step
    half = _KIDS // 2
    inside = sources["X_IMAGE"] > half
    for column in ("X_IMAGE", "Y_IMAGE"):
        inside &= (sources[column] > half + 1) & (sources[column] < len(tile) - half)
    area = sources["ISOAREA_IMAGE"]
    sources = sources[inside & (area >= _LEAST_AREA / 2) & (area <= _LARGEST_AREA)]
    stamps = np.stack([_cut(tile, row, half) for row in sources])
    images = torch.from_numpy(stamps)
    found = measure(images, torch.zeros_like(images, dtype=torch.bool), quantities=())
    r50, sn, flags = (found[name].numpy() for name in ("r50", "sn_pixel", "measure_flags"))
    stars = (r50 > _STARS[0]) & (r50 < _STARS[1]) & (sn > 80) & (sn < 800) & (flags & ~264 == 0)
    places = zip(
        stamps[stars], found["x_centre"].numpy()[stars], found["y_centre"].numpy()[stars], strict=True
    )
    psf = np.mean([_star(*place) for place in places], axis=0)
    galaxies = (r50 > _STARS[1] * 1.1) & (sources["ISOAREA_IMAGE"] >= _LEAST_AREA)
    return _real("kids", "KiDS r", stamps[galaxies][:_MOST], psf.astype(np.float32))


def _cut(tile: np.ndarray, row: Table.Row, half: int) -> np.ndarray:
    x, y = round(row["X_IMAGE"]) - 1, round(row["Y_IMAGE"]) - 1
    return tile[y - half : y + half, x - half : x + half]


def _star(stamp: np.ndarray, x: float, y: float, reach: int = 12) -> np.ndarray:
    """A star in the middle of a small stamp, its sum 1."""
    middle = (len(stamp) - 1) // 2
    image = ndimage.shift(stamp, (middle - y, middle - x), order=3)
    image = image[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1]
    return image / image.sum()


def _real(name: str, label: str, stamps: np.ndarray, psf: np.ndarray) -> StampSet:
    images, kernel = torch.from_numpy(stamps), torch.from_numpy(psf / psf.sum())
    bad = outside(images) | ~images.isfinite()
    return StampSet(name, label, torch.where(bad, 0.0, images), bad, Optics(kernel, full_width(kernel)))
