"""Notes of a plan: settings that are valid, but may not be what the user means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernels.bands import band_order
from kernels.networks import network_of

if TYPE_CHECKING:
    from catalogs.release import Release
    from pipeline.config.file import Config

__all__ = ["notes"]


def notes(config: Config, release: Release) -> list[str]:
    """Notes for the user on a config and its release."""
    notes = list(release.notes)
    if config.survey.synthetic:
        notes.append(
            "SYNTHETIC: a diffusion model drew every object of this release; nothing of it was observed."
        )
    if config.encode.checkpoint == "untrained":
        notes.append(
            f"UNTRAINED WEIGHTS: {config.encode.model} is random. Groups will be of little worth; give [encode] "
            'checkpoint = "file.safetensors", or "pretrained" where the hub can be reached.'
        )
    bands, network = config.survey.images.bands, network_of(config.encode.model)
    if network.by_wavelength and len(bands) > 1 and band_order(bands) is None:
        notes.append(
            f"Not all of the bands {', '.join(bands)} are known filters: they are taken to be ordered bluest first."
        )
    if network.unwrap == "none" and config.encode.unwrap != "none":
        notes.append(f"{network.name} was trained on stamps as they are, not on unwrapped ones.")
    if config.survey.ra is None:
        notes.append("No ra/dec: the catalog will be plain Parquet, without HATS partitions.")
    if release.pixel_scale is None:
        notes.append("The pixel scale is unknown: nothing will be measured in arcsec.")
    if release.selected is None:
        notes.append("The release is large: ids and image paths of single rows are checked during the run.")
    empty = [shard.label for shard in release.shards if not shard.table.rows]
    if empty:
        notes.append(f"{len(empty)} shards are empty, {empty[0]} for one.")
    return notes
