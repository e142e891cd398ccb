"""What a run with `--like RUN` goes by: the models of another run and the names of its groups, which neither fit nor change any more.

The run keeps copies in its folder `like/`, and in `run.json` where they came from, their hashes and the other run's config: that one may vanish.
"""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from catalogs import storage
from catalogs.errors import CorruptFile, Fault, FileChanged, Refused
from catalogs.headers import first_line
from pipeline.output.lock import NAME, at_work
from pipeline.output.places import as_place
from pipeline.rundir.classes_file import read_classes
from pipeline.rundir.fitted import read_fitted
from pipeline.rundir.run_directory import RunDirectory

__all__ = ["Frozen", "find_frozen", "take_over"]

FINISHER, PREDICTORS = "finish.safetensors", "predictors"
"""In the folder `models/`."""
GIVE = "Give --like a run that has ended"


@dataclass(frozen=True)
class Frozen:
    """Models that a run takes over, and how they came about."""

    run: str
    """URL of the run that made them."""
    files: dict[str, str]
    """SHA-256 of each of `RunDirectory.frozen`, by its name."""
    config: dict[str, Any]
    """Of the run that made them."""
    seen: dict[str, Any]
    """What that run's `run.json` says of the weights and pixels that it was made with."""
    source: str
    """Run directory that has the files now: the other run, or the copy in this one."""

    @property
    def predictors(self) -> list[str]:
        """Files of the other run's predictors."""
        run = RunDirectory(self.source)
        return [run.frozen_file(name) for name in self.files if name.startswith(f"{PREDICTORS}/")]

    @property
    def record(self) -> dict[str, Any]:
        """What `run.json` keeps."""
        return {name: value for name, value in asdict(self).items() if name != "source"}


def find_frozen(run: RunDirectory, given: str | None) -> Frozen | None:
    """What a run goes by, if it goes by another one's models: by the run that is given, or by what it began with.

    Parameters
    ----------
    run : RunDirectory
        That goes by them.
    given : str, optional
        URL of the run that has made them. A run that has its copies needs it no more, but may be given it again.

    Raises
    ------
    Refused
        If the models are not to be had: the other run has not ended, is damaged or is written to.
    """
    begun = _begun(run)
    if given is None and begun is None:
        return None
    other = None if given is None else _place(given)
    if begun is not None and other in (None, begun["run"]):
        if _has(run.like, begun["files"]) and (other is None or not _is_run(other)):
            return Frozen(begun["run"], begun["files"], begun["config"], begun["seen"], run.like.url)
        other = begun["run"]
    assert other is not None
    if other == _place(run.url):
        raise Refused([Fault(run.url, "a run cannot go by itself", GIVE)])
    found = _look(other)
    if given is None and begun is not None and found.files != begun["files"]:
        problem = f"was stopped before it had copied the models of {other}, which has changed since"
        raise Refused([Fault(run.url, problem, f"Say that they are meant: --like {other}")])
    return found


def take_over(like: Frozen, run: RunDirectory) -> None:
    """Copy what a run goes by into it, as far as it is not there yet, and put models where the fit would have put them.

    Raises
    ------
    FileChanged
        If the other run has changed since the plan.
    """
    for name, digest in like.files.items():
        copy, source = run.like.frozen_file(name), RunDirectory(like.source).frozen_file(name)
        if _digest(copy) == digest:
            continue
        data = storage.read(source)
        if hashlib.sha256(data).hexdigest() != digest:
            raise FileChanged(f"{source}: has changed since this run began. Run it again.")
        storage.write(copy, data)
    for made, copy in ((run.components, run.like.components), (run.ensemble, run.like.ensemble)):
        if not storage.exists(made):
            storage.write(made, storage.read(copy))


def _begun(run: RunDirectory) -> dict[str, Any] | None:
    try:
        before = run.record()
    except Refused:
        return None  # what is wrong with the directory, `RunDirectory.check` says once the config is sound
    return None if before is None else before["like"]


def _look(url: str) -> Frozen:
    """What a run offers to others."""
    run = RunDirectory(url)
    try:
        holder, record = at_work(url), run.record()
    except Refused as refused:
        raise Refused([replace(fault, remedy=GIVE) for fault in refused.faults]) from refused
    if record is None:
        raise Refused([Fault(url, "there is no run here", GIVE)])
    if holder is not None:
        remedy = f"Wait until it has ended; if it has died, run it again, or delete {storage.join(url, NAME)}"
        raise Refused([Fault(url, str(holder), remedy)])
    if record["seen"] is None:
        problem = "was made by a version that did not record what its network saw"
        remedy = "Run it again with this version, which keeps all that it has made"
        raise Refused([Fault(url, problem, remedy)])
    try:
        fitted = read_fitted(run, record)
        if not storage.exists(run.classes):
            finish = shlex.join(["tuningfork", "run", record["source"], "--out", url])
            raise Refused([Fault(url, "its groups have no classes yet", f"Finish it: {finish}")])
        classes = read_classes(run.classes)
        groups = list(range(fitted.ensemble.groups))
        named = [group["group"] for group in classes["groups"]]
        if named != groups or len(classes.get("level", ())) != len(groups):
            raise CorruptFile(f"{run.classes}: is damaged (it has not {len(groups)} groups).")
        names = [*run.frozen, *_optional(run)]
        files = {name: hashlib.sha256(storage.read(run.frozen_file(name))).hexdigest() for name in names}
    except (CorruptFile, OSError) as error:
        problem = first_line(error).removeprefix(f"{url}/").removesuffix(" Delete it and run again.")
        raise Refused([Fault(url, problem.removesuffix("."), "Restore it, or make that run anew")]) from error
    return Frozen(url, files, record["config"], record["seen"], url)


def _optional(run: RunDirectory) -> list[str]:
    """What a run may have for others, beside what it must have: predictors, and the one that finishes its classes."""
    finisher = [FINISHER] if storage.exists(run.finisher) else []
    return [*finisher, *(f"{PREDICTORS}/{name}" for name in storage.names(run.predictor_copies))]


def _has(copies: RunDirectory, files: dict[str, str]) -> bool:
    return all(_digest(copies.frozen_file(name)) == digest for name, digest in files.items())


def _digest(url: str) -> str | None:
    return hashlib.sha256(storage.read(url)).hexdigest() if url and storage.exists(url) else None


def _is_run(url: str) -> bool:
    try:
        with as_place(url):
            return storage.exists(storage.join(url, "run.json"))
    except Refused:
        return False  # a store that does not answer may be gone for good, and nothing there is needed


def _place(url: str) -> str:
    """The same from every folder."""
    return (url if "://" in url else str(Path(url).absolute())).rstrip("/")
