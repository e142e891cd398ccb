"""What pack makes is what plan takes, and what a person should know of it is told."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from PIL import Image
from typer.testing import CliRunner

from catalogs import pack as releases
from catalogs.errors import Refused
from catalogs.kept_columns import RESERVED
from pipeline.cli.main import app
from pipeline.cli.pack import measured_names, pack
from pipeline.config.file import load
from pipeline.plan.make_plan import make_plan, plan_of

OWN = sorted({*RESERVED, *measured_names(), "vote_kmeans", "vote_mine", "FLUX", "Class"} - {"flux", "class"})


def pictures(folder, rows=64, side=16):
    """Pictures of noise, and the lines of a table of them."""
    rng = np.random.default_rng(0)
    for i in range(rows):
        Image.fromarray(rng.integers(0, 255, (side, side, 3), dtype=np.uint8)).save(folder / f"g{i}.png")
    return [f"g{i}.png" for i in range(rows)]


def table(folder, names, *cells, rows=64, side=16):
    lines = [",".join([name, *cells]) for name in pictures(folder, rows, side)]
    path = folder / "labels.csv"
    path.write_text("\n".join([",".join(["file", *names]), *lines]) + "\n")
    return path


def test_labels_of_every_name_that_a_catalog_has_itself_are_kept(tmp_path):
    """`tuningfork plan` refused what pack had just written: a column class, then flux, then …"""
    labels = table(tmp_path, OWN, *(str(n) for n in range(len(OWN))))
    notes = pack(labels, tmp_path / "release")
    planned = plan_of(tmp_path / "release" / "survey.toml", str(tmp_path / "run"))
    kept = planned.release.kept
    assert kept == {f"label_{name}": name for name in OWN if name not in {"ra", "dec"}}
    assert len(notes) == len(kept)
    assert "column Class is called label_Class in the catalog, which has a column class of its own" in notes
    assert set(Table.read(tmp_path / "release" / "catalogs" / "shard-0000.fits").colnames) >= {*OWN}
    assert len({name.lower() for name in planned.schema.names}) == len(planned.schema.names)


def test_a_name_that_is_free_is_found(tmp_path):
    labels = table(tmp_path, ["class", "label_class", "LABEL_CLASS_"], "1", "2", "3")
    pack(labels, tmp_path / "release")
    planned = plan_of(tmp_path / "release" / "survey.toml", str(tmp_path / "run"))
    assert planned.release.kept["label_class__"] == "class"


@pytest.mark.parametrize(("names", "cells"), [(["ra"], ["1"]), (["RA", "Dec"], ["10:00:00", "-3:00:00"])])
def test_positions_that_are_none_are_labels(tmp_path, names, cells):
    notes = pack(table(tmp_path, names, *cells), tmp_path / "release")
    planned = plan_of(tmp_path / "release" / "survey.toml", str(tmp_path / "run"))
    assert planned.config.survey.ra is None
    assert list(planned.release.kept) == [f"label_{name}" for name in names]
    assert any("no positions" in note for note in notes) == (len(names) == 2)


def test_odd_names_and_ids_are_planned(tmp_path):
    names = [
        "bar-type",
        "a b",
        "it's",
        'a "b"',
        "5",
        "x&",
        "a as b",
        "select",
        "{band}",
        "$1",
        "\\n",
        "[x]",
        "#",
    ]
    written = ['"' + name.replace('"', '""') + '"' for name in names]
    labels = table(tmp_path, written, *("1" for _ in names))
    pack(labels, tmp_path / "release")
    planned = plan_of(tmp_path / "release" / "survey.toml", str(tmp_path / "run"))
    assert list(planned.release.kept) == names
    with pytest.raises(Refused, match=" as "):
        pack(table(tmp_path, ["vote_a as b"], "1"), tmp_path / "other")


@pytest.mark.parametrize("ids", ["True", "1.5", "nan", "1e5"])
def test_ids_that_look_like_other_things_are_ids(tmp_path, ids):
    names = pictures(tmp_path)
    cells = [ids if i == 0 else f"{i}.25" for i in range(len(names))]
    lines = [f"{name},{cell}" for name, cell in zip(names, cells)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,id", *lines]))
    pack(tmp_path / "labels.csv", tmp_path / "release")
    planned = plan_of(tmp_path / "release" / "survey.toml", str(tmp_path / "run"))
    first = planned.release.read(next(planned.slices()))
    assert first["object_id"].to_pylist() == cells


def test_large_stamps_are_cut_into_slices_that_plan_takes(tmp_path):
    """1024 stamps of 424 pixels are more than the memory of a slice."""
    labels = table(tmp_path, [], side=424, rows=44)
    releases.pack(labels, tmp_path / "release")
    config, folder = load(tmp_path / "release" / "survey.toml")
    assert config.run.slice_rows * 3 * 4 * 424**2 <= 2**28
    make_plan(config, folder, "survey.toml", str(tmp_path / "run"))


def test_hints_for_large_pictures_are_commands_that_work(tmp_path):
    labels = table(tmp_path, [], side=160, rows=4)
    notes = pack(labels, tmp_path / "new folder")
    assert len(notes) == 2
    found = re.search(r"stamps of 160 x 160 pixels .* about ([0-9.e+]+) a second here, .* for 4\.", notes[0])
    assert float(found[1]) > 0
    assert "sees 64 x 64" in notes[0]
    command = re.search(r"tuningfork pack .* --fit galaxy", notes[1])[0]
    _, _, table_, folder, option, fit = shlex.split(command)
    assert (option, fit) == ("--fit", "galaxy")
    assert pack(table_, folder, fit=fit) == []
    assert load(f"{folder}/survey.toml")[0].survey.images.size == 88
    assert pack(labels, tmp_path / "resized", size=64, fit="resize") == []


def test_large_pictures_that_keep_their_pixels_are_tried_too(tmp_path):
    notes = pack(table(tmp_path, [], side=160, rows=4), tmp_path / "release", size=144, fit="extent")
    assert len(notes) == 2
    assert "a second here" in notes[0]
    assert "--fit extent without --size makes stamps of 88" in notes[1]


def test_stamps_of_usual_sizes_get_no_hint(tmp_path):
    assert pack(table(tmp_path, [], side=100, rows=3), tmp_path / "release") == []


@pytest.mark.parametrize("line", [0, 1])
def test_the_documented_commands_for_fits_cutouts_lose_something(tmp_path, monkeypatch, line):
    (tmp_path / "cutouts").mkdir()
    rng = np.random.default_rng(0)
    light = rng.normal(0, 100, (64, 3, 64, 64)).astype(np.int16)
    for number, values in enumerate(light):
        fits.PrimaryHDU(values).writeto(tmp_path / "cutouts" / f"g{number:02d}.fits")
    page = (Path(__file__).parents[2] / "docs" / "quickstart.md").read_text(encoding="utf-8")
    commands = page.split("### FITS cutouts")[1].split("```bash\n")[1].split("```")[0].splitlines()
    monkeypatch.chdir(tmp_path)
    packed = CliRunner().invoke(app, shlex.split(commands[line], comments=True)[1:])
    assert packed.exit_code == 0, packed.output
    planned = plan_of(tmp_path / shlex.split(commands[2])[2], str(tmp_path / "run"))
    assert planned.config.survey.images.bands == [["band1", "band2", "band3"], ["g", "r", "z"]][line]
    found = planned.release.read(next(planned.slices()))["stamp"].to_pylist()
    # but for the sky, which is one number a band
    offsets = np.array(found).reshape(64, -1, 64, 64) - light
    assert np.ptp(offsets, axis=(2, 3)).max() < 1e-3
