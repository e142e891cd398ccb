"""What an encoder is told beside the stamps: what would give an object another's numbers, or take what is missing for a number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn

from catalogs.errors import Fault, Refused
from catalogs.flags import UNUSABLE, Flag
from catalogs.inspect import inspect
from catalogs.modalities import MODALITIES, ModalitySource, ScalarColumns, VectorColumns
from catalogs.release import Release
from catalogs.survey import Survey
from tests.catalogs.conftest import everything

N = 64
RNG = np.random.default_rng(23)
FLUX = RNG.normal(5, 1, (N, 6))
IVAR = RNG.uniform(1, 2, (N, 6))
WAVE = np.tile(np.linspace(400, 900, 6), (N, 1))
PHOTOMETRY = ScalarColumns("photometry", ("MAG", "MAG_R"), ("MAG_ERR", None), 99.0)


def spectrum(**more: Any) -> VectorColumns:
    return VectorColumns(**{"name": "spectrum", "column": "FLUX", "wavelengths": (400.0, 900.0), **more})


@pytest.fixture
def look(tiny):
    """`look(modalities)` inspects the tiny release as it was written last."""

    def look(*modalities: ScalarColumns | VectorColumns, **sections: dict[str, Any]) -> Release:
        scalars = tuple(each for each in modalities if isinstance(each, ScalarColumns))
        vectors = tuple(each for each in modalities if isinstance(each, VectorColumns))
        survey = Survey.model_validate(tiny.config(**sections)["survey"])
        return inspect(survey, str(tiny.folder), modalities=ModalitySource(scalars, vectors))

    return look


@pytest.fixture
def fails(look):
    def fails(*modalities: ScalarColumns | VectorColumns, **sections: dict[str, Any]) -> Fault:
        with pytest.raises(Refused) as refused:
            look(*modalities, **sections)
        (fault,) = refused.value.faults
        assert fault.file
        assert "\n" not in str(fault)
        return fault

    return fails


def told(objects: pa.Table) -> np.ndarray:
    """The rows of all objects."""
    column = objects[MODALITIES].combine_chunks()
    assert column.type.value_type == pa.float32()
    return column.values.to_numpy().reshape(len(column), -1)


def lacking(objects: pa.Table) -> list[int]:
    """Objects with the flag."""
    flags = objects["flags"].to_numpy()
    assert not (flags & UNUSABLE).any()
    return np.flatnonzero(flags & Flag.MISSING_MODALITY).tolist()


def as_parquet(tiny, columns: dict[str, pa.Array]) -> dict[str, Any]:
    """Write the catalog as Parquet with more columns; the config's section."""
    table = pa.table(
        {name: tiny.table[name].tolist() for name in ("NUMBER", "RA", "DEC", "MAG", "TILE")} | columns
    )
    for path in (tiny.folder / "catalogs").glob("*"):
        path.unlink()
    for i in range(2):
        pq.write_table(table.slice(32 * i, 32), tiny.folder / f"catalogs/s{i}.parquet", row_group_size=13)
    return {"catalogs": "catalogs/*.parquet"}


def full(tiny) -> None:
    tiny.table["MAG_ERR"] = 0.1 + 0.001 * np.arange(N)
    tiny.table["MAG_R"] = np.arange(N, dtype=np.uint16)
    tiny.table["FLUX"], tiny.table["IVAR"] = FLUX.astype(np.float32), IVAR
    tiny.write(2)


def test_row_of_an_object_is_out_of_order(tiny, look) -> None:
    full(tiny)
    release = look(PHOTOMETRY, spectrum(ivar="IVAR"))
    assert release.modalities is not None
    assert release.modalities.width == 2 * 2 + 2 * 6
    assert release.modalities.vectors[0].grid == (400, 500, 600, 700, 800, 900)
    found = told(everything(release))
    expected = np.column_stack(
        [tiny.table["MAG"], np.arange(N), tiny.table["MAG_ERR"], np.full(N, np.nan), FLUX, IVAR]
    )
    np.testing.assert_array_equal(found, expected.astype(np.float32))
    for rows in (1, 7, N):
        assert told(everything(release, rows)).tobytes() == found.tobytes()


def test_modalities_leave_the_rest_of_a_table_as_it_is(tiny, look) -> None:
    full(tiny)
    survey = Survey.model_validate(tiny.config()["survey"])
    without = everything(inspect(survey, str(tiny.folder)))
    assert everything(look(PHOTOMETRY)).drop_columns([MODALITIES]).equals(without)


def test_missing_scalars_are_taken_for_numbers(tiny, look) -> None:
    values = 20 + np.zeros(N)
    values[:4] = np.nan, np.inf, 99.0, 1e39
    errors = 0.5 + np.zeros(N)
    errors[:9] = 0.1, 0.1, 0.1, 0.1, 0.0, -1.0, np.nan, np.inf, 1e-60
    tiny.table["MAG"], tiny.table["MAG_ERR"] = values, errors
    tiny.table["MAG_R"] = MaskedColumn(np.arange(N), mask=np.arange(N) < 2)
    tiny.write(2)
    objects = everything(look(PHOTOMETRY))
    found = told(objects)
    assert np.isnan(found[:4, 0]).all()
    assert (found[4:, 0] == 20).all()
    assert np.isnan(found[:2, 1]).all()
    assert (found[2:, 1] == np.arange(2, N)).all()
    assert np.isnan(found[:9, 2]).all()
    assert (found[9:, 2] == 0.5).all()
    assert lacking(objects) == [0, 1], "objects that have one scalar have the modality"


def test_missing_value_of_a_float32_column(tiny, look) -> None:
    tiny.table["MAG"] = np.where(np.arange(N) < 3, 99.9, 20.0).astype(np.float32)
    tiny.write(2)
    objects = everything(look(ScalarColumns("photometry", ("MAG",), (None,), 99.9)))
    assert lacking(objects) == [0, 1, 2]


def test_scalar_that_a_catalog_lacks_keeps_its_place(tiny, look) -> None:
    objects = everything(look(ScalarColumns("photometry", (None, "MAG"), (None, None))))
    found = told(objects)
    assert np.isnan(found[:, [0, 2, 3]]).all()
    np.testing.assert_array_equal(found[:, 1], np.float32(tiny.table["MAG"]))
    assert lacking(objects) == []


def test_gaps_of_a_spectrum_are_taken_for_data(tiny, look) -> None:
    flux, ivar = FLUX.copy(), IVAR.copy()
    flux[0, 0], flux[0, 1] = np.nan, np.inf
    ivar[0, 2:6] = 0, -1, np.nan, np.inf
    flux[1], ivar[2] = np.nan, 0
    tiny.table["FLUX"], tiny.table["IVAR"] = flux, ivar
    tiny.write(2)
    objects = everything(look(spectrum(ivar="IVAR")))
    found = told(objects)
    assert np.isnan(found[0, :4]).all()
    np.testing.assert_array_equal(found[0, 4:6], np.float32(flux[0, 4:6]))
    np.testing.assert_array_equal(found[0, 6:], [0, 0, 0, 0, np.nan, np.nan])
    for row in (1, 2):
        assert np.isnan(found[row, :6]).all()
        assert not found[row, 6:].any()
    assert lacking(objects) == [1, 2]


def test_inverse_variance_that_is_not_known(tiny, look) -> None:
    flux = FLUX.copy()
    flux[0, 3] = np.nan
    tiny.table["FLUX"] = flux
    tiny.table["IVAR"] = np.full((N, 6), 1e-60)  # nothing in float32, but data all the same
    tiny.write(2)
    for vector in (spectrum(), spectrum(ivar="IVAR")):
        found = told(everything(look(vector)))
        np.testing.assert_array_equal(found[:, :6], np.float32(flux))
        assert found[0, 6 + 3] == 0
        assert np.isnan(np.delete(found[:, 6:].ravel(), 3)).all()


@pytest.mark.parametrize("kind", ["fits P", "parquet list", "parquet large list of float16", "parquet fixed"])
def test_vectors_of_another_length_are_missing(tiny, look, kind: str) -> None:
    flux = FLUX.astype(np.float16).astype(np.float32)
    rows = [each[:4] if i == 5 else each for i, each in enumerate(flux)]
    rows[9] = np.zeros(0, np.float32)
    section: dict[str, Any] = {}
    if kind == "fits P":
        numbers = tiny.table
        tiny.table.remove_column("MAG")
        columns = [
            *fits.BinTableHDU(numbers).columns,
            fits.Column("FLUX", "PE()", array=np.array(rows, object)),
        ]
        columns += [fits.Column("MAG", "E", array=np.zeros(N))]
        for path in (tiny.folder / "catalogs").glob("*"):
            path.unlink()
        fits.BinTableHDU.from_columns(columns).writeto(tiny.folder / "catalogs/s.fits")
    else:
        types = {
            "parquet list": pa.list_(pa.float64()),
            "parquet large list of float16": pa.large_list(pa.float16()),
            "parquet fixed": pa.list_(pa.float32(), 6),
        }
        lists = [
            None if kind == "parquet fixed" and len(row) < 6 else row.astype(np.float64).tolist()
            for row in rows
        ]
        if kind == "parquet large list of float16":
            lists = [[np.float16(value) for value in row] for row in lists]
        lists[9] = None
        section = as_parquet(tiny, {"FLUX": pa.array(lists, types[kind])})
    release = look(spectrum(), survey=section)
    for slice_rows in (1, 16):
        objects = everything(release, slice_rows)
        assert lacking(objects) == [5, 9]
        found = told(objects)
        np.testing.assert_array_equal(np.delete(found[:, :6], [5, 9], 0), np.delete(flux, [5, 9], 0))


def test_null_among_the_values_of_a_list(tiny, look) -> None:
    lists = FLUX.tolist()
    lists[3][2] = None
    integers = [[int(value) for value in row] for row in IVAR * 10]
    integers[4][1] = None
    section = as_parquet(
        tiny,
        {
            "FLUX": pa.array(lists, pa.list_(pa.float64())),
            "IVAR": pa.array(integers, pa.list_(pa.int32(), 6)),
        },
    )
    found = told(everything(look(spectrum(ivar="IVAR"), survey=section)))
    assert np.isnan(found[:, :6]).sum() == 1
    assert np.isnan(found[3, 2])
    assert found[3, 6 + 2] == 0
    assert np.isnan(found[4, 6 + 1])
    assert found[4, 1] == np.float32(FLUX[4, 1])


def test_spectrum_on_other_wavelengths_is_missing(tiny, look) -> None:
    wave = WAVE.copy()
    wave[0] = np.nan
    wave[7] += 1.5  # of steps of 100
    wave[8] += 0.5
    tiny.table["FLUX"], tiny.table["WAVE"] = FLUX, 10 * wave
    tiny.table["WAVE"].unit = "Angstrom"
    tiny.write(2)
    release = look(spectrum(wavelengths="WAVE"))
    assert release.modalities is not None
    assert release.modalities.vectors[0].grid == (400, 500, 600, 700, 800, 900)
    assert lacking(everything(release)) == [0, 7]
    assert not any("nm" in note for note in release.notes)


def test_wavelengths_without_a_unit_have_a_note(tiny, look) -> None:
    tiny.table["FLUX"], tiny.table["WAVE"] = FLUX, WAVE
    tiny.write(2)
    notes = look(spectrum(wavelengths="WAVE")).notes
    assert "Column 'WAVE' has no unit: its wavelengths are taken to be in nm." in notes


def test_wavelengths_in_even_ratios(tiny, look) -> None:
    full(tiny)
    release = look(spectrum(wavelengths=(100.0, 3200.0), spacing="log"))
    assert release.modalities is not None
    np.testing.assert_allclose(release.modalities.vectors[0].grid, [100, 200, 400, 800, 1600, 3200])


def test_columns_that_cannot_be_modalities(tiny, fails, look) -> None:
    tiny.table["WAVE"], tiny.table["FALLS"] = WAVE, WAVE[:, ::-1]
    tiny.table["SHORT"], tiny.table["NONE"] = WAVE[:, :4], np.full((N, 6), np.nan)
    tiny.table["TEXTS"] = np.full((N, 6), "a")
    tiny.table["GHZ"] = WAVE
    tiny.table["GHZ"].unit = "GHz"
    full(tiny)
    url = str(tiny.folder / "catalogs/s00.fits")

    def text(*modalities: ScalarColumns | VectorColumns) -> str:
        return str(fails(*modalities)).replace(url, "s00")

    assert text(ScalarColumns("p", ("TILE",), (None,))) == (
        "s00, column 'TILE': is string, not a number, as [[modalities.scalars]] 'p' needs. Choose another column"
    )
    assert text(ScalarColumns("p", ("FLUX",), (None,))).startswith(
        "s00, column 'FLUX': is fixed_size_list<item: float>[6], not a number"
    )
    assert text(spectrum(column="MAG")) == (
        "s00, column 'MAG': is double, not a vector of numbers, as [[modalities.vectors]] 'spectrum' needs. Choose another column"
    )
    assert "column 'TEXTS': is fixed_size_list" in text(spectrum(column="TEXTS"))
    assert text(spectrum(ivar="SHORT")) == (
        "s00, column 'SHORT': has 4 values, but 'FLUX' has 6. Choose another column"
    )
    assert text(spectrum(wavelengths="SHORT")) == (
        "s00, column 'SHORT': has 4 values, but 'FLUX' has 6. Choose another column"
    )
    assert text(spectrum(wavelengths="FALLS")) == (
        "s00, column 'FALLS': wavelengths must ascend, and be above 0, but row 0 has 900, 800 nm. "
        "Choose another column, or give them in the config"
    )
    assert text(spectrum(wavelengths="NONE")) == (
        "s00, column 'NONE': none of the first 1,024 rows has 6 wavelengths, as many as 'FLUX' has values. "
        "Choose another column, or give them in the config"
    )
    assert text(spectrum(wavelengths="GHZ")) == (
        "s00, column 'GHZ', value unit 'GHz': wavelengths are lengths. Choose a column of wavelengths, or give them in the config, in nm"
    )
    assert text(spectrum(wavelengths=(1.0, 2.0, 3.0))) == (
        "s00, column 'FLUX': has 6 values, but [[modalities.vectors]] 'spectrum' has 3 wavelengths. "
        "Give one a value, or the first and the last one"
    )
    with pytest.raises(Refused) as refused:
        look(ScalarColumns("p", ("MAGG", "TILE"), ("NOPE", None)), spectrum(column="FLUXX"))
    told = sorted(str(fault) for fault in refused.value.faults)
    assert [fault.column for fault in refused.value.faults] == ["FLUXX", "MAGG", "NOPE"]
    assert "column 'MAGG': no such column, which [modalities] 'p' names" in told[1]
    assert "Did you mean 'MAG'? There are: NUMBER, RA" in told[1]
    assert "the same in 1 more files" in told[1]


def test_lists_of_no_known_length(tiny, fails, look) -> None:
    empty = pa.array([None, []] * 32, pa.list_(pa.float32()))
    ivar = pa.array([[1.0, 2.0]] * N, pa.list_(pa.float32()))
    section = as_parquet(tiny, {"FLUX": empty, "IVAR": ivar})
    fault = fails(spectrum(), survey=section)
    assert fault.problem == "none of the first 1,024 rows has a value, so the length is not known"
    release = look(spectrum(length=6), survey=section)
    assert lacking(everything(release)) == list(range(N))
    listed = look(spectrum(wavelengths=(1.0, 2.0, 4.0)), survey=section)
    assert listed.modalities is not None
    assert listed.modalities.vectors[0].length == 3
    fault = fails(spectrum(length=6, ivar="IVAR"), survey=section)
    assert (fault.column, fault.problem) == ("IVAR", "has 2 values, but 'FLUX' has 6")


def test_most_frequent_length_is_the_vectors(tiny, look) -> None:
    lists = [FLUX[i, : (4 if i < 10 else 6)].tolist() for i in range(N)]
    section = as_parquet(tiny, {"FLUX": pa.array(lists, pa.list_(pa.float32()))})
    release = look(spectrum(length=4), survey=section)
    assert release.modalities is not None
    assert release.modalities.vectors[0].length == 6
