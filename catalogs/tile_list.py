"""Which tiles there are: the values of a path template's columns, from the names of the files that lie there."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from catalogs import path_template, storage
from catalogs.path_template import BAND, FIELD, BadTemplate, placeholders

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NoTiles", "named_template", "tiles_of"]

STAR = "TILE"
"""Column that a `*` in a path stands for."""


class NoTiles(ValueError):
    """No tile can be found by a template; `remedy` says what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy


def named_template(template: str) -> str:
    """A path template in which a `*` has become the column `{TILE}`.

    Raises
    ------
    NoTiles
        If there is more than one.
    """
    stars = template.count("*")
    if stars > 1:
        raise NoTiles(
            f"{template!r} has {stars} asterisks",
            "Write {NAME} in their places, such as {FIELD}/{TILE}: the names become columns of the catalog",
        )
    return template.replace("*", f"{{{STAR}}}")


def tiles_of(template: str, bands: Sequence[str], folder: str) -> list[dict[str, str | int]]:
    """Values of a template's columns for each tile whose first band is there, in their order.

    Parameters
    ----------
    template : str
    bands : sequence of str
        A tile is looked for in the first one.
    folder : str
        What a relative template is relative to.

    Returns
    -------
    tiles : list of dict
        Texts, and integers where the template says so (`{NAME:06d}`); one empty dict where it has no columns.

    Raises
    ------
    NoTiles
        If a column cannot be had from names, or no file is there.
    """
    columns = path_template.columns_of(template)
    if not columns:
        return [{}]
    pattern = _pattern(template, bands[0])
    text = FIELD.sub(lambda found: bands[0] if _name(found[1]) == BAND else "*", template)
    found = storage.expand(_escaped(text), folder)
    base = "" if "://" in template or PurePosixPath(template).is_absolute() else folder.rstrip("/") + "/"
    tiles: dict[tuple[str | int, ...], dict[str, str | int]] = {}
    for url in found:
        if not url.startswith(base) or (match := pattern.fullmatch(url[len(base) :])) is None:
            continue
        values = _values(template, match.groupdict())
        try:
            same = values is not None and path_template.filled(template, values, bands[0]) == url[len(base) :]
        except BadTemplate:
            same = False
        if values is not None and same:
            tiles[tuple(values.values())] = values
    if not tiles:
        shown = storage.absolute(template, folder)
        raise NoTiles(
            f"no image of band {bands[0]!r} is at {shown}", "Check [survey.images] path, bands and names"
        )
    return [tiles[key] for key in sorted(tiles, key=lambda key: tuple(map(_order, key)))]


def _order(value: str | int) -> tuple[int, str]:
    return (value, "") if isinstance(value, int) else (0, value)


def _name(text: str) -> str:
    return placeholders(f"{{{text}}}")[0].name


def _escaped(text: str) -> str:
    return re.sub(r"([?\[])", r"[\1]", text)


def _pattern(template: str, band: str) -> re.Pattern[str]:
    """What the names of files look like; a column's value is where it stands whole."""
    known, parts = set[str](), []
    pieces = FIELD.split(template)[::2]
    for before, place in zip(pieces, placeholders(template), strict=False):
        parts.append(re.escape(before))
        whole = place.piece is None
        if place.name == BAND:
            parts.append(re.escape(band))
        elif whole and place.name not in known:
            known.add(place.name)
            parts.append(f"(?P<{place.name}>{'[-+ 0-9]+' if place.form.endswith('d') else '[^/]+'})")
        elif whole and not place.form:
            parts.append(f"(?P={place.name})")
        else:
            parts.append("[^/]*")
    lacking = [name for name in path_template.columns_of(template) if name not in known]
    if lacking:
        raise NoTiles(
            f"{template!r} has {{{lacking[0]}}} in pieces only, so that its value cannot be told from a file's name",
            f"Write {{{lacking[0]}}} once as a whole, or a name for each piece",
        )
    odd = [name for name in known if not name.isidentifier()]
    if odd:
        raise NoTiles(f"{template!r} has a column {odd[0]!r}", "Give it a name of letters, digits and _")
    return re.compile("".join(parts) + re.escape(pieces[-1]))


def _values(template: str, texts: dict[str, str]) -> dict[str, str | int] | None:
    numbers = {p.name for p in placeholders(template) if p.form.endswith("d")}
    try:
        return {name: int(text) if name in numbers else text for name, text in texts.items()}
    except ValueError:
        return None
