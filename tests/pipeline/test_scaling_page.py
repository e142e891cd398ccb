"""What docs/scaling.md computes follows from what was measured."""

from __future__ import annotations

import pytest

from benchmarks import cost
from benchmarks.common import with_tables


def test_tables_of_an_earlier_measurement():
    text = cost.PAGE.read_text(encoding="utf-8")
    assert with_tables(text, cost.tables()) == text, "run: python -m benchmarks.cost"


def test_two_rates_follow_each_other():
    assert cost.core_hours(36_000, 10, 5) == pytest.approx(3)
