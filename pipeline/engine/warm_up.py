"""Compiling the loops of measuring and filling before they are needed: in a few processes, for a compiler uses one core."""

from __future__ import annotations

import subprocess
import sys

from catalogs.errors import TuningforkError
from kernels.compiled import are_missing
from pipeline.console import console

__all__ = ["compile_loops", "compile_loops_once"]


class NotCompiled(TuningforkError):
    """The compiler failed."""


def compile_loops() -> None:
    """Compile all loops and keep them on disk; what is kept already is loaded.

    Raises
    ------
    NotCompiled
        With the last line that the compiler wrote.
    """
    from kernels.loops import PARTS  # noqa: PLC0415 - loads all that measures

    commands = [[sys.executable, "-m", "kernels.loops", str(part)] for part in range(len(PARTS))]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in commands]  # noqa: S603
    errors = [process.communicate()[1] for process in processes]
    failed = [error for process, error in zip(processes, errors, strict=True) if process.returncode]
    if failed:
        raise NotCompiled(f"numba could not compile: {(failed[0].strip() or 'killed').splitlines()[-1]}")


def compile_loops_once() -> None:
    """The same, with a word about it, where no process has compiled any yet."""
    if are_missing():
        console.print("Compiling what measures stamps: once on a machine, less than a minute.")
        compile_loops()
