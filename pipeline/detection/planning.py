"""Before a detection: its tiles, bands and settings; everything that is wrong is refused before any work starts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catalogs import images, storage
from catalogs.errors import Fault, Refused
from catalogs.identity import identities
from catalogs.image_header import NotAnImage
from catalogs.inspect_images import image_urls, look_at_images
from catalogs.path_template import columns_of
from catalogs.planes import path_of
from catalogs.release import Release
from catalogs.tile_list import NoTiles, named_template, tiles_of
from kernels.detection import Settings
from kernels.kernel_images import kernel_of
from pipeline.config.check import checked, read_toml
from pipeline.config.file import Config
from pipeline.detection.columns import KEPT, made_columns
from pipeline.detection.job import Job

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from catalogs.image_header import ImageHeader
    from pipeline.config.detect import Detect

__all__ = ["FOUND_VERSION", "Planned", "planned"]

FOUND_VERSION = 1
"""Raised where the same images and settings give other sources or columns than before."""
OF_CATALOGS = ("catalogs", "hdu", "id", "ra", "dec", "position_unit")
"""Keys of `[survey]` that say what catalogs are like; here they are what is made."""


@dataclass(frozen=True)
class Planned:
    """A job, its config as `run` will take it, and what is to be said."""

    job: Job
    values: dict[str, Any]
    config: Config
    notes: tuple[str, ...]
    record: dict[str, Any]


def planned(path: Path, out: str) -> Planned:
    """Read a config and look at every image.

    Parameters
    ----------
    path : Path
        Of the config.
    out : str
        Absolute folder or URL.

    Raises
    ------
    Refused
        With everything that is wrong: file, key or value, and remedy.
    """
    values, folder = read_toml(path), str(path.resolve().parent)
    values, notes = _as_made(values, str(path))
    config = checked(Config, values, str(path))
    layout = config.survey.images
    bands = tuple(config.detect.bands or layout.bands)
    _refuse_config(config, bands, str(path))
    try:
        tiles = tiles_of(str(layout.path), layout.bands, folder)
    except NoTiles as error:
        raise Refused([Fault(str(path), str(error), error.remedy, key="survey.images.path")]) from error
    release = Release(config.survey, folder, (), pa.schema([]), {}, None, None)
    paths = tiles if tiles[0] else None
    versions = identities(image_urls(release, paths), config.survey.identify)
    scale, image_notes = look_at_images(release, paths)
    sky = _look_at_shapes(config, tiles, folder)
    notes += image_notes
    if not sky:
        notes.append(
            "the images have no WCS: the catalog has no positions on the sky, and overlaps are not resolved"
        )
        for key in ("ra", "dec"):
            values["survey"].pop(key)
        config = checked(Config, values, str(path))
    settings, measure = config.detect, config.measure
    band = measure.bands[0] if measure.bands else measure.band or layout.bands[len(layout.bands) // 2]
    gain, zeropoint = measure.of(band).gain, measure.magnitude_zero(band)
    assert not isinstance(gain, dict)
    if zeropoint is None:
        notes.append("[measure] zeropoint is not given: MAG_AUTO is instrumental, as if it were 0")
    job = Job(
        layout,
        folder,
        out,
        tuple(tiles),
        _settings(settings),
        settings,
        bands,
        band,
        gain,
        zeropoint or 0.0,
        sky,
        scale,
    )
    record = _record(job, config, versions)
    return Planned(replace(job, fingerprint=record["fingerprint"]), values, config, tuple(notes), record)


def _as_made(values: dict[str, Any], name: str) -> tuple[dict[str, Any], list[str]]:
    """A config's values with the catalogs that will be made, and what was replaced."""
    survey = values.setdefault("survey", {})
    if not isinstance(survey, dict):
        return values, []
    notes = []
    given = [key for key in OF_CATALOGS if survey.pop(key, None) is not None]
    if given:
        notes.append(
            f"[survey] {', '.join(given)}: taken for those of another catalog; the one made here replaces it"
        )
    survey |= {"catalogs": "catalogs/*.fits", "id": "NUMBER", "ra": "ALPHA_J2000", "dec": "DELTA_J2000"}
    keep = survey.get("keep", list(KEPT))
    made = made_columns()
    if not isinstance(keep, list) or not all(
        isinstance(column, str) and column.partition(" as ")[0].strip() in made for column in keep
    ):
        notes.append(f"[survey] keep names columns that are not made; {', '.join(KEPT)} are kept")
        keep = list(KEPT)
    survey["keep"] = keep
    layout = survey.get("images")
    for table in [layout, *layout.values()] if isinstance(layout, dict) else []:
        if isinstance(table, dict) and isinstance(table.get("path"), str):
            try:
                table["path"] = named_template(table["path"])
            except NoTiles as error:
                raise Refused([Fault(name, str(error), error.remedy, key="survey.images.path")]) from error
    return values, notes


def _refuse_config(config: Config, bands: tuple[str, ...], name: str) -> None:
    layout, faults = config.survey.images, []
    if layout.layout != "tiles":
        problem = "sources are found on survey images, one file a tile and band"
        faults.append(
            Fault(
                name, problem, 'Set layout = "tiles"', key="survey.images.layout", value=repr(layout.layout)
            )
        )
    if layout.segmentation is not None:
        problem = "a survey's segmentation map belongs to the survey's own catalog"
        faults.append(Fault(name, problem, "Leave it out", key="survey.images.segmentation"))
    for key, named in (("detect.bands", bands), ("measure.band", (config.measure.band,))):
        for band in named:
            if band is not None and band not in layout.bands:
                remedy = f"Choose from {', '.join(layout.bands)}"
                faults.append(
                    Fault(name, "is none of [survey.images] bands", remedy, key=key, value=repr(band))
                )
    if layout.layout == "tiles" and not faults:
        own = set(layout.path_columns)
        known = set(columns_of(str(layout.path)))
        for column in sorted(own - known):
            problem = f"{{{column}}} is not in [survey.images] path, so that nothing says what it is"
            faults.append(Fault(name, problem, "Use the columns of that path", key="survey.images"))
        clash = sorted(known & set(made_columns()))
        faults += [
            Fault(
                name,
                f"{{{column}}} is the name of a column that is made",
                "Give it another",
                key="survey.images.path",
            )
            for column in clash
        ]
    if faults:
        raise Refused(faults)


def _look_at_shapes(config: Config, tiles: list[dict[str, str | int]], folder: str) -> bool:
    """Refuse bands of a tile on other pixels and tiles that are too large; returns whether all tiles have a WCS."""
    layout = config.survey.images

    def looked_at(tile: dict[str, str | int]) -> tuple[list[Fault], bool]:
        headers = [
            images.open_image(path_of(str(layout.path), tile, band, folder), layout.hdu)
            for band in layout.bands
        ]
        first, faults = headers[0], []
        for other in headers[1:]:
            if other.shape != first.shape:
                ours, theirs = (f"{h.shape[1]} x {h.shape[0]} pixels" for h in (first, other))
                faults.append(
                    Fault(
                        other.url,
                        f"has {theirs}, but {first.url} has {ours}",
                        "Bring all bands of a tile on the same pixels",
                    )
                )
        needed = first.shape[0] * first.shape[1] * _pixel_bytes(config) / 2**30
        if needed > config.detect.memory_gib:
            problem = (
                f"its {first.shape[1]} x {first.shape[0]} pixels need about {needed:.1f} GiB to find sources in, "
                f"more than [detect] memory_gib = {config.detect.memory_gib:g}"
            )
            faults.append(
                Fault(
                    first.url,
                    problem,
                    "Raise memory_gib, or cut the image into tiles that overlap (sources in overlaps are written once)",
                )
            )
        return faults, _has_wcs(first)

    found = storage.parallel(looked_at, tiles)
    faults = [fault for some, _ in found for fault in some]
    if faults:
        raise Refused(faults)
    return all(sky for _, sky in found)


def _has_wcs(image: ImageHeader) -> bool:
    try:
        return image.wcs is not None
    except NotAnImage:
        return False


def _pixel_bytes(config: Config) -> int:
    """Bytes a pixel that a tile takes at most."""
    band = 5 + (4 if config.survey.images.weight is not None else 0)
    several = len(config.detect.bands or config.survey.images.bands) > 1
    return 13 + (2 * band + 16 if several else band)


def _settings(detect: Detect) -> Settings:
    return Settings(
        detect.threshold,
        detect.min_area,
        detect.mesh,
        detect.mesh_filter,
        kernel_of(detect.kernel),
        detect.deblend_levels,
        detect.deblend_contrast,
        detect.clean or None,
    )


def _record(job: Job, config: Config, versions: Mapping[str, str]) -> dict[str, Any]:
    """What `detect.json` keeps; the fingerprint covers all that the sources depend on."""
    spread = {"workers", "memory_gib"}
    wanted = {
        "version": FOUND_VERSION,
        "sep": version("sep"),
        "tiles": [dict(tile) for tile in job.tiles],
        "images": config.survey.images.model_dump(
            mode="json", include={"path", "hdu", "bands", "saturation", "background", "mask", "weight"}
        ),
        "detect": config.detect.model_dump(mode="json", exclude=spread),
        "measure": {"band": job.measured, "gain": job.gain, "zeropoint": job.zeropoint},
        "files": dict(versions),
    }
    text = json.dumps(wanted, sort_keys=True)
    return {
        "fingerprint": hashlib.sha256(text.encode()).hexdigest(),
        "wanted": wanted,
        "settings": asdict(job.settings),
    }
