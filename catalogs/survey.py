"""The `[survey]` part of a config: what a release is, where it lies and what its columns are called."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from catalogs import path_template, tile_columns


class Section(BaseModel):
    """A table of the TOML file: unknown keys are errors, a value is of its type, and never changes after loading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def _as_template(path: str) -> str:
    path_template.placeholders(path)
    return path


def _as_id(id_: str) -> str:
    if "{" in id_ and (not path_template.columns_of(id_) or path_template.names_band(id_)):
        raise ValueError(f"{id_!r} is made of no column: write one, or such as {{brickid}}-{{objid}}")
    return id_


Template = Annotated[str, AfterValidator(_as_template)]
"""Path template; refused where it is none."""


class Plane(Section):
    """A plane of numbers beside the images, one for each of their pixels."""

    path: Template | None = None
    """`tiles` and `extensions`: path template like that of the images; by default the plane is in the image's own file."""
    hdu: int | str | None = None
    """HDU number or EXTNAME; by default the file's first image (`extensions`: the HDU number of the stamp), so it is needed where `path` is left out."""
    hdu_column: str | None = None
    """`extensions`: the column with the HDU number of each stamp's plane."""
    column: str | None = None
    """`column`: the vector column that holds the planes, in the shape of the stamps; `struct`: the field of the records, such as `"ivar"`."""

    def misfit(self, layout: str) -> str | None:
        """What is wrong with the place for a layout of the images; None where nothing is."""
        places = {
            "tiles": ["path", "hdu"],
            "column": ["column"],
            "struct": ["column"],
            "extensions": ["path", "hdu", "hdu_column"],
        }[layout]
        given = [key for key in ("path", "hdu", "hdu_column", "column") if getattr(self, key) is not None]
        for key in given:
            if key not in places:
                return f'{key} is not for layout = "{layout}": give {" or ".join(places)}'
        if not given:
            return f"says neither {' nor '.join(places)}" if len(places) > 1 else f"needs {places[0]}"
        if self.hdu is not None and self.hdu_column is not None:
            return "has hdu and hdu_column: give one of them"
        return None


class Mask(Plane):
    """Which pixels are bad: integers, for each pixel of an image. Bad pixels become zero, are flagged, and are neither measured nor taken for light."""

    bits: list[Annotated[int, Field(ge=0, le=62)] | Annotated[str, Field(min_length=1, max_length=64)]] = []
    """Bits that mark a bad pixel: numbers from 0, or names that the mask's header has, as `MP_NAME` or `NAME` (numbers of bits) or as `MSKNAM00` (with the bits in `MSKVAL00`); `[]`: all of them."""
    good: bool = False
    """Whether they mark good pixels, as masks of the Multimodal Universe do."""


class Weight(Plane):
    """The noise of each pixel: numbers in the images' unit, not relative ones. S/N, fits, detection and filling use it; pixels of no weight are bad, as masked ones are."""

    kind: Literal["inverse-variance", "variance", "rms"]
    """What the numbers are, sigma being the noise of a pixel: `rms` sigma, `variance` sigma², `inverse-variance` 1 / sigma². Zero, negative, infinite or NaN: a bad pixel."""
    photons: bool = False
    """Whether the objects' own photon noise is in it, as in ERR and VARIANCE planes; else it is the sky's alone, to which `[measure] gain` adds theirs."""


class Segmentation(Plane):
    """`tiles`: the survey's own segmentation map, integers on the pixels of the tiles: an object's own pixels have its label, other objects' another one, and those of nobody zero.
    It takes the place of the segmentation that is otherwise made of each stamp.
    """

    id: str
    """Catalog column with the objects' labels in the map, integers."""


class Images(Section):
    """Where the stamps come from."""

    layout: Literal["tiles", "column", "extensions", "struct"]
    """`tiles`: survey mosaics; `column`: a vector column of the catalog; `extensions`: one HDU a stamp; `struct`: records of a Parquet column, as the Multimodal Universe and LSDB have them."""
    path: Template | None = None
    """`tiles` and `extensions`: path template; `{band}` is the band, `{NAME}` the catalog's column NAME, `{NAME:06d}` with zeros before it,
    `{NAME[:3]}` a piece of its text; a `*` stands for what no column says, such as a date, if just one file fits. `tiles`: with `*` or `**` and no columns, each object is cut from the tile that it lies on."""
    column: str | None = None
    """`column`: the vector column that holds the stamps; `struct`: the column of records, such as `"image"`."""
    field: str = "flux"
    """`struct`: the field of the records that holds the pixels; their field `band` names the bands."""
    hdu: int | str | None = None
    """`tiles`: HDU of the mosaic (default: the file's first image HDU)."""
    hdu_column: str | None = None
    """`extensions`: the column with each stamp's HDU number (0 is the primary HDU)."""
    bands: Annotated[list[str], Field(min_length=1)]
    """Names of the bands, in the order of the stamps' planes."""
    size: Annotated[int, Field(ge=8, le=1024)]
    """Side of a stamp in pixels; smaller images are padded with zeros, larger ones cropped centrally."""
    extent: str | None = None
    """SQL expression over the catalog's own columns, as `where` is one: the side on the sky that is encoded of an object, such as `"6 * FLUX_RADIUS"`. Where it is larger than `size`, the
    object's stamp is cut larger and brought to `size` pixels before it is encoded; where it is smaller, or unknown, the stamp is as without it."""
    extent_unit: Literal["pix", "arcsec"] = "pix"
    """Unit of `extent`."""
    extent_limit: Annotated[int, Field(ge=8, le=1024)] | None = None
    """Largest extent, in pixels; larger ones are clipped to it. By default four times `size`, at most 1024."""
    extent_window: Annotated[float, Field(ge=1, le=8)] = 1.0
    """Objects are measured in windows, of native pixels, that are at least so many times as large as `extent`: more of the sky around, and slower."""
    position: Literal["sky", "pixel"] = "sky"
    """`tiles`: cut around ra/dec through the tile's WCS, or around the pixel columns `x` and `y`."""
    x: str = "X_IMAGE"
    """`position = "pixel"`: column of the x coordinate, FITS convention (first pixel's centre is 1)."""
    y: str = "Y_IMAGE"
    """`position = "pixel"`: column of the y coordinate, FITS convention."""
    pixel_scale: Annotated[float, Field(gt=0)] | Literal["wcs", "unknown"] | None = None
    """Arcsec a pixel; `wcs` reads it from the tiles; `unknown` says that there is none (and so no sizes)."""
    saturation: float | None = None
    """Pixel value at and above which an object is flagged `saturated`."""
    background: Literal["border", "none"] = "border"
    """`border` subtracts each stamp's own sky, the median of its outer frame; `none`: already subtracted."""
    mask: Mask | None = None
    """Which pixels are bad; the table `[survey.images.mask]`."""
    weight: Weight | None = None
    """The noise of each pixel; the table `[survey.images.weight]`."""
    segmentation: Segmentation | None = None
    """`tiles`: whose the pixels are; the table `[survey.images.segmentation]`."""

    @field_validator("bands")
    @classmethod
    def _distinct(cls, bands: list[str]) -> list[str]:
        if len(set(bands)) < len(bands):
            msg = "a band is named twice"
            raise ValueError(msg)
        return bands

    @model_validator(mode="after")
    def _layout_has_what_it_needs(self) -> Images:
        needs = {
            "tiles": ["path"],
            "column": ["column"],
            "struct": ["column"],
            "extensions": ["path", "hdu_column"],
        }[self.layout]
        for key in needs:
            if getattr(self, key) is None:
                raise ValueError(f'layout = "{self.layout}" needs {key} = "…"')
        self._planes_have_what_they_need()
        if (problem := tile_columns.misfit(self.templates, self.layout, self.position)) is not None:
            raise ValueError(problem)
        names_band = self.path is not None and path_template.names_band(self.path)
        self._extent_has_what_it_needs()
        if self.layout == "tiles" and len(self.bands) > 1 and not names_band:
            raise ValueError(f"path = {self.path!r} has no {{band}}, but there are {len(self.bands)} bands")
        if self.layout == "extensions" and len(self.bands) > 1 and not names_band:
            msg = 'layout = "extensions" with several bands needs {band} in path'
            raise ValueError(msg)
        if self.pixel_scale is None and not self.scale_in_wcs:
            wcs = ', or "wcs" to read it from the tiles' if self.layout == "tiles" else ""
            msg = f'pixel_scale is missing: give it in arcsec a pixel{wcs}, or "unknown" if the images have none'
            raise ValueError(msg)
        if self.pixel_scale == "wcs" and self.layout != "tiles":
            msg = 'pixel_scale = "wcs" is for layout = "tiles": give arcsec a pixel or "unknown"'
            raise ValueError(msg)
        return self

    def _extent_has_what_it_needs(self) -> None:
        other = {
            "extent_unit": self.extent_unit != "pix",
            "extent_limit": self.extent_limit is not None,
            "extent_window": self.extent_window != 1,
        }
        if self.extent is None and any(other.values()):
            key = next(key for key, given in other.items() if given)
            raise ValueError(f'{key} is for extent: give extent = "6 * FLUX_RADIUS" too, or leave it out')
        if self.extent_limit is not None and self.extent_limit < self.size:
            raise ValueError(
                f"extent_limit = {self.extent_limit} is less than size = {self.size}: set at least that"
            )
        if self.extent is not None and self.extent_unit == "arcsec" and self.pixel_scale == "unknown":
            msg = 'extent_unit = "arcsec" needs a pixel_scale: give it in arcsec a pixel, or extent_unit = "pix"'
            raise ValueError(msg)

    @property
    def scale_in_wcs(self) -> bool:
        """Whether the pixel scale is read from the tiles' WCS."""
        if self.layout != "tiles":
            return False
        return self.pixel_scale == "wcs" or (self.pixel_scale is None and self.position == "sky")

    def _planes_have_what_they_need(self) -> None:
        if self.segmentation is not None:
            path = self.segmentation.path
            if self.layout != "tiles":
                raise ValueError(f'segmentation is for layout = "tiles", not "{self.layout}"')
            if len(self.bands) > 1 and (path is None or path_template.names_band(path)):
                msg = "[survey.images.segmentation] one map serves all bands: give its path, without {band}"
                raise ValueError(msg)
        for name, plane in self.planes.items():
            problem = plane.misfit(self.layout)
            if problem is not None:
                raise ValueError(f"[survey.images.{name}] {problem}")
        named = [bit for bit in (self.mask.bits if self.mask is not None else []) if isinstance(bit, str)]
        if self.layout in {"column", "struct"} and named:
            raise ValueError(
                f"[survey.images.mask] bits: {named[0]!r} is a name, which a column has no header for: give numbers"
            )
        path = None if self.weight is None else self.weight.path
        if path is not None and len(self.bands) > 1 and not path_template.names_band(path):
            msg = f"[survey.images.weight] path has no {{band}}, but there are {len(self.bands)} bands, each with a noise of its own"
            raise ValueError(msg)

    @property
    def planes(self) -> dict[str, Plane]:
        """Planes beside the images, by the name of their table."""
        every = {"mask": self.mask, "weight": self.weight, "segmentation": self.segmentation}
        return {name: plane for name, plane in every.items() if plane is not None}

    @property
    def largest_extent(self) -> int:
        """Pixels a side that are encoded at most of an object."""
        if self.extent is None:
            return self.size
        return min(4 * self.size, 1024) if self.extent_limit is None else self.extent_limit

    @property
    def largest_window(self) -> int:
        """Pixels a side that are measured at most of an object."""
        return max(self.largest_extent, min(round(self.extent_window * self.largest_extent), 1024))

    @property
    def templates(self) -> dict[str, str]:
        """Path templates: `image`, and those of planes by the name of their table."""
        every = {"image": self.path, **{name: plane.path for name, plane in self.planes.items()}}
        return {name: path for name, path in every.items() if path is not None}

    @property
    def by_footprint(self) -> bool:
        """Whether `path` is a glob: then footprints say which tile an object lies on."""
        return self.layout == "tiles" and path_template.is_glob(self.path)

    @property
    def naming(self) -> list[str]:
        """Path templates by which the images of objects are told apart: of images and planes, or, where these are globs, of the columns that take their place (`catalogs.tile_columns`)."""
        if self.by_footprint:
            return [f"{{{place.column}}}" for place in tile_columns.places_of(self.templates, self.bands)]
        return list(self.templates.values())

    @property
    def path_columns(self) -> list[str]:
        """Columns that `naming` names."""
        return list(dict.fromkeys(c for template in self.naming for c in path_template.columns_of(template)))

    @property
    def hdu_columns(self) -> list[str]:
        """Catalog columns that hold HDU numbers."""
        columns = [self.hdu_column, *(plane.hdu_column for plane in self.planes.values())]
        return list(dict.fromkeys(c for c in columns if c is not None)) if self.layout == "extensions" else []


class Survey(Section):
    """A release: its catalog shards, the columns that matter and its images."""

    name: Annotated[str, Field(pattern=r"^[^\s/]+$")] = "survey"
    """Name of the release, used for the published catalog."""
    catalogs: str | list[str]
    """Catalogs: a path, glob or fsspec URL, or a list of them. FITS, Parquet, CSV, ECSV or VOTable files, folders of Parquet files, or HATS catalogs."""
    hdu: int | str | None = None
    """HDU of the table (default: the file's first table); of a VOTable its number from 0, ID or name."""
    id: Annotated[str, AfterValidator(_as_id)]
    """Column that identifies an object, integer or string, unique in the release; or several as one text, such as `"{brickid}-{objid}"`."""
    ra: str | None = None
    """Column of the right ascension in degrees; without it the catalog has no positions."""
    dec: str | None = None
    """Column of the declination in degrees."""
    position_unit: Literal["deg", "rad", "hour"] | None = None
    """Unit of ra and dec whatever the columns say: degrees, radians, or `hour`, hours of ra and degrees of dec."""
    where: str | None = None
    """SQL expression over the catalog's own columns, with case-sensitive names; rows for which it is not true are left out. NaN,
    in a column or computed, is a missing value like null: no comparison with it is true, nor is its `NOT`; `isnan(x)` and `x IS NULL` find it."""
    keep: list[str] = []
    """Columns carried to the output with units and UCDs; `"NAME as other"` renames one."""
    synthetic: bool = False
    """Run a release whose shards say that a diffusion model drew it (`SYNTH` in their headers); its objects are flagged `synthetic`."""
    identify: Literal["time", "digest"] = "time"
    """How a run knows that a file of the release is the one it began with: `time` by size and time of change (on object stores by ETag); `digest` reads every file and takes its SHA-256, so that copies elsewhere count as the same."""
    images: Images

    @field_validator("catalogs")
    @classmethod
    def _some(cls, catalogs: str | list[str]) -> str | list[str]:
        if not catalogs or not all(catalogs):
            msg = "names no file: give a path, a glob or a list of them"
            raise ValueError(msg)
        return catalogs

    @model_validator(mode="after")
    def _positions_come_in_pairs(self) -> Survey:
        if (self.ra is None) != (self.dec is None):
            msg = "ra and dec come together: give both or neither"
            raise ValueError(msg)
        if self.images.layout == "tiles" and self.images.position == "sky" and self.ra is None:
            msg = 'position = "sky" needs ra and dec; use position = "pixel" for pixel columns'
            raise ValueError(msg)
        return self

    @property
    def patterns(self) -> list[str]:
        """The catalogs' paths or globs, always as a list."""
        return [self.catalogs] if isinstance(self.catalogs, str) else list(self.catalogs)
