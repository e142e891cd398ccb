"""A release that has been looked at: its shards, its types, and how a slice becomes rows and stamps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from catalogs import computed, tile_cache, where
from catalogs.composed_ids import sources_of
from catalogs.extents import EXTENT_FIELDS, ExtentCounts, stamps_by_extent
from catalogs.flags import DESCRIPTION as FLAG_BITS
from catalogs.flags import UNUSABLE, Flag
from catalogs.identity import Watched
from catalogs.madeof import as_metadata
from catalogs.missing import nan_as_null
from catalogs.modalities import MODALITIES
from catalogs.positions import are_usable, positions_of
from catalogs.stamps import image_columns, stamps_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catalogs._types import Bools, Integers
    from catalogs.modalities import ModalitySource
    from catalogs.psf_source import PSFSource
    from catalogs.slices import Shard, Slice
    from catalogs.survey import Survey
    from catalogs.tile_index import TileIndex


@dataclass(frozen=True)
class Release:
    """A survey's release as `catalogs.inspect.inspect` found it; small enough to travel with every task."""

    survey: Survey
    folder: str
    """What relative image paths are relative to."""
    shards: tuple[Shard, ...]
    columns: pa.Schema
    """Types and metadata of the catalog columns that are used, under the catalog's own names."""
    kept: dict[str, str]
    """Output name of each kept column, and its name in the catalog."""
    pixel_scale: float | None
    """Arcsec a pixel; None when the config says that it is unknown."""
    selected: int | None
    """Objects that `where` selects; None when the release was too large to look at every row beforehand."""
    notes: tuple[str, ...] = ()
    """What is doubtful in its files, and how it was taken."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Which version of each image file (and PSF's) it is, by its name; none where the release was too large to look at every row."""
    extents: ExtentCounts | None = None
    """What its rows say of extents, where there are any and a plan has looked."""
    psf: PSFSource | None = None
    """Where PSFs come from that vary from object to object."""
    psf_values: int = 0
    """Numbers in the largest of them."""
    modalities: ModalitySource | None = None
    """Where there is what an encoder is told of an object beside its stamp."""
    tiles: TileIndex | None = None
    """Which tiles there are, where a glob names them."""
    cached_bytes: int = tile_cache.LIMIT
    """Of decoded tiles that a process keeps which reads slices, see `catalogs.tile_cache`."""

    @property
    def rows(self) -> int:
        """Rows of all shards, before `where`."""
        return sum(shard.table.rows for shard in self.shards)

    @property
    def objects_schema(self) -> pa.Schema:
        """The columns that every object has, before any stage adds its own."""
        survey = self.survey
        fields = [
            _described("object_id", self.columns.field(survey.id).type, "", "meta.id;meta.main", "identifier")
        ]
        if survey.ra is not None:
            fields += [
                _described("ra", pa.float64(), "deg", "pos.eq.ra;meta.main", "right ascension"),
                _described("dec", pa.float64(), "deg", "pos.eq.dec;meta.main", "declination"),
            ]
        fields += [
            _described("shard", pa.string(), "", "meta.file", "catalog shard the object comes from"),
            _described("row", pa.int64(), "", "meta.record", "row in that shard, from 0"),
            _described("flags", pa.int32(), "", "meta.code.qual", f"bits: {FLAG_BITS}"),
        ]
        if survey.images.extent is not None:
            fields += EXTENT_FIELDS
        fields += [self.columns.field(source).with_name(name) for name, source in self.kept.items()]
        return pa.schema(fields)

    @property
    def has_files(self) -> bool:
        """Whether slices are read from other files than the shards."""
        return self.survey.images.layout not in {"column", "struct"} or (
            self.psf is not None and self.psf.path is not None
        )

    @property
    def stamp_values(self) -> int:
        """Numbers in one stamp of `size` pixels a side."""
        return len(self.survey.images.bands) * self.survey.images.size**2

    def selected_rows(self, rows: pa.Table) -> Bools:
        """Which rows `where` selects, (n,) bool."""
        if self.survey.where is None:
            return np.ones(rows.num_rows, bool)
        return where.selected(self.survey.where, rows)

    def on_tiles(self, rows: pa.Table) -> pa.Table:
        """The rows with the files of the tile that they lie on, where the catalog does not name them."""
        return rows if self.tiles is None else self.tiles.added_to(self.survey, rows)

    def stamps(self, rows: pa.Table, watched: Watched) -> tuple[dict[str, pa.Array], Integers]:
        """Stamps of some catalog rows: the columns that tell of their extents, if they have some, `stamp`, and `stamp_noise` and `stamp_owners` where there are weight and segmentation maps; and their flags, (n,) int32.

        Raises
        ------
        CorruptFile
            If they can no longer be read.
        """
        survey, rows = self.survey, self.on_tiles(rows)
        if survey.images.extent is not None:
            return stamps_by_extent(survey, rows, self.folder, watched, self.pixel_scale)
        found = stamps_of(survey, rows, self.folder, watched)
        columns = {
            name: pa.FixedSizeListArray.from_arrays(pa.array(planes.reshape(-1)), math.prod(planes.shape[1:]))
            for name, planes in found.planes.items()
        }
        return columns, found.flags

    def _told(self, rows: pa.Table) -> tuple[dict[str, pa.Array], Bools]:
        """The column of modalities, if there are some, and which rows (n,) lack all of one."""
        if self.modalities is None:
            return {}, np.zeros(rows.num_rows, bool)
        column = self.modalities.column(rows)
        return {MODALITIES: column}, self.modalities.incomplete(column)

    def read(self, piece: Slice) -> pa.Table:
        """The objects of a slice: `objects_schema`, `usable` (bool), `stamp` (list of float32, of one length where no extent is given), `stamp_noise` (the
        same) where there are weight maps, `stamp_owners` (uint8, see `catalogs.segmentation`) where there are segmentation maps, the column of `psf` where there is one,
        and `modalities` (see `catalogs.modalities`) where the encoder is told of some.

        The noise is one standard deviation of each pixel in the images' unit, zero where a pixel is no data.

        Its metadata name the images that were read, and say which version each of them is.

        Raises
        ------
        CorruptFile
            If a file that was sound at plan time can no longer be read.
        FileChanged
            If a file is not the one any more that the plan saw, or was replaced while it was read.
        """
        tile_cache.resize(self.cached_bytes)
        survey, shard = self.survey, self.shards[piece.shard]
        watched = Watched(self.images, survey.identify, self.folder)
        rows = shard.table.read(piece.start, piece.stop, self.columns.names)
        mask = self.selected_rows(rows)
        position = np.flatnonzero(mask) + piece.start
        rows = self.on_tiles(rows.filter(pa.array(mask)))
        stamps, flags = self.stamps(rows, watched)
        psfs = None
        if self.psf is not None:

            def others(name: str) -> pa.ChunkedArray | None:
                if name not in shard.table.empty.schema.names:
                    return None
                return shard.table.read(piece.start, piece.stop, [name]).filter(pa.array(mask))[name]

            psfs = self.psf.column(survey, rows, others, self.pixel_scale, self.folder, watched)
        watched.done()
        told, incomplete = self._told(rows)
        flags[incomplete] |= Flag.MISSING_MODALITY
        if survey.synthetic:
            flags |= Flag.SYNTHETIC
        columns = [rows[survey.id].combine_chunks()]
        if survey.ra is not None:
            ra, dec = positions_of(survey, rows)
            flags[~are_usable(ra, dec)] |= Flag.BAD_POSITION
            columns += [pa.array(ra, from_pandas=True), pa.array(dec, from_pandas=True)]
        columns += [
            pa.array([shard.label] * len(position), pa.string()),
            pa.array(position.astype(np.int64)),
            pa.array(flags),
            *(stamps[field.name] for field in EXTENT_FIELDS if field.name in stamps),
        ]
        # What is not known is null in the catalog too: to SQL, NaN is larger than every number.
        columns += [nan_as_null(rows[source].combine_chunks()) for source in self.kept.values()]
        objects = pa.Table.from_arrays(columns, schema=self.objects_schema)
        if watched.seen:
            objects = objects.replace_schema_metadata(as_metadata(watched.seen))
        objects = objects.append_column("usable", pa.array(flags & UNUSABLE == 0))
        beside = {**stamps, **told}
        for name in ("stamp", "stamp_noise", "stamp_owners", MODALITIES):
            if name in beside:
                objects = objects.append_column(name, beside[name])
        return objects if self.psf is None else objects.append_column(self.psf.name, psfs)


def needed_columns(
    survey: Survey,
    kept: dict[str, str],
    psf: PSFSource | None = None,
    modalities: ModalitySource | None = None,
) -> list[str]:
    """Catalog columns that a run reads, each once."""
    condition = where.columns_of(survey.where) if survey.where is not None else []
    extent = computed.columns_of(survey.images.extent) if survey.images.extent is not None else []
    position = [survey.ra, survey.dec] if survey.ra is not None else []
    psfs = psf.columns if psf is not None else []
    told = modalities.columns if modalities is not None else []
    own = [*sources_of(survey.id), survey.id, *position]
    names = [*own, *image_columns(survey), *psfs, *told, *condition, *extent, *kept.values()]
    return list(dict.fromkeys(str(name) for name in names))


def _described(name: str, kind: pa.DataType, unit: str, ucd: str, description: str) -> pa.Field:
    metadata = {"unit": unit, "ucd": ucd, "description": description}
    return pa.field(name, kind, metadata={k: v for k, v in metadata.items() if v})
