"""A file of stamps, or of planes beside them: one an HDU, read whole, by number or by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalogs import bounds, headers, images, pixels, storage
from catalogs.errors import CorruptFile
from catalogs.planes import check_shape

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import ExitStack

    from catalogs._types import Array
    from catalogs.image_header import ImageHeader

__all__ = ["StampFile"]


class StampFile:
    """The HDUs of one file that some stamps are in.

    Parameters
    ----------
    url : str
    hdus : iterable of int or str
        Numbers or EXTNAMEs of those that will be read.
    stack : ExitStack
        Closes the file.

    Raises
    ------
    CorruptFile
        If one of them is not there, or is no image that can be a stamp.
    """

    def __init__(self, url: str, hdus: Iterable[int | str], stack: ExitStack) -> None:
        self._url = url
        # headers before pixels: the plan has not looked at the files of a large release
        self._images = _images_of(url, set(hdus))
        compression = next((image.compression for image in self._images.values()), None)
        self._file = stack.enter_context(pixels.opened(url, compression))

    def header(self, hdu: int | str) -> ImageHeader:
        """The header of one of the HDUs."""
        return self._images[hdu]

    def read(self, hdu: int | str) -> Array:
        """Physical numbers (y, x) of one of the HDUs; of a compressed file it takes least to read them in the file's order.

        Raises
        ------
        CorruptFile
            If they cannot be read.
        """
        image = self._images[hdu]
        try:
            return self._file.rows(image).strip(0, image.shape[0])
        except headers.MALFORMED as error:
            told = headers.first_line(error)
            raise CorruptFile(
                f"{self._url}: pixels cannot be read ({told}). Fetch the file again."
            ) from error

    def read_on(self, name: str, hdu: int | str, image: ImageHeader) -> Array:
        """The same for the plane of an image.

        Raises
        ------
        NotAnImage
            If it has another shape.
        """
        check_shape(name, self._images[hdu], image)
        return self.read(hdu)


def _images_of(url: str, wanted: set[int | str]) -> dict[int | str, ImageHeader]:
    found: dict[int | str, ImageHeader] = {}
    try:
        with storage.glancing(url) as (stream, compression):
            for number, header, offset in headers.walk(stream):
                names: set[int | str] = {number, str(header.get("EXTNAME", "")).strip()}
                for hdu in names & (wanted - found.keys()):
                    bounds.check_stamp(number, header)
                    found[hdu] = images.image_in(url, number, header, offset, compression)
                if len(found) == len(wanted):
                    break
    except headers.MALFORMED as error:
        remedy = getattr(error, "remedy", "Fetch the file again")
        raise CorruptFile(
            f"{url}: cannot be read as FITS ({headers.first_line(error)}). {remedy}."
        ) from error
    if missing := wanted - found.keys():
        problem = f"has no HDU {min(missing, key=str)}"
        raise CorruptFile(f"{url}: {problem}. Correct the catalog, or fetch the file again.")
    return found
