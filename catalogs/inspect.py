"""Look at a whole release before any work starts, and list everything that is wrong with it."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa

from catalogs import headers, path_template, storage, synthetic, where
from catalogs.catalog_files import catalog_files
from catalogs.composed_ids import id_faults, with_ids
from catalogs.errors import Fault, Refused, grouped
from catalogs.identity import identities, identity, name_of
from catalogs.inspect_extents import expression_fault, scale_fault
from catalogs.inspect_footprints import look_at_footprints
from catalogs.inspect_images import image_urls, look_at_images
from catalogs.inspect_masks import look_at_masks
from catalogs.inspect_modalities import column_faults as modality_faults
from catalogs.inspect_modalities import look_at_modalities
from catalogs.inspect_noise import look_at_noise
from catalogs.inspect_nulls import with_nulls
from catalogs.inspect_psfs import column_faults, look_at_psfs, psf_urls
from catalogs.inspect_records import look_at_records
from catalogs.inspect_rows import look_at_rows
from catalogs.inspect_segments import look_at_segments
from catalogs.inspect_tiles import with_tiles
from catalogs.inspect_vectors import vector_faults
from catalogs.kept_columns import kept_columns
from catalogs.open_table import as_one_release, open_any
from catalogs.partitions import partitions_of
from catalogs.positions import unit_of
from catalogs.record_stamps import record_faults
from catalogs.records import is_nested
from catalogs.release import Release, needed_columns
from catalogs.shard_table import FETCH, NotATable
from catalogs.slices import Shard
from catalogs.stamps import image_columns

if TYPE_CHECKING:
    from catalogs.modalities import ModalitySource
    from catalogs.psf_source import PSFSource
    from catalogs.shard_table import ShardTable
    from catalogs.survey import Survey

COLUMNS_SHOWN = 60


def inspect(
    survey: Survey, folder: str, psf: PSFSource | None = None, modalities: ModalitySource | None = None
) -> Release:
    """Open every shard's header, resolve columns and images, and look at every row if there aren't too many.

    Parameters
    ----------
    survey : Survey
    folder : str
        The config's folder: relative paths are relative to it.
    psf : PSFSource, optional
        Where PSFs come from that vary from object to object, if they are needed.
    modalities : ModalitySource, optional
        Where there is what an encoder is told beside the stamps, if it is told of some.

    Raises
    ------
    Refused
        With every fault that was found: file, column, value and remedy.
    """
    release = inspect_catalogs(survey, folder, psf, modalities)
    columns, image_folder = release.columns, release.folder
    look_at_records(release)
    release, tile_versions = with_tiles(release)
    rows = look_at_rows(release)
    paths = None if rows.paths is None else rows.paths.to_pylist()
    files = [*image_urls(release, paths), *psf_urls(release, rows.psfs)]
    versions = identities(files, survey.identify)  # before the files are opened
    versions |= {url: tile_versions[url] for url in files if url in tile_versions}
    scale, image_notes = look_at_images(release, paths)
    release = replace(release, pixel_scale=scale)
    values, psf_notes = look_at_psfs(release, rows.psfs)
    look_at_masks(release)
    looked = (
        *image_notes,
        *look_at_footprints(release),
        *look_at_noise(release),
        *look_at_segments(release),
        *psf_notes,
    )
    notes = (*_unit_notes(survey, columns), *release.notes, *rows.notes, *looked)
    images = {name_of(url, image_folder): version for url, version in versions.items()}
    release = replace(release, selected=rows.selected, notes=notes, images=images, psf_values=values)
    _raise(scale_fault(release))
    return release


def inspect_catalogs(
    survey: Survey, folder: str, psf: PSFSource | None = None, modalities: ModalitySource | None = None
) -> Release:
    """Open every shard's header and resolve columns; images are not looked at, nor rows but for a few of vectors.

    Raises
    ------
    Refused
        With every fault that was found.
    """
    tables = _open_shards(survey, folder)
    kept = kept_columns(survey, tables[0])
    columns = _columns(survey, kept, with_ids(tables, survey.id), psf, modalities)
    tables, notes = with_nulls(tables, columns.names)
    modalities, more = look_at_modalities(modalities, tables)
    tables = with_ids(tables, survey.id)
    labels = _labels([table.url for table in tables])
    shards = tuple(
        Shard(i, label, table) for i, (label, table) in enumerate(zip(labels, tables, strict=True))
    )
    image_folder = folder
    if survey.images.layout == "extensions":
        # The RealGalaxy format names files beside its catalog.
        image_folder = str(PurePosixPath(tables[0].url).parent)
    return Release(
        survey,
        image_folder,
        shards,
        columns,
        kept,
        None,
        None,
        (*notes, *more),
        psf=psf,
        modalities=modalities,
    )


def _open_shards(survey: Survey, folder: str) -> list[ShardTable]:
    files = catalog_files(survey.patterns, folder)
    urls, faults = files.urls, files.faults
    partitions = partitions_of(urls)

    def opened(url: str) -> ShardTable | Fault:
        try:
            version = identity(url, survey.identify, fresh=False)  # before the file is opened
            return open_any(url, survey.hdu, version, partitions[url])
        except NotATable as error:
            return Fault(url, str(error), error.remedy)
        except IsADirectoryError:
            return Fault(url, "is a folder", f'Name the files in it: catalogs = "{url}/*.fits"')
        except OSError as error:
            return Fault(url, f"cannot be read ({headers.first_line(error)})", FETCH)

    results = storage.parallel(opened, urls)
    tables = [r for r in results if not isinstance(r, Fault)]
    faults += [r for r in results if isinstance(r, Fault)]
    if not faults:
        faults += files.row_faults({table.url: table for table in tables})
    if not faults and sum(table.rows for table in tables) == 0:
        where_ = storage.absolute(survey.patterns[0], folder)
        problem = f"the release is empty: none of its {len(tables)} shards has a row"
        faults.append(Fault(where_, problem, "Check [survey] catalogs and hdu"))
    faults += synthetic.faults(survey, tables)
    if faults:
        raise Refused(grouped(faults))
    return as_one_release(tables)


def _raise(fault: Fault | None) -> None:
    if fault is not None:
        raise Refused([fault])


def _columns(
    survey: Survey,
    kept: dict[str, str],
    tables: list[ShardTable],
    psf: PSFSource | None,
    modalities: ModalitySource | None,
) -> pa.Schema:
    _raise(expression_fault(survey))
    try:
        needed = needed_columns(survey, kept, psf, modalities)
    except where.BadCondition as error:
        raise Refused([_where_fault(survey, error)]) from error
    first, alike = tables[0].empty.schema, dict[str, list[Fault]]()
    faults = []
    for table in tables:
        if table.header not in alike:
            alike[table.header] = _column_faults(
                table, table.empty.schema, first, needed, survey, psf, modalities
            )
        faults += [replace(fault, file=table.url) for fault in alike[table.header]]
    faults = grouped(faults) or [
        *_type_faults(survey, tables[0].url, first),
        *column_faults(survey, psf, tables[0].url, first),
        *modality_faults(modalities, tables[0].url, first),
        *id_faults(survey.id, tables[0].url, first),
    ]
    if faults:
        raise Refused(faults)
    columns = pa.schema([first.field(name) for name in needed])
    if survey.where is not None:
        try:
            where.check(survey.where, columns)
        except where.BadCondition as error:
            raise Refused([_where_fault(survey, error)]) from error
    _raise(expression_fault(survey, columns))
    return columns


def _where_fault(survey: Survey, error: where.BadCondition) -> Fault:
    remedy = "Write one SQL condition over the catalog's own columns"
    return Fault("[survey] where", str(error).rstrip("."), remedy, None, survey.where)


def _column_faults(
    table: ShardTable,
    schema: pa.Schema,
    first: pa.Schema,
    needed: list[str],
    survey: Survey,
    psf: PSFSource | None,
    modalities: ModalitySource | None,
) -> list[Fault]:
    """Columns that a shard lacks, or has as another type than the first shard."""
    faults = []
    unusable = table.unusable
    told = (
        {} if modalities is None else {name: each.name for each in modalities.others for name in each.needed}
    )
    lists = [*told, *(image_columns(survey) if survey.images.layout in {"column", "struct"} else [])]
    for name in needed:
        if name in unusable and not (name in lists and name in schema.names):
            problem = f"is {unusable[name]}, which cannot be read row by row"
            faults.append(Fault(table.url, problem, "Choose another column", name))
        elif name not in schema.names:
            similar = difflib.get_close_matches(name.lower(), [n.lower() for n in schema.names], 1)
            meant = [n for n in schema.names if n.lower() in similar]
            listed = ", ".join(schema.names[:COLUMNS_SHOWN]) + (
                " …" if len(schema.names) > COLUMNS_SHOWN else ""
            )
            problem = "no such column"
            if name in survey.images.path_columns:
                problem = f"no such column for {{{name}}} in [survey.images] path, where {{band}} is the band"
                meant = meant or difflib.get_close_matches(name.lower(), ["band"], 1)
            elif psf is not None and name == psf.fwhm:
                problem = f"no such column, which [measure] fwhm = {name!r} names"
            elif psf is not None and name in psf.columns:
                problem = f"no such column for {{{name}}} in [measure] psf, where {{band}} is the band"
                meant = meant or difflib.get_close_matches(name.lower(), ["band"], 1)
            elif name in told:
                problem = f"no such column, which [modalities] {told[name]!r} names"
            remedy = f"Did you mean {' or '.join(map(repr, meant))}" if meant else "Name one that is there"
            faults.append(
                Fault(
                    table.url,
                    problem,
                    f"{remedy}? There are: {listed}" if meant else f"{remedy}: {listed}",
                    name,
                )
            )
        elif name in first.names and schema.field(name).type != first.field(name).type:
            problem = f"is {schema.field(name).type} here, but {first.field(name).type} in the first shard"
            faults.append(
                Fault(table.url, problem, "Shards must agree: convert the column in one of them", name)
            )
    return faults


def _type_faults(survey: Survey, url: str, schema: pa.Schema) -> list[Fault]:
    """Columns that are there, but can't be what the config says they are."""
    faults = []
    kind = schema.field(survey.id).type
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind)):
        faults.append(
            Fault(url, f"an id must be an integer or a string, not {kind}", "Choose another", survey.id)
        )
    layout, positions = survey.images, [name for name in (survey.ra, survey.dec) if name is not None]
    pixel = layout.layout == "tiles" and layout.position == "pixel"
    for name in [*positions, *([layout.x, layout.y] if pixel else [])]:
        kind = schema.field(name).type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            faults.append(Fault(url, f"must be a number, not {kind}", "Choose another column", name))
    if layout.segmentation is not None:
        label = layout.segmentation.id
        if not pa.types.is_integer(kind := schema.field(label).type):
            faults.append(Fault(url, f"a label must be an integer, not {kind}", "Choose another", label))
    faults += _unit_faults(survey, url, schema) + _template_faults(survey, url, schema)
    if layout.layout == "struct":
        faults += record_faults(layout, url, schema)
    if layout.layout == "column" and not is_nested(schema.field(str(layout.column)).type):
        faults += vector_faults(layout, url, schema)
    return faults


def _unit_faults(survey: Survey, url: str, schema: pa.Schema) -> list[Fault]:
    """Positions in other units than degrees, where the config does not say which."""
    if survey.position_unit is not None:
        return []
    remedy = 'Say what it is, [survey] position_unit = "deg", "rad" or "hour", or convert the column'
    return [
        Fault(url, "positions must be in degrees", remedy, name, f"unit {unit!r}")
        for name in (survey.ra, survey.dec)
        if name is not None and (unit := _unit(schema, name)) and unit_of(unit) != "deg"
    ]


def _template_faults(survey: Survey, url: str, schema: pa.Schema) -> list[Fault]:
    """Columns whose values a path template cannot take as it says."""
    planes = survey.images.planes
    templates = {
        "path": survey.images.path,
        **{f"{name}.path": plane.path for name, plane in planes.items()},
    }
    return [
        Fault(url, problem, f"Correct [survey.images] {key}: {path_template.EXAMPLE}", p.name)
        for key, template in templates.items()
        for p in path_template.placeholders(template or "")
        if p.name != path_template.BAND and (problem := p.takes(schema.field(p.name).type)) is not None
    ]


def _unit(schema: pa.Schema, name: str) -> str:
    return (schema.field(name).metadata or {}).get(b"unit", b"").decode()


def _unit_notes(survey: Survey, schema: pa.Schema) -> list[str]:
    """Columns whose unit is another than the config says."""
    said = survey.position_unit
    if said is None:
        return []
    meant = {survey.ra: said, survey.dec: "deg" if said == "hour" else said}
    return [
        f"Column {name!r} has the unit {unit!r}; position_unit = {said!r} is taken."
        for name, kind in meant.items()
        if name is not None and (unit := _unit(schema, name)) and unit_of(unit) != kind
    ]


def _labels(urls: list[str]) -> list[str]:
    """Paths below the deepest folder that all shards share."""
    folders = [url.split("/")[:-1] for url in urls]
    shared = 0
    while all(len(f) > shared and f[shared] == folders[0][shared] for f in folders):
        shared += 1
    return ["/".join(url.split("/")[shared:]) for url in urls]
