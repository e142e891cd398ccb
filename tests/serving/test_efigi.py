"""Real galaxies with the bundled encoder, in process and served: one catalog."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from catalogs.pack import pack
from pipeline.serving.serve import serving
from tests.serving.conftest import free_ports
from tests.survey.conftest import Runner, files_of, tuningfork, write_toml

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "efigi.toml"


@pytest.mark.slow
def test_served_efigi_has_other_embeddings_or_groups(shared_data, tmp_path):
    """The same bytes; with half precision on the wire too, which holds eight-bit pixels exactly."""
    pack(shared_data / "efigi" / "labels.csv", tmp_path / "efigi", shards=8)
    values = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    values["survey"]["catalogs"] = str(tmp_path / "efigi" / "catalogs" / "*.fits")
    runner = Runner()
    runner(values, tmp_path, tmp_path / "here")
    for wire in ("float32", "float16"):
        ports = free_ports()
        keys = {"served_by": "tritonserver", "endpoints": [ports.endpoint], "wire": wire}
        there = values | {"encode": values["encode"] | keys}
        config = write_toml(there, tmp_path / f"{wire}.toml")
        exported = tuningfork("export-encoder", config, tmp_path / wire)
        assert exported.returncode == 0, exported.stdout + exported.stderr
        with (tmp_path / "log").open("wb") as log, serving(tmp_path / wire, ports, log=log.fileno()):
            runner(there, tmp_path, tmp_path / f"run-{wire}")
        assert files_of(tmp_path / f"run-{wire}") == files_of(tmp_path / "here")
