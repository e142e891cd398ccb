"""Whatever is typed as a condition is judged or refused: it never ends in a traceback, nor in a message of many lines."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from catalogs import where
from tests.fuzz import fuzz

ROWS = pa.table(
    {
        "SNR": [float("nan"), 4.0, None],
        "ra": [1.0, 2.0, 3.0],
        "RA": pa.array([1, 2, None], pa.uint64()),
        "T": ["a", "nan", None],
        "B": [True, None, False],
        "V": pa.array([[1.0, float("nan")], None, [2.0, 3.0]], pa.list_(pa.float32(), 2)),
        "f": pa.array([0.0, float("inf"), None], pa.float32()),
    }
)
ATOMS = st.sampled_from(
    [
        "SNR",
        '"ra"',
        "RA",
        "Ra",
        "T",
        "B",
        "V[1]",
        "V",
        "f",
        "0",
        "5",
        "-1e400",
        "18446744073709551615",
        "'nan'",
        "''",
        "NULL",
        "true",
        "2.5",
    ]
)


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    compared = st.tuples(
        pair, st.sampled_from(["<", ">=", "=", "<>", "+", "/", "%", "//", "AND", "OR", "LIKE", "**", "||"])
    )
    return (
        compared.map(lambda p: f"({p[0][0]} {p[1]} {p[0][1]})")
        | pair.map(lambda p: f"({p[0]} BETWEEN {p[1]} AND {p[0]})")
        | pair.map(lambda p: f"({p[0]} IN ({p[1]}, 1))")
        | pair.map(lambda p: f"greatest({p[0]}, {p[1]})")
        | pair.map(lambda p: f"CASE WHEN {p[0]} THEN {p[1]} END")
        | st.tuples(
            inner, st.sampled_from(["isnan", "sqrt", "log10", "abs", "NOT ", "-", "lower", "isfinite"])
        ).map(lambda p: f"{p[1]}({p[0]})")
        | st.tuples(inner, st.sampled_from(["INTEGER", "DOUBLE", "VARCHAR", "DATE", "DECIMAL(3, 1)"])).map(
            lambda p: f"({p[0]})::{p[1]}"
        )
        | inner.map(lambda p: f"({p} IS NULL)")
    )


WELL_FORMED = st.recursive(ATOMS, _larger, max_leaves=6)
ANYTHING = st.text(max_size=20) | st.text(st.sampled_from("SNRaT\"'()<>=,;-/*\n\0[]{}:.$?5 "), max_size=20)


@fuzz(25)
@given(WELL_FORMED | ANYTHING)
def test_any_condition_is_judged_or_refused_in_one_line(condition):
    told = _judged(condition)
    assert "\n" not in told
    assert len(told) < 1000


def _judged(condition: str) -> str:
    try:
        where.check(condition, ROWS.schema)
        assert where.selected(condition, ROWS).shape == (3,)
    except where.BadCondition as error:
        return str(error)
    return ""
