"""Look at a whole release before any work starts, and list everything that is wrong with it."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from catalogs import storage, where
from catalogs.errors import Fault, Refused
from catalogs.inspect_images import image_faults
from catalogs.release import Release, needed_columns
from catalogs.slices import Shard
from catalogs.stamps import stored_shape
from catalogs.tables import NotATable, TableHeader, open_table

if TYPE_CHECKING:
    from catalogs.survey import Survey

LOOKED_AT = 4 << 30
"""Bytes of catalog rows up to which a plan reads every row (ids, `where`, paths), not just the headers."""

CHUNK = 64 << 20
RESERVED = {
    *(
        "object_id",
        "ra",
        "dec",
        "shard",
        "row",
        "flags",
        "usable",
        "stamp",
        "embedding",
        "class",
        "_healpix_29",
    ),
    *("group", "kept", "agreement", "runner_up", "distance", "reference_group", "norder", "dir", "npix"),
}


def inspect(survey: Survey, folder: str) -> Release:
    """Open every shard's header, resolve columns and images, and look at every row if there aren't too many.

    Parameters
    ----------
    survey : Survey
    folder : str
        The config's folder: relative paths are relative to it.

    Raises
    ------
    Refused
        With every fault that was found: file, column, value and remedy.
    """
    tables = _open_shards(survey, folder)
    kept = _kept(survey, tables[0])
    columns = _columns(survey, kept, tables)
    labels = _labels([table.url for table in tables])
    shards = tuple(
        Shard(i, label, table) for i, (label, table) in enumerate(zip(labels, tables, strict=True))
    )
    image_folder = folder
    if survey.images.layout == "extensions":
        # The RealGalaxy format names files beside its catalog.
        image_folder = str(PurePosixPath(tables[0].url).parent)
    release = Release(survey, image_folder, shards, columns, kept, None, None)
    paths, selected = _look_at_rows(release)
    scale = image_faults(release, paths)
    return Release(survey, image_folder, shards, columns, kept, scale, selected)


def _open_shards(survey: Survey, folder: str) -> list[TableHeader]:
    faults, urls = [], []
    for pattern in survey.patterns:
        found = storage.expand(storage.absolute(pattern, folder))
        if not found:
            absolute = storage.absolute(pattern, folder)
            faults.append(Fault(absolute, "no such catalog", "Check [survey] catalogs; globs are allowed"))
        urls += found

    def opened(url: str) -> TableHeader | Fault:
        try:
            return open_table(url, survey.hdu)
        except (NotATable, OSError) as error:
            return Fault(url, str(error), "Fetch the file again, or leave it out of [survey] catalogs")

    results = storage.parallel(opened, sorted(set(urls)))
    tables = [r for r in results if isinstance(r, TableHeader)]
    faults += [r for r in results if isinstance(r, Fault)]
    if not faults and sum(table.rows for table in tables) == 0:
        faults.append(
            Fault(str(survey.catalogs), "the release is empty: no shard has a row", "Check the files")
        )
    if faults:
        raise Refused(faults)
    return tables


def _kept(survey: Survey, table: TableHeader) -> dict[str, str]:
    names = {column.name for column in table.columns}
    kept: dict[str, str] = {}
    faults = []
    for entry in survey.keep:
        source, _, name = (
            (entry, "", entry) if entry in names or " as " not in entry else entry.rpartition(" as ")
        )
        taken = {*RESERVED, *(other.lower() for other in kept)}
        if name.lower() in taken or name.lower().startswith("vote_"):
            remedy = f'Rename it: keep = ["{source} as survey_{name}"]'
            faults.append(Fault(table.url, "the catalog has a column of that name already", remedy, name))
        kept[name] = source
    if faults:
        raise Refused(faults)
    return kept


def _columns(survey: Survey, kept: dict[str, str], tables: list[TableHeader]) -> pa.Schema:
    config = "[survey] where"
    try:
        needed = needed_columns(survey, kept)
    except where.BadCondition as error:
        raise Refused([Fault(config, str(error), "Write one SQL condition", None, survey.where)]) from error
    schemas = storage.parallel(lambda table: table.empty.schema, tables)
    faults = []
    for table, schema in zip(tables, schemas, strict=True):
        faults += _column_faults(table, schema, schemas[0], needed)
    faults = faults or _type_faults(survey, tables[0].url, schemas[0])
    if faults:
        raise Refused(faults)
    columns = pa.schema([schemas[0].field(name) for name in needed])
    if survey.where is not None:
        try:
            where.check(survey.where, columns)
        except where.BadCondition as error:
            raise Refused([Fault(config, str(error), "Correct the condition", None, survey.where)]) from error
    return columns


def _column_faults(table: TableHeader, schema: pa.Schema, first: pa.Schema, needed: list[str]) -> list[Fault]:
    """Columns that a shard lacks, or has as another type than the first shard."""
    faults = []
    for name in needed:
        if name not in schema.names:
            similar = [n for n in schema.names if n.lower() == name.lower()]
            remedy = f"It is called {similar[0]!r} there" if similar else f"There are: {', '.join(schema.names)}"
            faults.append(Fault(table.url, "no such column", remedy, name))
        elif name in first.names and schema.field(name).type != first.field(name).type:
            problem = f"is {schema.field(name).type} here, but {first.field(name).type} in the first shard"
            faults.append(Fault(table.url, problem, "Shards must agree: convert one of them", name))
    return faults


def _type_faults(survey: Survey, url: str, schema: pa.Schema) -> list[Fault]:
    """Columns that are there, but can't be what the config says they are."""
    faults = []
    kind = schema.field(survey.id).type
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind)):
        faults.append(Fault(url, f"an id must be an integer or a string, not {kind}", "Choose another", survey.id))
    layout, positions = survey.images, [name for name in (survey.ra, survey.dec) if name is not None]
    pixel = layout.layout == "tiles" and layout.position == "pixel"
    for name in [*positions, *([layout.x, layout.y] if pixel else [])]:
        kind = schema.field(name).type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            faults.append(Fault(url, f"must be a number, not {kind}", "Choose another column", name))
    for name in positions:
        unit = (schema.field(name).metadata or {}).get(b"unit", b"").decode()
        if unit and unit.lower() not in {"deg", "degree", "degrees", "degr"}:
            faults.append(Fault(url, "positions must be in degrees", "Convert the column", name, f"unit {unit!r}"))
    if layout.layout == "column":
        try:
            stored_shape(schema.field(str(layout.column)), len(layout.bands))
        except ValueError as error:
            faults.append(Fault(url, str(error), "Check [survey.images] column and bands", layout.column))
    return faults


def _labels(urls: list[str]) -> list[str]:
    """Paths below the deepest folder that all shards share."""
    folders = [url.split("/")[:-1] for url in urls]
    shared = 0
    while all(len(f) > shared and f[shared] == folders[0][shared] for f in folders):
        shared += 1
    return ["/".join(url.split("/")[shared:]) for url in urls]


def _look_at_rows(release: Release) -> tuple[pa.Table | None, int | None]:
    """Distinct image paths and the number of selected objects; ids must be there and be unique."""
    survey = release.survey
    if sum(shard.table.rows * shard.table.row_bytes for shard in release.shards) > LOOKED_AT:
        return None, None
    pathlike = survey.images.path_columns
    if survey.images.layout == "extensions":
        pathlike = [*pathlike, str(survey.images.hdu_column)]
    condition = where.columns_of(survey.where) if survey.where is not None else []
    names = list(dict.fromkeys([survey.id, *pathlike, *condition]))

    def looked(shard: Shard) -> tuple[pa.Table, pa.Table]:
        step = max(1, CHUNK // max(shard.table.row_bytes, 1))
        pieces = []
        for start in range(0, shard.table.rows, step):
            rows = shard.table.read(start, min(start + step, shard.table.rows), names)
            pieces.append(
                rows.filter(pa.array(release.selected_rows(rows))).select(
                    [survey.id, *dict.fromkeys(pathlike)]
                )
            )
        rows = pa.concat_tables(pieces) if pieces else shard.table.empty.select([survey.id, *pathlike])
        number = pa.array([shard.number] * rows.num_rows, pa.int32())
        ids = pa.table({"id": rows[survey.id], "shard": number})
        return ids, rows.select(pathlike).group_by(pathlike).aggregate([]) if pathlike else rows.select([])

    found = storage.parallel(looked, release.shards)
    ids = pa.concat_tables([f[0] for f in found])
    faults = _id_faults(release, ids)
    if ids.num_rows == 0:
        faults.append(
            Fault("[survey] where", "selects no object", "Loosen the condition", None, survey.where)
        )
    if faults:
        raise Refused(faults)
    paths = pa.concat_tables([f[1] for f in found]) if pathlike else None
    return paths, ids.num_rows


def _id_faults(release: Release, ids: pa.Table) -> list[Fault]:
    name = release.survey.id
    remedy = "An id names one object: choose a unique column, or select with [survey] where"
    faults = []
    if ids["id"].null_count:
        at = ids.filter(pc.is_null(ids["id"]))["shard"][0].as_py()
        faults.append(Fault(release.shards[at].table.url, "an id is null", remedy, name, "null"))
    if pc.count_distinct(ids["id"]).as_py() < ids.num_rows - ids["id"].null_count:
        counts = ids.group_by("id", use_threads=False).aggregate([("id", "count"), ("shard", "max")])
        twice = counts.filter(pc.greater(counts["id_count"], 1))
        for row in twice.slice(0, 5).to_pylist():
            url = release.shards[row["shard_max"]].table.url
            problem = f"this id stands {row['id_count']} times in the release ({twice.num_rows} such ids)"
            faults.append(Fault(url, problem, remedy, name, repr(row["id"])))
    return faults
