"""`tuningfork detect`, the whole of it: plan, find the sources of each tile that is left, resolve overlaps, write the catalog."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from catalogs import storage
from catalogs.errors import Fault, Refused, TuningforkError
from pipeline.detection.find import find, is_done
from pipeline.detection.overlaps import footprint, kept, neighbours
from pipeline.detection.planning import planned
from pipeline.detection.processes import Processes
from pipeline.detection.shards import write_shard
from pipeline.detection.survey_file import survey_file
from pipeline.engine.cores import usable_cores
from pipeline.engine.progress import StageProgress
from pipeline.engine.start import started
from pipeline.output.lock import locked
from pipeline.output.places import as_place
from pipeline.plan.engine_choice import decided
from pipeline.rundir.run_directory import differences, run_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.detection.job import Job
    from pipeline.detection.planning import Planned
    from pipeline.detection.processes import Mapper

__all__ = ["Detected", "TilesFailed", "detect"]

RECORD, CONFIG = "detect.json", "survey.toml"


class TilesFailed(TuningforkError):
    """Some tiles could not be worked on; the others' sources are kept."""


@dataclass(frozen=True)
class Detected:
    """What was found."""

    sources: int
    """In the catalog."""
    duplicates: int
    """Left out, being on another tile too."""
    tiles: int
    notes: tuple[str, ...]


def detect(config: Path, out: str, address: str | None = None, *, anew: bool = False) -> Detected:
    """Find the sources of a config's images; continues what it finds in the folder.

    Parameters
    ----------
    config : Path
    out : str
        Folder for `catalogs/`, `survey.toml`, `parts/` and `detect.json`, local or a URL.
    address : str, optional
        Ray cluster to join.
    anew : bool
        Throw away what an earlier detection left in the folder.

    Raises
    ------
    Refused
        With all that is wrong, before anything is written.
    TilesFailed
        At the end, if tiles could not be read.
    """
    out = out if "://" in out else str(Path(out).absolute())
    plan = planned(config, out)
    _check_folder(out, plan.record, anew=anew)
    run = run_id("detect", out, plan.record["fingerprint"])
    with locked(out, "detect") as lock, _engine(plan, address, run) as engine:
        _check_folder(out, plan.record, anew=anew)  # another command may have begun there meanwhile
        _open_folder(out, plan.record, anew=anew)
        notes = _find_all(plan, engine, run)
        lock.check()
        found = _publish(plan.job, engine)
        storage.write(storage.join(out, CONFIG), survey_file(plan.values, plan.job.folder, out).encode())
    return Detected(*found, len(plan.job.tiles), (*plan.notes, *notes))


@contextlib.contextmanager
def _engine(plan: Planned, address: str | None, run: str) -> Iterator[Mapper]:
    """Ray where it is asked for; else processes of this machine."""
    asked = decided(plan.config, address, dashboard=False)
    if asked is not None and asked[0] == "ray":
        with started("ray", plan.config.run, address, run=run) as engine:
            yield engine
        return
    number = min(plan.config.detect.workers or usable_cores(), len(plan.job.tiles))
    with Processes(number) as processes:
        yield processes


def _find_all(plan: Planned, engine: Mapper, run: str) -> list[str]:
    job, notes, faults = plan.job, list[str](), list[str]()
    tiles = range(len(job.tiles))
    done = storage.parallel(lambda tile: is_done(tile, job), tiles)
    left = [(tile,) for tile in tiles if not done[tile]]
    with StageProgress(
        "detect", len(tiles), len(tiles) - len(left), plan.config.run.interval, run
    ) as progress:
        for (tile,), told in zip(left, engine.map(find, left, job), strict=True):
            notes += told["notes"]
            if told["fault"] is not None:
                faults.append(told["fault"])
                progress.fault(job.name(tile), 0, 0, told["fault"])
            progress.advance(1)
    if faults:
        more = f" And {len(faults) - 1} more tiles." if len(faults) > 1 else ""
        raise TilesFailed(
            f"{len(faults)} of {len(tiles)} tiles failed: {faults[0]}{more} Mend that, then run again to go on."
        )
    return notes


def _publish(job: Job, engine: Mapper) -> tuple[int, int]:
    """Resolve overlaps and write the catalog; returns its rows, and how many sources were left out."""
    tiles = range(len(job.tiles))
    beside: list[tuple[int, ...]] = [()] * len(tiles)
    with StageProgress("catalog"):
        if job.sky and len(tiles) > 1:
            beside = neighbours(storage.parallel(lambda tile: footprint(tile, job), tiles))
        stays = list(engine.map(kept, [(tile, beside[tile]) for tile in tiles], job))
        counts = [int(np.unpackbits(np.frombuffer(stay, np.uint8)).sum()) for stay, _ in stays]
        before = np.concatenate([[0], np.cumsum(counts)]).tolist()
        calls = [(tile, stays[tile][0], before[tile]) for tile in tiles]
        rows = sum(engine.map(write_shard, calls, job))
    assert rows == before[-1]
    return rows, sum(total for _, total in stays) - rows


def _check_folder(out: str, record: dict[str, Any], *, anew: bool) -> None:
    """Refuse a folder that holds something else."""
    path = storage.join(out, RECORD)
    with as_place(out):
        if not storage.exists(path):
            if storage.names(out):
                raise Refused([Fault(out, "is neither empty nor a detection's folder", "Give another --out")])
            return
        content = storage.read(path)
    try:
        before = json.loads(content)
        same = before["fingerprint"] == record["fingerprint"]
        changed = differences({"config": before["wanted"]}, {"config": record["wanted"]})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        remedy = "Remove it and what lies beside it, or give another --out"
        raise Refused([Fault(path, f"is damaged ({error})", remedy)]) from error
    if not same and not anew:
        shown = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
        problem = f"holds sources of other images or settings; changed: {shown}"
        raise Refused([Fault(out, problem, "Give another --out, or --anew to throw those away")])


def _open_folder(out: str, record: dict[str, Any], *, anew: bool) -> None:
    """Clear the folder if it is to begin anew, and leave the record in it."""
    path = storage.join(out, RECORD)
    if storage.exists(path) and not anew:
        return
    # Only what a detection leaves, the record last: whatever else lies there is somebody's.
    for name in (CONFIG, "catalogs", "parts", RECORD):
        storage.remove(storage.join(out, name))
    storage.write(path, json.dumps(record, indent=1).encode())
