"""The section `[modalities]`: what would be read as something else than its author meant."""

from __future__ import annotations

from typing import Any

import pytest

from catalogs.errors import Refused
from kernels import modalities
from pipeline.config.file import Config, parse
from pipeline.config.modalities import STAMPS, USUAL_LENGTH

SCALARS: dict[str, Any] = {"name": "photometry", "columns": ["mag_g", "mag_r"]}
VECTOR: dict[str, Any] = {"name": "spectrum", "column": "flux", "wavelengths": [400.0, 1000.0]}


@pytest.fixture
def config(tiny):
    def config(**section: Any) -> Config:
        return parse(tiny.config(modalities=section), "survey.toml")

    return config


def test_scalars_with_their_names_in_another_catalog(config) -> None:
    table = config(scalars=[{**SCALARS, "columns": {"mag_g": "G_MAG"}, "error": "{column}_ERR"}])
    (group,) = table.modalities.scalars
    assert group.sources == {"mag_g": "G_MAG"}
    assert group.error_of("G_MAG") == "G_MAG_ERR"
    (plain,) = config(scalars=[SCALARS]).modalities.scalars
    assert plain.sources == {"mag_g": "mag_g", "mag_r": "mag_r"}
    assert plain.error_of("mag_g") is None


def test_name_of_the_stamps_is_the_networks() -> None:
    assert STAMPS == modalities.STAMPS


@pytest.mark.parametrize(
    ("section", "key", "problem"),
    [
        (
            {"scalars": [{**SCALARS, "name": "stamps"}]},
            "",
            '"stamps" is the name of the stamps: give another one',
        ),
        (
            {"scalars": [{**SCALARS, "name": "a"}], "vectors": [{**VECTOR, "name": "a"}]},
            "",
            'two modalities are called "a"',
        ),
        ({"bands": ["r", "r"]}, ".bands", "a band is named twice"),
        ({"bands": []}, ".bands", "must have at least 1 item"),
        ({"scalars": [{**SCALARS, "columns": ["a", "a"]}]}, ".scalars.0.columns", "a column is named twice"),
        ({"scalars": [{**SCALARS, "columns": []}]}, ".scalars.0.columns", "must have at least 1 item"),
        ({"scalars": [{**SCALARS, "error": "{band}_err"}]}, ".scalars.0.error", "{band} is not filled in"),
        ({"scalars": [{**SCALARS, "error": "err"}]}, ".scalars.0", 'error = "err" is one column for several'),
        ({"scalars": [{**SCALARS, "transform": "sqrt"}]}, ".scalars.0.transform", "must be 'none', 'log'"),
        ({"scalars": [{**SCALARS, "name": "a b"}]}, ".scalars.0.name", "must be a name of letters"),
        ({"vectors": [{**VECTOR, "wavelengths": [9.0, 4.0]}]}, ".vectors.0.wavelengths", "4 comes after 9"),
        ({"vectors": [{**VECTOR, "wavelengths": [0.0, 4.0]}]}, ".vectors.0.wavelengths.0", "greater than 0"),
        ({"vectors": [{"name": "s", "column": "f"}]}, ".vectors.0.wavelengths", "this key is missing"),
        ({"vectors": [{**VECTOR, "wavelengths": "wave", "spacing": "log"}]}, ".vectors.0", "[FIRST, LAST]"),
        ({"vectors": [{**VECTOR, "unit": "Jy"}]}, ".vectors.0.unit", "unknown key"),
    ],
)
def test_section_that_cannot_be_meant(config, section: dict[str, Any], key: str, problem: str) -> None:
    with pytest.raises(Refused) as refused:
        config(**section)
    (fault,) = refused.value.faults
    assert fault.key == f"modalities{key}"
    assert problem in fault.problem
    assert "docs/config.md" in fault.remedy


def test_long_vectors_make_shorter_slices(tiny) -> None:
    def rows(**section: Any) -> int:
        values = tiny.config(images={"size": 256}, modalities=section)
        del values["run"]
        return parse(values, "survey.toml").run.slice_rows

    assert (rows(), rows(scalars=[SCALARS])) == (1024, 1023)
    long = [{**VECTOR, "name": str(i)} for i in range(8)]
    assert rows(vectors=long) == (1 << 28) // (4 * (256**2 + 8 * 2 * USUAL_LENGTH))
    listed = [{**VECTOR, "wavelengths": [1.0, 2.0, 3.0]}]
    assert rows(vectors=listed) == (1 << 28) // (4 * (256**2 + 6))
