"""Where the files of a run's predictors lie, and what the predictors are called."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from catalogs import storage
from kernels.heads.columns import column_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.rundir.run_directory import RunDirectory

__all__ = ["SUFFIX", "files_of", "name_of"]

SUFFIX = ".safetensors"


def files_of(paths: Sequence[str], folder: str, run: RunDirectory) -> tuple[list[str], list[str]]:
    """Files of a run's predictors: those that its config names, in a folder, and those that people added; the config's come before added ones of their name."""
    configured = [storage.absolute(path, folder) for path in paths]
    taken = {name_of(file) for file in configured}
    there = [name for name in sorted(storage.names(run.predictors)) if name.endswith(SUFFIX)]
    added = [storage.join(run.predictors, name) for name in there if name.removesuffix(SUFFIX) not in taken]
    return configured, added


def name_of(file: str) -> str:
    """Name of the predictor in a file."""
    return column_name(PurePosixPath(file).name.removesuffix(SUFFIX)) or "predictor"
