"""What the header of one image says: its shape, where its pixels begin, and its celestial WCS."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from catalogs.celestial import BadWCS, celestial

if TYPE_CHECKING:
    from astropy.io import fits
    from astropy.wcs import WCS


class NotAnImage(ValueError):
    """The file is no FITS file, or holds no two-dimensional image where one is expected."""

    def __init__(
        self, problem: str, remedy: str = "Fetch the file again, or check [survey.images] path and hdu"
    ) -> None:
        super().__init__(problem)
        self.remedy = remedy


@dataclass(frozen=True)
class ImageHeader:
    """What the header of one tile says."""

    url: str
    hdu: int
    header: fits.Header
    offset: int
    """Byte (of the decompressed file) at which the image's data begin."""
    compressed: bool
    """Whether the image is tile-compressed."""
    compression: str | None = None
    """What the file as a whole is compressed with."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns (y, x) of the image."""
        prefix = "ZNAXIS" if self.compressed else "NAXIS"
        return int(self.header[f"{prefix}2"]), int(self.header[f"{prefix}1"])

    @property
    def wcs(self) -> WCS | None:
        """The celestial WCS, or None when the header has none.

        Raises
        ------
        NotAnImage
            If there is one, but it makes no sense.
        """
        return self._celestial[0]

    @property
    def wcs_notes(self) -> tuple[str, ...]:
        """What in the header contradicts the WCS, and how it was taken; raises as `wcs` does."""
        return self._celestial[1]

    @cached_property
    def _celestial(self) -> tuple[WCS | None, tuple[str, ...]]:
        try:
            return celestial(self.header, self.shape)
        except BadWCS as error:
            raise NotAnImage(str(error)) from error

    @property
    def pixel_scale(self) -> float | None:
        """Side of a pixel in arcsec, from the WCS (the root of a pixel's area)."""
        wcs = self.wcs
        return None if wcs is None else float(np.sqrt(np.abs(np.linalg.det(wcs.pixel_scale_matrix)))) * 3600.0
