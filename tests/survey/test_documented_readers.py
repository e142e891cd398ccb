"""Every way to read a catalog that the docs name reads one."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from astropy.table import Table

from pipeline.cli import main
from tests.conftest import TinyRelease

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ID = 2**62 + 1


def documented() -> list[str]:
    """Statements of Python that read a run, in blocks and in running text."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            lines = [ast.unparse(node) for node in ast.parse(block).body if isinstance(node, ast.Expr)]
            found += [line for line in lines if re.search("'run[/']", line)]
        found += re.findall(r"`([\w.]+\([\"']run/[^`]*)`", text)
    return found


def imports() -> list[str]:
    text = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    return re.findall(r"^(?:import|from) .*(?:duckdb|astropy).*$", text, re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run in it, of objects in several partitions, one without a position, and kept ids of 64 bits."""
    from tests.survey.conftest import Runner

    base = tmp_path_factory.mktemp("documented")
    tiny = TinyRelease(base / "release")
    tiny.table["objID"] = ID + tiny.table["NUMBER"]
    tiny.table["DEC"][5] = -95.0
    tiny.table["MAG"][6] = float("nan")
    tiny.write(2)
    config = tiny.config(survey={"keep": ["MAG", "objID"]}, publish={"rows_per_partition": 16})
    Runner()(config, tiny.folder, base / "run")
    return base


def test_docs_name_readers():
    lines = documented()
    for reader in ("lsdb", "duckdb", "pandas", "polars", "pyarrow", "Table"):
        assert any(line.startswith(reader) for line in lines), reader


@pytest.mark.filterwarnings("ignore::UserWarning:lsdb", "ignore::DeprecationWarning")
@pytest.mark.slow
@pytest.mark.parametrize("line", documented())
def test_documented_line_does_not_read_the_catalog(line, folder, monkeypatch):
    if "polars" in line and find_spec("polars") is None:
        pytest.skip("polars is not installed: pip install 'tuningfork[test]'")
    monkeypatch.chdir(folder)
    known: dict[str, object] = {}
    for statement in imports():
        modules = [name for name in re.split(r",\s*", statement.removeprefix("import ")) if name != "polars"]
        exec(statement if statement.startswith("from") else f"import {', '.join(modules)}", known)
    if "polars" in line:
        exec("import polars", known)
    read = eval(line, known)
    rows = 64 if "duckdb" in line else 63  # one has no position
    assert len(read) == rows
    column = read["objID"]
    ids = column.tolist() if hasattr(column, "tolist") else list(column)
    assert min(int(str(value)) for value in ids) == ID + 1
    names = read.column_names if hasattr(read, "column_names") else list(read.columns)
    assert not {"Norder", "Dir", "Npix"} & set(names)


@pytest.mark.filterwarnings("ignore:Column .* contains NULL")  # `kept`, which astropy makes False
@pytest.mark.slow
def test_one_file_for_readers_of_single_files(folder, monkeypatch, capsys):
    page = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^tuningfork export run objects.fits$", page, re.MULTILINE)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with pytest.raises(SystemExit) as left:
        main.main()
    assert not left.value.code, capsys.readouterr().out
    table = Table.read("objects.fits")
    assert len(table) == 64
    assert table["objID"].min() == ID + 1
    assert table["MAG"].mask.sum() == 1
