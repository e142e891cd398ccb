"""The tables of the science pages are those of benchmarks/results."""

from __future__ import annotations

import pytest

from benchmarks import science
from benchmarks.common import with_tables


@pytest.mark.parametrize(
    ("page", "tables"), science.tables().items(), ids=lambda given: getattr(given, "stem", "")
)
def test_tables_of_an_earlier_measurement(page, tables):
    text = page.read_text(encoding="utf-8")
    assert with_tables(text, tables) == text, "run: python -m benchmarks.science"


def test_a_table_without_a_result():
    empty = [
        (page.name, name)
        for page, tables in science.tables().items()
        for name, table in tables.items()
        if not table.strip()
    ]
    assert not empty
