"""Missing values stay missing, however their writer meant TNULL; and no number becomes one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn

from catalogs import where
from tests.catalogs.conftest import everything

MASK = np.arange(64) % 3 == 0
VALUES = np.arange(64) % 100
UNSIGNED = {"uint16": ("I", 2**15), "uint32": ("J", 2**31), "uint64": ("K", 2**63)}


def kept(look, tiny, *names: str):
    return look(survey={"keep": list(names)})


def masked(tiny, **columns) -> None:
    for name, column in columns.items():
        tiny.table[name] = column
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tiny.write(2)


@pytest.fixture(autouse=True)
def whole_survey(look, tiny):
    """`look(survey={…})` replaces the whole section: keep the rest of it."""
    config = tiny.config

    def with_survey(survey=None, **sections):
        values = config(**sections)
        values["survey"] = {**values["survey"], **(survey or {})}
        return values

    tiny.config = with_survey


@pytest.mark.parametrize("kind", ["uint8", "uint16", "uint32", "uint64", "int16", "int32", "int64"])
@pytest.mark.parametrize("fill", [None, 0, 99])
def test_masked_integers_of_astropy_are_null(look, tiny, kind, fill):
    values = np.where(fill == VALUES, 98, VALUES)  # what is filled in stands nowhere else
    masked(tiny, M=MaskedColumn(values.astype(kind), mask=MASK, fill_value=fill))
    release = kept(look, tiny, "M")
    found = everything(release, 64)["M"]
    assert found.to_pylist() == [None if m else v for v, m in zip(values.tolist(), MASK, strict=True)]
    condition = where.selected("M >= 0", release.shards[0].table.read(0, 32, ["M"]))
    assert condition.tolist() == (~MASK[:32]).tolist()


@pytest.mark.parametrize("kind", ["uint8", "uint16", "uint32", "uint64", "int16", "int32"])
def test_masked_elements_of_vectors_are_null(look, tiny, kind):
    values, mask = np.stack([VALUES, VALUES + 1], axis=1), np.stack([MASK, ~MASK], axis=1)
    masked(tiny, V=MaskedColumn(values.astype(kind), mask=mask))
    found = everything(kept(look, tiny, "V"), 64)["V"].to_pylist()
    expected = [
        [None if m else v for v, m in zip(*row, strict=True)]
        for row in zip(values.tolist(), mask, strict=True)
    ]
    assert found == expected


def by_the_standard(tiny, kind: str, null: int) -> None:
    """A column whose TNULL is the stored number, as cfitsio writes it: row 3 is missing."""
    tiny.write(1)
    shard = tiny.folder / "catalogs" / "s00.fits"
    letter, zero = UNSIGNED[kind]
    stored = (VALUES.astype(np.int64) + np.int64(-zero)).astype(f"i{np.dtype(kind).itemsize}")
    stored[3] = null
    with fits.open(shard) as file:
        made = fits.BinTableHDU.from_columns([*file[1].columns, fits.Column("M", letter, array=stored)])
        number = len(made.columns)
        made.header[f"TZERO{number}"], made.header[f"TNULL{number}"] = zero, null
        made.writeto(shard, overwrite=True)


@pytest.mark.parametrize("kind", UNSIGNED)
@pytest.mark.parametrize("null", ["least", "greatest", 500])
def test_the_stored_number_that_the_standard_means_is_null(look, tiny, kind, null):
    bits = 8 * np.dtype(kind).itemsize
    stored = {"least": -(2 ** (bits - 1)), "greatest": 2 ** (bits - 1) - 1}.get(null, null)
    by_the_standard(tiny, kind, stored)
    if null == "least":  # which is the physical 0, and row 0 has that
        expected = [None if v == 0 or i == 3 else v for i, v in enumerate(VALUES.tolist())]
    else:
        expected = [None if i == 3 else v for i, v in enumerate(VALUES.tolist())]
    assert everything(kept(look, tiny, "M"), 64)["M"].to_pylist() == expected


def test_where_both_readings_are_possible_the_plan_says_which_it_took(look, tiny):
    masked(
        tiny,
        M=MaskedColumn(VALUES.astype(np.uint32), mask=MASK),
        N=MaskedColumn(VALUES.astype(np.int32), mask=MASK),
    )
    (note,) = kept(look, tiny, "M", "N").notes
    assert "'M'" in note
    assert "as astropy writes it (22 such values; 0 of the other reading)" in note
    tiny.table.remove_columns(["M", "N"])
    by_the_standard(tiny, "uint16", 500)
    (note,) = kept(look, tiny, "M").notes
    assert "as the standard says (1 such values; 0 of the other reading)" in note


def test_shards_agree_on_the_reading_also_where_only_one_shows_it(look, tiny):
    values = np.where(np.arange(64) < 40, 7, VALUES)
    masked(tiny, M=MaskedColumn(values.astype(np.uint16), mask=np.arange(64) == 50, fill_value=3))
    release = kept(look, tiny, "M")
    assert len(release.shards) == 2
    found = everything(release)["M"]
    assert found.null_count == 1
    assert found[50].as_py() is None


def test_null_pixels_of_a_vector_column_are_bad_pixels(look, tiny):
    stamps = np.tile(np.arange(1024, dtype=np.uint16).reshape(32, 32), (64, 1, 1))
    mask = np.zeros(stamps.shape, bool)
    mask[5, 10, 10] = True
    masked(tiny, STAMP=MaskedColumn(stamps, mask=mask))
    layout = {"layout": "column", "column": "STAMP", "pixel_scale": 0.2}
    flags = everything(look(images=layout), 64)["flags"].to_pylist()
    assert [i for i, flag in enumerate(flags) if flag & 4] == [5]
