"""The catalog columns that a config names: whether all shards have them, as what the config says they are."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from catalogs import path_template, where
from catalogs.composed_ids import id_faults
from catalogs.errors import Fault, Refused, grouped
from catalogs.inspect_extents import expression_fault
from catalogs.inspect_modalities import column_faults as modality_faults
from catalogs.inspect_psfs import column_faults
from catalogs.inspect_vectors import vector_faults
from catalogs.positions import unit_of
from catalogs.record_stamps import record_faults
from catalogs.records import is_nested
from catalogs.release import needed_columns
from catalogs.stamps import image_columns

if TYPE_CHECKING:
    from catalogs.modalities import ModalitySource
    from catalogs.psf_source import PSFSource
    from catalogs.shard_table import ShardTable
    from catalogs.survey import Survey

__all__ = ["resolved_columns", "unit_notes"]

COLUMNS_SHOWN = 60


def _raise(fault: Fault | None) -> None:
    if fault is not None:
        raise Refused([fault])


def resolved_columns(
    survey: Survey,
    kept: dict[str, str],
    tables: list[ShardTable],
    psf: PSFSource | None,
    modalities: ModalitySource | None,
) -> pa.Schema:
    """The columns that a run reads, of the first shard.

    Raises
    ------
    Refused
        Where shards lack some, or have what cannot be what the config says.
    """
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


def unit_notes(survey: Survey, schema: pa.Schema) -> list[str]:
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
