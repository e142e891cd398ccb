"""Model repositories for tritonserver: everything that encoding needs in one folder, and its config.pbtxt."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from actors.encoder import Encoder
from actors.serving import contract
from kernels import autoregressive_model
from kernels.modalities import Modalities
from kernels.networks import network_of

__all__ = ["Serving", "export"]

VERSION = "1"


@dataclass(frozen=True)
class Serving:
    """How a server runs the model.

    Parameters
    ----------
    name : str
        The model's name in the repository.
    wire : {"float32", "float16"}
        What stamps and embeddings travel as.
    instances : int
        Copies of the model, on each GPU where there are some.
    gpus : bool
        Whether instances run on GPUs.
    queue_delay_us : int
        Microseconds that a request waits for others to share its batch.
    flavour : {"python", "onnxruntime"}
        Backend: this package in the server's Python, or an ONNX graph that needs no Python.
    """

    name: str = "encoder"
    wire: str = "float32"
    instances: int = 1
    gpus: bool = False
    queue_delay_us: int = 2000
    flavour: str = "python"


def export(options: dict[str, Any], repository: Path, serving: Serving) -> Path:
    """Write a model; what was there under its name is replaced.

    Parameters
    ----------
    options : dict
        Of `actors.encoder.Encoder`.
    repository : Path
    serving : Serving

    Returns
    -------
    Path of the model's folder.
    """
    folder = repository / serving.name
    shutil.rmtree(folder, ignore_errors=True)
    version = folder / VERSION
    version.mkdir(parents=True)
    if serving.flavour == "onnxruntime":
        from actors.serving.onnx import write_onnx  # noqa: PLC0415 - an extra

        write_onnx(options, version / "model.onnx", serving.wire)
    else:
        _write_python(options, version)
    features = Encoder.columns(**options).schema.field("embedding").type.list_size
    print_ = contract.fingerprint(options, Encoder.weights_fingerprint(**options))
    (folder / "config.pbtxt").write_text(_config(options, features, print_, serving), encoding="utf-8")
    return folder


def _write_python(options: dict[str, Any], version: Path) -> None:
    stored = {**options, "checkpoint": "encoder.safetensors"}
    network, denoiser = Encoder.networks(**options)
    described = network_of(options["model"]).described
    about = autoregressive_model.describe(options["checkpoint"]).metadata if described else None
    _save(network, version / "encoder.safetensors", about)
    if denoiser is not None:
        stored["denoise"] = "denoiser.safetensors"
        _save(denoiser, version / "denoiser.safetensors")
    (version / "encoder.json").write_text(json.dumps(stored, indent=1), encoding="utf-8")
    shutil.copy(Path(__file__).with_name("model.py"), version / "model.py")


def _save(network: Any, path: Path, metadata: dict[str, str] | None = None) -> None:
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path, metadata)


def _config(options: dict[str, Any], features: int, fingerprint: str, serving: Serving) -> str:
    dtype, batch = contract.DTYPES[serving.wire], options["batch_size"]
    given = options.get("modalities")
    width = 0 if given is None else Modalities.from_values(given).width
    stamp = ", ".join(map(str, contract.input_shape(options["bands"], options["size"], width)))
    settings = json.dumps(json.dumps(contract.values(options)))
    return f"""# Written by tuningfork export-encoder. See docs/operations.md for how to size instances and batches.
name: "{serving.name}"
backend: "{serving.flavour}"
max_batch_size: {batch}
input [{{ name: "{contract.STAMP}", data_type: TYPE_{dtype}, dims: [{stamp}] }}]
output [
  {{ name: "{contract.EMBEDDING}", data_type: TYPE_{dtype}, dims: [{features}] }},
  {{ name: "{contract.FINGERPRINT}", data_type: TYPE_UINT8, dims: [{contract.MARK}] }}
]
# Requests wait this long for others, so that small ones share a batch.
dynamic_batching {{ preferred_batch_size: [{batch}], max_queue_delay_microseconds: {serving.queue_delay_us} }}
instance_group [{{ count: {serving.instances}, kind: KIND_{"GPU" if serving.gpus else "CPU"} }}]
version_policy {{ latest {{ num_versions: 1 }} }}
# The first batch of a network is slow: it is paid before the server calls itself ready.
model_warmup [{{
  name: "a full batch of empty sky"
  batch_size: {batch}
  inputs {{ key: "{contract.STAMP}", value: {{ data_type: TYPE_{dtype}, dims: [{stamp}], zero_data: true }} }}
}}]
parameters {{ key: "fingerprint", value: {{ string_value: "{fingerprint}" }} }}
parameters {{ key: "encoder", value: {{ string_value: {settings} }} }}
"""
