"""A plan refuses what can't work with everything that is wrong, and says what a person should know beforehand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from astropy.io import fits
from pydantic import ValidationError

from catalogs.errors import Fault, Refused
from catalogs.kept_columns import RESERVED
from pipeline.config.file import parse
from pipeline.config.measure import Measure
from pipeline.plan.make_plan import make_plan
from pipeline.plan.plan import Plan
from tests.catalogs.psfs import varying, write_psfex
from tests.conftest import TinyRelease


@pytest.fixture
def plan(tiny):
    """`plan(fit={…})` plans the tiny release with some keys changed."""

    def plan(out: str = "run", address: str | None = None, **sections: dict[str, Any]) -> Plan:
        config = parse(tiny.config(**sections), "survey.toml")
        return make_plan(config, str(tiny.folder), "survey.toml", str(tiny.folder.parent / out), address)

    return plan


@pytest.fixture
def fails(plan):
    """`fails(fit={…})` expects exactly one fault and returns it."""

    def fails(address: str | None = None, **sections: dict[str, Any]) -> Fault:
        with pytest.raises(Refused) as refused:
            plan(address=address, **sections)
        assert len(refused.value.faults) == 1, str(refused.value)
        (fault,) = refused.value.faults
        assert fault.remedy
        assert "\n" not in str(fault)
        return fault

    return fails


def test_a_sound_config_is_planned_and_nothing_is_written(plan, tiny):
    before = sorted(p for p in tiny.folder.parent.rglob("*"))
    made = plan()
    assert made.release.selected == 64
    assert sum(piece.rows for piece in made.slices()) == 64
    assert json.dumps(made.record)
    assert sorted(p for p in tiny.folder.parent.rglob("*")) == before


def test_more_components_than_features(fails):
    fault = fails(reduce={"components": 10_000})
    assert (fault.file, fault.key, fault.value) == ("survey.toml", "reduce.components", "10000")
    assert "features of timm:test_convnext" in fault.problem
    assert "Set at most" in fault.remedy


@pytest.mark.parametrize("groups", [64, 100])
def test_more_groups_than_objects(plan, fails, groups):
    fault = fails(fit={"groups": groups})
    assert (fault.key, fault.value) == ("fit.groups", str(groups))
    assert "too many for 64 objects" in fault.problem
    most = int(fault.remedy.removeprefix("Set at most "))
    assert plan(fit={"groups": most}).config.fit.groups == most


def test_more_groups_than_a_bag_holds_objects(fails):
    assert "the smallest bag holds" in fails(fit={"groups": 45}).problem


def test_more_groups_than_selected_objects(fails):
    assert "for 4 objects" in fails(survey={"where": "NUMBER <= 4"}).problem


def test_slices_too_large_for_memory(tmp_path):
    tiny = TinyRelease(tmp_path / "release", shards=1, per_side=17)  # 289 rows

    def planned(rows: int, size: int) -> Plan:
        values = tiny.config(run={"slice_rows": rows}, images={"size": size})
        return make_plan(parse(values, "survey.toml"), str(tiny.folder), "survey.toml", str(tmp_path / "run"))

    with pytest.raises(Refused) as refused:
        planned(1024, 1024)
    (fault,) = refused.value.faults
    assert (fault.key, fault.value) == ("run.slice_rows", "1024")
    assert "1.1 GiB of stamps" in fault.problem
    most = int(fault.remedy.rsplit(" ", 1)[-1])
    assert planned(most, 1024).slice_bytes <= 1 << 30 < planned(most, 1024).row_bytes * (most + 1)


def test_a_slice_has_no_more_rows_than_its_shard(plan):
    made = plan(run={"slice_rows": 1_000_000}, images={"size": 1024})
    assert made.slice_count == 2
    assert made.slice_bytes == made.row_bytes * max(piece.rows for piece in made.slices())
    assert made.slice_bytes < 1 << 28


@pytest.mark.parametrize("section", ["encode", "denoise"])
@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("absent.safetensors", None, "no such file"),
        ("empty.safetensors", b"", "not a safetensors file"),
        ("page.safetensors", b"<html>404</html>" * 9, "not a safetensors file"),
        ("pickle.pt", b"\x80\x04", "pickle"),
    ],
)
def test_checkpoint_that_is_none(fails, tiny, section, name, content, told):
    if content is not None:
        (tiny.folder / name).write_bytes(content)
    fault = fails(**{section: {"checkpoint": name}})
    assert (fault.key, fault.value) == (f"{section}.checkpoint", repr(name))
    assert told in fault.problem


def test_checkpoint_of_another_network(fails, tiny):
    from safetensors.torch import save_file

    save_file({"stem.weight": torch.zeros(3)}, tiny.folder / "other.safetensors")
    fault = fails(encode={"checkpoint": "other.safetensors"})
    assert fault.key == "encode.checkpoint"
    assert "not the weights of this" in fault.problem


def test_encoder_by_default_is_the_one_trained_on_galaxies(tiny):
    values = tiny.config()
    del values["encode"]
    made = make_plan(parse(values, "survey.toml"), str(tiny.folder), "survey.toml", str(tiny.folder / "run"))
    encode = made.config.encode
    assert (encode.model, encode.checkpoint, encode.unwrap) == ("galaxy-atto", "bundled", "none")
    assert made.features == 320
    assert not any("UNTRAINED" in note for note in made.notes)


def test_timm_model_without_a_checkpoint_is_untrained_and_unwrapped(plan):
    encode = plan().config.encode
    assert (encode.checkpoint, encode.unwrap) == ("untrained", "moments")


def test_bundled_weights_of_a_model_that_has_none(fails):
    fault = fails(encode={"checkpoint": "bundled"})
    assert (fault.key, fault.value) == ("encode.checkpoint", "'bundled'")
    assert "galaxy-atto" in fault.problem


@pytest.mark.parametrize(
    ("bands", "order"), [(["r", "g", "b"], [2, 1, 0]), (["g", "r"], [0, 1]), (["x", "r"], None)]
)
def test_bands_reach_the_network_in_the_order_of_their_wavelengths(tmp_path, bands, order):
    tiny = TinyRelease(tmp_path / "release", bands=tuple(bands))
    config = parse(tiny.config(encode={"model": "galaxy-atto"}), "survey.toml")
    made = make_plan(config, str(tiny.folder), "survey.toml", str(tmp_path / "run"))
    assert made.encoder_options["order"] == order
    assert any("bluest first" in note for note in made.notes) == (order is None)


@pytest.mark.parametrize(
    ("model", "features"), [("galaxy-d4", 80), ("astroformer-atto", 256), ("astroformer-0", 768)]
)
def test_network_of_ours_cannot_be_planned(plan, model, features):
    made = plan(encode={"model": model, "input": 64})
    encode = made.config.encode
    assert (encode.checkpoint, encode.unwrap, made.features) == ("untrained", "none", features)


def test_network_that_needs_more_pixels_is_built_somehow(fails):
    fault = fails(encode={"model": "viewpoints", "input": 32})
    assert fault.key == "encode.model"
    assert "at least 46 pixels, not 32" in fault.problem


def test_model_that_nobody_knows(fails):
    fault = fails(encode={"model": "timm:convnext_atom"})
    assert (fault.key, fault.value) == ("encode.model", "'timm:convnext_atom'")
    assert "convnext_atto" in fault.problem


@pytest.mark.parametrize("address", [None, "local"])
def test_gpu_that_is_not_there(fails, monkeypatch, address):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    fault = fails(encode={"gpus": 1}, address=address)
    assert (fault.key, fault.value) == ("encode.gpus", "1.0")
    assert "gpus = 0" in fault.remedy


def test_everything_that_is_wrong_is_listed_at_once(plan):
    with pytest.raises(Refused) as refused:
        plan(survey={"id": "ID"}, encode={"checkpoint": "absent.safetensors"}, reduce={"components": 10_000})
    assert {fault.key or fault.column for fault in refused.value.faults} == {
        "encode.checkpoint",
        "reduce.components",
        "ID",
    }


def test_notes_say_what_a_person_should_know(plan, tiny):
    tiny.table[:0].write(tiny.folder / "catalogs" / "s02.fits")
    notes = " ".join(plan(images={"position": "pixel", "pixel_scale": "unknown"}).notes)
    assert "UNTRAINED WEIGHTS" in notes
    assert "1 shards are empty, s02.fits for one" in notes
    assert "pixel scale is unknown" in notes


def test_no_column_that_comes_out_can_be_overwritten_by_a_kept_one(plan):
    own = {name.lower() for name in plan(survey={"keep": []}).schema.names}
    assert {name for name in own if not name.startswith("vote_")} <= RESERVED


ALL = {"quantities": ["shape", "gini", "cas", "mid", "sersic"]}


def test_kept_column_is_called_like_a_measured_one(plan, fails):
    fault = fails(survey={"keep": ["MAG as Gini"]}, measure=ALL)
    assert fault.column == "MAG"
    assert "'gini' of its own" in fault.problem
    assert "MAG as survey_Gini" in fault.remedy
    assert "Gini" in plan(survey={"keep": ["MAG as Gini"]}, measure={"quantities": ["cas"]}).schema.names


def test_psf_that_is_none_is_refused_before_work(fails, tiny):
    assert "is missing" in fails(measure={**ALL, "psf": "absent.fits"}).problem
    (tiny.folder / "text.fits").write_text("no FITS")
    fault = fails(measure={**ALL, "psf": "text.fits"})
    assert (fault.key, "cannot be read" in fault.problem) == ("measure.psf", True)
    for name, pixels, told in (
        ("dark", np.zeros((5, 5)), "no light"),
        ("nan", np.full((5, 5), np.nan), "not finite"),
        ("cube", np.ones((2, 5, 5)), "shape (2, 5, 5)"),
        ("large", np.ones((3, 600)), "up to 512"),
    ):
        fits.PrimaryHDU(pixels).writeto(tiny.folder / f"{name}.fits")
        assert told in fails(measure={**ALL, "psf": f"{name}.fits"}).problem


def test_psfs_that_vary_are_read_with_the_stamps_and_looked_at_before(plan, fails, tiny):
    fits.PrimaryHDU(np.outer([1, 2, 1], [1, 2, 1.0])).writeto(tiny.folder / "t0.fits")
    planned = plan(measure={**ALL, "psf": "{TILE}.fits"})
    assert planned.release.psf_values == 9
    assert planned.measurer_options is not None
    assert planned.measurer_options["psf_column"] == "stamp_psf"
    assert planned.row_bytes == plan(measure=ALL).row_bytes + 4 * 9
    assert "t0.fits" in planned.record["images"]
    assert "No PSF" not in " ".join(planned.notes)
    assert plan(measure={**ALL, "quantities": [], "psf": "{TILE}.fits"}).release.psf is None
    assert "is no band" in fails(measure={**ALL, "band": "K", "psf": "{TILE}.fits"}).problem
    assert "this PSF is missing" in fails(measure={**ALL, "psf": "{TILE}_{band}.fits"}).problem
    assert "{TIL} in [measure] psf" in fails(measure={**ALL, "psf": "{TIL}.fits"}).problem
    assert "is no angle" in fails(measure={**ALL, "fwhm": "MAG"}).problem
    assert "which [measure] fwhm = 'SEEING' names" in fails(measure={**ALL, "fwhm": "SEEING"}).problem


def test_psfex_model_is_one_psf_for_all_only_where_it_does_not_vary(plan, fails, tiny):
    path = write_psfex(tiny.folder / "m.psf", varying())
    planned = plan(measure={**ALL, "psf": "m.psf"})
    assert planned.release.psf is not None
    assert planned.release.psf_values == 25**2
    first = planned.fingerprints["encode"]
    path.rename(tiny.folder / "elsewhere.psf")
    assert plan(measure={**ALL, "psf": "elsewhere.psf"}).fingerprints["encode"] == first
    write_psfex(tiny.folder / "elsewhere.psf", varying(seed=2))
    assert plan(measure={**ALL, "psf": "elsewhere.psf"}).fingerprints["encode"] != first
    write_psfex(tiny.folder / "flat.psf", varying()[:1], degree=0)
    planned = plan(measure={**ALL, "psf": "flat.psf"})
    assert planned.release.psf is None
    assert planned.measurer_options is not None
    assert planned.measurer_options["psf"].shape == (25, 25)
    write_psfex(tiny.folder / "bad.psf", varying(), degree=3)
    assert "PSF_MASK" in fails(measure={**ALL, "psf": "bad.psf"}).problem


def test_placeholder_that_no_column_fills_is_told_beside_the_one_of_the_band(fails):
    fault = fails(images={"path": "images/{TILE}_{bnd}.fits"})
    assert fault.column == "bnd"
    assert "{bnd} in [survey.images] path" in fault.problem
    assert "Did you mean 'band'?" in fault.remedy


def test_braces_in_a_path_that_is_no_template(fails):
    assert "{band} is not filled in" in fails(encode={"checkpoint": "w_{band}.safetensors"}).problem
    assert "{band} is not filled in" in fails(survey={"catalogs": "c_{band}.fits"}).problem


def test_checkpoint_that_is_none_is_told_with_the_choices(fails):
    remedy = fails(encode={"checkpoint": "pretraind"}).remedy
    assert '"bundled"' in remedy
    assert '"pretrained"' in remedy
    assert '"untrained"' in remedy


def test_another_psf_is_another_run_the_same_one_elsewhere_is_not(plan, tiny):
    def prints(name: str, pixels: np.ndarray) -> str:
        fits.PrimaryHDU(pixels).writeto(tiny.folder / name)
        return plan(measure={**ALL, "psf": name}).fingerprints["encode"]

    round_one = np.outer([1, 2, 1], [1, 2, 1.0])
    first, again = prints("a.fits", round_one), prints("b.fits", round_one)
    assert first == again != prints("c.fits", round_one + np.eye(3))


def test_measured_band(plan, fails):
    assert "is no band" in fails(measure={**ALL, "band": "K"}).problem
    assert "No PSF" in " ".join(plan(measure=ALL).notes)
    known = plan(measure={**ALL, "fwhm": 0.7})
    assert "No PSF" not in " ".join(known.notes)
    assert known.measurer_options is not None
    assert known.measurer_options["fwhm"] == pytest.approx(3.5)  # pixels of 0.2 arcsec


def test_bands_are_measured_with_the_numbers_of_another(tmp_path):
    tiny = TinyRelease(tmp_path / "release", bands=("g", "r"))

    def plan(**sections: Any) -> Plan:
        config = parse(tiny.config(**sections), "survey.toml")
        return make_plan(config, str(tiny.folder), "survey.toml", str(tmp_path / "run"))

    def fails(**sections: Any) -> Fault:
        with pytest.raises(Refused) as refused:
            plan(**sections)
        return refused.value.faults[0]

    several = {**ALL, "bands": ["g", "r"], "gain": {"g": 4.0, "r": 3.0}, "zeropoint": {"g": 27.0, "r": 26.0}}
    for band, width in (("g", 1.0), ("r", 2.0)):
        fits.PrimaryHDU(np.outer([1, width, 1], [1, width, 1.0])).writeto(tiny.folder / f"psf_{band}.fits")
    planned = plan(measure={**several, "psf": "psf_{band}.fits"})
    options = planned.measurer_options
    assert options is not None
    (other,) = options["others"]
    assert (options["name"], options["gain"], options["zeropoint"]) == ("g", 4.0, 27.0)
    assert (other["name"], other["gain"], other["zeropoint"]) == ("r", 3.0, 26.0)
    assert not np.array_equal(options["psf"], other["psf"])
    for name in ("r50_r", "measure_flags_r", "matched_flux_g", "g_r", "g_r_error", "colour_dispersion_g_r"):
        assert name in planned.schema.names
    assert "is one PSF for several bands" in fails(measure={**several, "psf": "psf_g.fits"}).problem
    assert (
        "is no band"
        in fails(measure={**several, "bands": ["g", "r", "K"], "gain": None, "zeropoint": None}).problem
    )
    fits.PrimaryHDU(np.outer([1, 2, 1], [1, 2, 1.0])).writeto(tiny.folder / "t0.fits")
    vary = fails(measure={**several, "psf": "{TILE}.fits"})
    assert "of one band" in vary.problem
    assert (
        plan(measure=ALL).fingerprints["encode"]
        != plan(measure={**ALL, "errors": "none"}).fingerprints["encode"]
    )


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"bands": ["g", "r"], "gain": 4.0}, "one number for 2 bands"),
        ({"bands": ["g", "r"], "gain": {"g": 4.0}}, "g, r are measured: give one number for each"),
        ({"gain": {"g": 4.0}}, "no bands are named"),
        ({"bands": ["g", "r"], "band": "g"}, "give one of them"),
        ({"bands": []}, "bands is empty"),
        ({"bands": ["g", "G"]}, "names one twice"),
    ],
)
def test_numbers_of_bands_that_do_not_fit_are_taken(settings, told):
    with pytest.raises(ValidationError, match=told):
        Measure.model_validate(settings)


def test_psf_that_no_stamp_could_hold(fails):
    for fwhm in (1e-30, 100.0):
        assert fails(measure={**ALL, "fwhm": fwhm}).key == "measure.fwhm"
    assert (
        "pixel_scale"
        in fails(images={"position": "pixel", "pixel_scale": 1e-9}, measure={**ALL, "fwhm": 0.7}).remedy
    )


def test_fits_without_a_gain_are_told_what_that_does(plan):
    notes = " ".join(plan(measure={**ALL, "fwhm": 0.7}).notes)
    assert "No gain" in notes
    assert "electrons per image unit" in notes
    assert "No gain" not in " ".join(plan(measure={**ALL, "fwhm": 0.7, "gain": 4.0}).notes)
    assert "No gain" not in " ".join(plan(measure={"quantities": ["gini"]}).notes)


def test_photons_are_counted_twice(plan, fails, tiny):
    path = tiny.folder / "images" / "w.fits"
    pixels = fits.getdata(tiny.folder / "images" / "t0_r.fits")
    fits.PrimaryHDU(np.ones_like(pixels), fits.getheader(tiny.folder / "images" / "t0_r.fits")).writeto(path)
    weight = {"path": "images/w.fits", "kind": "rms"}
    sersic = {"quantities": ["sersic"], "fwhm": 0.7}
    sky = {**tiny.config()["survey"]["images"], "weight": weight}
    both = {**sky, "weight": {**weight, "photons": True}}
    made = plan(images=sky, measure={**sersic, "gain": 4.0})
    assert not made.measurer_options["photons"]
    assert made.row_bytes > 1.9 * plan().row_bytes
    made = plan(images=both, measure=sersic)
    assert "No gain" not in " ".join(made.notes)
    assert made.measurer_options["photons"]
    assert made.segmenter_options["photons"]
    fault = fails(images=both, measure={**sersic, "gain": 4.0})
    assert (fault.key, fault.value) == ("measure.gain", "4.0")
    assert "twice" in fault.problem


def test_directory_that_holds_something_else(plan, tiny):
    made = plan("release")
    with pytest.raises(Refused, match="is not empty and holds no run") as refused:
        made.run.check(made.record, remedy="")
    (fault,) = refused.value.faults
    assert fault.file == str(tiny.folder)
    assert "--out" in fault.remedy


def test_directory_of_another_run(plan, tiny):
    first = plan()
    first.run.prepare(first.record, anew=False, remedy="")
    other = plan(survey={"where": "MAG < 20.5"}, encode={"unwrap": "none"})
    with pytest.raises(Refused, match="another run's embeddings") as refused:
        other.run.check(other.record, remedy="tuningfork run survey.toml --out run --anew")
    (fault,) = refused.value.faults
    assert "encode.unwrap, survey.where" in fault.problem
    assert "--anew" in fault.remedy


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1, 2]", b"{}", b'{"fingerprints": 3}'])
def test_damaged_record_of_a_run(plan, tiny, content):
    folder = tiny.folder.parent / "run"
    folder.mkdir()
    (folder / "run.json").write_bytes(content)
    made = plan()
    with pytest.raises(Refused, match=r"run\.json") as refused:
        made.run.check(made.record, remedy="")
    assert len(refused.value.faults) == 1


def test_file_in_the_place_of_a_run(plan, tiny):
    Path(tiny.folder.parent / "run").write_text("a file")
    made = plan()
    with pytest.raises(Refused):
        made.run.prepare(made.record, anew=False, remedy="")
