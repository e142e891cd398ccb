"""What a trial found, kept for the next command: on this machine the same stamps take as long by the same code.

A plan that is made again, and the run that follows a plan, need neither try anything nor load what tries it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.engine.cores import usable_cores
from pipeline.rundir import file_versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalogs.slices import Slice
    from pipeline.plan.plan import Plan

__all__ = ["folder", "keep", "kept", "trial_key"]

MOST = 100
"""Trials that are kept; the oldest make room."""
LIBRARIES = ("torch", "numba", "numpy", "pyarrow", "astropy", "fsspec", "timm")
CODE = ("kernels", "actors", "catalogs")


def folder() -> Path:
    """Where trials are kept: in the user's folder for what may be thrown away at any time.

    Raises
    ------
    RuntimeError
        If the user has no home.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tuningfork" / "trials"


def trial_key(plan: Plan, left: Sequence[Slice], selected: float) -> str:
    """A digest of all that a trial rests on: the stamps that it takes, what is done with them, the code, and the machine."""
    rests_on = {
        "encode": plan.fingerprints["encode"],
        "files": file_versions.of_release(plan.release),
        "options": [plan.encoder_options, plan.measurer_options, plan.segmenter_options],
        "cached_bytes": plan.release.cached_bytes,
        "slices": [left[0].name, left[len(left) // 2].name, selected],
        "code": _code(),
        "machine": _machine(),
    }
    return hashlib.sha256(json.dumps(rests_on, sort_keys=True, default=_digest).encode()).hexdigest()


def kept(key: str, names: Sequence[str]) -> list[float] | None:
    """The numbers of these names that were kept; None where there are none."""
    try:
        found = json.loads((folder() / f"{key}.json").read_text(encoding="utf-8"))
        return [float(found[name]) for name in names]
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        return None


def keep(key: str, numbers: dict[str, float]) -> None:
    """Keep numbers, where there is a place to."""
    with contextlib.suppress(OSError, RuntimeError):
        place = folder()
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=place, delete=False, encoding="utf-8") as file:
            json.dump(numbers, file)
        Path(file.name).replace(place / f"{key}.json")
        by_age = sorted(place.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for old in by_age[:-MOST]:
            old.unlink(missing_ok=True)


def _digest(value: Any) -> str:
    """Of what JSON has no form for: PSFs, which are arrays, and paths."""
    if isinstance(value, np.ndarray):
        return hashlib.sha256(value.tobytes()).hexdigest()
    return str(value)


@functools.cache
def _code() -> str:
    """Of the sources that read, measure and encode stamps."""
    root = Path(__file__).parents[2]
    sources = sorted(path for name in CODE for path in (root / name).rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


@functools.cache
def _machine() -> list[str]:
    cpus = Path("/proc/cpuinfo")  # of Linux
    lines = cpus.read_text(encoding="utf-8").splitlines() if cpus.exists() else []
    model = next((line for line in lines if line.startswith("model name")), platform.processor())
    libraries = [f"{name} {version(name)}" for name in LIBRARIES]
    return [platform.node(), model, str(usable_cores()), platform.python_version(), *libraries]
