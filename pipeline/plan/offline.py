"""`tuningfork plan --offline`: checks a config by itself, without the release, servers or GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catalogs.errors import Fault, Refused
from pipeline.config.file import load
from pipeline.plan import balancing, config_faults, extending
from pipeline.plan.encoding import encoder_options, look_at_encoder, resolved
from pipeline.plan.measuring import measured_bands

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.config.file import Config

__all__ = ["check"]

WITH_THE_PACKAGE = {"bundled", None}
"""Checkpoints that every installation has."""


def check(path: str | Path) -> list[str]:
    """Check keys, values and what they mean to one another, and open nothing but the config and weights that come with the package.

    Returns
    -------
    list of str
        What was not looked at, for only a plan where the run will be can.

    Raises
    ------
    Refused
        With everything that is wrong.
    """
    loaded, folder = load(path)
    config, source = resolved(loaded), str(path)
    options, left = _at_hand(encoder_options(config, folder))
    features, _, faults = look_at_encoder(config, source, options)
    faults += config_faults.component_faults(config, source, features)
    bands, key = (
        config.survey.images.bands,
        "measure.band" if config.measure.bands is None else "measure.bands",
    )
    unknown = [band for band in measured_bands(config) if band not in bands]
    if config.measure.quantities and unknown:
        problem, remedy = "is no band of the release", f"Choose one of {', '.join(bands)}"
        faults += [Fault(source, problem, remedy, value=repr(band), key=key) for band in unknown]
    if str(config.augment.model).endswith(".safetensors"):
        left.append(str(config.augment.model))
    elif config.augment.balance:
        faults += balancing.look_at_generator(config, folder, source, None, pa.schema([]))[2]
    faults += extending.position_faults(config, source)
    left += [] if config.publish.extends is None else [config.publish.extends]
    if faults:
        raise Refused(faults)
    return [*config.survey.patterns, "images", *left, *_slices(config), *_devices(config)]


def _at_hand(options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The options without the checkpoints that lie elsewhere, and those."""
    elsewhere = {
        key: str(options[key]) for key in ("checkpoint", "denoise") if options[key] not in WITH_THE_PACKAGE
    }
    return {**options, **dict.fromkeys(elsewhere)}, list(elsewhere.values())


def _slices(config: Config) -> list[str]:
    """How many rows the shards have, where slices as long as they may be would not fit in memory."""
    most = config_faults.most_rows(config)
    return [f"whether shards have more than {most:,} rows"] if config.run.slice_rows > most else []


def _devices(config: Config) -> list[str]:
    gpus = config.encode.gpus or (config.augment.balance and config.augment.gpus)
    return [*config.encode.endpoints, *(["GPUs"] if gpus else [])]
