"""What the work on one tile needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalogs import storage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catalogs.survey import Images
    from kernels.detection import Settings
    from pipeline.config.detect import Detect

__all__ = ["Job"]


@dataclass(frozen=True)
class Job:
    """Everything that the work on one tile needs to know; small enough to travel with every task."""

    layout: Images
    folder: str
    out: str
    tiles: tuple[Mapping[str, str | int], ...]
    """Values of the path template's columns, in order."""
    settings: Settings
    detect: Detect
    bands: tuple[str, ...]
    """That sources are found in."""
    measured: str
    """Band whose fluxes are measured."""
    gain: float | None
    zeropoint: float
    sky: bool
    """Whether all tiles have a WCS."""
    scale: float | None
    """Arcsec a pixel."""
    fingerprint: str = ""

    def name(self, tile: int) -> str:
        """Of a tile's files."""
        text = "_".join(str(value) for value in self.tiles[tile].values()) or "tile"
        safe = "".join(c if c.isalnum() or c in "-_.+" else "_" for c in text)
        return f"{tile:05d}-{safe}"

    def part(self, tile: int) -> str:
        """Where all sources of a tile are kept, before those of overlaps are resolved."""
        return storage.join(self.out, "parts", f"{self.name(tile)}.parquet")

    def shard(self, tile: int, kind: str) -> str:
        """Where a tile's part of the catalog lies."""
        return storage.join(self.out, "catalogs", f"{self.name(tile)}.{kind}")
