"""How long a run will take: its first stamps are read, encoded and measured, and what that took is reckoned up.

The trial works on stamps of the release, for what measuring costs depends on what there is to measure, and takes a few seconds, once:
`pipeline.plan.kept_trial` keeps what it found. What is compiled or loaded at first use is not counted. `COSTS` holds what a run needs
beside its stamps.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from catalogs import parts, storage, tile_cache
from catalogs.errors import TuningforkError
from catalogs.slices import Slice
from kernels.bags import FRACTION
from pipeline.engine.cluster import is_own
from pipeline.engine.cores import usable_cores
from pipeline.plan import kept_trial
from pipeline.plan.engine_choice import chosen, decided
from pipeline.plan.timing import seconds

if TYPE_CHECKING:
    from pipeline.engine.start import Name
    from pipeline.plan.plan import Plan

__all__ = ["COSTS", "Estimate", "engine_for", "estimate", "notes"]


class Costs(NamedTuple):
    """Seconds, on one core where they are work."""

    start: float = 22.0
    """Ray starts, and its workers load torch and the model."""
    barriers: float = 12.0
    """All that comes after the stamps, for a few objects."""
    member: float = 0.15
    """Fitting a member on a few objects."""
    byte: float = 4.0e-9
    """A byte of a stamp on its way from its reader to its encoder, through Ray's object store."""
    in_bag: float = 2.0e-5
    """For each object of its bag more."""
    vote: float = 1.6e-4
    """An object: its part of the components, its vote, and its row of the catalog."""
    crowding: float = 1.15
    """By this factor work takes longer where all cores have some."""


COSTS = Costs()
"""From `benchmarks/results/memory.csv` (10,000 to 1,000,000 objects, two cores), where starting and barriers took 24 s together; they took about
44 s on another machine of two cores, and these lie between the two. `byte` is a rough one, from a single run of 3,000 stamps of 424 pixels.
`python -m benchmarks plan_time` holds them all against runs."""
LOCAL = COSTS._replace(start=1.0, barriers=3.0, vote=5.5e-5)
"""In this process; `vote` by `python -m benchmarks.after_encoding`."""
SAMPLE = 16
"""Objects that are read at each of two places of the release."""
SAMPLE_BYTES = 32 << 20
LONGEST_READ = 1.0
"""Seconds: nothing more is read once so many are gone."""
LONG = 60.0
"""Seconds of measuring that are worth a note."""


class Rates(NamedTuple):
    """Seconds on one core."""

    slice: float
    """Opening the files of a slice."""
    read: float
    """Reading a row."""
    encode: float
    """A place in the encoder's batches; NaN where that is not known."""
    measure: float
    """Measuring a usable object."""
    call: float
    """Measuring those of a slice, beside that."""
    usable: float
    """Share of the objects that are."""


UNKNOWN = Rates(math.nan, math.nan, math.nan, math.nan, math.nan, 1.0)


@dataclass(frozen=True)
class Estimate:
    """What a run that is left to do will take, in seconds."""

    objects: int
    """Objects whose stamps are left."""
    stamps: float
    """Reading, encoding and measuring them; NaN where GPUs or servers elsewhere will encode."""
    measuring: float
    """The part of it that is measuring, were there nothing else."""
    rest: float
    """Everything else."""
    unknown: str = ""
    """Why `stamps` is not known."""
    engine: Name = "local"
    """Who will do it."""
    why: str = ""
    """Why it is that one."""

    @property
    def seconds(self) -> float:
        """All of it; NaN where that is not known."""
        return self.stamps + self.rest


def estimate(plan: Plan, address: str | None = None, *, dashboard: bool = False) -> Estimate:
    """Judge by a trial what is left of a run, and who will do it.

    Parameters
    ----------
    plan : Plan
    address : str, optional
        Of the cluster that works: its cores are not this machine's.
    dashboard : bool
        Ray's is asked for.
    """
    if storage.exists(plan.run.published):
        return Estimate(0, 0.0, 0.0, 0.0)
    left, cores = _left(plan), float(usable_cores()) if is_own(address) else math.inf
    release = plan.release
    selected = 1.0 if release.selected is None else release.selected / release.rows
    objects = round(selected * sum(piece.rows for piece in left))
    rates, unknown = _tried(plan, left, selected)
    work = _rest_work(plan, LOCAL) + (sum(_stamp_work(plan, left, rates, selected)) if left else 0.0)
    engine, why = chosen(plan.config, work, address, dashboard=dashboard)
    rest = _rest(plan, cores, COSTS if engine == "ray" else LOCAL)
    if not left:
        return Estimate(0, 0.0, 0.0, rest, engine=engine, why=why)
    stamps, measuring = _stamps(plan, left, rates, selected, cores)
    return Estimate(objects, stamps, 0.0 if math.isnan(measuring) else measuring, rest, unknown, engine, why)


def engine_for(plan: Plan, address: str | None = None, *, dashboard: bool = False) -> Name:
    """Who does what is left of a run; without a trial where that does not rest on one."""
    known = decided(plan.config, address, dashboard=dashboard)
    return known[0] if known else estimate(plan, address, dashboard=dashboard).engine


def notes(plan: Plan, judged: Estimate) -> list[str]:
    """Notes for the user on the time: if measuring large stamps takes most of it, and what would help."""
    size, sees = plan.config.survey.images.size, plan.config.encode.input
    if judged.measuring < LONG or size <= sees or 2 * judged.measuring < judged.stamps:
        return []
    per_second = judged.objects / judged.measuring
    note = (
        f"Measuring takes {judged.measuring / judged.objects:.2g} s of the time for each object ({per_second:.2g} objects/s), since stamps are "
        f"{size} px a side. The encoder sees {sees} px: make smaller stamps (tuningfork pack --size {sees}, or --fit galaxy, which zooms in "
        "on each galaxy; [survey.images] size where stamps are cut), or measure less ([measure] quantities)."
    )
    return [note]


def _left(plan: Plan) -> list[Slice]:
    """Slices that are not encoded yet."""
    done = parts.done(plan.run.objects)
    return [piece for piece in plan.slices() if piece.name not in done]


def _members(plan: Plan) -> int:
    return plan.config.fit.bags * len(plan.config.fit.families)


def _rest_work(plan: Plan, costs: Costs) -> float:
    """Seconds on one core: fitting, voting and publishing."""
    settings, release = plan.config.fit, plan.release
    objects = release.rows if release.selected is None else release.selected
    bag = objects if settings.resample == "none" else min(FRACTION * objects, settings.bag_rows)
    return objects * costs.vote + _fitting(plan, bag)


def _fitting(plan: Plan, bag: float) -> float:
    """Of all members, on bags of so many objects."""
    return 0.0 if plan.like is not None else _members(plan) * (COSTS.member + bag * COSTS.in_bag)


def _rest(plan: Plan, cores: float, costs: Costs) -> float:
    """Seconds for all but the stamps. On somebody's cluster members and slices are spread further, but not without end."""
    return costs.start + costs.barriers + _rest_work(plan, costs) / min(cores, _members(plan))


def _stamp_work(plan: Plan, left: list[Slice], rates: Rates, selected: float) -> tuple[float, float, float]:
    """Seconds on one core: encoding, measuring and reading."""
    wanted, batch = [selected * rates.usable * piece.rows for piece in left], plan.config.encode.batch_size
    # A slice's last batch is padded to its full size.
    slots = sum(math.ceil(objects / batch) * batch for objects in wanted)
    rows = sum(piece.rows for piece in left)
    read = len(left) * rates.slice + rows * (rates.read + plan.row_bytes * COSTS.byte)
    return slots * rates.encode, sum(wanted) * rates.measure + len(left) * rates.call, read


def _stamps(
    plan: Plan, left: list[Slice], rates: Rates, selected: float, cores: float
) -> tuple[float, float]:
    """Wall-clock seconds of the streaming pass, and of measuring alone."""
    settings = plan.config.encode
    encode, measure, read = _stamp_work(plan, left, rates, selected)
    # Workers beyond the slices have nothing to do, those beyond the cores wait for one another.
    workers = min(settings.workers, len(left))
    turns = math.ceil(len(left) / workers) * workers / len(left)
    parallel = min(workers * settings.threads, cores)
    if settings.served_by is not None:
        parallel = min(workers, cores)

    def wall(work: float) -> float:
        crowding = COSTS.crowding if workers * settings.threads >= cores else 1.0
        return max(turns * work / parallel, (work + read) / cores) * crowding

    return wall(encode + measure), wall(measure)


def _tried(plan: Plan, left: list[Slice], selected: float) -> tuple[Rates, str]:
    """What a trial found, and what is not known, and why."""
    if not left:
        return UNKNOWN, ""
    try:
        rates = _kept_rates(plan, left, selected)
    except (TuningforkError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return UNKNOWN, f"not known, for a trial of the first stamps failed: {reason}"
    if math.isnan(rates.encode):
        return rates, "as the servers go" if plan.servers_unseen else "as the GPU goes"
    return rates, ""


def _kept_rates(plan: Plan, left: list[Slice], selected: float) -> Rates:
    """As a trial found them before, or finds them now; what servers and GPUs do is nothing of this machine, and is not kept."""
    key = kept_trial.trial_key(plan, left, selected)
    numbers = kept_trial.kept(key, Rates._fields)
    if numbers is not None:
        return Rates(*numbers)
    rates = _rates(plan, left, selected)
    if plan.config.encode.served_by is None and not any(map(math.isnan, rates)):
        kept_trial.keep(key, rates._asdict())
    return rates


def _rates(plan: Plan, left: list[Slice], selected: float) -> Rates:
    per_slice, per_row, objects = _read(plan, left, selected)
    usable = np.flatnonzero(objects["usable"].to_numpy(zero_copy_only=False))
    share = len(usable) / max(1, objects.num_rows)
    found = objects.take(usable)
    elsewhere = bool(plan.config.encode.gpus) or plan.servers_unseen
    if not found.num_rows:
        return Rates(per_slice, per_row, math.nan if elsewhere else 0.0, 0.0, 0.0, share)
    from pipeline.plan import trial  # noqa: PLC0415 - loads all that measures

    options = plan.measurer_options
    if options is not None or plan.segmenter_options is not None:
        from pipeline.engine.warm_up import compile_loops_once  # noqa: PLC0415

        compile_loops_once()
    call, measure = (0.0, 0.0) if options is None else trial.measuring(plan, options, found)
    encode = math.nan if elsewhere else trial.encoding(plan, found)
    return Rates(per_slice, per_row, encode, measure, call, share)


def _read(plan: Plan, left: list[Slice], selected: float) -> tuple[float, float, pa.Table]:
    """Seconds for a slice and for each of its rows, and objects from the first slice and from the middle one."""
    rows = max(1, min(SAMPLE, SAMPLE_BYTES // plan.row_bytes))
    rows = math.ceil(rows / max(selected, 1e-3))
    begun = time.perf_counter()
    opening, each, found = list[float](), list[float](), list[pa.Table]()
    for piece in dict.fromkeys((left[0], left[len(left) // 2])):
        if found and time.perf_counter() - begun > LONGEST_READ:
            break
        some = Slice(piece.shard, piece.start, min(piece.start + rows, piece.stop))
        one = Slice(piece.shard, piece.start, piece.start + 1)
        plan.release.read(some)  # what later slices find decoded already
        short = seconds(plan.release.read, one)
        start = time.perf_counter()
        found.append(plan.release.read(some))
        long = time.perf_counter() - start
        each.append(max(0.0, long - short) / max(1, some.rows - 1))
        opening.append(max(0.0, short - each[-1]))
    tile_cache.resize(0)  # a process that reads again asks for its own
    return float(np.mean(opening)), float(np.mean(each)), pa.concat_tables(found)
