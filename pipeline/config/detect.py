"""The `[detect]` part of a config: how `tuningfork detect` finds sources on images that have no catalog."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from catalogs.survey import Section

Positive = Annotated[float, Field(gt=0)]


class Detect(Section):
    """Sources for images without a catalog: `tuningfork detect`, see [detecting](detect.md). The defaults are SExtractor's; its names are in brackets."""

    bands: list[str] = []
    """Bands that sources are found in: one, or the sum of several, each weighted by its inverse variance; `[]`: all of the survey's. Fluxes are those of `[measure] band`."""
    threshold: Positive = 1.5
    """Sigmas above the background from which a pixel belongs to a source (DETECT_THRESH)."""
    min_area: Annotated[int, Field(ge=1, le=1_000_000)] = 5
    """Connected pixels above the threshold that a source has at least (DETECT_MINAREA)."""
    kernel: Literal["default", "none"] | Annotated[float, Field(ge=0.5, le=20)] = "default"
    """What the image is convolved with before: `default`, SExtractor's 3 x 3 pyramid; a number, a Gaussian of that FWHM in pixels; `none` (FILTER_NAME)."""
    deblend_levels: Annotated[int, Field(ge=1, le=1024)] = 32
    """Thresholds between a source's peak and `threshold`, at which it may come apart (DEBLEND_NTHRESH)."""
    deblend_contrast: Annotated[float, Field(ge=0, le=1)] = 0.005
    """Share of a blend's light from which a part is a source of its own; 1 does not deblend (DEBLEND_MINCONT)."""
    mesh: Annotated[int, Field(ge=8, le=4096)] = 64
    """Side in pixels of the cells that the background is estimated in (BACK_SIZE)."""
    mesh_filter: Annotated[int, Field(ge=1, le=31)] = 3
    """Cells a side of the median filter over them (BACK_FILTERSIZE)."""
    clean: Annotated[float, Field(ge=0, le=10)] = 1.0
    """How readily faint sources in the wings of bright ones are taken for those wings: small numbers more readily; 0 keeps them all (CLEAN_PARAM)."""
    star_radius: Positive | Literal["auto"] = "auto"
    """Half-light radius of stars in pixels; `auto`: each tile's own, where the radii of its bright round sources lie closest together."""
    star_tolerance: Annotated[float, Field(ge=0, le=10)] = 0.15
    """How much larger than that, as a fraction, a source marked as a star may be; it is also round (b/a above 0.75)."""
    star_snr: Annotated[float, Field(ge=0)] = 10.0
    """S/N below which no source is marked as a star."""
    match: Positive = 1.0
    """Arcsec within which sources of two overlapping tiles are one."""
    workers: Annotated[int, Field(ge=0, le=4096)] = 0
    """Processes, each with one tile at a time in memory; 0: one a core. On Ray as many as there are CPUs."""
    memory_gib: Positive = 8.0
    """Memory that a tile may take at most, in GiB; 18 to 47 bytes a pixel are reckoned with. Larger tiles are refused."""

    @field_validator("bands")
    @classmethod
    def _distinct(cls, bands: list[str]) -> list[str]:
        if len(set(bands)) < len(bands):
            msg = "a band is named twice"
            raise ValueError(msg)
        return bands
