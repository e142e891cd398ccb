"""An image of an object that is in no catalog, treated as a run treats its stamps, and encoded by the run's own encoder."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from astropy.io import fits
from PIL import Image

from actors.embeddings import embeddings_of
from actors.factory import EncodeAndMeasure
from catalogs import bounds, headers, storage
from catalogs.cleaning import centre, clean
from catalogs.compression import compression_of
from catalogs.errors import BadRequest
from catalogs.flags import UNUSABLE, Flag
from catalogs.framing import galaxy_frame
from catalogs.headers import first_line
from catalogs.picture_kinds import HEAD, picture_format
from catalogs.pictures import Unfit, pixels
from kernels.resample import resample
from pipeline.config.file import Config
from pipeline.plan.encoding import encoder_options, look_at_encoder, segmenter_options

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from catalogs.survey import Images

__all__ = ["FITS", "Example", "example_of"]

FITS = ("pad", "resize", "galaxy")
"""What becomes of pictures of another size, as in `tuningfork pack`."""


@dataclass(frozen=True, eq=False)
class Example:
    """One image."""

    stamp: NDArray[np.float32]
    """(band, y, x), as the encoder is given it."""
    code: NDArray[np.float16]
    """(d,)"""


def example_of(path: str, record: dict[str, Any], *, fit: str = "pad") -> Example:
    """Encode an image as a run did its stamps.

    Parameters
    ----------
    path : str
        FITS with an image for each band of the run (by EXTNAME where those are the bands' names, else in their order), or a cube of them; JPEG, PNG or TIFF.
    record : dict
        The run's `run.json`.
    fit : {"pad", "resize", "galaxy"}
        What becomes of pictures of another size than the run's stamps.

    Raises
    ------
    BadRequest
        If it is no image of the run's bands, holds nothing that can be encoded, or the run's encoder is not to be had any more.
    """
    config = Config.model_validate(record["config"])
    layout = config.survey.images
    try:
        with Path(path).open("rb") as stream:
            head = stream.read(HEAD)
        if compression_of(head) is not None:
            raise BadRequest(f"{path}: is compressed as a whole. Unpack it")
        is_picture = picture_format(head) is not None
        planes = _picture(path, fit, layout) if is_picture else _fits(path, layout)
    except Unfit as error:
        raise BadRequest(f"{path}: {error}. {error.remedy}") from error
    except OSError as error:
        raise BadRequest(
            f"{path}: cannot be read ({error.strerror or first_line(error)}). Give a FITS, JPEG, PNG or TIFF file"
        ) from error
    stamp, flags = _stamp(planes, layout)
    if flags & UNUSABLE:
        named = ", ".join(str(flag.name).lower() for flag in Flag if flags & flag & UNUSABLE)
        raise BadRequest(f"{path}: nothing of it can be encoded ({named}). Give another image")
    return Example(stamp, _encoded(path, stamp, config, record))


def _picture(path: str, fit: str, layout: Images) -> NDArray[np.float32]:
    """Planes (band, y, x) of a picture, y upwards, as `catalogs.pack` makes them."""
    values = pixels(Path(path))
    _check_bands(path, 1 if values.ndim == 2 else values.shape[2], layout)
    side, (height, width) = layout.size, values.shape[:2]
    if fit == "galaxy" or (fit == "resize" and (height, width) != (side, side)):
        box = galaxy_frame(values) if fit == "galaxy" else (0, 0, width, height)
        values = np.asarray(Image.fromarray(values).resize((side, side), Image.Resampling.LANCZOS, box=box))
    planes = values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    return planes[:, ::-1].astype(np.float32)


def _fits(path: str, layout: Images) -> NDArray[np.float32]:
    """Planes (band, y, x) of a FITS file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(path, memmap=False) as hdus:
                planes = _planes(path, hdus, layout)
    except headers.MALFORMED as error:
        if isinstance(error, BadRequest):
            raise
        raise BadRequest(
            f"{path}: cannot be read as FITS, JPEG, PNG or TIFF ({first_line(error)})"
        ) from error
    if len({plane.shape for plane in planes}) > 1:
        shapes = ", ".join(f"{plane.shape[1]} x {plane.shape[0]}" for plane in planes)
        raise BadRequest(f"{path}: its images differ in size ({shapes}). Give each band the same pixels")
    return np.stack(planes).astype(np.float32)


def _planes(path: str, hdus: fits.HDUList, layout: Images) -> list[NDArray[Any]]:
    images = []
    for number, hdu in enumerate(hdus):
        if hdu.is_image and hdu.header["NAXIS"] in (2, 3):
            bounds.check_stamp(number, hdu.header)
            images.append(hdu)
    if not images:
        raise BadRequest(
            f"{path}: holds no image. Give one with an image for each band: {', '.join(layout.bands)}"
        )
    named = {hdu.name.lower(): hdu for hdu in images}
    if all(band.lower() in named for band in layout.bands):
        images = [named[band.lower()] for band in layout.bands]
    if len(images) == 1 and images[0].header["NAXIS"] == 3:
        _check_bands(path, int(images[0].header["NAXIS3"]), layout)
        return list(images[0].data)
    images = [hdu for hdu in images if hdu.header["NAXIS"] == 2]
    _check_bands(path, len(images), layout)
    return [hdu.data for hdu in images]


def _check_bands(path: str, found: int, layout: Images) -> None:
    if found != len(layout.bands):
        there = f"{found} band{'s' if found != 1 else ''}"
        raise BadRequest(
            f"{path}: has {there}, and the run's stamps have {len(layout.bands)} ({', '.join(layout.bands)}). Give an image of those"
        )


def _stamp(planes: NDArray[np.float32], layout: Images) -> tuple[NDArray[np.float32], int]:
    """The stamp (band, y, x) of planes, and its flags: cleaned as the run's stamps are; where those have extents, the image's shorter side is the object's."""
    flags, planes = 0, planes.copy()
    for plane in planes:
        flags |= int(clean(plane[None], layout)[0])
    side = min(planes.shape[1:])
    extents = layout.extent is not None and side > layout.size
    stamps = np.zeros((1, len(planes), *[side if extents else layout.size] * 2), np.float32)
    for band, plane in enumerate(planes):
        centre(plane[None], stamps[:, band])
    return (resample(stamps, np.array([float(side)]), layout.size) if extents else stamps)[0], flags


def _encoded(
    path: str, stamp: NDArray[np.float32], config: Config, record: dict[str, Any]
) -> NDArray[np.float16]:
    source = record["source"]
    folder = (
        str(storage.local_path(source).resolve().parent)
        if storage.is_local(source)
        else source.rsplit("/", 1)[0]
    )
    if config.modalities.given:
        raise BadRequest(f"{path}: the run's encoder is told more of objects than their stamps. Give --id")
    options = {**encoder_options(config, folder), "device": "cpu", "batch_size": 1}
    _, weights, faults = look_at_encoder(config, source, options)
    if faults:
        raise BadRequest(str(faults[0]))
    if weights != record["seen"]["weights"]:
        raise BadRequest(
            f"{options['checkpoint']}: is not the encoder that the run was made with. Put that back to encode {path}"
        )
    segmenter = segmenter_options(config)
    work = EncodeAndMeasure(options, None, None if segmenter is None else {**segmenter, "photons": False})
    lists = pa.FixedSizeListArray.from_arrays(pa.array(stamp.reshape(-1)), stamp.size)
    table = pa.table(
        {"object_id": [Path(path).name], "flags": pa.array([0], pa.int32()), "usable": [True], "stamp": lists}
    )
    return embeddings_of(work(table)["embedding"])[0][0]
