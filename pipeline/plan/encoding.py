"""The encoder that a config means: its options, its weights' fingerprint, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.encoder import Encoder
from actors.precision import resolve_precision
from catalogs import headers, storage
from catalogs.errors import Fault, Refused
from catalogs.flags import Flag
from catalogs.path_template import as_it_stands
from kernels.bands import band_order
from kernels.networks import network_of
from pipeline.plan.modalities import chosen, known_to

if TYPE_CHECKING:
    from pipeline.config.file import Config

CHECKPOINTS = {
    "encode.checkpoint": 'Give a .safetensors file of this model, "bundled" (galaxy-atto), "pretrained" (timm) or "untrained"',
    "denoise.checkpoint": 'Give a .safetensors file of a denoiser, or "bundled"',
}

__all__ = [
    "HOLES",
    "encoder_of",
    "encoder_options",
    "has_photons",
    "look_at_encoder",
    "resolved",
    "segmenter_options",
]

HOLES = int(Flag.EDGE | Flag.BAD_PIXELS)
"""Flags of objects in whose stamps zeros stand for pixels that are no data."""


def encoder_of(config: Config, folder: str, source: str) -> dict[str, Any]:
    """Options of the config's encoder, which can be made.

    Raises
    ------
    Refused
        If it cannot.
    """
    options = encoder_options(resolved(config), folder)
    _, _, faults = look_at_encoder(config, source, options)
    if faults:
        raise Refused(faults)
    return options


def look_at_encoder(config: Config, source: str, options: dict[str, Any]) -> tuple[int, str, list[Fault]]:
    """Features and weights' fingerprint of the encoder, or what is wrong with it."""
    settings, described = config.encode, network_of(config.encode.model).described
    features, fault = _features(config, source, options)
    if fault is not None:
        return 0, "", [fault]
    faults, weights = [], ""
    if described and settings.served_by and settings.wire != "float32":
        problem, remedy = "scales each stamp, and this network is told fluxes", 'Set wire = "float32"'
        faults.append(Fault(source, problem, remedy, value=repr(settings.wire), key="encode.wire"))
    # Network and denoiser one by one, so that a fault names the key that it comes from.
    alone = {"encode.checkpoint": {**options, "denoise": None}}
    values = {"encode.checkpoint": settings.checkpoint}
    if config.denoise is not None:
        alone["denoise.checkpoint"] = {**options, "checkpoint": None}
        values["denoise.checkpoint"] = config.denoise.checkpoint
    for key, tried in alone.items():
        try:
            weights = Encoder.weights_fingerprint(**tried)
        except (ValueError, OSError, RuntimeError) as error:
            problem = headers.first_line(error).removeprefix(f"{tried['checkpoint'] or tried['denoise']}: ")
            if problem.endswith("no such file"):
                problem += as_it_stands(values[key])
            faults.append(Fault(source, problem, CHECKPOINTS[key], value=repr(values[key]), key=key))
    if config.denoise is not None and not faults:
        weights = Encoder.weights_fingerprint(**options)
    return features, weights, faults


def _features(config: Config, source: str, options: dict[str, Any]) -> tuple[int, Fault | None]:
    """Length of an embedding, or why there is no such network."""
    settings, described = config.encode, network_of(config.encode.model).described
    if described and options["checkpoint"] is None:
        problem = "has no weights but those that you train"
        remedy = "Train it (tuningfork train autoregressive) and give its checkpoint"
        return 0, Fault(source, problem, remedy, value=repr(settings.model), key="encode.model")
    try:
        return Encoder.columns(**options).schema.field("embedding").type.list_size, None
    except (ValueError, OSError, RuntimeError) as error:
        problem = headers.first_line(error)
        if described:
            problem = problem.removeprefix(f"{options['checkpoint']}: ")
            remedy, key = 'Give the file that "tuningfork train autoregressive" wrote', "encode.checkpoint"
            return 0, Fault(source, problem, remedy, value=repr(settings.checkpoint), key=key)
        if not isinstance(error, ValueError):  # those are our own, with clear messages
            problem = f"cannot be built for input = {settings.input}: {problem}"
        remedy = "Choose another model or input"
        return 0, Fault(source, problem, remedy, value=repr(settings.model), key="encode.model")


def resolved(config: Config) -> Config:
    """The config with `auto` replaced by what it means here, so that every worker does the same."""
    settings = config.encode
    precision = resolve_precision(settings.precision, "cuda" if settings.gpus else "cpu")
    means = {"precision": precision, "unwrap": settings.unwraps, "checkpoint": settings.weights}
    return config.model_copy(update={"encode": settings.model_copy(update=means)})


def encoder_options(config: Config, folder: str) -> dict[str, Any]:
    """Options of `actors.encoder.Encoder`, of a config that is `resolved`."""
    settings, layout = config.encode, config.survey.images
    checkpoint: str | None = settings.checkpoint
    if checkpoint == "untrained":
        checkpoint = None
    elif checkpoint not in ("pretrained", "bundled"):
        checkpoint = storage.absolute(str(checkpoint), folder)
    denoise: str | None = None
    if config.denoise is not None:
        denoise = config.denoise.checkpoint
        denoise = denoise if denoise == "bundled" else storage.absolute(denoise, folder)
    copied = (
        "model",
        "input",
        "unwrap",
        "stretch",
        "normalise",
        "precision",
        "batch_size",
        "threads",
        "turns",
    )
    described = network_of(settings.model).described
    options = {
        **{name: getattr(settings, name) for name in copied},
        # a network that is told fluxes sees stamps as they are
        **({"stretch": "none", "input": layout.size} if described else {}),
        "checkpoint": checkpoint,
        "denoise": denoise,
        "bands": len(layout.bands),
        "order": band_order(layout.bands) if network_of(settings.model).by_wavelength else None,
        "size": layout.size,
        "device": "cuda" if settings.gpus else "cpu",
        "modalities": None,
    }
    network = known_to(config, options)
    if network is None:
        return options
    given = chosen(network, config)
    order = [layout.bands.index(band) for band in given.stamps.bands]
    return {**options, "order": order, "modalities": given.to_values()}


def segmenter_options(config: Config) -> dict[str, Any] | None:
    """Options of `actors.segmenter.Segmenter`; None where neighbours are kept in what is encoded."""
    if config.encode.neighbours == "keep":
        return None
    layout = config.survey.images
    return {
        "bands": len(layout.bands),
        "size": layout.size,
        "holes": HOLES,
        "photons": has_photons(config),
        "threads": config.encode.threads,
    }


def has_photons(config: Config) -> bool:
    """Whether the release's weight maps hold the objects' own photon noise."""
    weight = config.survey.images.weight
    return weight is not None and weight.photons
