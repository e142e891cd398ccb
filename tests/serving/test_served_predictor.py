"""A predictor's own network on a tritonserver answers like the same one in process."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load

from actors.serving.repository import Serving
from kernels.heads.predictor import Predictor
from kernels.nets.weights import bundled
from pipeline.serving.export import export_encoder
from pipeline.serving.serve import serving
from pipeline.training.from_run import learn_from_run
from tests.conftest import TinyRelease
from tests.serving.conftest import free_ports
from tests.survey.conftest import Runner, files_of, write_toml


@pytest.mark.slow
def test_served_network_of_a_predictor_answers_otherwise(tmp_path):
    tiny = TinyRelease(tmp_path / "release")
    tiny.table["WIDE"] = np.arange(64) % 5 > 2
    tiny.write(2)
    encode = {"model": "galaxy-atto", "precision": "float32"}
    Runner()(tiny.config(encode=encode), tiny.folder, tmp_path / "run")
    labels = tiny.config(encode=encode, train={"labels": {"conditions": {"wide": "WIDE"}}})
    learn_from_run(
        write_toml(labels, tmp_path / "release" / "labels.toml"), str(tmp_path / "run"), str(tmp_path / "out")
    )
    taught = Predictor.from_bytes((tmp_path / "out" / "predictor.safetensors").read_bytes(), "taught")
    file = tmp_path / "wide.safetensors"
    file.write_bytes(taught.to_bytes(load(bundled("galaxy-atto").read_bytes())))
    answering = {"predict": {"with": [str(file)]}}
    Runner()(tiny.config(encode=encode) | answering, tiny.folder, tmp_path / "here")
    ports = free_ports()
    served = {**encode, "served_by": "tritonserver", "endpoints": [ports.endpoint]}
    config = write_toml(tiny.config(encode=served) | answering, tiny.folder / "served.toml")
    export_encoder(str(config), tmp_path / "repository", Serving())
    assert {path.name for path in (tmp_path / "repository").iterdir()} == {"encoder", "wide"}
    with serving(tmp_path / "repository", ports):
        Runner()(tiny.config(encode=served) | answering, tiny.folder, tmp_path / "there")
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")
