"""An actor says how far it is with a slice, by what its steps take, and comes to the same values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from actors import measurer
from actors.factory import EncodeAndMeasure
from actors.progress import TwoSteps
from tests.actors.test_encoder import stamps, table

ENCODER: dict[str, Any] = {
    "model": "timm:test_convnext",
    "bands": 2,
    "size": 32,
    "input": 32,
    "batch_size": 8,
}
MEASURER: dict[str, Any] = {"bands": 2, "size": 32, "band": 1, "quantities": ["gini", "cas", "sersic"]}


def test_steps_are_judged_by_what_they_took():
    told, seconds = [], [3.0, 1.0]
    steps = TwoSteps(told.append, seconds, 4)
    steps.first(2)
    steps.between()
    steps.second(4)
    steps.over()
    assert told == [0.375, 0.75, 1.0]
    assert seconds[0] > 3.0
    assert seconds[1] > 1.0


@pytest.mark.parametrize(
    "others", [[], [{"name": "g", "band": 0, "psf": None, "fwhm": None, "gain": None, "zeropoint": None}]]
)
def test_measuring_in_shares_changes_values_or_says_nothing(monkeypatch, others):
    usable = np.arange(20) % 7 != 3
    rows = table(stamps(20, bands=2), usable).append_column("flags", pa.array(np.zeros(20, np.int32)))
    options = {**MEASURER, "name": "r", "others": others}
    whole = EncodeAndMeasure(ENCODER, options, None)(rows)
    monkeypatch.setattr(measurer, "_PIXELS", 3 * 32**2)
    actor, told = EncodeAndMeasure(ENCODER, options, None), list[float]()
    actor.progress = told.append
    assert actor(rows).equals(whole)
    assert told == sorted(told)
    assert len(set(told)) >= np.count_nonzero(usable) // 3
    assert told[-1] == pytest.approx(1.0)
