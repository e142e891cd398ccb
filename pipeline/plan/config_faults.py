"""What a plan refuses of a config against its release and its model, each a fault with the number that would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalogs.errors import Fault
from catalogs.extents import sides

if TYPE_CHECKING:
    from catalogs.release import Release
    from pipeline.config.file import Config

__all__ = [
    "component_faults",
    "largest_slice",
    "most_rows",
    "no_gpu",
    "slice_faults",
    "stamp_bytes",
    "vote_faults",
]

LARGEST_SLICE = 1 << 30
"""Bytes of a slice's stamps, and of its catalog rows."""
BESIDE_A_STAMP = 200
"""Bytes, about, of an object's other columns."""


def stamp_bytes(config: Config, release: Release | None = None) -> int:
    """Memory of an object while its stamp is with it, its noise map, its PSF and its other modalities if it has them.

    Where extents differ it is the mean of the slice that takes most, as the release's rows show it; and where nobody has looked at them, the most that it can be.
    """
    images = config.survey.images
    pixels = sides(images)[-1] ** 2
    if release is not None and release.extents is not None:
        pixels = -(-release.extents.largest_slice // largest_slice(config, release))
    planes = 1 if images.weight is None else 2  # the noise of each pixel
    own = 0 if release is None else release.psf_values
    if release is None:
        own += config.modalities.width
    elif release.modalities is not None:
        own += release.modalities.width
    owners = 0 if images.segmentation is None else pixels
    return 4 * (planes * len(images.bands) * pixels + own) + owners + BESIDE_A_STAMP


def most_rows(config: Config) -> int:
    """Objects whose stamps a slice may hold, whatever their extents are."""
    return max(1, LARGEST_SLICE // stamp_bytes(config))


def largest_slice(config: Config, release: Release) -> int:
    """Rows of the release's largest slice: a slice never reaches beyond its shard."""
    return min(config.run.slice_rows, max(shard.table.rows for shard in release.shards))


def component_faults(config: Config, source: str, features: int) -> list[Fault]:
    """More principal components than the encoder has features (0 where those are not known)."""
    wanted = config.reduce.components
    if not (features and isinstance(wanted, int) and wanted > features):
        return []
    problem = f"more components than the {features} features of {config.encode.model}"
    remedy = f"Set at most {features}"
    return [Fault(source, problem, remedy, value=str(wanted), key="reduce.components")]


def vote_faults(config: Config, source: str) -> list[Fault]:
    """A confidence of one bag: nothing says what another draw would give."""
    rule = config.vote.rule
    if config.fit.bags > 1 or rule not in ("branches", "confidence"):
        return []
    problem = "goes by how far bags agree, and there is 1 bag"
    remedy = 'Set rule = "unanimous" or "agreement", or [fit] bags = 2 or more'
    return [Fault(source, problem, remedy, value=repr(rule), key="vote.rule")]


def slice_faults(config: Config, source: str, release: Release) -> list[Fault]:
    """Slices too large for memory: their stamps, or their catalog rows, which of FITS are read with all of their columns."""
    rows = largest_slice(config, release)
    longest = max(shard.table.bytes_of(release.columns.names) for shard in release.shards)
    faults = []
    # Other slices may have more large extents than those of this length do: what is set at most holds the largest.
    stamps = stamp_bytes(config, release), stamp_bytes(config), "stamps"
    for each, most, of_what in (stamps, (longest, longest, "catalog rows")):
        if rows * each > LARGEST_SLICE:
            problem = f"a slice would hold {rows * each / 2**30:.1f} GiB of {of_what}"
            remedy = f"Set at most {max(1, LARGEST_SLICE // most)}"
            value = str(config.run.slice_rows)
            faults.append(Fault(source, problem, remedy, value=value, key="run.slice_rows"))
    return faults


def no_gpu(config: Config, source: str) -> list[Fault]:
    """GPUs requested on a machine that has none."""
    remedy = "Set gpus = 0, or give the --address of a cluster that has GPUs"
    problem = "asks for a GPU, but this machine shows none"
    requested = {"encode.gpus": config.encode.gpus}
    if config.augment.balance:
        requested["augment.gpus"] = config.augment.gpus
    return [Fault(source, problem, remedy, key=key, value=str(n)) for key, n in requested.items() if n]
