"""Look at a release as a plan does, and expect one clear fault or none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from catalogs.errors import Fault, Refused
from catalogs.inspect import inspect
from catalogs.release import Release
from catalogs.slices import slices_of
from catalogs.survey import Survey

Look = Callable[..., Release]
Fails = Callable[..., Fault]


@pytest.fixture
def look(tiny) -> Look:
    """`look(images={…}, survey={…})` inspects the tiny release; `tiny.write()` comes before, if its table was changed."""

    def look(**sections: dict[str, Any]) -> Release:
        survey = Survey.model_validate(tiny.config(**sections)["survey"])
        return inspect(survey, str(tiny.folder))

    return look


@pytest.fixture
def fails(look) -> Fails:
    """`fails(…)` expects exactly one fault, which says what to do, and returns it."""

    def fails(**sections: dict[str, Any]) -> Fault:
        with pytest.raises(Refused) as refused:
            look(**sections)
        assert len(refused.value.faults) == 1, str(refused.value)
        (fault,) = refused.value.faults
        assert fault.remedy
        assert "\n" not in str(fault)
        assert "  " not in str(fault)
        return fault

    return fails


def everything(release: Release, slice_rows: int = 16) -> pa.Table:
    """All objects of a release."""
    return pa.concat_tables([release.read(piece) for piece in slices_of(release.shards, slice_rows)])


@pytest.fixture
def objects(look) -> Callable[..., pa.Table]:
    """`objects(…)` inspects the tiny release and reads all of it."""
    return lambda **sections: everything(look(**sections))
