"""Small releases with the structure of large surveys: their folders, names, HDUs, keywords, planes, units and columns, as their documentation has them.

Each function writes one into a folder and returns the objects that a catalog must have: the flux of each in the survey's unit, by id. The bad column of one of them is marked as that
survey marks bad pixels.
"""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table

from tests.survey.sky import SHAPE, UNWEIGHTED, Sky, tile_compressed

Objects = dict[int | str, float]
"""Fluxes by id."""


def written(path: Path, *hdus: fits.hdu.base.ExtensionHDU) -> Path:
    """HDUs behind an empty primary one; one alone that is no extension, as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    primary = [] if isinstance(hdus[0], fits.PrimaryHDU) else [fits.PrimaryHDU()]
    fits.HDUList([*primary, *hdus]).writeto(path)
    return path


def saved(path: Path, columns: dict[str, object], **units: str) -> None:
    """A FITS table with units."""
    table = Table(columns)
    for name, unit in units.items():
        table[name].unit = unit
    path.parent.mkdir(parents=True, exist_ok=True)
    table.write(path, format="fits")


def named(ids, sky: Sky) -> Objects:
    return dict(zip(np.asarray(ids).tolist(), sky.flux.tolist(), strict=True))


def euclid(folder: Path) -> Objects:
    """MER tiles of Q1: a mosaic, RMS and flag map for each band; int64 segments; the catalog names no tile."""
    found: Objects = {}
    for tile, sky in ((102018211, Sky(0.1, 0.01)), (102018212, Sky(0.1, 0.01, ra=150.1, seed=2))):
        for b, band in enumerate(("VIS", "NIR-Y", "NIR-J", "NIR-H")):
            inside = folder / "MER" / str(tile) / ("VIS" if band == "VIS" else "NISP")
            header = sky.header()
            header["MAGZERO"] = 23.9
            time = f"{tile}-{b}F20EA_20241018T14271{b}.276838Z_00.00.fits"
            written(
                inside / f"EUC_MER_BGSUB-MOSAIC-{band}_TILE{time}",
                fits.PrimaryHDU(sky.image(b).astype(np.float32), header),
            )
            rms = np.where(sky.unweighted, 0, sky.unit).astype(np.float32)
            written(inside / f"EUC_MER_MOSAIC-{band}-RMS_TILE{time}", fits.PrimaryHDU(rms, header))
            flag = np.where(sky.bad, 1, 0).astype(np.int32)
            flag[::7] |= 1 << 19  # of another meaning
            written(inside / f"EUC_MER_MOSAIC-{band}-FLAG_TILE{time}", fits.PrimaryHDU(flag, header))
        segments = np.where(sky.segments, tile * 1_000_000 + sky.segments, 0)
        name = f"EUC_MER_FINAL-SEGMAP_TILE{tile}-7A1_20241018T1.0Z_00.00.fits"
        written(folder / "MER_SEG" / str(tile) / name, fits.PrimaryHDU(segments, sky.header()))
        ra, dec = sky.positions
        ids = -(np.round(ra * 1e7).astype(np.int64) * 10**9 + np.round(dec * 1e7).astype(np.int64))
        columns = {
            "OBJECT_ID": ids,
            "RIGHT_ASCENSION": ra,
            "DECLINATION": dec,
            "SEGMENTATION_MAP_ID": tile * 1_000_000 + np.arange(1, len(sky) + 1),
            "VIS_DET": np.ones(len(sky), np.int16),
            "SPURIOUS_FLAG": (np.arange(len(sky)) == 0).astype(np.int16),
            "SEGMENTATION_AREA": np.full(len(sky), 800, np.int32),
        }
        name = f"EUC_MER_FINAL-CAT_TILE{tile}-5C9_20241025T2.1Z_00.00.fits"
        saved(
            folder / "MER_FINAL_CATALOG" / str(tile) / name, columns, RIGHT_ASCENSION="deg", DECLINATION="deg"
        )
        found |= named(ids, sky)
        del found[int(ids[0])]
    return found


def legacy_surveys(folder: Path) -> Objects:
    """Two bricks of DR10: `objid` counts in each; images quantised, maskbits by gzip."""
    found: Objects = {}
    for brick, sky in (("1498p020", Sky(0.262, 0.004)), ("1500p020", Sky(0.262, 0.004, ra=150.3, seed=2))):
        coadd = folder / "south" / "coadd" / brick[:3] / brick
        noise = 1 / sky.unit**2
        for b, band in enumerate("griz"):
            quantised = {"quantize_level": -1e-5, "quantize_method": 2}
            hdu = tile_compressed(sky.image(b).astype(np.float32), sky.header(), **quantised)
            written(coadd / f"legacysurvey-{brick}-image-{band}.fits.fz", hdu)
            invvar = np.where(sky.unweighted, 0, noise).astype(np.float32)
            hdu = tile_compressed(invvar, sky.header(), quantize_level=-noise / 1e5, quantize_method=2)
            written(coadd / f"legacysurvey-{brick}-invvar-{band}.fits.fz", hdu)
        bits = np.where(sky.bad, 1 << 15, 1 << 11).astype(
            np.int32
        )  # ALLMASK_I; MEDIUM, a star's surroundings
        masks = [
            tile_compressed(bits, sky.header(), "GZIP_1"),
            fits.ImageHDU(np.ones(SHAPE, np.uint8), name="WISEM1"),
        ]
        written(coadd / f"legacysurvey-{brick}-maskbits.fits.fz", *masks)
        ra, dec = sky.positions
        objid = np.arange(len(sky), dtype=np.int32)
        columns = {
            "release": np.full(len(sky), 10000, np.int16),
            "brickid": np.full(len(sky), 331_000 + sky.seed, np.int32),
            "brickname": np.full(len(sky), brick),
            "objid": objid,
            "brick_primary": objid != 2,
            "type": np.where(objid == 3, "PSF", "SER"),
            "ra": ra,
            "dec": dec,
            "flux_r": sky.flux.astype(np.float32),
            "shape_r": np.full(len(sky), 1.2, np.float32),
        }  # fmt: skip
        saved(
            folder / "south" / "tractor" / brick[:3] / f"tractor-{brick}.fits", columns, ra="deg", dec="deg"
        )
        found |= {f"{brick}-{i}": flux for i, flux in enumerate(sky.flux.tolist()) if i not in (2, 3)}
    return found


PLANES = (
    "BAD",
    "SAT",
    "INTRP",
    "CR",
    "EDGE",
    "DETECTED",
    "DETECTED_NEGATIVE",
    "SUSPECT",
    "NO_DATA",
    "BRIGHT_OBJECT",
)


def exposure(sky: Sky, band: int, **primary: object) -> list:
    """HDUs of an afw exposure, losslessly compressed, with tables of its components behind it."""
    mask = np.where(sky.bad, 1 << PLANES.index("CR"), 0).astype(np.int32)
    mask[sky.segments > 0] |= 1 << PLANES.index("DETECTED")
    mask[: SHAPE[0] // 2] |= 1 << PLANES.index("BRIGHT_OBJECT")
    header = sky.header()
    planes = {
        "IMAGE": sky.image(band).astype(np.float32),
        "MASK": mask,
        "VARIANCE": np.where(sky.unweighted, np.nan, sky.unit**2).astype(np.float32),
    }
    hdus = [
        tile_compressed(data, header, "GZIP_2", name=name, quantize_level=0) for name, data in planes.items()
    ]
    for number, name in enumerate(PLANES):
        hdus[1].header[f"HIERARCH MP_{name}" if len(name) > 5 else f"MP_{name}"] = number
    first = fits.PrimaryHDU()
    first.header.update(primary)
    return [first, *hdus, fits.BinTableHDU(Table({"id": [1]}), name="ARCHIVE_INDEX")]


def hsc(folder: Path) -> Objects:
    """A patch of PDR3; positions of a query."""
    sky = Sky(0.168, 0.05)
    for b, band in enumerate(("HSC-G", "HSC-R", "HSC-I")):
        path = folder / "deepCoadd-results" / band / "9813" / "4,5" / f"calexp-{band}-9813-4,5.fits"
        path.parent.mkdir(parents=True)
        fits.HDUList(exposure(sky, b, FLUXMAG0=63095734448.0194, FILTER=band)).writeto(path)
    ra, dec = sky.positions
    ids = 43_158_034_708_430_000 + np.arange(len(sky))
    columns = {"object_id": ids, "ra": ra, "dec": dec, "tract": np.full(len(sky), 9813, np.int32)}
    saved(folder / "hsc.fits", {**columns, "patch": np.full(len(sky), "4,5")})
    return named(ids, sky)


def lsst(folder: Path) -> Objects:
    """A patch of DP1, as the butler names its files, and the Object table in Parquet."""
    sky = Sky(0.2, 20.0, ra=53.1, dec=-28.1)
    collection = "lsst_cells_v1_LSSTComCam_runs_DRP_DP1_DM-51335"
    for b, band in enumerate("gri"):
        path = folder / "deep_coadd" / "5063" / "14" / band / f"deep_coadd_5063_14_{band}_{collection}.fits"
        path.parent.mkdir(parents=True)
        fits.HDUList(exposure(sky, b, BUNIT="nJy")).writeto(path)
    ra, dec = sky.positions
    n = len(sky)
    ids = 611_253_629_000_000_000 + np.arange(n)
    columns = {
        "objectId": ids,
        "coord_ra": ra,
        "coord_dec": dec,
        "tract": np.full(n, 5063),
        "patch": np.full(n, 14),
        "detect_isPrimary": np.arange(n) != 1,
        "refExtendedness": np.ones(n, np.float32),
        "i_cModelFlux": sky.flux,
    }
    path = folder / "object" / "5063" / f"object_5063_{collection}.parq"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table(columns), path)
    return {key: flux for key, flux in named(ids, sky).items() if key != ids[1]}


def des(folder: Path) -> Objects:
    """Two tiles of DR2: SCI, MSK and WGT in one file; names with a request number, and images without background subtraction beside."""
    found: Objects = {}
    for tile, request, sky in (
        ("DES0000+0209", "r2590p01", Sky(0.263, 8.0)),
        ("DES0003+0209", "r2611p02", Sky(0.263, 8.0, ra=150.3, seed=2)),
    ):
        inside = folder / tile
        for b, band in enumerate("griz"):
            header = sky.header()
            header["MAGZERO"] = 30.0
            weight = np.where(sky.unweighted, 0, 1 / sky.unit**2).astype(np.float32)
            hdus = [
                tile_compressed(sky.image(b).astype(np.float32), header, name="SCI", quantize_level=16),
                tile_compressed(np.where(sky.bad, 1, 0).astype(np.int16), header, name="MSK"),
                tile_compressed(
                    weight, header, name="WGT", quantize_level=-(sky.unit**-2) / 1e4, quantize_method=2
                ),
            ]
            written(inside / f"{tile}_{request}_{band}.fits.fz", *hdus)
            written(
                inside / f"{tile}_{request}_{band}_nobkg.fits.fz", fits.ImageHDU(np.ones((8, 8)), name="SCI")
            )
        ra, dec = sky.positions
        ids = 924_000_000 + 1000 * sky.seed + np.arange(len(sky))
        columns = {
            "COADD_OBJECT_ID": ids,
            "TILENAME": np.full(len(sky), tile),
            "RA": ra,
            "DEC": dec,
            "EXTENDED_CLASS_COADD": np.where(np.arange(len(sky)) == 4, 0, 3).astype(np.int16),
            "FLAGS_I": np.zeros(len(sky), np.int16),
            "MAG_AUTO_I": (30 - 2.5 * np.log10(sky.flux)).astype(np.float32),
        }
        saved(inside / f"{tile}_dr2_main.fits", columns, RA="deg", DEC="deg")
        found |= {key: flux for key, flux in named(ids, sky).items() if key != ids[4]}
    return found


def kids(folder: Path) -> Objects:
    """A tile of DR4 with its weight and flag images; the zero point is 0, so that fluxes are tiny."""
    sky = Sky(0.2, 4e-13, ra=140.0, dec=0.5)
    for b, band in enumerate("gri"):
        start = folder / f"KiDS_DR4.0_140.0_0.5_{band}"
        flag = np.where(sky.bad, 64, 8).astype(np.uint8)  # bad pixels; the halo of a star
        planes = {"sci": sky.image(b).astype(np.float32), "wei": np.where(sky.unweighted, 0, sky.unit**-2).astype(np.float32), "msk": flag}  # fmt: skip
        for name, data in planes.items():
            written(Path(f"{start}_{name}.fits"), fits.PrimaryHDU(data, sky.header()))
    ra, dec = sky.positions
    ids = [f"KiDSDR4 J{9 + k / 1e4:.4f}+003000" for k in range(len(sky))]
    columns = {
        "ID": ids,
        "KIDS_TILE": np.full(len(sky), "KIDS_140.0_0.5"),
        "RAJ2000": ra,
        "DECJ2000": dec,
        "MAG_AUTO": (-2.5 * np.log10(sky.flux)).astype(np.float32),
        "SG2DPHOT": np.zeros(len(sky), np.int16),
        "MASK": np.zeros(len(sky), np.int32),
    }
    saved(folder / "KiDS_DR4.0_140.0_0.5_ugriZYJHKs_cat.fits", columns, RAJ2000="deg", DECJ2000="deg")
    return named(ids, sky)


POGSON = 2.5 / np.log(10)
BITS = {"DETECTOR": 1, "FLAT": 2, "DARK": 4, "BLANK": 8, "CTE": 16, "SAT": 32, "LOW": 64, "SUSPECT": 128, "CR": 256, "SPIKE": 512, "GHOST": 1024, "STARCORE": 4096}  # fmt: skip


def asinh_scaled(flux: np.ndarray, header: fits.Header, softening: float, offset: float) -> fits.CompImageHDU:
    """16-bit integers of asinh magnitudes, with BLANK, as the image processing pipeline of Pan-STARRS writes them."""
    magnitudes = POGSON * np.arcsinh((flux - offset) / (2 * softening))
    zero, scale = float(np.nanmean(magnitudes)), float(np.nanmax(magnitudes) - np.nanmin(magnitudes)) / 65000
    zero = float(np.nanmin(magnitudes)) + 32500 * scale
    stored = np.where(np.isnan(flux), 32767, np.round((np.nan_to_num(magnitudes) - zero) / scale)).astype(
        np.int16
    )
    hdu = tile_compressed(stored, header)
    hdu.header["BSCALE"], hdu.header["BZERO"], hdu.header["BLANK"] = scale, zero, 32767
    hdu.header["BSOFTEN"], hdu.header["BOFFSET"] = softening, offset
    return hdu


def pan_starrs(folder: Path) -> Objects:
    """A sky cell of stacks: asinh magnitudes in image and variance, names of bits in the mask's header, a matrix of the old kind; a CSV of CasJobs."""
    sky = Sky(0.25, 12.0)
    for b, band in enumerate("gri"):
        start = folder / f"rings.v3.skycell.1405.053.stk.{band}.unconv"
        header = sky.header("PC00")
        header["EXPTIME"], header["HIERARCH FPA.ZP"] = 700.0 + b, 25.0
        written(Path(f"{start}.fits"), asinh_scaled(sky.image(b), header, 220.0, 7.0))
        variance = np.random.default_rng(b).normal(sky.unit**2, 1.0, SHAPE)
        variance[sky.unweighted] = np.nan
        written(Path(f"{start}.wt.fits"), asinh_scaled(variance, header, 50.0, 140.0))
        mask = tile_compressed(np.where(sky.bad, 512, 4096).astype(np.int16), header)
        for number, (name, value) in enumerate(BITS.items()):
            mask.header[f"MSKNAM{number:02d}"], mask.header[f"MSKVAL{number:02d}"] = name, value
        mask.header["MSKNUM"] = len(BITS)
        written(Path(f"{start}.mask.fits"), mask)
    ra, dec = sky.positions
    ids = 110_421_500_000_000_000 + np.arange(len(sky))
    columns = {"objID": ids, "raStack": ra, "decStack": dec, "projectionID": np.full(len(sky), 1405)}
    Table({**columns, "skyCellID": np.full(len(sky), 53)}).write(folder / "ps1.csv")
    return named(ids, sky)


def candels(folder: Path) -> Objects:
    """3D-HST's mosaics of a field: image and inverse variance for each filter, segments, all in gzip."""
    sky = Sky(0.06, 0.002, ra=53.1, dec=-27.8, marks=(UNWEIGHTED,))
    for b, band in enumerate(("F125W", "F160W")):
        start = folder / f"goodss_3dhst.v4.0.{band}_orig"
        written(Path(f"{start}_sci.fits.gz"), fits.PrimaryHDU(sky.image(b).astype(np.float32), sky.header()))
        weight = np.where(sky.unweighted, 0, sky.unit**-2).astype(np.float32)
        written(Path(f"{start}_wht.fits.gz"), fits.PrimaryHDU(weight, sky.header()))
    segments = fits.PrimaryHDU(sky.segments.astype(np.int32), sky.header())
    written(folder / "goodss_3dhst.v4.0.F160W_seg.fits.gz", segments)
    ra, dec = sky.positions
    ids = np.arange(1, len(sky) + 1, dtype=np.int32)
    columns = {"id": ids, "x": sky.x + 1, "y": sky.y + 1, "ra": ra, "dec": dec}
    numbers = {"star_flag": (ids == 2).astype(np.float32), "use_phot": np.ones(len(sky), np.float32)}
    saved(folder / "goodss_3dhst.v4.1.cat.FITS", {**columns, **numbers})
    return {key: flux for key, flux in named(ids, sky).items() if key != 2}


def drizzled(folder: Path) -> Objects:
    """AstroDrizzle's SCI, WHT and CTX in one file, with SIP left over, and a FITS_LDAC catalog of SExtractor."""
    sky = Sky(0.05, 0.003, marks=(UNWEIGHTED,))
    header = sky.header()
    header["A_ORDER"], header["A_0_2"] = 2, 1e-6
    weight = np.where(sky.unweighted, 0, sky.unit**-2).astype(np.float32)
    planes = {"SCI": sky.image().astype(np.float32), "WHT": weight, "CTX": np.ones(SHAPE, np.int32)}
    hdus = [fits.ImageHDU(data, header, name=name) for name, data in planes.items()]
    written(folder / "field_F814W_drz.fits", *hdus)
    ra, dec = sky.positions
    ids = np.arange(1, len(sky) + 1, dtype=np.int32)
    table = Table({"NUMBER": ids, "ALPHA_J2000": ra, "DELTA_J2000": dec})
    table["ALPHA_J2000"].unit = table["DELTA_J2000"].unit = "deg"
    about = Table({"Field Header Card": np.array([["SIMPLE".ljust(80)]])})
    hdus = [fits.BinTableHDU(about, name="LDAC_IMHEAD"), fits.BinTableHDU(table, name="LDAC_OBJECTS")]
    written(folder / "catalog.cat", *hdus)
    return named(ids, sky)


def jwst(folder: Path) -> Objects:
    """Stage 3 of the pipeline: i2d with its planes, the source catalog in ECSV, and segments."""
    sky = Sky(0.031, 0.02, ra=214.9, dec=52.9, marks=(UNWEIGHTED,))
    start = f"{folder}/jw01345-o001_t021_nircam_clear-f200w"
    header = sky.header("PC")
    error = np.where(sky.unweighted, np.nan, sky.unit).astype(np.float32)
    planes = {
        "SCI": sky.image(),
        "ERR": error,
        "WHT": np.ones(SHAPE),
        "VAR_POISSON": error**2,
        "VAR_RNOISE": error**2,
    }
    hdus = [fits.ImageHDU(np.asarray(data, np.float32), header, name=name) for name, data in planes.items()]
    hdus[0].header["BUNIT"], hdus[0].header["PIXAR_SR"] = "MJy/sr", 2.2e-14
    hdus.insert(2, fits.ImageHDU(np.ones((1, *SHAPE), np.int32), name="CON"))
    written(Path(f"{start}_i2d.fits"), *hdus)
    written(Path(f"{start}_segm.fits"), fits.ImageHDU(sky.segments.astype(np.int32), header, name="SCI"))
    ra, dec = sky.positions
    ids = np.arange(1, len(sky) + 1)
    table = Table({"label": ids, "xcentroid": sky.x * u.pix, "ycentroid": sky.y * u.pix})
    table["sky_centroid"] = SkyCoord(ra, dec, unit="deg")
    table["is_extended"] = ids != 7
    table.write(f"{start}_cat.ecsv")
    return {key: flux for key, flux in named(ids, sky).items() if key != 7}


def sdss(folder: Path) -> Objects:
    """Frames of DR17 in bzip2, whose other HDUs are no images of the sky, and a field's catalog in gzip."""
    sky = Sky(0.396, 0.02, marks=())
    photo = folder / "photoObj"
    for b, band in enumerate("gri"):
        hdus = [fits.PrimaryHDU(sky.image(b).astype(np.float32), sky.header()), fits.ImageHDU(np.full(SHAPE[1], 0.005, np.float32)), fits.BinTableHDU(Table({"ALLSKY": [0.1]}))]  # fmt: skip
        path = written(photo / "frames" / "301" / "94" / "1" / f"frame-{band}-000094-1-0131.fits", *hdus)
        path.with_suffix(".fits.bz2").write_bytes(bz2.compress(path.read_bytes()))
        path.unlink()
    ra, dec = sky.positions
    n = len(sky)
    ids = [f"123764870559955{k:04d}" for k in range(n)]
    columns = {
        "OBJID": ids,
        "MODE": np.where(np.arange(n) == 9, 2, 1).astype(np.uint8),
        "RUN": np.full(n, 94, np.int32),
        "CAMCOL": np.ones(n, np.uint8),
        "FIELD": np.full(n, 131, np.int16),
        "OBJC_TYPE": np.full(n, 3, np.int32),
        "RA": ra,
        "DEC": dec,
        "PETROFLUX": np.repeat(sky.flux[:, None], 5, axis=1).astype(np.float32),
    }
    path = photo / "301" / "94" / "1" / "photoObj-000094-1-0131.fits"
    saved(path, columns)
    path.with_suffix(".fits.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return {key: flux for key, flux in named(ids, sky).items() if key != ids[9]}


def multimodal_universe(folder: Path) -> Objects:
    """A collection of one HATS catalog: records of four bands, 160 pixels a side, whose mask is true where a pixel is good."""
    sky, plain = Sky(0.262, 0.004), Sky(0.262, 0.004, marks=())
    flux, mask, ivar = [], [], []
    for k, (x, y) in enumerate(zip(sky.x, sky.y, strict=True)):
        box = np.s_[
            round(y) - 32 : round(y) + 128, round(x) - 32 : round(x) + 128
        ]  # of what has 48 pixels around
        own = sky if k in sky.marks else plain  # records are larger than the stamps of this page
        flux.append([np.pad(own.image(b), 48)[box].astype(np.float32).tolist() for b in range(4)])
        mask.append([(~np.pad(own.bad, 48)[box]).tolist()] * 4)
        weight = np.where(np.pad(own.unweighted, 48)[box], 0, sky.unit**-2)
        ivar.append([weight.astype(np.float32).tolist()] * 4)
    bands = ["des-g", "des-r", "des-i", "des-z"]
    stored = {"band": [bands] * len(sky), "flux": flux, "mask": mask, "ivar": ivar}
    stored["psf_fwhm"] = stored["scale"] = [[0.262] * 4] * len(sky)
    floats = pa.list_(pa.list_(pa.list_(pa.float32())))
    kinds = {"band": pa.list_(pa.string()), "flux": floats, "mask": pa.list_(pa.list_(pa.list_(pa.bool_()))), "ivar": floats, "psf_fwhm": pa.list_(pa.float32()), "scale": pa.list_(pa.float32())}  # fmt: skip
    record = pa.StructArray.from_arrays(
        [pa.array(stored[name], kind) for name, kind in kinds.items()], list(kinds)
    )
    ra, dec = sky.positions
    ids = [f"1498p020-{k}" for k in range(len(sky))]
    table = pa.table(
        {"image": record, "FLUX_R": pa.array(sky.flux, pa.float32()), "object_id": ids, "ra": ra, "dec": dec}
    )
    name = "mmu_legacysurvey_dr10_south_21"
    inside = folder / "mmu" / name
    (inside / "dataset" / "Norder=0" / "Dir=0").mkdir(parents=True)
    pq.write_table(table, inside / "dataset" / "Norder=0" / "Dir=0" / "Npix=4.parquet")
    (folder / "mmu" / "collection.properties").write_text(
        f"obs_collection={name}\nhats_primary_table_url={name}\n"
    )
    properties = f"obs_collection={name}\ndataproduct_type=object\nhats_nrows={len(sky)}\nhats_col_ra=ra\nhats_col_dec=dec\nhats_max_rows=1000\nhats_order=0\nhats_version=v1.0\n"
    (inside / "hats.properties").write_text(properties)
    (inside / "partition_info.csv").write_text("Norder,Npix\n0,4\n")
    return named(ids, sky)


RELEASES = {
    "Euclid Q1": [euclid],
    "Legacy Surveys": [legacy_surveys],
    "Hyper Suprime-Cam": [hsc],
    "LSST": [lsst],
    "Dark Energy Survey": [des],
    "KiDS": [kids],
    "Pan-STARRS": [pan_starrs],
    "HST: 3D-HST and CANDELS mosaics": [candels, drizzled],
    "JWST": [jwst],
    "SDSS": [sdss],
    "Multimodal Universe": [multimodal_universe],
}
"""By the page's headings, what writes the release of each of their configs."""
