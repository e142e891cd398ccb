"""Headers of tables, parsed once for all that are alike: the shards of a release differ in little but their numbers of rows."""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from astropy.io import fits

from catalogs import headers
from catalogs.silence import silenced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catalogs._types import Array

KEPT = re.compile(
    rb"SIMPLE|XTENSION|BITPIX|NAXIS\d*|[PG]COUNT|TFIELDS|THEAP|T[A-Z]+\d+|EXTNAME|ZIMAGE|ZTABLE|"
    + headers.SYNTHETIC.encode()
)
"""Keywords of cards that say how data are read."""
COUNT = re.compile(rb"(NAXIS2|PCOUNT|THEAP) *= +(\d+) *(/.*)?", re.DOTALL)
"""A card that counts what only this table has, written as the standard wants it."""
LENGTH = 80
END = b"END".ljust(LENGTH)


_latest: dict[int, Found] = {}
"""By its length, the header that was read through last."""


class Found(NamedTuple):
    """A header that was read through."""

    cards: Array
    own: bytes
    """The cards that say how data are read."""
    counts: dict[int, tuple[str, int]]
    """Keyword and value of cards that count, by where they stand."""


@dataclass(frozen=True, slots=True)
class TableLayout:
    """What a header says of how its data are read."""

    text: bytes
    """The cards that say it, as a header of its own, with all counts 0: the same for all that are alike."""
    values: Mapping[str, Any]
    """Of these cards, and the counts."""
    digest: str
    """Of the whole header."""


def table_layout(text: bytes) -> tuple[TableLayout, int]:
    """A header's table_layout and the bytes of its data, for `headers.walk_as`."""
    cards = np.frombuffer(text, f"V{LENGTH}")
    found = _compared(cards, _latest.get(len(text)))
    if found is None:
        found = _latest[len(text)] = _read_through(cards)
    values = {**_values(found.own), **dict(found.counts.values())}
    return TableLayout(found.own, values, hashlib.sha256(text).hexdigest()), headers.data_bytes(values)


def _compared(cards: Array, like: Found | None) -> Found | None:
    """What a header says, if it differs from one that is known in nothing but counts and what is not kept."""
    if like is None:
        return None
    counts = dict(like.counts)
    for place in np.flatnonzero(cards != like.cards).tolist():
        card, before = bytes(cards[place]), bytes(like.cards[place])
        if place in counts and (count := COUNT.fullmatch(card)) and count[1] == before[:8].rstrip():
            counts[place] = (counts[place][0], int(count[2]))
        elif card[:8] != before[:8] or card[:8] in {b"END     ", b"CONTINUE"} or _kept(card[:8]):
            return None
    return Found(cards, like.own, counts)


def _read_through(cards: Array) -> Found:
    lines, kept, counts = [], False, dict[int, tuple[str, int]]()
    for place, card in enumerate(map(bytes, cards)):
        keyword = card[:8]
        if keyword == b"END     ":
            break
        kept = _kept(keyword) or (kept and keyword == b"CONTINUE")
        if not kept:
            continue
        count = COUNT.fullmatch(card)
        if count is None or any(count[1].decode() == other for other, _ in counts.values()):
            lines.append(card)
        else:
            counts[place] = count[1].decode(), int(count[2])
            lines.append(keyword + b"=" + b"0".rjust(21) + b" " * 50)
    own = b"".join([*lines, END])
    return Found(cards, own + b" " * (-len(own) % headers.BLOCK), counts)


@functools.lru_cache(maxsize=4096)
def _kept(keyword: bytes) -> bool:
    return KEPT.fullmatch(keyword.rstrip()) is not None


@functools.lru_cache(maxsize=256)
def _values(text: bytes) -> dict[str, Any]:
    with silenced():
        # Where a keyword stands twice, the first one counts.
        return dict(reversed(list(fits.Header.fromfile(BytesIO(text), padding=True).items())))
