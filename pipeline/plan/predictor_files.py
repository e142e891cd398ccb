"""Where the files of a run's predictors lie, and what the predictors are called."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from catalogs import storage
from catalogs.errors import Refused
from kernels.heads.columns import column_name
from pipeline.output.places import as_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.rundir.run_directory import RunDirectory

__all__ = ["SUFFIX", "files_of", "predictor_name"]

SUFFIX = ".safetensors"


def files_of(
    paths: Sequence[str], folder: str, run: RunDirectory, others: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """Files of a run's predictors: those that its config names, and those that people added; then, of other names, another run's.

    Parameters
    ----------
    paths : sequence of str
        What the config names, in a folder.
    folder : str
    run : RunDirectory
    others : sequence of str
        Files of another run by whose models this one goes.
    """
    configured = [storage.absolute(path, folder) for path in paths]
    taken, added = {predictor_name(file) for file in configured}, []
    for file in [*_people_added(run), *others]:
        if predictor_name(file) not in taken:
            added.append(file)
            taken.add(predictor_name(file))
    return configured, added


def _people_added(run: RunDirectory) -> list[str]:
    try:
        with as_place(run.url):
            names = storage.names(run.predictors)
    except Refused:
        return []  # what is wrong with the directory, `RunDirectory.check` says
    return [storage.join(run.predictors, name) for name in names if name.endswith(SUFFIX)]


def predictor_name(file: str) -> str:
    """Name of the predictor in a file."""
    return column_name(PurePosixPath(file).name.removesuffix(SUFFIX)) or "predictor"
