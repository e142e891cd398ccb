"""`tuningfork serve`: run tritonserver on a model repository, and leave nothing behind."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from catalogs.errors import Fault, Refused, TuningforkError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Ports", "ServerFailed", "Tritonserver", "find", "serving"]

POLL, STOPPING = 0.1, 15.0
"""Seconds between looks at a server that starts, and that it may take to stop."""
SHARED = Path("/dev/shm")  # noqa: S108 - where the Python backend keeps its memory

CLIENT_MEMORY = "--allow-client-shm"
"""Newer servers take no shared memory from clients without it, and older ones don't know it."""


class ServerFailed(TuningforkError):
    """The server ended by itself."""


@dataclass(frozen=True)
class Ports:
    """Where a server listens."""

    host: str = "127.0.0.1"
    grpc: int = 8001
    http: int = 8000
    metrics: int = 8002
    certificate: Path | None = None
    """PEM file that the server shows; gRPC is encrypted then."""
    key: Path | None = None
    """PEM file of its key."""
    ca: Path | None = None
    """PEM file of the authority whose clients are let in; none: all are."""

    @property
    def endpoint(self) -> str:
        """What `[encode] endpoints` names."""
        return f"grpc{'s' if self.certificate else ''}://{self.host}:{self.grpc}"


@dataclass(frozen=True)
class Tritonserver:
    """A tritonserver on this machine, and what it needs to run."""

    binary: Path
    wheel: Path | None = None
    """Folder of the wheel that it comes from; None: an installation of its own."""
    environment: dict[str, str] = field(default_factory=dict)


def find() -> Tritonserver:
    """The tritonserver on PATH, or in the nvidia-pytriton wheel beside this Python.

    Raises
    ------
    Refused
        If there is neither.
    """
    on_path = shutil.which("tritonserver")
    if on_path is not None:
        return Tritonserver(Path(on_path))
    package = importlib.util.find_spec("pytriton")
    if package is None or package.origin is None:
        remedy = "Run `make tritonserver`, or `pip install --no-deps nvidia-pytriton==0.7.0`"
        raise Refused([Fault("tritonserver", "is neither on PATH nor in this Python's packages", remedy)])
    packages = Path(package.origin).parents[1]
    libraries = [sysconfig.get_config_var("LIBDIR"), packages / "nvidia_pytriton.libs"]
    return Tritonserver(
        packages / "pytriton" / "tritonserver" / "bin" / "tritonserver",
        packages / "pytriton" / "tritonserver",
        {"LD_LIBRARY_PATH": os.pathsep.join([*map(str, libraries), os.environ.get("LD_LIBRARY_PATH", "")])},
    )


@contextlib.contextmanager
def serving(
    repository: Path, ports: Ports, *, log: int | None = None, patience: float = 120.0
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that is ready while the block runs.

    Parameters
    ----------
    repository : Path
        Made by `tuningfork export-encoder`.
    ports : Ports
    log : int, optional
        File descriptor that its messages go to; default: this process's standard error.
    patience : float
        Seconds that it may take to load its models.

    Raises
    ------
    Refused
        If there is no server, or no repository.
    ServerFailed
        If it ends, or is not ready in time.
    """
    if not list(repository.glob("*/config.pbtxt")):
        remedy = "Make one: tuningfork export-encoder MODEL REPOSITORY"
        raise Refused([Fault(str(repository), "is no model repository", remedy)])
    server = find()
    prefix = f"tuningfork-{os.getpid()}-{ports.grpc}-"
    with tempfile.TemporaryDirectory(prefix="tuningfork-backends-") as scratch:
        process = subprocess.Popen(  # noqa: S603
            _command(server, repository, ports, Path(scratch), prefix),
            env=_environment(server),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _wait(process, ports, patience)
            yield process
        finally:
            _stop(process)
            for left in SHARED.glob(f"{prefix}*"):
                left.unlink(missing_ok=True)


def _command(server: Tritonserver, repository: Path, ports: Ports, scratch: Path, prefix: str) -> list[str]:
    command = [str(server.binary), f"--model-repository={repository.absolute()}"]
    command += [f"--{kind}-address={ports.host}" for kind in ("grpc", "http", "metrics")]
    command += [f"--{kind}-port={getattr(ports, kind)}" for kind in ("grpc", "http", "metrics")]
    if ports.certificate is not None:
        command += [
            "--grpc-use-ssl=1",
            f"--grpc-server-cert={ports.certificate}",
            f"--grpc-server-key={ports.key}",
        ]
    if ports.ca is not None:
        command += ["--grpc-use-ssl-mutual=1", f"--grpc-root-cert={ports.ca}"]
    command.append(f"--backend-config=python,shm-region-prefix-name={prefix}")
    if _supports(server, CLIENT_MEMORY):
        command.append(f"{CLIENT_MEMORY}=true")
    if server.wheel is not None:
        # The wheel keeps a stub for each Python beside the backend; the server looks for one in the backend's own folder.
        backend = scratch / "python"
        shutil.copytree(server.wheel / "backends" / "python", backend)
        stub = server.wheel / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}"
        if not stub.is_dir():
            remedy = "Use Python 3.11, or a tritonserver of its own"
            raise Refused([Fault(str(stub), "the wheel has no stub for this Python", remedy)])
        shutil.copy(stub / "triton_python_backend_stub", backend)
        command.append(f"--backend-directory={scratch}")
    return command


def _supports(server: Tritonserver, option: str) -> bool:
    words = [str(server.binary), "--help"]
    shown = subprocess.run(words, env=_environment(server), capture_output=True, check=False)  # noqa: S603
    return option.encode() in shown.stdout + shown.stderr


def _environment(server: Tritonserver) -> dict[str, str]:
    # The stub takes the Python, and with it this package, that comes first on PATH.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **server.environment, "PATH": path}


def _wait(process: subprocess.Popen[bytes], ports: Ports, patience: float) -> None:
    limit = time.monotonic() + patience
    host = "127.0.0.1" if ports.host == "0.0.0.0" else ports.host  # noqa: S104
    while process.poll() is None:
        ready = f"http://{host}:{ports.http}/v2/health/ready"
        with contextlib.suppress(OSError), urllib.request.urlopen(ready, timeout=1.0):
            return
        if time.monotonic() > limit:
            raise ServerFailed(f"tritonserver was not ready within {patience:g} s")
        time.sleep(POLL)
    raise ServerFailed(f"tritonserver ended with code {process.returncode}: its messages say why")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Politely first; stubs of a server that had to be killed go with its process group."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOPPING)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
