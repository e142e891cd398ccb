"""`tuningfork label`: a person's names for the groups of a run, kept in it, and a catalog that has them."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from catalogs import parts, storage
from catalogs.errors import Fault, Refused
from pipeline.config.check import read_toml
from pipeline.config.classes import class_name
from pipeline.output.lock import locked
from pipeline.plan.plan import as_decided
from pipeline.results.as_made import as_made
from pipeline.rundir import group_labels
from pipeline.rundir.group_labels import Decision
from pipeline.rundir.run_directory import RunDirectory
from pipeline.rundir.status import slice_names

if TYPE_CHECKING:
    from pathlib import Path

KEYS = {"author", "notes", "fit", "groups", "merge"}
GROUP_KEYS = {"class", "notes"}
EXAMPLE = 'Write [groups] with lines like 3 = "SPH"'
MERGE_EXAMPLE = "[merge] with lines like SPH = [0, 3]"


def label(
    url: str,
    file: Path,
    *,
    author: str | None = None,
    config: Path | None = None,
    address: str | None = None,
    forget: bool = False,
) -> None:
    """Keep a person's decision on a run's groups, and classify and publish it again.

    Parameters
    ----------
    url : str
        Run directory.
    file : Path
        The decision; see `read_file`.
    author : str, optional
        Who decided; by default the file's `author`.
    config : Path, optional
        The run's config; by default where it lay when the run was made.
    address : str, optional
        Ray cluster to join; by default one is started on this machine.
    forget : bool
        Whether earlier labels of groups that the file does not name no longer hold.

    Raises
    ------
    Refused
        With everything that is wrong; nothing is kept then.
    """
    from pipeline import flow  # noqa: PLC0415 - Ray is loaded when the decision holds

    run = RunDirectory(url)
    record = _voted(run)
    decision = read_file(file, record, author=author, forget=forget)
    plan = as_made(run, record, config, address)
    with locked(url, "label") as lock:
        if run.record() != record:
            problem = "was changed by another command while this one looked at it"
            raise Refused([Fault(url, problem, "Run this one again")])
        group_labels.add(run, decision)
        plan = as_decided(plan)
        run.prepare(plan.record, anew=False, remedy=f"{plan.command} --anew")
        flow.run(plan, address, lock=lock)


def read_file(path: Path, record: dict[str, Any], *, author: str | None, forget: bool) -> Decision:
    """Read a decision from a TOML file.

    It has `author`, optionally `notes` and `fit` (the fingerprint of the fit that the groups were looked at in); `[groups]`, where a
    group's number stands for a class (`3 = "SPH"`) or for a table with `class` and `notes`; and `[merge]`, where a class stands for
    the groups that get it (`SPH = [0, 3]`).

    Parameters
    ----------
    path : Path
    record : dict
        The run's `run.json`.
    author : str or None
        Used before the file's.
    forget : bool
        As in `label`.

    Raises
    ------
    Refused
        With everything that is wrong with it.
    """
    values = read_toml(path)
    faults = [
        _wrong(path, key, "unknown key", f"There are: {', '.join(sorted(KEYS))}")
        for key in set(values) - KEYS
    ]
    who = author if author is not None else values.get("author")
    if not isinstance(who, str) or not who.strip():
        faults.append(
            _wrong(path, "author", "nobody stands for the names", 'Add author = "NAME", or give --author')
        )
    faults += [
        _wrong(path, key, "must be a text", "Put it in quotes")
        for key in ("notes", "fit")
        if not isinstance(values.get(key, ""), str)
    ]
    fit = record["fingerprints"]["fit"]
    if isinstance(values.get("fit"), str) and values["fit"] != fit:
        problem = "the names were given to the groups of another fit"
        faults.append(_wrong(path, "fit", problem, "Look at the groups of this run and name them"))
    given, found_faults = _entries(path, values)
    faults += found_faults
    groups = {}
    for number, (key, entry) in given.items():
        found = _group(path, key, number, entry, record["config"]["fit"]["groups"])
        if isinstance(found, Fault):
            faults.append(found)
        else:
            groups[number] = found
    if faults:
        raise Refused(faults)
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return Decision(str(who).strip(), date, fit, groups, values.get("notes"), forget)


def _entries(path: Path, values: dict[str, Any]) -> tuple[dict[str, tuple[str, Any]], list[Fault]]:
    """Key and value in `[groups]` or `[merge]` of each group, by its number; and what is wrong with that."""
    given, merged = values.get("groups", {}), values.get("merge", {})
    if not isinstance(given, dict) or not isinstance(merged, dict) or not (given or merged):
        return {}, [_wrong(path, "groups", "names no group", f"{EXAMPLE}, or {MERGE_EXAMPLE}")]
    entries = {number: (f"groups.{number}", entry) for number, entry in given.items()}
    faults = []
    for name, numbers in merged.items():
        key = f"merge.{name}"
        if not isinstance(numbers, list) or not numbers or any(type(n) is not int for n in numbers):
            faults.append(
                _wrong(path, key, "must be a list of groups", f"Write {MERGE_EXAMPLE}", repr(numbers))
            )
            continue
        for number in map(str, numbers):
            if number in entries:
                remedy = "Name each group once"
                faults.append(_wrong(path, key, "the group has a class in this file already", remedy, number))
            entries[number] = key, name
    return entries, faults


def _group(path: Path, key: str, number: str, entry: Any, groups: int) -> dict[str, str | None] | Fault:
    if not number.isdecimal() or not number.isascii() or number != str(int(number)) or int(number) >= groups:
        return _wrong(path, key, "the run has no such group", f"Its groups are 0 to {groups - 1}")
    values = entry if isinstance(entry, dict) else {"class": entry}
    unknown = sorted(set(values) - GROUP_KEYS)
    if unknown:
        return _wrong(path, f"{key}.{unknown[0]}", "unknown key", "A group has class and notes")
    name, notes = values.get("class"), values.get("notes", "")
    if not isinstance(name, str):
        problem = "has no class" if name is None else "a class is a name, never a number or a list"
        return _wrong(path, key, problem, EXAMPLE, None if name is None else repr(name))
    if not isinstance(notes, str):
        return _wrong(path, f"{key}.notes", "must be a text", "Put it in quotes", repr(notes))
    try:
        return {"class": class_name(name), "notes": notes.strip() or None}
    except ValueError as error:
        return _wrong(path, key, str(error), "To leave a group unnamed, leave it out", repr(name))


def _wrong(path: Path, key: str, problem: str, remedy: str, value: str | None = None) -> Fault:
    return Fault(str(path), problem, remedy, value=value, key=key)


def _voted(run: RunDirectory) -> dict[str, Any]:
    """The record of a run whose objects all have a group."""
    record = run.record()
    if record is None:
        raise Refused(
            [Fault(run.url, "there is no run here", f"Start one: tuningfork run CONFIG --out {run.url}")]
        )
    done = parts.done(run.votes)
    missing = sum(name not in done for name, _ in slice_names(record))
    if missing or not storage.exists(run.ensemble):
        problem = f"has no groups yet: {missing} slices are not voted on"
        remedy = f"Finish it: {shlex.join(['tuningfork', 'run', record['source'], '--out', run.url])}"
        raise Refused([Fault(run.url, problem, remedy)])
    return record
