"""`tuningfork experts`: the objects that a predictor is not sure enough of, for people: a table, pictures, and a manifest for the Zooniverse."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from PIL import Image
from rich.markup import escape

from catalogs import storage
from catalogs.errors import Fault, Refused
from pipeline.console import console
from pipeline.output.lock import locked
from pipeline.plan.deciding import decision_of
from pipeline.report import stamps
from pipeline.report.source import open_source, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.plan.deciding import Decision
    from pipeline.report.source import Source

__all__ = ["experts"]

TABLE, MANIFEST, PICTURES = "experts.csv", "manifest.csv", "pictures"
SIDE = 256
"""Pixels of a picture's side, at least: people see little in 64."""


def experts(
    url: str, question: str, accuracy: str, out: str, *, most: int = 500, config: Path | None = None
) -> None:
    """Write what is left to people.

    Parameters
    ----------
    url : str
        Run directory.
    question : str
        Of one of its predictors.
    accuracy : str
        Wanted share of right answers among the others, see `pipeline.plan.deciding`.
    out : str
        Folder to write.
    most : int
        Objects that get a picture and stand in the manifest, the least sure first; the table has all.
    config : Path, optional
        Config of the release where it lies now; by default that of the run.

    Raises
    ------
    Refused, BadQuery
        If there is nothing to ask, or the folder holds something else.
    """
    decision = decision_of(url, question, accuracy)
    _check(out)
    with locked(out, "experts"):
        _check(out)
        source = open_source(url)
        left = _undecided(source, decision)
        for name in (TABLE, MANIFEST, PICTURES):
            storage.remove(storage.join(out, name))
        files, gone = _draw(source, left.slice(0, most).to_pylist(), out, config)
        names = pa.array(files + [""] * (left.num_rows - len(files)), pa.string())
        left = left.drop_columns(["shard", "row"]).append_column("file_name", names)
        seen = left.slice(0, len(files)).filter(pc.not_equal(left["file_name"].slice(0, len(files)), ""))
        hidden = [name for name in seen.column_names if name != "file_name"]
        # the file first; what begins with # is hidden from volunteers, so that no answer leads them
        manifest = seen.select(["file_name", *hidden]).rename_columns(
            ["file_name", *(f"#{n}" for n in hidden)]
        )
        storage.write(storage.join(out, MANIFEST), _csv(manifest))
        storage.write(storage.join(out, TABLE), _csv(left))
    _say(source, decision, left.num_rows, seen.num_rows, gone, out)


def _check(out: str) -> None:
    there = sorted(set(storage.names(out)) - {TABLE, MANIFEST, PICTURES})
    if there:
        raise Refused([Fault(out, f"is not empty: it holds {there[0]}", "Give another --out")])


def _undecided(source: Source, decision: Decision) -> pa.Table:
    """Objects that have an answer which is not sure enough, or is a guess; the least sure first."""
    given = decision.sql
    place = [name for name in ("ra", "dec") if name in source.columns]
    columns = ", ".join(["object_id", *place, "flags", "shard", '"row"'])
    bits = source.columns["flags"].bits.items()
    named = ", ".join(f"CASE WHEN flags & {bit} <> 0 THEN '{name}' END" for name, bit in bits)
    return source.table(
        f"""WITH asked AS (
                SELECT {columns}, [{given["answers"]}] AS answers, [{given["columns"]}] AS probabilities, {given["outside"]} AS outside FROM objects
            )
            SELECT {", ".join(["object_id", *place])},
                   answers[list_position(probabilities, list_max(probabilities))] AS answer,
                   list_max(probabilities) AS probability, outside,
                   coalesce(nullif(concat_ws(' ', {named}), ''), 'none') AS flags, shard, "row"
            FROM asked
            WHERE list_max(probabilities) IS NOT NULL AND (list_max(probabilities) < {given["least"]} OR outside)
            ORDER BY probability, object_id"""
    )


def _draw(
    source: Source, rows: Sequence[dict[str, Any]], out: str, config: Path | None
) -> tuple[list[str], str]:
    """Write the pictures; answers the file of each row, or nothing, and why there are none."""
    numbers = {shard["label"]: number for number, shard in enumerate(source.record["shards"])}
    # ids may hold anything, and shards lie in folders
    keys = [f"{numbers[row['shard']]}-{row['row']}" for row in rows]
    drawn, gone = set[str](), ""
    try:
        release = stamps.reopened(source, config)
        for key, picture in stamps.pictures(release, dict(zip(keys, rows, strict=True))):
            storage.write(storage.join(out, PICTURES, f"{key}.png"), _enlarged(picture))
            drawn.add(key)
    except stamps.ReleaseGone as error:
        gone = str(error)
    if rows and not drawn and not gone:
        gone = "the release holds other objects than those of this run"
    return [f"{PICTURES}/{key}.png" if key in drawn else "" for key in keys], gone


def _enlarged(picture: bytes) -> bytes:
    image: Image.Image = Image.open(io.BytesIO(picture))
    factor = -(-SIDE // min(image.size))
    if factor > 1:
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _csv(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pyarrow.csv.write_csv(table, sink)
    return sink.getvalue()


def _say(source: Source, decision: Decision, left: int, drawn: int, gone: str, out: str) -> None:
    head = decision.question.head
    total = source.query(f"SELECT count({quoted(decision.of.outside)}) AS n FROM objects")[0]["n"]
    console.print(
        f"{escape(head.name)}: answers with a probability of {decision.least:.3f} or more stand; of held-out objects these were "
        f"{decision.share:.1%}, and {decision.right:.1%} of them right",
        soft_wrap=True,
        highlight=False,
    )
    console.print(f"{left:,} of {total:,} objects are left to people, {drawn:,} of them with a picture: {escape(out)}", soft_wrap=True, highlight=False)  # fmt: skip
    if gone:
        console.print(f"[yellow]no pictures:[/] {escape(gone)}", soft_wrap=True, highlight=False)
    elif drawn:
        manifest = storage.join(out, MANIFEST)
        console.print(f"upload: panoptes subject-set upload-subjects -f 1 SUBJECT_SET_ID {escape(manifest)}", soft_wrap=True, highlight=False)  # fmt: skip
