"""Stamps for the sheets, read again from the release: a run keeps none."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch
from PIL import Image

from actors.extents import of_one_size
from actors.stamps import stamps_of
from catalogs.errors import Refused, TuningforkError
from catalogs.identity import Watched
from catalogs.inspect import inspect
from catalogs.shard_table import of_version
from catalogs.survey import Survey
from kernels.bands import band_order
from kernels.stretch import noise_level, stretch
from pipeline.config.file import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from catalogs.release import Release
    from pipeline.report.source import Source

NEAR_BYTES = 1 << 20
"""Catalog rows no farther apart than this are read in one go."""
AT_ONCE = 256
"""Stamps in memory at a time."""
WHITE = 0.995
"""Quantile of a colour stamp's pixels that is shown at full brightness …"""
DIMMEST_WHITE = 1.5
"""… unless it is fainter than this, in units of three sigma of the sky: noise must not be made to shine."""


class ReleaseGone(TuningforkError):
    """The stamps cannot be read again; the message says why."""


def reopened(source: Source, config: Path | None = None) -> Release:
    """Look at the run's release again: nothing but headers and rows, no model.

    Parameters
    ----------
    source : Source
    config : Path, optional
        Config of the release where it lies now; by default that of the run.

    Raises
    ------
    ReleaseGone
        If the release, or its config, is no longer there.
    """
    try:
        if config is not None:
            loaded, folder = load(config)
            return inspect(loaded.survey, folder)
        loaded, folder = load(source.record["source"])
        # what the run read, whatever has become of the config since
        found = inspect(Survey.model_validate(source.record["config"]["survey"]), folder)
        return _as_recorded(found, source.record)
    except Refused as refused:
        faults = "; ".join(str(fault) for fault in refused.faults[:3])
        raise ReleaseGone(f"{faults}. If the release has moved, give its config with --config.") from refused


def _as_recorded(release: Release, record: Mapping[str, Any]) -> Release:
    """The release with the versions of its files that the run was made of: others are not read."""
    versions = {shard["label"]: shard["identity"] for shard in record["shards"]}
    shards = tuple(replace(s, table=of_version(s.table, versions.get(s.label, ""))) for s in release.shards)
    return replace(release, shards=shards, images=record["images"])


def pictures(release: Release, objects: Mapping[str, dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """PNG of each object, by key.

    Objects whose row holds another id now are left out: that is another release.

    Raises
    ------
    ReleaseGone
        If a file can no longer be read.
    """
    numbers = {shard.label: shard.number for shard in release.shards}
    by_shard: dict[int, dict[int, str]] = {}
    for key, row in objects.items():
        if row["shard"] in numbers:
            by_shard.setdefault(numbers[row["shard"]], {})[row["row"]] = key
    order = band_order(release.survey.images.bands)
    try:
        for shard, keys in sorted(by_shard.items()):
            wanted = sorted(keys)
            for first in range(0, len(wanted), AT_ONCE):
                rows = wanted[first : first + AT_ONCE]
                table = _rows(release, shard, rows)
                watched = Watched(release.images, release.survey.identify, release.folder)
                stamps = _shown(release, table, watched)
                ids = table[release.survey.id].to_pylist()
                for number, found, picture in zip(rows, ids, drawn(stamps, order), strict=True):
                    if found == objects[keys[number]]["object_id"]:
                        yield keys[number], _png(picture)
    except (TuningforkError, OSError, pa.ArrowException) as error:
        raise ReleaseGone(str(error)) from error


def _shown(release: Release, rows: pa.Table, watched: Watched) -> NDArray[np.float32]:
    """Stamps (n, b, y, x) of some rows, as they are encoded where they have extents."""
    layout, (columns, _) = release.survey.images, release.stamps(rows, watched)
    stamps = of_one_size(pa.table(columns), len(layout.bands), layout.size)
    return stamps_of(
        stamps["stamp"], len(layout.bands), layout.size
    ).copy()  # Arrow's own cannot be written to, of which torch warns


def _rows(release: Release, shard: int, rows: Sequence[int]) -> pa.Table:
    """Some rows of a shard's catalog: neighbouring rows in one read, and only the requested stamps are cut."""
    table = release.shards[shard].table
    names = [n for n in release.columns.names if n in table.empty.column_names]
    gap = max(1, NEAR_BYTES // max(1, table.bytes_of(names)))
    if table.compression:
        gap = table.rows  # every read begins at the first byte anyway
    runs: list[list[int]] = []
    for row in rows:
        if runs and row - runs[-1][-1] <= gap:
            runs[-1].append(row)
        else:
            runs.append([row])
    found = [
        table.read(run[0], run[-1] + 1, names).take(pa.array([row - run[0] for row in run])) for run in runs
    ]
    return pa.concat_tables(found)


def drawn(stamps: NDArray[np.float32], order: Sequence[int] | None) -> NDArray[np.uint8]:
    """Stamps as pictures: colour where there are three bands or more, dark on white where there are fewer.

    Parameters
    ----------
    stamps : (n, band, y, x) float32
        Background-subtracted.
    order : sequence of int, optional
        Bands from the bluest to the reddest; as they stand by default.

    Returns
    -------
    (n, y, x, 3) or (n, y, x) uint8, the first row at the top.
    """
    pixels = torch.from_numpy(stamps)
    bands = pixels.shape[1]
    if bands < 3:
        grey = stretch(pixels.mean(dim=1, keepdim=True))[:, 0].clamp(0, 1)
        return ((1 - grey.flip(1)) * 255).round().to(torch.uint8).numpy()
    order = list(range(bands)) if order is None else list(order)
    chosen = pixels[:, [order[-1], order[bands // 2], order[0]]]
    sigma = noise_level(chosen)[:, :, None, None]
    peak = chosen.amax(dim=(2, 3), keepdim=True)
    light = (chosen / torch.maximum(3 * sigma, peak / 1000).clamp(min=1e-30)).clamp(min=0)
    # Lupton et al. 2004 (PASP 116, 133): the mean is stretched, the ratios of the bands are kept
    mean = light.mean(dim=1, keepdim=True)
    colour = light * torch.asinh(mean) / mean.clamp(min=1e-6)
    white = torch.quantile(colour.flatten(1), WHITE, dim=1)[:, None, None, None].clamp(min=DIMMEST_WHITE)
    return ((colour / white).clamp(0, 1).flip(2).permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()


def _png(picture: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
