"""A plan with `--like RUN`: what it takes over from that run's config, and what must not differ from it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from catalogs.errors import Fault, Refused
from catalogs.inspect_images import SAME_SCALE
from pipeline.config.augment import Augment
from pipeline.config.file import Config
from pipeline.plan import class_rules
from pipeline.plan.fingerprints import VALUES_VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from catalogs.release import Release
    from pipeline.rundir.frozen import Frozen

__all__ = ["classes_here", "differences", "taken_over"]

SECTIONS = ("reduce", "fit", "vote", "classes")
"""What the other run has decided, once and for all."""
LEAVE_OUT = "Leave it out, or --like"
MATCH = "Set it as there, or leave out --like"
SCALE, WEIGHTS = "survey.images.pixel_scale", "encode.checkpoint"
LONGEST = 60
"""Characters of a value in a message."""


def taken_over(config: Config, like: Frozen | None, source: str) -> tuple[Config, list[Fault]]:
    """The config with what the other run has decided, and what is set otherwise here; as it is where there is no other run.

    What is left to the machine (`precision = "auto"`) is as there too. Nothing is balanced: members are as they are.

    Raises
    ------
    Refused
        If the other run is of another version of the package, in whose runs equal configs give other values.
    """
    if like is None:
        return config, []
    theirs, faults = _config_of(like), []
    for section in SECTIONS:
        ours, others = getattr(config, section), getattr(theirs, section)
        for key in sorted(ours.model_fields_set):
            if getattr(ours, key) != getattr(others, key):
                values = getattr(ours, key), getattr(others, key)
                faults.append(_fault(source, f"{section}.{key}", *values, like.run, LEAVE_OUT))
    encode = config.encode
    if encode.precision == "auto":
        encode = encode.model_copy(update={"precision": theirs.encode.precision})
    sections = {section: getattr(theirs, section) for section in SECTIONS}
    return config.model_copy(update={**sections, "encode": encode, "augment": Augment()}), faults


def _config_of(like: Frozen) -> Config:
    version = like.seen["values"]
    if version != VALUES_VERSION:
        problem = f"was made by a version whose catalog values are others ({version}, not {VALUES_VERSION})"
        raise Refused([Fault(like.run, problem, "Make it anew with this version")])
    try:
        return Config.model_validate(like.config)
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        problem = f"its config is not one of this version ({key})"
        raise Refused([Fault(like.run, problem, "Make it anew with this version")]) from error


def differences(
    config: Config, source: str, release: Release | None, weights: str, like: Frozen
) -> list[Fault]:
    """What the network would see otherwise than in the other run: embeddings that mean something else.

    Parameters
    ----------
    config : Config
        One that is `pipeline.plan.encoding.resolved`.
    source : str
        Path of the config file.
    release : Release, optional
        None where it is refused already.
    weights : str
        Fingerprint of the encoder's weights; empty where they are refused already.
    like : Frozen
    """
    scale = like.seen["pixel_scale"] if release is None else release.pixel_scale
    seen = {"weights": weights or like.seen["weights"], "pixel_scale": scale}
    ours, others = _seen(config, seen), _seen(_config_of(like), like.seen)
    keys = [key for key, value in ours.items() if value != others[key]]
    if _same_scale(ours[SCALE], others[SCALE]):
        keys = [key for key in keys if key != SCALE]
    if {"encode.model", "denoise"} & set(keys):
        keys = [key for key in keys if key != WEIGHTS]  # others must be
    return [_fault(source, key, ours[key], others[key], like.run, MATCH) for key in keys]


def _seen(config: Config, seen: dict[str, Any]) -> dict[str, Any]:
    """Key of the config and what it means to the network."""
    encode, images = config.encode, config.survey.images
    of_encode = ("model", "input", "unwrap", "stretch", "normalise", "neighbours", "turns", "precision")
    of_images = ("bands", "size", "extent", "extent_unit", "extent_window", "background")
    photons = images.weight is not None and images.weight.photons
    return {
        **{f"encode.{key}": getattr(encode, key) for key in of_encode},
        WEIGHTS: f"weights {seen['weights'][:12]}",
        "encode.wire": encode.wire if encode.served_by else "float32",
        "denoise": _given(config.denoise),
        "modalities": config.modalities.told,
        **{f"survey.images.{key}": getattr(images, key) for key in of_images},
        "survey.images.extent_limit": images.largest_extent if images.extent else None,
        SCALE: seen["pixel_scale"],
        "survey.images.mask": _given(images.mask),
        "survey.images.weight": _given(images.weight) + (", with photon noise" if photons else ""),
        "survey.images.segmentation": _given(images.segmentation),
    }


def _given(value: object) -> str:
    return "none" if value is None else "given"


def _same_scale(a: float | None, b: float | None) -> bool:
    return a is not None and b is not None and abs(a - b) <= SAME_SCALE * b


def classes_here(
    config: Config, schema: pa.Schema, kept: Sequence[str], source: str, like: Frozen | None
) -> tuple[Config, list[Fault]]:
    """What is wrong with `[classes]`, of this config or the other run's, and the config with what of it can be used.

    Groups have the other run's names: where this release lacks what gave them those (`by = "none"` then), only the evidence is less. Rules on single objects
    need their columns.
    """
    if like is None:
        return config, class_rules.faults(config.classes, schema, kept, source)
    remedy = "Keep or measure what it reads, as that run does"
    faults = [replace(f, remedy=remedy) for f in class_rules.split_faults(config.classes, schema, like.run)]
    if class_rules.naming_faults(config.classes, schema, kept, source):
        classes = config.classes.model_copy(update={"by": "none"})
        config = config.model_copy(update={"classes": classes})
    return config, faults


def _fault(source: str, key: str, ours: Any, theirs: Any, run: str, remedy: str) -> Fault:
    return Fault(source, f"is {_shown(theirs)} in {run}", remedy, value=_shown(ours), key=key)


def _shown(value: Any) -> str:
    text = json.dumps(TypeAdapter(Any).dump_python(value, mode="json", by_alias=True), ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
