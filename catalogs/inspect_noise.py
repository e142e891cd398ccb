"""Compare the noise that weight maps claim with that of some stamps: a wrong `kind` is off by orders of magnitude."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from catalogs import storage
from catalogs.errors import CorruptFile, Fault, Refused
from catalogs.inspect_rows import CHUNK
from catalogs.same_images import groups
from catalogs.stamps import stamps_of
from catalogs.weights import KINDS, Kind, noise_of, number_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catalogs._types import Floats
    from catalogs.release import Release
    from catalogs.stamps import Stamps
    from catalogs.survey import Weight

__all__ = ["look_at_noise"]

SHARDS, ROWS = 4, 8
"""Shards of a release that are looked at, and rows of each; one of one where files are on a store, of which a stamp costs megabytes."""
FEWEST = 1000
"""Pixels of a band that say what its noise is."""
TOO_FAR = 5.0
"""A noise is refused that is so many times what the pixels show, or so many times less: correlated noise and crowded fields come to three."""
NOTED = 1.5
FITS = 3.0
"""Another kind is proposed that is nearer than this."""
NEGATIVE = 0.01
"""Share of negative weights that is refused; fewer come from resampling with sharp kernels."""
_SIGMA_PER_MEDIAN = 1.482602218505602 / np.sqrt(6.0)


def look_at_noise(release: Release) -> list[str]:
    """Check what the weight maps say of the noise of a few objects' pixels, and find what is doubtful in it.

    The pixels' own noise is the median of |2 p - p(-2) - p(+2)| along the rows, which neither objects nor gradients raise much (DER_SNR, Stoehr et al. 2008,
    ASP Conf. 394, 505), each in units of the noise that is claimed for it.

    Raises
    ------
    Refused
        If the weights are another kind of number than the config says, are none of the images' unit, or are negative.
    """
    weight = release.survey.images.weight
    if weight is None:
        return []
    found = list(some_stamps(release))
    faults = _negative(found)
    notes = []
    for b, band in enumerate(release.survey.images.bands):
        stamps = [(one.stamps[:, b], one.noise[:, b]) for one in found if one.noise is not None]
        fault, note = _judged(weight, band, stamps)
        faults += [fault] if fault is not None else []
        notes += [note] if note is not None else []
    if faults:
        raise Refused(faults)
    return notes


def some_stamps(release: Release) -> Iterator[Stamps]:
    """Stamps of a few rows in the middle of a few shards; what cannot be read is left to others to complain of."""
    layout = release.survey.images
    paths = [layout.path or "", *(plane.path or "" for plane in layout.planes.values())]
    urls = [release.shards[0].table.url, *(storage.absolute(path, release.folder) for path in paths)]
    near = all(storage.is_local(url) for url in urls)
    shards, count = (SHARDS, ROWS) if near else (1, 1)
    places = np.unique(np.linspace(0, len(release.shards) - 1, min(shards, len(release.shards))).astype(int))
    for place in places:
        table = release.shards[place].table
        step = min(16 * count, max(1, CHUNK // max(table.bytes_of(release.columns.names), 1)))
        first = max(0, (table.rows - step) // 2)
        try:
            rows = table.read(first, min(first + step, table.rows), release.columns.names)
            rows = release.on_tiles(rows.filter(pa.array(release.selected_rows(rows))))
            if layout.layout == "tiles":
                rows = _of_one_tile(rows, layout.naming)
            yield stamps_of(release.survey, rows.slice(0, count), release.folder)
        except (CorruptFile, OSError):
            continue


def _of_one_tile(rows: pa.Table, templates: list[str]) -> pa.Table:
    """Those rows that lie on the tile of the first one: files that are compressed as a whole are read from their beginning."""
    on_tiles = (which for values, which in groups(rows, templates) if None not in values.values())
    return rows.take(pa.array(next(on_tiles, np.empty(0, np.int64))))


def _negative(found: list[Stamps]) -> list[Fault]:
    negative = sum(int(one.negative.sum()) for one in found)
    every = sum(one.stamps.size for one in found)
    if negative <= NEGATIVE * every:
        return []
    problem = f"{negative:,} of {every:,} weights that were looked at are negative, which no weight is"
    return [Fault("[survey.images.weight]", problem, "Check path, hdu and column: another plane, perhaps")]


def _judged(
    weight: Weight, band: str, stamps: list[tuple[Floats, Floats]]
) -> tuple[Fault | None, str | None]:
    """What is wrong with the noise of a band, or what is doubtful in it."""
    claimed = _over_claimed(stamps)
    if claimed is None or 1 / NOTED < claimed < NOTED:
        return None, None
    told = f"the pixels of band {band!r} scatter by {_times(claimed)} the noise that the weights claim"
    others = {kind: _over_claimed(_as_if(weight, kind, stamps)) for kind in KINDS if kind != weight.kind}
    ratios = {kind: ratio for kind, ratio in others.items() if ratio is not None}
    best = min(ratios, key=lambda kind: abs(np.log(ratios[kind])), default=None)
    if 1 / TOO_FAR < claimed < TOO_FAR:
        why = "correlated noise, as resampling makes it, or other units?"
        if best is not None and 1 / NOTED < ratios[best] < NOTED:
            why = f"as {best!r} it would be {_times(ratios[best])}: another kind, or correlated noise?"
        return None, f"Weight maps: {told}, and S/N and chi-squared will be off by that; {why}"
    remedy = "No kind fits: give the noise in the images' own unit, not relative weights or exposure times"
    if best is not None and 1 / FITS < ratios[best] < FITS:
        told += f"; as {best!r} it would be {_times(ratios[best])}"
        remedy = f'Set kind = "{best}"'
    return Fault(
        "[survey.images.weight]", told, remedy, value=repr(weight.kind), key="survey.images.weight.kind"
    ), None


def _as_if(weight: Weight, kind: Kind, stamps: list[tuple[Floats, Floats]]) -> list[tuple[Floats, Floats]]:
    """The stamps with the noise that the same numbers would mean as another kind."""
    with np.errstate(divide="ignore", over="ignore"):
        return [(pixels, noise_of(number_of(noise, weight.kind), kind)[0]) for pixels, noise in stamps]


def _over_claimed(stamps: list[tuple[Floats, Floats]]) -> float | None:
    """How many times the claimed noise the pixels scatter by; None where too few tell, or they do not scatter at all."""
    found = []
    for pixels, noise in stamps:
        with np.errstate(divide="ignore", invalid="ignore"):
            middle = noise[:, :, 2:-2].astype(np.float64)
            good = [noise[:, :, k : k + middle.shape[2]] > 0 for k in (0, 2, 4)]
            left, own, right = (pixels[:, :, k : k + middle.shape[2]].astype(np.float64) for k in (0, 2, 4))
            scatter = np.abs(2 * own - left - right) / middle
        found.append(scatter[good[0] & good[1] & good[2]])
    every = np.concatenate(found) if found else np.empty(0)
    if len(every) < FEWEST:
        return None
    ratio = float(np.median(every)) * _SIGMA_PER_MEDIAN
    return ratio if 0 < ratio < np.inf else None


def _times(ratio: float) -> str:
    return f"{ratio:.3g} times" if ratio >= 0.01 else f"1/{1 / ratio:.0f} times"
