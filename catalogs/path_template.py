"""Path templates: `{band}`, a catalog's column, a piece of its text, a number with zeros before it. A grammar of its own, no code.

::

    frame-{band}-{run:06d}-{camcol}-{field:04d}.fits.bz2
    coadd/{brickname[:3]}/{brickname}/legacysurvey-{brickname}-image-{band}.fits.fz
    {tract}/{patch[0]},{patch[2]}/calexp-{band}.fits
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping

BAND = "band"
FIELD = re.compile(r"\{([^{}]*)\}")
PIECE = re.compile(r"\[(-?\d{1,4})?(?:(:)(-?\d{1,4})?)?\]$")
FORMAT = re.compile(r":((?:[^{}]?[<>^])?0?\d{0,3}(?:\.\d{1,2})?([dfs]?))$")
WILD = re.compile(r"([*?\[])")
EXAMPLE = "write {NAME}, {NAME:06d}, {NAME:>4} or {NAME[:3]}"


class BadTemplate(ValueError):
    """A path template that breaks the grammar, or a value that does not fit it."""


@dataclass(frozen=True)
class Placeholder:
    """One `{…}` of a template."""

    text: str
    """As it stands there."""
    name: str
    """Of the catalog's column, or `band`."""
    piece: slice | int | None
    """Which characters of the value's text; all by default."""
    form: str
    """Python's format specification, of width, precision and type alone."""

    def takes(self, kind: pa.DataType) -> str | None:
        """What is wrong with a column of a type, if anything is."""
        if self.form[-1:] == "d" and not pa.types.is_integer(kind):
            return f"{{{self.text}}} needs whole numbers, not {kind}"
        if self.form[-1:] == "f" and not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            return f"{{{self.text}}} needs numbers, not {kind}"
        if pa.types.is_nested(kind):
            return f"{{{self.text}}} needs one value a row, not {kind}"
        return None

    def filled(self, value: object) -> str:
        """What a value puts in the placeholder's stead.

        Raises
        ------
        BadTemplate
            If the value does not fit.
        """
        try:
            if self.piece is not None:
                value = str(value)[self.piece]
            if isinstance(value, str) and (width := re.fullmatch(r"0(\d+)s?", self.form)):
                return value.zfill(int(width[1]))  # Python would put the zeros behind a text
            return format(str(value) if self.form.endswith("s") else value, self.form)
        except (ValueError, IndexError, TypeError) as error:
            raise BadTemplate(f"{{{self.text}}} does not fit the value {value!r} ({error})") from error


def columns_of(template: str) -> list[str]:
    """Catalog columns that a template names, each once."""
    return list(dict.fromkeys(p.name for p in placeholders(template) if p.name != BAND))


def names_band(template: str) -> bool:
    """Whether a template's path depends on the band."""
    return any(p.name == BAND for p in placeholders(template))


def is_glob(template: str | None) -> bool:
    """Whether a path has an asterisk and names no column: only footprints say which of its files an object lies on."""
    return template is not None and "*" in template and not columns_of(template)


def filled(template: str, values: Mapping[str, object], band: str) -> str:
    """The path for a band and the catalog's values; raises `BadTemplate` where a value does not fit."""
    texts = [p.filled(band if p.name == BAND else values[p.name]) for p in placeholders(template)]
    pieces = FIELD.split(template)[::2]
    return "".join(a + b for a, b in zip(pieces, [*texts, ""], strict=True))


def filled_pattern(template: str, values: Mapping[str, object], band: str) -> str:
    """The same as a pattern of files, in which a `*` of the template, and nothing else, stands for any characters but a slash."""
    texts = [p.filled(band if p.name == BAND else values[p.name]) for p in placeholders(template)]
    pieces = FIELD.split(template)[::2]
    pairs = zip(pieces, [*texts, ""], strict=True)
    return "".join(WILD.sub(r"[\1]", a).replace("[*]", "*") + WILD.sub(r"[\1]", b) for a, b in pairs)


def unfilled(template: str, *allowed: str) -> list[str]:
    """Placeholders of a template, with their braces, that nothing will be put in the place of."""
    return [f"{{{name}}}" for name in FIELD.findall(template) if name not in allowed]


def as_it_stands(path: str) -> str:
    """What to add to a message on a path that leads nowhere and has braces; nothing where it has none."""
    left = ", ".join(unfilled(path))
    return (
        f"; {left} is not filled in: only [survey.images] path and [measure] psf are templates"
        if left
        else ""
    )


@functools.lru_cache(maxsize=64)
def placeholders(template: str) -> tuple[Placeholder, ...]:
    """Everything between braces in a template.

    Raises
    ------
    BadTemplate
        If something there is none of what the grammar knows.
    """
    if re.search(r"[{}]", FIELD.sub("", template)):
        raise BadTemplate(f"{template!r} has a brace without its other half: {EXAMPLE}")
    return tuple(_placeholder(text) for text in FIELD.findall(template))


def _placeholder(text: str) -> Placeholder:
    name, form, piece = text, "", None
    if found := FORMAT.search(name):
        name, form = name[: found.start()], found[1]
    if found := PIECE.search(name):
        first, colon, last = found.groups()
        if first is None and not colon:
            raise BadTemplate(f"{{{text}}} has no place in its brackets: {EXAMPLE}")
        name = name[: found.start()]
        piece = slice(first and int(first), last and int(last)) if colon else int(first)
    if piece is not None and form[-1:] in {"d", "f"}:
        raise BadTemplate(f"{{{text}}} takes a piece of a text for a number: {EXAMPLE}")
    if not name.strip() or re.search(r"[\[\]:!]", name):
        raise BadTemplate(f"{{{text}}} is no placeholder: {EXAMPLE}")
    return Placeholder(text, name, piece, form)
