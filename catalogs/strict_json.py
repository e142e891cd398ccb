"""Values as JSON that every parser reads: it has no NaN and no infinity, and its integers have all their digits."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any


def dumps(value: Any, indent: int | None = None) -> str:
    """Any value that Arrow, DuckDB or a config gives, as JSON; see `plain`."""
    return json.dumps(plain(value), indent=indent, allow_nan=False, ensure_ascii=False)


def plain(value: Any) -> Any:
    """A value of what JSON has.

    NaN and infinity are null, at any depth. Decimals without decimals are integers; others are numbers where a float holds them,
    and else texts. Dates and times are texts as ISO 8601 writes them, bytes are texts of hexadecimal digits.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if hasattr(value, "nanoseconds") and hasattr(value, "months"):  # an interval as Arrow gives it
        return {part: int(getattr(value, part)) for part in ("months", "days", "nanoseconds")}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(part) for part in value]
    return value if value is None or isinstance(value, bool | int | str) else _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    # NumPy's numbers know what they are to Python.
    return plain(value.item()) if hasattr(value, "item") else str(value)


def _number(value: Decimal) -> int | float | str | None:
    if not value.is_finite():
        return None
    if value == value.to_integral_value() and value.as_tuple().exponent == 0:
        return int(value)
    near = float(value)
    return near if Decimal(repr(near)) == value else str(value)
