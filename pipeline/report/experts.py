"""`tuningfork experts`: the objects that a predictor is not sure enough of, for people: a table, pictures, and a manifest for the Zooniverse."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

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
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pipeline.plan.deciding import Decision
    from pipeline.report.source import Source

__all__ = ["experts"]

TABLE, MANIFEST, PICTURES = "experts.csv", "manifest.csv", "pictures"
SIDE = 256
"""Pixels of a picture's side, at least: people see little in 64."""
MANIFEST_COLUMNS = ("file_name", "#object_id", "#ra", "#dec", "#answer", "#probability", "#outside", "#flags")
"""As the Panoptes command line reads it: the file first; what begins with # is hidden from volunteers, so that no answer leads them."""


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
        rows = _undecided(source, decision)
        for name in (TABLE, MANIFEST, PICTURES):
            storage.remove(storage.join(out, name))
        drawn, gone = _draw(source, rows[:most], out, config)
        table = [
            {**row, "file_name": f"{PICTURES}/{row['key']}.png" if row["key"] in drawn else ""}
            for row in rows
        ]
        columns = [name for name in ("object_id", "ra", "dec", "answer", "probability", "outside", "flags", "file_name") if name in table[0]] if table else ["object_id"]  # fmt: skip
        hidden = [{name: row.get(name.removeprefix("#"), "") for name in MANIFEST_COLUMNS} for row in table if row["file_name"]]  # fmt: skip
        storage.write(storage.join(out, MANIFEST), _csv(MANIFEST_COLUMNS, hidden))
        storage.write(storage.join(out, TABLE), _csv(columns, table))
    _say(source, decision, len(rows), len(drawn), gone, out)


def _check(out: str) -> None:
    there = sorted(set(storage.names(out)) - {TABLE, MANIFEST, PICTURES})
    if there:
        raise Refused([Fault(out, f"is not empty: it holds {there[0]}", "Give another --out")])


def _undecided(source: Source, decision: Decision) -> list[dict[str, Any]]:
    """Objects that have an answer which is not sure enough, or is a guess; the least sure first."""
    given = decision.sql
    place = ", ".join(name for name in ("ra", "dec") if name in source.columns)
    rows = source.query(
        f"""WITH asked AS (
                SELECT object_id, {place + ", " if place else ""}flags, shard, "row", [{given["answers"]}] AS answers,
                       [{given["columns"]}] AS probabilities, {given["outside"]} AS outside FROM objects
            )
            SELECT * EXCLUDE (answers, probabilities),
                   answers[list_position(probabilities, list_max(probabilities))] AS answer, list_max(probabilities) AS probability
            FROM asked WHERE list_max(probabilities) IS NOT NULL AND (list_max(probabilities) < {given["least"]} OR outside)
            ORDER BY probability, object_id"""
    )
    bits = source.columns["flags"].bits
    numbers = {shard["label"]: number for number, shard in enumerate(source.record["shards"])}
    for row in rows:
        # ids may hold anything, and shards lie in folders
        row["key"] = f"{numbers[row['shard']]}-{row['row']}"
        row["flags"] = " ".join(name for name, bit in bits.items() if row["flags"] & bit) or "none"
        row["probability"] = round(row["probability"], 4)
    return rows


def _draw(
    source: Source, rows: Sequence[dict[str, Any]], out: str, config: Path | None
) -> tuple[set[str], str]:
    """Write the pictures; answers which there are, and why there are none."""
    drawn: set[str] = set()
    try:
        release = stamps.reopened(source, config)
        for key, picture in stamps.pictures(release, {row["key"]: row for row in rows}):
            storage.write(storage.join(out, PICTURES, f"{key}.png"), _enlarged(picture))
            drawn.add(key)
    except stamps.ReleaseGone as error:
        return drawn, str(error)
    return drawn, "" if drawn or not rows else "the release holds other objects than those of this run"


def _enlarged(picture: bytes) -> bytes:
    image = Image.open(io.BytesIO(picture))
    factor = -(-SIDE // min(image.size))
    if factor > 1:
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


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
