"""Which rows of a catalog have the same images: those for which path templates are filled alike, though their columns may differ beyond the pieces that are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catalogs.path_template import BAND, placeholders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalogs._types import Integers

__all__ = ["groups", "one_of_each"]

Piece = tuple[int, int | None]
"""First and last character (exclusive) of a value's text."""
WHOLE: Piece = (0, None)


def groups(rows: pa.Table, templates: Sequence[str]) -> list[tuple[dict[str, object], Integers]]:
    """Rows for which some path templates are filled alike, in order of first appearance.

    Parameters
    ----------
    rows : pa.Table
        With the templates' columns.
    templates : sequence of str

    Returns
    -------
    groups : list of (dict, (n,) int)
        Values of the templates' columns in a group's first row, and the numbers of its rows.
    """
    pieces = _pieces(templates)
    if not pieces:
        return [({}, np.arange(rows.num_rows))] if rows.num_rows else []
    found: dict[tuple[object, ...], list[int]] = {}
    for i, key in enumerate(
        zip(*(column.to_pylist() for column in _keys(rows, pieces).columns), strict=True)
    ):
        found.setdefault(key, []).append(i)
    first = pa.array([which[0] for which in found.values()], pa.int64())
    values = rows.select(list(pieces)).take(first).to_pylist()
    return [(named, np.array(which)) for named, which in zip(values, found.values(), strict=True)]


def one_of_each(rows: pa.Table, templates: Sequence[str], others: Sequence[str]) -> pa.Table:
    """The templates' columns and some others, one row for each way in which the templates are filled and each value of the others."""
    pieces = _pieces(templates) | {name: {WHOLE} for name in others}
    keys = _keys(rows, pieces)
    keys = keys.append_column("row", pa.array(np.arange(rows.num_rows)))
    first = keys.group_by(keys.column_names[:-1], use_threads=False).aggregate([("row", "min")])
    return rows.select(list(pieces)).take(first["row_min"])


def _pieces(templates: Sequence[str]) -> dict[str, set[Piece]]:
    """What some templates take of each of their columns."""
    taken: dict[str, set[Piece]] = {}
    for place in (place for template in templates for place in placeholders(template) if place.name != BAND):
        piece = place.piece
        if piece is None:
            cut = WHOLE
        elif isinstance(piece, int):
            cut = (piece, piece + 1 or None)
        else:
            cut = (piece.start or 0, piece.stop)
        taken.setdefault(place.name, set()).add(cut)
    return taken


def _keys(rows: pa.Table, pieces: dict[str, set[Piece]]) -> pa.Table:
    """The columns, or pieces of their texts, that tell images apart."""
    keys = list[pa.ChunkedArray]()
    for name, cuts in pieces.items():
        kind = rows[name].type
        if WHOLE in cuts or not (pa.types.is_integer(kind) or pa.types.is_string(kind)):
            keys.append(rows[name])
        else:
            texts = pc.cast(rows[name], pa.string())
            keys += [
                pc.utf8_slice_codeunits(texts, *cut)
                for cut in sorted(cuts, key=lambda cut: (cut[0], str(cut[1])))
            ]
    return pa.Table.from_arrays(keys, [str(number) for number in range(len(keys))])
