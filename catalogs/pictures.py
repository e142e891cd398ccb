"""JPEG, PNG and TIFF pictures as arrays: the pixels that the file means, or a refusal that says what the file is."""

from __future__ import annotations

import json
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError

from catalogs.headers import first_line
from catalogs.picture_kinds import FETCH, HEAD, kind, picture_format

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from catalogs._types import Array

FORMATS = ("JPEG", "PNG", "TIFF")
"""Pillow reads many more, some of them wrongly: of FITS it forgets BZERO, BSCALE and all planes but one."""
GREY = {"1", "L", "LA", "La"}
DEEP = {"F", "I", "I;16", "I;16B", "I;16L"}
"""Pillow's modes of more than 8 bits, all grey."""
COLOUR = {"P", "PA", "RGB", "RGBA"}
WITH_ALPHA = {"LA", "La", "PA", "RGBA"}
FLATTEN = "Flatten it onto its sky, or drop its row"
SPLIT = "Save each of them as a file of its own; bands belong into FITS: docs/quickstart.md"
PLAIN = "Save it as 8-bit or 16-bit grey, 32-bit floats, or 8-bit RGB"
END = b"\xff\xd9"
"""The marker that ends a JPEG."""
SCAN = b"\xff\xda"
"""The marker after which its pixels come."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by its EXIF orientation."""
BITS, SAMPLES, SIGN, PHOTOMETRIC, EXTRA, ABOUT, DEPTH = 258, 277, 339, 262, 338, 270, 32997
"""Tags of TIFF."""
UNSIGNED, SIGNED, FLOATS, WHITE_IS_ZERO = 1, 2, 3, 0


class Unfit(ValueError):
    """A file that is no picture, or one that can't be a stamp; `remedy` says what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy


@dataclass(frozen=True)
class Look:
    """What a picture's header says."""

    bands: int
    """1 or 3."""
    width: int
    height: int
    deep: bool
    """More than 8 bits."""
    several: bool
    """An MPO: a JPEG with more pictures behind it, mostly previews. The first one is taken, as all JPEG readers do."""


def look(file: Path) -> Look:
    """A picture's header.

    Raises
    ------
    Unfit
        If the file is no JPEG, PNG or TIFF, or holds what would be lost or changed in a stamp of one or three bands.
    """
    with _opened(file) as (image, _):
        return Look(_bands(image), *image.size, image.mode in DEEP, image.format == "MPO")


def pixels(file: Path) -> Array:
    """A picture's pixels, upright, its first row on top.

    Returns
    -------
    (y, x) or (y, x, 3) array
        uint8; float32 of pictures of more than 8 bits.

    Raises
    ------
    Unfit
        As `look`; also if the pixels are damaged, or not all of them opaque.
    """
    with _opened(file) as (image, stream):
        bands = _bands(image)
        if image.format == "PNG":
            # Decoding checks no checksums: without this, damaged pixels could pass.
            with Image.open(stream, formats=FORMATS) as copy:
                copy.verify()
            stream.seek(0)
        wide = _unsigned_32(image)
        image.load()
        if image.format in {"JPEG", "MPO"}:
            _check_end(stream)
        _check_opaque(image)
        upright = image if image.format == "TIFF" else _upright(image)  # Pillow turns TIFFs itself
        if upright.mode in DEEP:
            values = np.asarray(upright)
            return (values.view(np.uint32) if wide else values).astype(np.float32)
        grey = upright.getchannel(0) if upright.mode == "La" else upright
        return np.asarray(grey.convert("L") if bands == 1 else upright.convert("RGB"))


@contextmanager
def _opened(file: Path) -> Iterator[tuple[Image.Image, IO[bytes]]]:
    """The picture and its file; whatever is raised about it becomes `Unfit`."""
    try:
        with file.open("rb") as stream, warnings.catch_warnings():
            # Of odd metadata, and of sizes that are large but allowed: pixels don't rest on them.
            warnings.simplefilter("ignore")
            head = stream.read(HEAD)
            stream.seek(0)
            if picture_format(head) is None:
                raise Unfit(*kind(head))
            with Image.open(stream, formats=FORMATS) as image:
                yield image, stream
    except Unfit:
        raise
    except FileNotFoundError as error:
        raise Unfit("this image is missing", "Fetch it, or drop its row") from error
    except IsADirectoryError as error:
        raise Unfit("is a folder", "Name the picture in it, or drop the row") from error
    except Image.DecompressionBombError as error:
        problem = f"is too large to be a stamp ({first_line(error).split(',')[0]})"
        raise Unfit(problem, "Cut the galaxies out of it, or drop its row") from error
    except UnidentifiedImageError as error:
        raise Unfit(_why_unidentified(file, head), f"{PLAIN}, or fetch it again") from error
    except MemoryError as error:
        raise Unfit("takes more memory than there is", "Crop it, or drop its row") from error
    except Exception as error:  # decoders raise what they happen to over bytes that make no sense
        raise Unfit(f"is damaged, or no picture that can be read ({first_line(error)})", FETCH) from error


def _why_unidentified(file: Path, head: bytes) -> str:
    """Pillow only reports that no decoder knows the file: try the decoder of its format for a better message."""
    name = str(picture_format(head))
    told = ""
    try:
        with file.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            told = _numbers(stream) if name == "TIFF" else ""
            stream.seek(0)
            Image.OPEN[name][0](stream, "")
    except Exception as error:  # noqa: BLE001 - its message is what we want
        return f"is a {name}{told} that cannot be read ({first_line(error)})"
    return f"is a {name} that cannot be read"


def _numbers(stream: IO[bytes]) -> str:
    """What a TIFF's pixels are, of a kind that Pillow does not know."""
    tags = TiffImagePlugin.ImageFileDirectory_v2(stream.read(8))
    stream.seek(tags.next)
    tags.load(stream)
    kinds = {UNSIGNED: "unsigned integers", SIGNED: "integers", FLOATS: "floats"}
    kind_ = kinds.get(_first(tags.get(SIGN, UNSIGNED)), "numbers")
    return f" of {_first(tags.get(BITS, 1))}-bit {kind_} in {tags.get(SAMPLES, 1)} bands"


def _bands(image: Image.Image) -> int:
    """1 or 3, of a picture of which nothing would be lost."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        what = "pages" if image.format == "TIFF" else "frames"
        raise Unfit(f"is a {image.format} of {frames} {what}", SPLIT)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_tiff(image)
    if image.mode not in DEEP and ";16" in str(getattr(image, "tile", "")):
        raise Unfit("has 16-bit colours, which Pillow would cut to 8 bits", f"{PLAIN}, or FITS")
    if image.mode in GREY | DEEP:
        return 1
    if image.mode in COLOUR:
        return 3
    raise Unfit(
        f"has colours of the kind {image.mode}, which are no light", "Save it as RGB, or drop its row"
    )


def _check_tiff(image: TiffImagePlugin.TiffImageFile) -> None:
    """Refuse TIFFs of which Pillow would drop a plane, or take a number for another."""
    tags = image.tag_v2
    extra = tags.get(EXTRA, ())
    extra = extra if isinstance(extra, tuple) else (extra,)
    # 1 and 2 are alpha; all else, after the colours, is a plane that would be left out
    if len(extra) > 1 or (extra and extra[0] not in {1, 2}):
        raise Unfit(f"is a TIFF of {tags.get(SAMPLES)} planes", SPLIT)
    bits, sign = _first(tags.get(BITS, 1)), _first(tags.get(SIGN, UNSIGNED))
    if sign == SIGNED and bits <= 8:
        raise Unfit(f"is a TIFF of signed numbers of {bits} bits, which Pillow takes for unsigned", PLAIN)
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO and image.mode in DEEP:
        raise Unfit(f"is a TIFF of {bits} bits that counts from white to black", PLAIN)
    planes = max(int(tags.get(DEPTH, 1)), _stacked(str(tags.get(ABOUT, ""))))
    if planes > 1:
        raise Unfit(f"is a TIFF of {planes} planes", SPLIT)


def _stacked(about: str) -> int:
    """Number of planes that ImageJ and tifffile store behind a single page, from their own description."""
    if about.startswith("ImageJ="):
        told = dict(line.split("=", 1) for line in about.splitlines() if "=" in line)
        return int(told.get("images", 1))
    if about.startswith("{") and '"truncated"' in about:
        shape = json.loads(about).get("shape", [])
        return int(np.prod(shape[:-2])) if len(shape) > 2 and shape[-1] not in {1, 3, 4} else 1
    return 1


def _first(value: int | tuple[int, ...]) -> int:
    return int(value[0] if isinstance(value, tuple) else value)


def _unsigned_32(image: Image.Image) -> bool:
    """Pillow holds 32-bit integers as signed ones, also those that are not."""
    if image.mode != "I" or not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    return _first(image.tag_v2.get(BITS, 1)) == 32 and _first(image.tag_v2.get(SIGN, UNSIGNED)) == UNSIGNED


def _check_opaque(image: Image.Image) -> None:
    """Transparent pixels have arbitrary colours, and without the alpha channel they look like light."""
    if image.mode in WITH_ALPHA:
        clear = np.asarray(image.getchannel(len(image.getbands()) - 1)) < 255
    elif "transparency" not in image.info:
        return
    elif image.mode in DEEP:
        clear = np.asarray(image) == image.info["transparency"]
    else:
        clear = np.asarray(image.convert("RGBA").getchannel("A")) < 255
    if clear.any():
        raise Unfit(f"has {np.count_nonzero(clear)} transparent pixels", FLATTEN)


def _check_end(stream: IO[bytes]) -> None:
    """A JPEG that lost its end, and was filled up with anything, may decode without an error."""
    stream.seek(0)
    data = stream.read()
    if data.find(END, _scan(data)) < 0:
        raise Unfit("is damaged: the end of the JPEG is missing", FETCH)


def _scan(data: bytes) -> int:
    """Where a JPEG's pixels begin: behind its segments, of which a thumbnail's own pixels are a part."""
    place = 2
    while data[place : place + 2] != SCAN:
        filling = data[place + 1] == data[place]
        place += 1 if filling else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return place


def _upright(image: Image.Image) -> Image.Image:
    turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if turn is None else image.transpose(turn)
