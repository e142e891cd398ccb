"""Modalities of a config against those of a network: what would encode numbers as something else than they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from actors.encoder import Encoder
from catalogs.errors import Refused
from catalogs.flags import Flag
from catalogs.inspect import inspect
from catalogs.silence import silenced
from catalogs.slices import Slice
from kernels.autoregressive_model import Description, to_bytes
from kernels.brightness import Brightness
from kernels.modalities import Modalities, Scalars, Stamps, Vector
from pipeline.config.file import Config, parse
from pipeline.plan.config_faults import stamp_bytes
from pipeline.plan.frozen import differences
from pipeline.plan.make_plan import make_plan
from pipeline.plan.modalities import chosen, known_to, source_of
from pipeline.plan.modality_faults import faults, notes
from pipeline.plan.plan import Plan
from pipeline.plan.predictor_encoder import encoder_of_run
from pipeline.rundir.frozen import Frozen

GRID = (400.0, 500.0, 600.0, 700.0)
NETWORK = Modalities(
    Stamps(("g", "r", "i"), 32, 8, "spiral", "kept", Brightness("asinh", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), (7.0, 8.0, 9.0))),
    (
        Scalars("sizes", ("r50",), ("arcsec",), "log", (0.0,), (1.0,)),
        Scalars("photometry", ("mag_u", "mag_g"), ("mag", "mag"), "none", (20.0, 20.0), (2.0, 2.0)),
    ),
    (
        Vector("sed", 2, 1, (1000.0, 2000.0), "", Brightness("asinh", (1.0,), (0.0,), (1.0,))),
        Vector("spectrum", 4, 2, GRID, "mJy", Brightness("asinh", (1.0,), (0.0,), (1.0,))),
    ),
)  # fmt: skip
PHOTOMETRY = {"name": "photometry", "columns": {"mag_g": "G", "mag_u": "U"}, "error": "{column}_ERR"}
SPECTRUM = {"name": "spectrum", "column": "FLUX", "ivar": "IVAR", "wavelengths": [400.0, 700.0]}
BOTH = {"scalars": [PHOTOMETRY], "vectors": [SPECTRUM]}
ARS = "ar-1m, ar-5m, ar-20m, ar-90m"


@pytest.fixture
def catalog(tiny):
    """The tiny release with magnitudes and spectra."""
    table, n = tiny.table, len(tiny.table)
    for name, value in (("U", 21.0), ("G", 20.0), ("U_ERR", 0.2), ("G_ERR", 0.1)):
        table[name] = value + 0.001 * np.arange(n)
        table[name].unit = "mag"
    table["FLUX"] = np.arange(4 * n, dtype=np.float32).reshape(n, 4)
    table["FLUX"].unit = "1e-3 Jy"
    table["IVAR"] = np.ones((n, 4))
    tiny.write(2)
    return tiny


@pytest.fixture
def config(catalog) -> Callable[..., Config]:
    def config(section: dict[str, Any], **more: Any) -> Config:
        sections = {"encode": {"model": "ar-1m"}, "images": {"bands": ["r"]}, **more}
        return parse(catalog.config(modalities=section, **sections), "survey.toml")

    return config


def look(catalog, config: Config, network: Modalities | None = NETWORK):
    return inspect(config.survey, str(catalog.folder), modalities=source_of(config, network))


@pytest.fixture
def refused(catalog, config) -> Callable[..., list[str]]:
    """Faults of a section, as people read them."""

    def refused(section: dict[str, Any], network: Modalities | None = NETWORK, **more: Any) -> list[str]:
        made = config(section, **more)
        try:
            release = look(catalog, made, network)
        except Refused:
            release = None
        found = [str(fault) for fault in faults(made, "survey.toml", release, network)]
        assert not any("\n" in text for text in found)
        return [text.replace(f"{catalog.folder}/catalogs/", "") for text in found]

    return refused


def told(release) -> np.ndarray:
    rows = release.read(Slice(0, 0, 3))
    assert not (rows["flags"].to_numpy() & Flag.MISSING_MODALITY).any()
    return rows["modalities"].combine_chunks().values.to_numpy().reshape(3, -1)


def test_row_is_in_the_configs_order_instead_of_the_networks(catalog, config) -> None:
    made = config({**BOTH, "scalars": [PHOTOMETRY, {"name": "sizes", "columns": {"r50": "MAG"}}]})
    mag, g, u = (np.float32(catalog.table[name][:3]) for name in ("MAG", "G", "U"))
    g_err, u_err = np.float32(catalog.table["G_ERR"][:3]), np.float32(catalog.table["U_ERR"][:3])
    none, flux = np.full(3, np.nan), np.arange(12).reshape(3, 4)
    spectrum = np.column_stack([flux, np.ones((3, 4))])
    in_order = told(look(catalog, made))
    np.testing.assert_array_equal(in_order, np.column_stack([mag, none, u, g, u_err, g_err, spectrum]))
    assert in_order.shape[1] == chosen(NETWORK, made).width
    training = told(look(catalog, made, None))
    np.testing.assert_array_equal(training, np.column_stack([g, u, g_err, u_err, mag, none, spectrum]))


def test_scalar_that_the_config_does_not_name_shifts_the_others(catalog, config) -> None:
    made = config({"scalars": [{"name": "photometry", "columns": {"mag_g": "G"}}]})
    release = look(catalog, made)
    found = told(release)
    assert found.shape[1] == chosen(NETWORK, made).width == 4
    np.testing.assert_array_equal(found[:, 1], np.float32(catalog.table["G"][:3]))
    assert np.isnan(found[:, [0, 2, 3]]).all()
    assert notes(made, release, NETWORK) == [
        "Encoded without sizes, sed, spectrum, mag_u of photometry, band g, band i: the network was trained with more."
    ]


def test_bands_have_the_scales_of_others(config) -> None:
    made = config({}, images={"bands": ["i", "x", "g"]})
    stamps = chosen(NETWORK, made).stamps
    assert stamps.bands == ("i", "g")
    assert stamps.brightness == Brightness("asinh", (3.0, 1.0), (6.0, 4.0), (9.0, 7.0))
    assert replace(stamps, bands=NETWORK.stamps.bands, brightness=NETWORK.stamps.brightness) == NETWORK.stamps
    only = config({"bands": ["g", "i"]}, images={"bands": ["i", "g", "r"]})
    assert chosen(NETWORK, only).stamps.bands == ("i", "g")
    assert chosen(NETWORK, only).others == ()
    assert source_of(only, NETWORK) is None


def test_what_fits_is_not_refused(catalog, config, refused) -> None:
    assert refused(BOTH) == []
    assert refused({}) == []
    made = config(BOTH)
    assert notes(made, look(catalog, made), NETWORK) == [
        "Encoded without sizes, sed, band g, band i: the network was trained with more."
    ]


def test_names_that_the_network_does_not_know(refused) -> None:
    stranger = {"name": "colours", "columns": ["G"]}
    assert refused({"scalars": [stranger, PHOTOMETRY], "vectors": [{**SPECTRUM, "name": "ifu"}]}) == [
        (
            "survey.toml, key modalities.scalars, value 'colours': the network was trained with no such scalars. "
            "Name one of sizes, photometry, or leave it out"
        ),
        (
            "survey.toml, key modalities.vectors, value 'ifu': the network was trained with no such vectors. "
            "Name one of sed, spectrum, or leave it out"
        ),
    ]
    assert refused({"scalars": [stranger]}, replace(NETWORK, scalars=())) == [
        "survey.toml, key modalities.scalars, value 'colours': the network was trained with no such scalars. Leave it out"
    ]
    assert refused({"scalars": [{**PHOTOMETRY, "columns": ["G", "U"]}]}) == [
        (
            "survey.toml, key modalities.scalars, value 'G': is no scalar of the network's 'photometry', which has mag_u, mag_g. "
            'Leave it out, or say which it is: columns = {mag_u = "G"}'
        ),
        (
            "survey.toml, key modalities.scalars, value 'U': is no scalar of the network's 'photometry', which has mag_u, mag_g. "
            'Leave it out, or say which it is: columns = {mag_u = "U"}'
        ),
    ]


def test_bands_that_the_network_or_the_release_does_not_have(refused) -> None:
    two = {"images": {"bands": ["r", "z"]}}
    assert refused({}, **two) == [
        "survey.toml, key survey.images.bands, value 'z': is no band of the network. It knows g, r, i: choose of them with [modalities] bands"
    ]
    assert refused({"bands": ["r"]}, **two) == []
    assert refused({"bands": ["z", "y"]}, **two) == [
        "survey.toml, key modalities.bands, value 'y': is no band of the release. Choose of r, z",
        "survey.toml, key modalities.bands, value 'z': is no band of the network. It knows g, r, i: choose of them with [modalities] bands",
    ]


def test_vectors_of_another_length_or_grid(catalog, refused) -> None:
    remedy = "Resample the vectors as the network was trained, or leave them out"
    longer = replace(NETWORK.vectors[1], length=5, wavelengths=(*GRID, 800.0))
    assert refused({"vectors": [SPECTRUM]}, replace(NETWORK, vectors=(longer,))) == [
        f"s00.fits, column 'FLUX': has 4 values, but the network's 'spectrum' has 5. {remedy}"
    ]
    assert refused({"vectors": [{**SPECTRUM, "wavelengths": [400.0, 800.0]}]}) == [
        f"s00.fits, column 'FLUX': has wavelengths of 400 to 800 nm, but the network's 'spectrum' of 400 to 700 nm. {remedy}"
    ]
    assert refused({"vectors": [{**SPECTRUM, "spacing": "log"}]}) == [
        f"s00.fits, column 'FLUX': has wavelengths of 400 to 700 nm, but the network's 'spectrum' of 400 to 700 nm, in other steps. {remedy}"
    ]
    assert refused({"vectors": [{**SPECTRUM, "wavelengths": [400.0, 500.4, 600.0, 700.0]}]}) == []


@pytest.mark.parametrize(
    ("column", "unit", "there"),
    [("G", "mmag", "mag_g in 'mag'"), ("FLUX", "Jy", "spectrum in 'mJy'"), ("FLUX", "mag", "spectrum in 'mJy'")],
)  # fmt: skip
def test_column_in_another_unit(catalog, refused, column: str, unit: str, there: str) -> None:
    catalog.table[column].unit = unit
    catalog.write(2)
    assert refused(BOTH) == [
        f"s00.fits, column {column!r}, value unit {unit!r}: the network knows {there}. Convert the column, or name another one"
    ]


@pytest.mark.parametrize(("unit", "said"), [(None, "no unit"), ("wibble", "the unit 'wibble'")])
def test_column_in_a_unit_that_is_not_known(catalog, config, refused, unit: str | None, said: str) -> None:
    catalog.table["FLUX"].unit = unit
    with silenced():
        catalog.write(2)
    made = config(BOTH)
    assert refused(BOTH) == []
    assert (
        f"Column 'FLUX' (spectrum) has {said}, the network's the unit 'mJy': they are taken to be the same."
        in notes(made, look(catalog, made), NETWORK)
    )


def test_stamps_of_another_scale_are_encoded_without_a_word(catalog, config) -> None:
    made = config(BOTH)
    finer = replace(NETWORK, stamps=replace(NETWORK.stamps, pixel_scale=0.1))
    said = "Stamps have 0.2 arcsec a pixel, the network was trained with 0.1."
    assert said in notes(made, look(catalog, made), finer)
    same = replace(NETWORK, stamps=replace(NETWORK.stamps, pixel_scale=0.2001))
    assert not any("arcsec a pixel" in note for note in notes(made, look(catalog, made), same))


@pytest.fixture
def plan(catalog, config) -> Callable[..., Plan]:
    """Plans with the weights of an untrained network."""
    description = Description("ar-1m", replace(NETWORK, stamps=replace(NETWORK.stamps)), 0)
    path = catalog.folder / "ar.safetensors"
    path.write_bytes(to_bytes(description.build(), description))

    def plan(section: dict[str, Any], **more: Any) -> Plan:
        encode = {"encode": {"model": "ar-1m", "checkpoint": "ar.safetensors"}, **more}
        made = config(section, **encode)
        return make_plan(made, str(catalog.folder), "survey.toml", str(catalog.folder.parent / "run"))

    return plan


def test_plan_of_an_encoder_that_takes_modalities(plan) -> None:
    made, without = plan(BOTH), plan({})
    assert made.release.modalities is not None
    assert made.release.modalities.width == 12
    assert made.row_bytes == without.row_bytes + 4 * 12
    assert without.release.modalities is None
    assert any(note.startswith("Encoded without sizes, sed") for note in made.notes)
    assert any(note.startswith("Encoded without sizes, photometry") for note in without.notes)
    assert made.release.objects_schema == without.release.objects_schema


def test_plan_lists_all_that_is_wrong(plan) -> None:
    with pytest.raises(Refused) as refused:
        plan(
            {
                "scalars": [PHOTOMETRY],
                "vectors": [{**SPECTRUM, "wavelengths": [1.0, 2.0]}],
                "bands": ["r", "q"],
            }
        )
    assert [(fault.key, fault.column) for fault in refused.value.faults] == [
        (None, "FLUX"),
        ("modalities.bands", None),
    ]


def test_network_is_given_other_bands_than_those_that_are_chosen(catalog, plan) -> None:
    images = catalog.folder / "images"
    pixels, header = fits.getdata(images / "t0_r.fits", header=True)
    fits.writeto(images / "t0_z.fits", 3 * pixels + 7, header)
    of_two = plan({"bands": ["r"]}, images={"bands": ["z", "r"]})
    of_one = plan({}, images={"bands": ["r"]})
    stamps = np.random.default_rng(0).normal(size=(3, 2, 32, 32)).astype(np.float32)
    found = Encoder(**of_two.encoder_options).embed(stamps, np.arange(3))
    expected = Encoder(**of_one.encoder_options).embed(np.ascontiguousarray(stamps[:, 1:]), np.arange(3))
    np.testing.assert_array_equal(found, expected)


def test_modalities_for_an_encoder_that_takes_none(plan) -> None:
    for section in (BOTH, {"bands": ["r"]}):
        with pytest.raises(Refused) as refused:
            plan(section, encode={"model": "galaxy-atto"})
        assert str(refused.value) == (
            "survey.toml, key modalities: galaxy-atto looks at stamps only. "
            f"Leave [modalities] out, or set [encode] model to one of {ARS}"
        )


def test_stage_encode_goes_on_after_a_change_of_modalities(plan) -> None:
    before = plan(BOTH).fingerprints["encode"]
    trained = {
        **BOTH,
        "scalars": [{**PHOTOMETRY, "transform": "asinh"}],
        "vectors": [{**SPECTRUM, "patch": 4}],
    }
    assert plan(trained).fingerprints["encode"] == before
    for other in (
        {"scalars": [PHOTOMETRY]},
        {**BOTH, "scalars": [{**PHOTOMETRY, "missing": 99.0}]},
        {**BOTH, "bands": ["r"]},
    ):
        assert plan(other).fingerprints["encode"] != before


def test_codes_of_other_modalities_are_taken_for_the_same(catalog, config) -> None:
    made, other = config(BOTH), config({"vectors": [SPECTRUM]})
    assert encoder_of_run(made, "w", 8)["modalities"] == ["photometry mag_g", "photometry mag_u", "spectrum"]
    assert encoder_of_run(other, "w", 8)["modalities"] == ["spectrum"]
    assert "modalities" not in encoder_of_run(config({}, encode={"model": "galaxy-atto"}), "w", 8)
    seen = {"weights": "w", "pixel_scale": 0.2, "values": plan_values()}
    like = Frozen("run1", {}, made.model_dump(mode="json"), seen, "run1")
    assert differences(made, "survey.toml", None, "w", like) == []
    (fault,) = differences(other, "survey.toml", None, "w", like)
    assert str(fault) == (
        'survey.toml, key modalities, value ["spectrum"]: is ["photometry mag_g", "photometry mag_u", "spectrum"] in run1. '
        "Set it as there, or leave out --like"
    )


def plan_values() -> int:
    from pipeline.plan.fingerprints import VALUES_VERSION

    return VALUES_VERSION


def test_weights_that_are_none_are_not_read(catalog, config) -> None:
    made = config(BOTH)
    for checkpoint in (None, "bundled", str(catalog.folder / "no.safetensors")):
        assert known_to(made, {"checkpoint": checkpoint}) is None
    assert faults(made, "survey.toml", None, None) == []


def test_long_vectors_count_in_the_memory_of_a_slice(config) -> None:
    assert stamp_bytes(config(BOTH)) - stamp_bytes(config({})) == 4 * config(BOTH).modalities.width
