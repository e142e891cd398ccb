"""A contact sheet: one HTML file that holds its pictures, and opens anywhere."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from catalogs import storage
from pipeline.report import stamps
from pipeline.report.words import short

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.report.source import Source

__all__ = ["pictures_of", "write"]

LONGEST = 80
"""Characters of a value on a card."""
_POSITIONS = ("ra", "dec")  # degrees: five digits are 0.04 arcsec


def pictures_of(
    source: Source, rows: Sequence[dict[str, Any]], config: Path | None
) -> tuple[list[bytes | None], str]:
    """PNG of each object's stamp, read again from the release, and why some or all are missing."""
    numbers = {shard["label"]: number for number, shard in enumerate(source.record["shards"])}
    keys = [f"{numbers[row['shard']]}-{row['row']}" for row in rows]
    drawn: dict[str, bytes] = {}
    gone = ""
    try:
        release = stamps.reopened(source, config)
        drawn = dict(stamps.pictures(release, dict(zip(keys, rows, strict=True))))
    except stamps.ReleaseGone as error:
        gone = str(error)
    if not gone and len(drawn) < len(set(keys)):
        gone = "the release holds other objects than those of this run."
    return [drawn.get(key) for key in keys], gone


def write(
    file: str,
    title: str,
    about: str,
    examples: Sequence[tuple[str, bytes | None]],
    cards: Sequence[tuple[dict[str, Any], bytes | None]],
    gone: str = "",
) -> None:
    """Write a sheet.

    Parameters
    ----------
    file : str
        Path or URL.
    title, about : str
        What it shows, and how it was chosen.
    examples : sequence of (name, PNG)
        What was given.
    cards : sequence of (values, PNG)
        What was found, in order: a card's first value is its name.
    gone : str
        Why pictures are missing.
    """
    pages = Environment(
        loader=PackageLoader("pipeline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = [
        (
            [(name, _shown(name, value)) for name, value in values.items() if value not in (None, "")],
            _url(png),
        )
        for values, png in cards
    ]
    page = pages.get_template("sheet.html.j2").render(
        title=title,
        about=about,
        examples=[(name, _url(png)) for name, png in examples],
        cards=shown,
        gone=gone,
    )
    storage.write(file, page.encode())


def _shown(name: str, value: Any) -> str:
    if name in _POSITIONS:
        return f"{value:.5f}"
    text = str(value) if name == "object_id" else short(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _url(png: bytes | None) -> str:
    return "" if png is None else f"data:image/png;base64,{base64.b64encode(png).decode()}"
