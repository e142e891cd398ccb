"""The ONNX flavour: onnxruntime must compute what torch does."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest

from actors.encoder import Encoder
from actors.serving import contract
from actors.serving.repository import Serving, export
from actors.stamps import with_modalities
from tests.actors.test_encoder import stamps
from tests.serving.conftest import OPTIONS
from tests.survey.conftest import tuningfork, typed


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param(
            {
                "model": "galaxy-atto",
                "unwrap": "none",
                "input": 64,
                "size": 40,
                "denoise": "bundled",
                "turns": 2,
            },
            marks=pytest.mark.slow,
        ),
        *(
            pytest.param({"model": model, "unwrap": "none", "input": side}, marks=pytest.mark.slow)
            for model, side in (
                ("galaxy-d4", 32),
                ("galaxy-d4", 33),
                ("astroformer-atto", 32),
                ("viewpoints", 48),
            )
        ),
        pytest.param(
            {"unwrap": "apct", "stretch": "linear", "bands": 1, "normalise": "imagenet"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_graph_computes_something_else(tmp_path, changes):
    options = {**OPTIONS, **changes}
    folder = export(options, tmp_path, Serving(flavour="onnxruntime"))
    assert 'backend: "onnxruntime"' in (folder / "config.pbtxt").read_text()
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    images = stamps(9, options["bands"], options["size"])
    images[0] = 0
    images[1, 0, :3] = np.nan
    found, mark = session.run([contract.EMBEDDING, contract.FINGERPRINT], {contract.STAMP: images})
    wanted = Encoder(**options).embed(images, np.arange(9))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    fingerprint = contract.fingerprint(options, Encoder.weights_fingerprint(**options))
    assert (mark == np.frombuffer(contract.mark(fingerprint), np.uint8)).all()
    assert mark.shape == (9, contract.MARK)


@pytest.mark.slow
def test_graph_loses_other_modalities(tmp_path, multimodal):
    folder = export(multimodal, tmp_path, Serving(flavour="onnxruntime"))
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    encoder = Encoder(**multimodal)
    others = np.random.default_rng(0).normal(20, 1, (9, encoder.width)).astype(np.float32)
    others[4] = np.nan
    images = stamps(9, 2, 32)
    found = session.run([contract.EMBEDDING], {contract.STAMP: with_modalities(images, others)})[0]
    wanted = encoder.embed(images, np.arange(9), others)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_graph_in_bfloat16_is_written(tmp_path):
    done = typed(
        "export-encoder", "galaxy-atto", tmp_path, "--flavour", "onnxruntime", "--precision", "bfloat16"
    )
    assert done.returncode == 2
    assert "float32" in done.stdout
    assert not list(tmp_path.iterdir())


def test_named_model_is_exported_with_other_defaults(tmp_path):
    done = tuningfork("export-encoder", "galaxy-atto", tmp_path, "--bands", "g,r,i", "--size", "48")
    assert done.returncode == 0, done.stdout + done.stderr
    stored = json.loads((tmp_path / "encoder" / "1" / "encoder.json").read_text())
    assert (stored["bands"], stored["size"], stored["unwrap"]) == (3, 48, "none")
