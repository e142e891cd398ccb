"""The run in numbers: what was planned, what came out, and its groups with their medians."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from catalogs import parts, storage
from catalogs.errors import CorruptFile
from pipeline.config.fit import Reduce, Vote
from pipeline.report.palette import ordered
from pipeline.report.source import quoted
from pipeline.rundir.run_directory import STAGES

if TYPE_CHECKING:
    from pipeline.report.source import Column, Source


def plan_rows(source: Source) -> list[tuple[str, str]]:
    """The settings in `run.json`, as the plan prints them."""
    config, shards = source.record["config"], source.record["shards"]
    survey, encode, fit, vote = config["survey"], config["encode"], config["fit"], config["vote"]
    images = survey["images"]
    step, rows = config["run"]["slice_rows"], sum(shard["rows"] for shard in shards)
    slices = sum(-(-shard["rows"] // step) for shard in shards)
    steps = ["denoise"] if config.get("denoise") else []
    steps += [f"unwrap {encode['unwrap']}", encode["stretch"], f"{encode['model']} ({encode['checkpoint']})"]
    measured = (config.get("measure") or {}).get("quantities") or ["nothing"]
    classes = config.get("classes") or {"by": "none"}
    rule = Vote.model_construct(**vote).in_words
    members = fit["bags"] * len(fit["families"])
    augment = config.get("augment") or {}
    balance = (
        f"rare groups brought to {augment['fill']:g} by {augment['model']}"
        if augment.get("balance")
        else None
    )
    like = source.record["like"]
    stamps = f"{images['layout']}: {images['size']} px a side, bands {', '.join(images['bands'])}"
    return [
        ("release", f"{survey['name']}: {len(shards):,} shards, {rows:,} rows"),
        ("where", survey["where"] or "every row"),
        ("slices", f"{slices:,} of {step:,} rows at most"),
        ("stamps", stamps),
        ("encode", " → ".join(steps)),
        ("measure", ", ".join(measured)),
        ("reduce", Reduce.model_construct(**config["reduce"]).in_words),
        (
            "fit",
            f"{fit['bags']} bags x {', '.join(fit['families'])} = {members} members, {fit['groups']} groups",
        ),
        *([("balanced bags", balance)] if balance else []),
        *([("models", f"those of {like['run']}")] if like else []),
        ("vote", rule),
        ("classes", f"by {classes['by']}"),
        ("run", source.run.url),
    ]


def fingerprints(source: Source) -> dict[str, str]:
    """One a stage, in the order in which they run."""
    prints = source.record["fingerprints"]
    return {stage: prints[stage] for stage in STAGES if stage in prints}


def software(source: Source) -> dict[str, str]:
    """Software versions of the run, from the receipt of one part; empty if no part is left."""
    names = sorted(parts.done(source.run.objects))
    with contextlib.suppress(CorruptFile):
        return parts.receipt(source.run.objects, names[0]).software if names else {}
    return {}


def counts(source: Source) -> dict[str, int]:
    """Objects, those that are usable, those that are kept and those that all members agree on."""
    sql = """SELECT count(*) AS objects, count("group") AS usable, count(*) FILTER (kept) AS kept,
                    count(*) FILTER (agreement = 1) AS unanimous FROM objects"""
    return {name: int(value) for name, value in source.query(sql)[0].items()}


def flag_tables(source: Source) -> list[dict[str, Any]]:
    """For each column of named bits, how many objects carry each."""
    tables = []
    for name in ("flags", "measure_flags"):
        column = source.columns.get(name)
        if column is None or not column.bits:
            continue
        each = ", ".join(
            f"count(*) FILTER ({name} & {bit} != 0) AS {quoted(n)}" for n, bit in column.bits.items()
        )
        found = source.query(f"SELECT {each}, count(*) FILTER ({name} = 0) AS none FROM objects")[0]
        without = int(found.pop("none"))
        rows = [{"bit": column.bits[n], "name": n, "objects": int(count)} for n, count in found.items()]
        tables.append({"column": name, "rows": rows, "without": without})
    return tables


def groups(source: Source) -> list[dict[str, Any]]:
    """Every group with its size, how much of it is kept, and `medians` of every parameter over the kept objects."""
    sql = """SELECT "group" AS name, count(*) AS objects, count(*) FILTER (kept) AS kept, avg(agreement) AS agreement
             FROM objects WHERE "group" IS NOT NULL GROUP BY 1 ORDER BY 1"""
    found = {row["name"]: {**row, "medians": {}} for row in source.query(sql)}
    for column in source.parameters:
        # one column at a time: an exact median holds all of a column's values
        for row in source.query(median_sql(column, '"group"')):
            found[row["name"]]["medians"][column.name] = row["value"]
    return list(found.values())


def class_medians(source: Source) -> list[dict[str, Any]]:
    """The same for every class; UNC is one of them."""
    sql = """SELECT "class" AS name, count(*) AS objects FROM objects WHERE "class" IS NOT NULL GROUP BY 1 ORDER BY 1"""
    found = {row["name"]: {**row, "medians": {}} for row in source.query(sql)}
    for column in source.parameters:
        for row in source.query(median_sql(column, '"class"', "true")):
            found[row["name"]]["medians"][column.name] = row["value"]
    return [found[name] for name in ordered(found)]


def median_sql(column: Column, by: str, condition: str = "kept") -> str:
    """Median of a column's finite values for each value of another."""
    value = f"{quoted(column.name)}::DOUBLE"
    return f"""SELECT {by} AS name, median({value}) AS value FROM objects
               WHERE {by} IS NOT NULL AND {condition} AND isfinite({value}) GROUP BY 1"""


def validation(source: Source) -> dict[str, Any] | None:
    """The table that `tuningfork validate` left, and whether the catalog has been published anew since; or None."""
    url = storage.join(source.run.url, "validation.parquet")
    if not storage.exists(url):
        return None
    with storage.reading(url) as stream:
        table = pq.read_table(stream)
    made_of = (table.schema.metadata or {}).get(b"fingerprint", b"").decode()
    rows = table.to_pylist()
    return {
        "rows": sorted(rows, key=lambda row: row["verdict"] != "failed"),
        "verdicts": Counter(row["verdict"] for row in rows),
        "stale": made_of not in ("", source.record["fingerprints"].get("publish")),
    }
