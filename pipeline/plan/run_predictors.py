"""The predictors whose answers stand in a run's catalog, read again from their files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalogs import storage
from catalogs.headers import first_line
from kernels.heads.columns import column_name
from kernels.heads.predictor import NotAPredictor, Predictor
from pipeline.plan.predictor_files import files_of, predictor_name
from pipeline.rundir.run_directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Container

__all__ = ["RunPredictor", "predictors_of"]


@dataclass(frozen=True, eq=False)
class RunPredictor:
    """One predictor of a run."""

    name: str
    file: str
    predictor: Predictor

    @property
    def outside(self) -> str:
        """Its column that says which objects are unlike those that it was taught on; null where it has no answer at all."""
        return f"{column_name(self.name)}_outside"

    @property
    def column_names(self) -> list[str]:
        """Its columns in the catalog."""
        return [column.name for column in self.predictor.columns(self.name)]


def predictors_of(
    url: str, record: dict[str, Any], columns: Container[str]
) -> tuple[list[RunPredictor], list[str]]:
    """The predictors that answered in a run's catalog, and why others of the run cannot be judged.

    Parameters
    ----------
    url : str
        Run directory.
    record : dict
        Its `run.json`.
    columns : container of str
        Names of the catalog's columns.
    """
    source = record["source"]
    folder = str(storage.local_path(source).parent) if storage.is_local(source) else "."
    named = (record["config"].get("predict") or {}).get("with") or []
    run = RunDirectory(url)
    copied = (record.get("like") or {}).get("files", {})
    others = [run.like.frozen_file(name) for name in copied if name.startswith("predictors/")]
    configured, added = files_of(named, folder, run, others)
    found, gone = [], []
    for file in [*configured, *added]:
        name = predictor_name(file)
        try:
            one = RunPredictor(name, file, Predictor.from_bytes(storage.read(file), file))
        except (NotAPredictor, OSError, ValueError) as error:
            gone.append(f"predictor {name}: {file} cannot be read ({first_line(error)})")
            continue
        missing = [column for column in one.column_names if column not in columns]
        if missing:
            gone.append(
                f"predictor {name}: the catalog has no column {missing[0]!r}: {file} has changed since it answered, or has not answered yet"
            )
            continue
        found.append(one)
    return found, gone
