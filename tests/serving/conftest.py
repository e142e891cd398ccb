"""A real tritonserver with small models: an encoder, the same in half precision, and one that answers garbage."""

from __future__ import annotations

import contextlib
import random
import re
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from actors.encoder import Encoder
from actors.serving import contract
from actors.serving.repository import Serving, export
from kernels.autoregressive_model import Description, to_bytes
from kernels.brightness import Brightness
from kernels.modalities import Modalities, Scalars, Stamps, Vector
from pipeline.serving.serve import Ports, serving

OPTIONS: dict[str, Any] = {
    "model": "timm:test_convnext",
    "checkpoint": None,
    "denoise": None,
    "order": None,
    "bands": 2,
    "size": 32,
    "input": 32,
    "unwrap": "moments",
    "stretch": "asinh",
    "normalise": "none",
    "precision": "float32",
    "turns": 1,
    "batch_size": 16,
    "threads": 1,
}


def expected(options: dict[str, Any] = OPTIONS, **changes: Any) -> dict[str, Any]:
    """What a client expects of the model of these options."""
    return {
        "name": "encoder",
        "bands": options["bands"],
        "size": options["size"],
        "features": Encoder.columns(**options).schema.field("embedding").type.list_size,
        "wire": "float32",
        "fingerprint": contract.fingerprint(options, Encoder.weights_fingerprint(**options)),
        "values": contract.values(options),
    } | changes


def free_ports() -> Ports:
    """Three ports that nobody listens on.

    Below those that the kernel deals out: a server needs seconds to claim its ports, and Ray opens many meanwhile.
    """
    found: set[int] = set()
    while len(found) < 3:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as each, contextlib.suppress(OSError):
            each.bind(("127.0.0.1", port))
            found.add(port)
    return Ports("127.0.0.1", *found)


@pytest.fixture(scope="session")
def multimodal(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Options of an encoder that is told a magnitude and a spectrum beside the stamp."""
    flat = Brightness("asinh", (1.0,), (0.0,), (1.0,))
    modalities = Modalities(
        Stamps(("g", "r"), 32, 8, "spiral", "kept", Brightness("asinh", (1.0, 1.0), (0.0, 0.0), (1.0, 1.0))),
        (Scalars("photometry", ("mag_u",), ("mag",), "none", (20.0,), (2.0,)),),
        (Vector("spectrum", 6, 2, tuple(np.linspace(400, 900, 6)), "", flat),),
    )
    torch.manual_seed(0)
    about = Description("ar-1m", modalities, 0)
    path = tmp_path_factory.mktemp("weights") / "autoregressive.safetensors"
    path.write_bytes(to_bytes(about.build(), about))
    told = {"model": "ar-1m", "checkpoint": str(path), "modalities": modalities.to_values()}
    return {**OPTIONS, "unwrap": "none", "stretch": "none", **told}


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory, multimodal: dict[str, Any]) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    export(OPTIONS, folder, Serving())
    export(multimodal, folder, Serving("multimodal"))
    export(OPTIONS, folder, Serving("half", "float16"))
    garbage = export(OPTIONS, folder, Serving("garbage"))
    (garbage / "1" / "model.py").write_text(Path(__file__).with_name("garbage.py").read_text())
    config = garbage / "config.pbtxt"
    config.write_text(re.sub(r"model_warmup \[\{.*?\n\}\]\n", "", config.read_text(), flags=re.DOTALL))
    return folder


@pytest.fixture(scope="session")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory):
    """Ports of a server that runs until the last test."""
    ports = free_ports()
    log = tmp_path_factory.mktemp("log") / "server.log"
    with log.open("wb") as told, serving(repository, ports, log=told.fileno()):
        yield ports
