"""What a condition may be made of: expressions, types and functions that are known to be harmless."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from catalogs.syntax import Node

EXPRESSIONS = {
    *("COLUMN_REF", "CONSTANT", "COMPARISON", "CONJUNCTION", "BETWEEN", "OPERATOR", "CASE", "FUNCTION"),
    *("CAST", "TYPE"),
}
"""What a condition is made of: no subqueries, windows, stars, lambdas or parameters."""
TYPES = {
    *("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT"),
    *("UINTEGER", "UBIGINT", "FLOAT", "REAL", "DOUBLE", "DECIMAL", "VARCHAR", "TEXT", "STRING", "DATE"),
    *("TIME", "TIMESTAMP"),
}
"""What it may cast to: an array of arrays takes terabytes in a few characters."""
FUNCTIONS = {
    *("+", "-", "*", "/", "//", "%", "**", "^", "&", "|", "~", "<<", ">>", "xor", "add", "subtract"),
    *("multiply", "divide", "mod", "abs", "sign", "signbit", "ceil", "ceiling", "floor", "round"),
    *("trunc", "even", "sqrt", "cbrt", "exp", "ln", "log", "log2", "log10", "pow", "power", "greatest"),
    *("least", "isnan", "isinf", "isfinite", "pi", "degrees", "radians", "sin", "cos", "tan", "cot"),
    *("asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "bit_count"),
    *("gamma", "lgamma", "nextafter", "hash", "||", "concat", "concat_ws", "length", "len", "strlen"),
    *("lower", "lcase", "upper", "ucase", "trim", "ltrim", "rtrim", "left", "right", "substr"),
    *("substring", "reverse", "ascii", "unicode", "md5", "sha256", "contains", "prefix", "suffix"),
    *("starts_with", "ends_with", "^@", "instr", "position", "strpos", "split_part", "~~", "!~~"),
    *("~~*", "!~~*", "~~~", "like_escape", "not_like_escape", "ilike_escape", "not_ilike_escape"),
    *("regexp_matches", "regexp_full_match", "regexp_extract", "nullif", "ifnull", "list_value"),
    *("list_extract", "list_element", "array_extract", "list_contains", "array_contains", "year"),
    *("month", "day", "hour", "minute", "second", "date_part", "datepart", "date_diff", "datediff"),
    *("date_trunc", "make_date", "strptime", "try_strptime", "epoch", "julian"),
}
"""What it may call: functions of one row whose answer is always the same, and not much longer than what they are given."""


def stranger(parts: Iterable[Node]) -> str | None:
    """What is wrong with the parts of a condition, or None. What is not known to be harmless is refused: DuckDB gains functions with every release."""
    for part in parts:
        kind = part.get("class", "COLUMN_REF")
        if kind not in EXPRESSIONS:
            shown = "*" if kind == "STAR" else kind.lower()
            return f"a {shown} is not allowed: every row is judged by its own columns"
        if kind == "FUNCTION" and part["function_name"].lower() not in FUNCTIONS:
            return f"{part['function_name']}() is not among the functions that a condition may use"
        # DuckDB 1 keeps a cast's type in the cast, DuckDB 2 beside it.
        named = part.get("type_name") if kind == "TYPE" else part.get("cast_type", {}).get("id")
        if named is not None and named.upper() not in TYPES:
            return f"{named} is not among the types that a condition may cast to"
    return None
