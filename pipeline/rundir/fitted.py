"""What a run has fitted: the pilot's codes and the members, for all who look at its groups."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from catalogs import storage
from catalogs.errors import CorruptFile, Fault, Refused
from catalogs.headers import first_line
from kernels.nearest import nearest
from kernels.vote import Ensemble
from pipeline.rundir import arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.rundir.run_directory import RunDirectory

__all__ = ["Fitted", "read_fitted"]


@dataclass(frozen=True, eq=False)
class Fitted:
    """The groups of a run, and a fair sample of its objects."""

    pilot: NDArray[np.float32]
    """(n, d) codes, in canonical order."""
    ensemble: Ensemble

    @property
    def weights(self) -> NDArray[np.float64]:
        """(groups,) objects of the pilot at each centre of the reference, 1 at least: what centres weigh in the tree of the groups."""
        counts = np.bincount(nearest(self.pilot, self.ensemble.centres), minlength=self.ensemble.groups)
        return np.maximum(counts, 1).astype(np.float64)


def read_fitted(run: RunDirectory, record: dict[str, Any]) -> Fitted:
    """Read what a run has fitted.

    Raises
    ------
    Refused
        If it has fitted nothing yet.
    CorruptFile
        If a file is damaged, or holds something else.
    """
    if not (storage.exists(run.components) and storage.exists(run.ensemble)):
        remedy = f"Finish it: {shlex.join(['tuningfork', 'run', record['source'], '--out', run.url])}"
        raise Refused([Fault(run.url, "has no groups yet: nothing is fitted", remedy)])
    pilot, saved = arrays.load(run.components)["pilot"], arrays.load(run.ensemble)
    if not (_are_codes(pilot) and len(pilot)):
        raise _damaged(run.components, f"its pilot is no table of codes: {pilot.dtype} {pilot.shape}")
    try:
        ensemble = Ensemble.from_arrays(saved)
    except (ValueError, TypeError, IndexError) as error:
        raise _damaged(run.ensemble, first_line(error)) from error
    if not _is_sound(ensemble, pilot.shape[1]):
        raise _damaged(
            run.ensemble, f"its members do not fit each other, or codes of {pilot.shape[1]} components"
        )
    return Fitted(pilot, ensemble)


def _are_codes(values: NDArray[Any]) -> bool:
    return values.ndim == 2 and values.dtype == np.float32 and bool(np.isfinite(values).all())


def _is_sound(ensemble: Ensemble, components: int) -> bool:
    prototypes, labels, starts = ensemble.prototypes, ensemble.labels, ensemble.starts
    if not all(_are_codes(each) and each.shape[1] == components for each in (prototypes, ensemble.centres)):
        return False
    ends = len(starts) > 1 and (starts[0], starts[-1]) == (0, len(prototypes)) and (np.diff(starts) > 0).all()
    members = ensemble.bags.shape == (len(starts) - 1,) and len(ensemble.families) == len(starts) - 1
    known = labels.shape == prototypes.shape[:1] and ((labels >= 0) & (labels < ensemble.groups)).all()
    return bool(ends and members and known)


def _damaged(url: str, why: str) -> CorruptFile:
    return CorruptFile(f"{url}: is damaged ({why}). Delete it and run again.")
