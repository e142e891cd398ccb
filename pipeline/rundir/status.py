"""How far a run is: slices, objects, flags, rate, and what is missing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from catalogs import parts, storage
from catalogs.errors import Fault, Refused
from pipeline.rundir import arrays
from pipeline.rundir.run_directory import RunDirectory, is_synthetic, run_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catalogs.parts import Receipt

AT_ONCE = 64
"""Receipts that one thread reads after each other."""


@dataclass(frozen=True)
class StageStatus:
    """One streaming stage."""

    stage: str
    total: int
    missing: list[str]
    objects: int
    usable: int
    rate: float | None
    """Objects per second between the first and the last part's time; None where there is no clock to go by."""
    flags: dict[str, int] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """Slices that have a part."""
        return self.total - len(self.missing)


@dataclass(frozen=True)
class Balance:
    """What comes before the second fit, where bags are balanced."""

    fitted: bool
    vote: StageStatus
    wanted: int | None
    """Synthetic neighbours that join the bags; None until the first vote is counted."""
    drawn: int


@dataclass(frozen=True)
class Status:
    """A whole run."""

    run: RunDirectory
    run_id: str
    source: str
    rows: int
    stages: list[StageStatus]
    reduced: bool
    fitted: bool
    published: bool
    synthetic: bool = False
    """Whether a diffusion model drew the release."""
    balance: Balance | None = None
    like: str | None = None
    """Run whose models this one goes by; None where it fits its own."""


def status(url: str) -> Status:
    """Look at a run directory; nothing is started or changed.

    Raises
    ------
    Refused
        If there is no run.
    """
    run = RunDirectory(url)
    record = run.record()
    if record is None:
        raise Refused([Fault(url, "there is no run here", "Start one: tuningfork run CONFIG --out " + url)])
    slices = [name for name, _ in slice_names(record)]
    stages = [
        _stage(stage, folder, slices) for stage, folder in (("encode", run.objects), ("vote", run.votes))
    ]
    return Status(
        run,
        run_id(record["config"]["survey"]["name"], url, record["fingerprints"]["encode"]),
        record["source"],
        sum(shard["rows"] for shard in record["shards"]),
        stages,
        storage.exists(run.components),
        storage.exists(run.ensemble),
        storage.exists(run.published),
        is_synthetic(record),
        _balance(run, slices) if "augment" in record["fingerprints"] else None,
        None if record["like"] is None else record["like"]["run"],
    )


def _balance(run: RunDirectory, slices: list[str]) -> Balance:
    wanted = (
        arrays.read_with(run.balance, lambda values: int(values["synthetic"]))
        if storage.exists(run.balance)
        else None
    )
    drawn = _counted(run.synthetic, sorted(parts.done(run.synthetic))).objects
    vote = _stage("first_vote", run.first_votes, slices)
    return Balance(storage.exists(run.first_ensemble), vote, wanted, drawn)


def slice_names(record: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Name and rows of every slice that `run.json` promises."""
    from catalogs.slices import Slice  # noqa: PLC0415

    step = record["config"]["run"]["slice_rows"]
    for number, shard in enumerate(record["shards"]):
        for start in range(0, shard["rows"], step):
            piece = Slice(number, start, min(start + step, shard["rows"]))
            yield piece.name, piece.rows


def _stage(stage: str, folder: str, slices: list[str]) -> StageStatus:
    done = parts.done(folder)
    names = [name for name in slices if name in done]
    missing = [name for name in slices if name not in done]
    found = _counted(folder, names)
    rate = _rate(folder, names, found.objects)
    return StageStatus(stage, len(slices), missing, found.objects, found.usable, rate, dict(found.flags))


@dataclass
class _Counts:
    """What receipts say together: there may be a million of them."""

    objects: int = 0
    usable: int = 0
    flags: Counter[str] = field(default_factory=Counter)

    def add(self, other: _Counts | Receipt) -> None:
        self.objects += other.objects
        self.usable += other.usable
        self.flags.update(other.flags)


def _counted(folder: str, names: list[str]) -> _Counts:
    def some(start: int) -> _Counts:
        counts = _Counts()
        for name in names[start : start + AT_ONCE]:
            counts.add(parts.receipt(folder, name))
        return counts

    whole = _Counts()
    for counts in storage.parallel(some, range(0, len(names), AT_ONCE)):
        whole.add(counts)
    return whole


def _rate(folder: str, names: list[str], objects: int) -> float | None:
    if len(names) < 2 or not storage.is_local(folder):
        return None
    times = [storage.modified(parts.url(folder, name)) for name in names]
    elapsed = max(times) - min(times)
    return objects * (1 - 1 / len(names)) / elapsed if elapsed > 0 else None
