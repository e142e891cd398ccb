"""A Ray that only this machine's own user can talk to: it listens on loopback, and its token is private."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SINGLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Where this says no, Ray takes 127.0.0.1 for its node's address, and so do all of its processes."""
MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
OTHERS = 0o077


@contextlib.contextmanager
def on_loopback() -> Iterator[None]:
    """While the block runs, a Ray that is started here is this machine's alone.

    Ray itself listens on every interface, whatever host its dashboard is given: it expects other nodes to join.
    """
    from ray._private import ray_constants  # noqa: PLC0415 - Ray has no public switch for it

    before = os.environ.get(SINGLE), ray_constants.ENABLE_RAY_CLUSTER
    # The first is for Ray's processes, the second for this one, which has imported Ray already.
    os.environ[SINGLE], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    _keep_token_private()
    try:
        yield
    finally:
        os.environ.pop(SINGLE)
        if before[0] is not None:
            os.environ[SINGLE] = before[0]
        ray_constants.ENABLE_RAY_CLUSTER = before[1]


def _keep_token_private() -> None:
    """Make the token that Ray would make otherwise, and readable for everyone.

    Where there is no home folder, or none that can be written to, it stands in the environment of our own processes alone.
    """
    if TOKEN in os.environ or TOKEN_PATH in os.environ or os.environ.get(MODE, "token").lower() != "token":
        return
    try:
        _write_token(Path.home() / ".ray" / "auth_token")
    except (OSError, RuntimeError):  # containers run as users that have no home, or one that is read-only
        os.environ[TOKEN] = secrets.token_hex(32)


def _write_token(path: Path) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(descriptor, "w") as stream:
                stream.write(secrets.token_hex(32))
            with contextlib.suppress(FileExistsError):  # another run has just made one
                os.link(partial, path)
        finally:
            Path(partial).unlink()
    if not path.read_text(encoding="utf-8").strip():
        msg = "an empty token"
        raise OSError(msg)
    if path.stat().st_mode & OTHERS:
        path.chmod(path.stat().st_mode & ~OTHERS)
