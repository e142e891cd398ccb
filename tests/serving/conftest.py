"""A real tritonserver with small models: an encoder, the same in half precision, and one that answers garbage."""

from __future__ import annotations

import contextlib
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from actors.encoder import Encoder
from actors.serving import contract
from actors.serving.repository import Serving, export
from pipeline.serve import Ports, serving

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
    """Three ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return Ports("127.0.0.1", *(each.getsockname()[1] for each in sockets))


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    export(OPTIONS, folder, Serving())
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
