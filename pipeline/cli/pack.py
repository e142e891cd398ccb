"""Packing pictures into a release that the next command takes, and what a run of it will cost."""

from __future__ import annotations

import math
import shlex
import time
from typing import TYPE_CHECKING

from actors.extents import of_one_size
from actors.measurer import Measurer
from catalogs import pack as releases
from catalogs.inspect import inspect
from catalogs.slices import Slice
from kernels.measure.quantities import QUANTITIES
from pipeline.config.encode import Encode
from pipeline.config.file import load
from pipeline.plan.measuring import measurer_options

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa

__all__ = ["measured_names", "pack"]

LARGE = 128
"""Side in pixels above which measuring is what a run waits for."""
TRIAL = 8
"""Stamps that are measured to learn how long it takes: one alone takes longer than one of several."""
MINUTES = 120
"""Longer times are shown in hours."""


def pack(
    labels: Path,
    directory: Path,
    shards: int | None = None,
    size: int | None = None,
    fit: str = "pad",
    bands: Sequence[str] | None = None,
) -> list[str]:
    """Make a release, see `catalogs.pack.pack`; returns the notes on it."""
    made = releases.pack(labels, directory, shards, size, fit, taken=measured_names(), bands=bands)
    if made.side > LARGE:
        made.notes.append(_cost(made, directory))
        made.notes.append(_smaller(labels, directory, fit))
    return made.notes


def measured_names() -> list[str]:
    """Columns that a run may measure, whatever its config says."""
    return list(Measurer.columns(list(QUANTITIES), zeropoint=0.0).column_names)


def _cost(made: releases.Packed, directory: Path) -> str:
    """How fast stamps of this size are measured here."""
    config, folder = load(directory / "survey.toml")
    release = inspect(config.survey, folder)
    options, _ = measurer_options(config, folder, str(directory), release)

    def measured(objects: pa.Table, side: int) -> pa.Table:
        return Measurer(**{**(options or {}), "size": side})(objects)

    layout = config.survey.images
    trial = release.read(Slice(0, 0, min(TRIAL, release.shards[0].table.rows)))
    for _ in range(2):  # what is compiled is compiled the first time
        start = time.process_time()
        of_one_size(trial, len(layout.bands), layout.size, measured)
    rate = config.encode.workers * trial.num_rows / (time.process_time() - start)
    minutes = made.rows / rate / 60
    spent = f"{minutes / 60:.0f} h" if minutes > MINUTES else f"{math.ceil(minutes)} min"
    side, sees = made.side, config.encode.input
    return (
        f"stamps of {side} x {side} pixels are slow to measure: about {rate:.2g} a second here, {spent} for {made.rows:,}. "
        f"The encoder sees {sees} x {sees} pixels of each"
    )


def _smaller(labels: Path, directory: Path, fit: str) -> str:
    """The commands that make stamps of a usual size."""
    if fit in ("galaxy", "extent"):
        return f"--fit {fit} without --size makes stamps of {releases.FRAMED} pixels"
    words = ["tuningfork", "pack", str(labels), f"{directory}-galaxy", "--fit", "galaxy"]
    return (
        f"where pictures show more than their galaxy, zoom in on it: {shlex.join(words)} (stamps of {releases.FRAMED} pixels); "
        f"--size {Encode().input} --fit resize keeps whole pictures, as small as the encoder sees them"
    )
