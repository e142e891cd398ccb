"""Ids of several columns: unique where the survey's own are not, null where one of them is, and the same in every kind of catalog."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import MaskedColumn
from pydantic import ValidationError

from catalogs.survey import Survey
from tests.catalogs.conftest import everything

TWO = "{brickname}-{objid:03d}"


@pytest.fixture
def bricks(tiny):
    """Two bricks, in each of which objects are counted from 0."""
    tiny.table["brickname"] = np.repeat(["1498p020", "1500p020"], 32)
    tiny.table["objid"] = np.tile(np.arange(32, dtype=np.int32), 2)
    tiny.write(2)
    return tiny


def test_numbers_of_a_brick_are_ids_of_a_release(fails, bricks):
    assert "stands 2 times" in str(
        fails(survey={**bricks.config()["survey"], "id": "objid", "where": "objid = 0"})
    )


@pytest.mark.parametrize("kind", ["fits", "parquet", "csv"])
def test_ids_of_two_columns_are_others_by_kind(look, bricks, kind):
    if kind != "fits":
        bricks.table.write(bricks.folder / "catalogs" / f"all.{kind}")
    keys = {"id": TWO, "catalogs": f"catalogs/*.{kind}", "keep": ["MAG", "objid"], "where": "objid < 3"}
    found = everything(look(survey={**bricks.config()["survey"], **keys}), 7)
    assert found["object_id"].to_pylist() == [
        f"{brick}-{i:03d}" for brick in ("1498p020", "1500p020") for i in range(3)
    ]
    assert found["objid"].to_pylist() == [0, 1, 2] * 2


def test_an_object_without_one_of_the_columns_has_an_id(fails, bricks):
    bricks.table["objid"] = MaskedColumn(np.tile(np.arange(32), 2), mask=np.arange(64) == 5)
    bricks.table["objid"].fill_value = -9
    bricks.write(2)
    fault = fails(survey={**bricks.config()["survey"], "id": "{brickname}-{objid}"})
    assert "1 objects of the release have no id" in fault.problem


@pytest.mark.parametrize(("id_", "column", "told"), [("{brick}-{objid}", "brick", "no such column"), ("{brickname}-{MAG}", "MAG", "integers and texts"), ("{brickname:03d}", "brickname", "whole numbers")])  # fmt: skip
def test_an_id_is_made_of_anything(fails, bricks, id_, column, told):
    fault = fails(survey={**bricks.config()["survey"], "id": id_})
    assert fault.column == column
    assert told in fault.problem


@pytest.mark.parametrize("id_", ["{band}-{objid}", "{objid", "{}"])
def test_a_template_that_is_none_is_an_id(tiny, id_):
    with pytest.raises(ValidationError, match="id"):
        Survey.model_validate({**tiny.config()["survey"], "id": id_})
