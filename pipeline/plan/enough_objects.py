"""Whether there are enough objects for the groups of `[fit]`: what a plan can refuse, and what only a run can find.

Every member makes as many clusters as there are groups, so the pilot and each bag must hold as many objects, whose embeddings differ.
Pilot and bags are drawn by the objects' ids, which a plan knows. Which objects are unusable, or look alike, only the run finds out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalogs.errors import Fault, TuningforkError
from catalogs.inspect_rows import selected_ids
from kernels.bags import FRACTION
from kernels.draws import least_of_binomial, smallest_bag, smallest_pilot
from kernels.kmeans import distinct_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from catalogs.release import Release
    from pipeline.config.file import Config
    from pipeline.config.fit import Fit

__all__ = ["TooFewObjects", "check_fit", "check_usable", "group_faults", "notes"]

COUNTED = 100_000
"""Objects up to which a plan draws pilot and bags to count them; of more, it reckons with chances."""
WHOLE = 'groups = 2, resample = "none", bags = 1 and [vote] rule = "unanimous"'
"""What the fewest objects, three, are enough for."""


class TooFewObjects(TuningforkError):
    """There are not enough usable objects for the config."""


@dataclass(frozen=True)
class Room:
    """How many objects there are, and how many (that differ) the pilot and the smallest bag hold at least."""

    objects: int
    pilot: int
    bag: int
    alike: bool = False
    """Whether pilot and bag hold more, but those look like others."""

    @property
    def groups(self) -> int:
        """How many groups can be made."""
        return min(self.objects - 1, self.pilot, self.bag)

    def problem(self, settings: Fit) -> str:
        """What is too small for the groups of the settings."""
        problem = f"{settings.groups} groups are too many for {self.objects:,} objects"
        if self.objects <= settings.groups:
            return problem
        of = "objects whose embeddings differ" if self.alike else "objects"
        if self.bag <= self.pilot:
            return f"{problem}: the smallest bag holds as few as {self.bag} {of}"
        return f"{problem}: the pilot holds as few as {self.pilot} {of}"

    def remedy(self, settings: Fit) -> str:
        """What to set instead."""
        if self.objects < 3:
            return "Groups need at least 3 objects"
        if self.groups < 2:
            return "No groups can be made of what looks alike: see [encode]" if self.alike else f"Set {WHOLE}"
        remedy = f"Set at most {self.groups}"
        more = [] if self.alike or self.objects <= settings.groups else self._rows(settings)
        return " and ".join([f"{remedy}, or {more[0]}", *more[1:]]) if more else remedy

    def _rows(self, settings: Fit) -> list[str]:
        """Larger draws that hold enough, if larger ones would."""
        groups, objects = settings.groups, self.objects
        rows = []
        if self.bag < groups:
            if settings.resample == "none" or not _sure(objects, FRACTION, settings.bags, groups):
                return []
            least = _least(
                lambda n: _sure(objects, min(FRACTION, n / objects), settings.bags, groups), objects
            )
            rows.append(f"bag_rows at least {least}")
        if self.pilot < groups:
            rows.append(
                f"pilot_rows at least {_least(lambda n: _sure(objects, n / objects, 1, groups), objects)}"
            )
        return rows


def group_faults(config: Config, source: str, release: Release) -> list[Fault]:
    """More groups than can be made of the release's objects, were all of them usable."""
    settings = config.fit
    room = _room(settings, release)
    if room.groups >= settings.groups:
        return []
    value = str(settings.groups)
    return [Fault(source, room.problem(settings), room.remedy(settings), value=value, key="fit.groups")]


def notes(config: Config, release: Release) -> list[str]:
    """Notes for the user on numbers that work, but not as intended."""
    wanted, objects = config.reduce.components, _selected(release)
    if not isinstance(wanted, int) or wanted < objects:
        return []
    return [f"{objects} objects differ along at most {objects - 1} of the {wanted} principal components."]


def check_usable(settings: Fit, ids: NDArray[Any], flags: Mapping[str, int]) -> None:
    """Refuse to go on where there are no more usable objects than groups.

    Parameters
    ----------
    settings : Fit
    ids : (n,) array
        Of the usable objects.
    flags : dict
        How many objects of the release carry each flag.

    Raises
    ------
    TooFewObjects
    """
    if len(ids) > settings.groups:
        return
    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(flags.items()) if count)
    only = f"{len(ids):,} are usable" + (f" (flags: {counts})" if counts else "")
    raise _too_few(settings, _room_of(settings, ids) if len(ids) else Room(0, 0, 0), only)


def check_fit(
    settings: Fit, objects: int, pilot: NDArray[np.float32], bags: Iterable[NDArray[np.float32]] = ()
) -> None:
    """Refuse to fit where the pilot or a bag cannot make as many groups.

    Parameters
    ----------
    settings : Fit
    objects : int
        Usable ones.
    pilot : (m, c) float32
        Codes of the pilot.
    bags : iterable of (n, c) float32
        Codes of each bag; none where they are not drawn yet.

    Raises
    ------
    TooFewObjects
    """
    groups = settings.groups
    sizes, distinct = [len(pilot)], [distinct_rows(pilot, groups)]
    for codes in bags:
        sizes.append(len(codes))
        distinct.append(distinct_rows(codes, groups))
    room = Room(objects, distinct[0], min(distinct[1:], default=objects), alike=min(sizes) >= groups)
    if room.groups < groups:
        raise _too_few(settings, room)


def _too_few(settings: Fit, room: Room, only: str = "") -> TooFewObjects:
    kept = "What is encoded is kept: change that and run again."
    problem = room.problem(settings) + (f", since only {only}" if only else "")
    return TooFewObjects(f"[fit] groups: {problem}. {room.remedy(settings)}. {kept}")


def _selected(release: Release) -> int:
    return release.rows if release.selected is None else release.selected


def _room(settings: Fit, release: Release) -> Room:
    """What the draws hold at least, if every object is usable: by chances, or where those don't settle it by the ids."""
    objects, groups, bags = _selected(release), settings.groups, settings.bags
    rate = 1.0 if settings.resample == "none" else min(FRACTION, settings.bag_rows / objects)
    pilot = least_of_binomial(objects, min(1.0, settings.pilot_rows / objects), 1, groups)
    room = Room(objects, pilot, least_of_binomial(objects, rate, bags, groups))
    if room.groups >= groups or release.selected is None or objects > COUNTED:
        return room
    return _room_of(settings, selected_ids(release).to_numpy())


def _room_of(settings: Fit, ids: NDArray[Any]) -> Room:
    """What the draws from these ids (n,), n >= 1, hold at least."""
    pilot = smallest_pilot(ids, settings.pilot_rows, settings.seed)
    if settings.resample == "none":
        return Room(len(ids), pilot, len(ids))
    return Room(len(ids), pilot, smallest_bag(ids, settings.bag_rows, settings.bags, settings.seed))


def _sure(objects: int, rate: float, draws: int, groups: int) -> bool:
    return least_of_binomial(objects, min(1.0, rate), draws, groups) >= groups


def _least(enough: Callable[[int], bool], most: int) -> int:
    """The least number that is enough, `most` if none below it is."""
    low = 1
    while low < most:
        middle = (low + most) // 2
        low, most = (low, middle) if enough(middle) else (middle + 1, most)
    return low
