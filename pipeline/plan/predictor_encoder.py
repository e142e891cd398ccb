"""How a predictor's codes are made: what it must have in common with a run's encoder, and the options of an encoder of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernels.bands import band_order
from kernels.networks import network_of

if TYPE_CHECKING:
    from pipeline.config.file import Config

__all__ = ["BUNDLE", "differences", "encoder_of_run", "own_options"]

BUNDLE = "predictor"
"""Checkpoint of an encoder whose weights are in the predictor's own file."""
_OF_STAMPS = ("size", "extent")
_COPIED = ("model", "checkpoint", "input", "stretch", "unwrap", "normalise", "turns", "neighbours")


def encoder_of_run(config: Config, weights: str, features: int) -> dict[str, Any]:
    """Of a `resolved` config: everything that codes depend on, as plain values."""
    images = config.survey.images
    return {
        **{key: getattr(config.encode, key) for key in _COPIED},
        "denoise": None if config.denoise is None else config.denoise.checkpoint,
        "bands": list(images.bands),
        "size": images.size,
        "extent": images.extent,
        "pixel_scale": images.pixel_scale,
        "weights": weights,
        "features": features,
        **({"modalities": config.modalities.told} if network_of(config.encode.model).described else {}),
    }


def differences(taught: dict[str, Any], run: dict[str, Any]) -> list[str]:
    """What makes codes of the one no codes of the other, in words; the pixel scale and the path of a checkpoint don't."""
    ignored = ("pixel_scale", "checkpoint")
    return [
        f"{key} = {taught.get(key)!r}, here {run.get(key)!r}"
        for key in sorted(taught.keys() | run.keys())
        if key not in ignored and taught.get(key) != run.get(key)
    ]


def own_options(taught: dict[str, Any], path: str, config: Config) -> dict[str, Any]:
    """Options of `actors.encoder.Encoder` for the network in a predictor's file, on this config's stamps."""
    settings, layout = config.encode, config.survey.images
    by_wavelength = network_of(taught["model"]).by_wavelength
    return {
        **{key: taught[key] for key in ("model", "input", "stretch", "unwrap", "normalise", "turns")},
        "checkpoint": path,
        "denoise": taught["denoise"],
        "bands": len(layout.bands),
        "order": band_order(layout.bands) if by_wavelength else None,
        "size": layout.size,
        "precision": settings.precision,
        "batch_size": settings.batch_size,
        "threads": settings.threads,
        "device": "cuda" if settings.gpus else "cpu",
    }
