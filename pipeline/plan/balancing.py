"""The diffusion model for a config's balanced bags: the generator's options, the model's fingerprint, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catalogs import headers, storage
from catalogs.errors import Fault
from kernels.diffusion_model import DiffusionModel
from kernels.nets import weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalogs.release import Release
    from kernels.attributes import Attribute
    from pipeline.config.file import Config

__all__ = ["generator_options", "look_at_generator", "numbers_of", "with_columns"]


def generator_options(config: Config, folder: str) -> dict[str, Any] | None:
    """Options of `actors.generator.StampGenerator`; None where bags are not balanced.

    Raises
    ------
    kernels.nets.weights.WeightsError
        If no model of that name comes with the package.
    """
    settings = config.augment
    if not settings.balance:
        return None
    model = str(settings.model)
    bundled = not model.endswith(".safetensors")
    return {
        "model": str(weights.bundled(f"diffusion-{model}")) if bundled else storage.absolute(model, folder),
        "steps": settings.steps,
        "guidance": settings.guidance,
        "rescale": settings.rescale,
        "device": "cuda" if settings.gpus else "cpu",
        "threads": settings.threads,
        "precision": "float32",
    }


def look_at_generator(
    config: Config, folder: str, source: str, release: Release | None, schema: pa.Schema
) -> tuple[dict[str, Any] | None, str, list[Fault], list[str]]:
    """The generator's options, the model's fingerprint, what is wrong with it, and notes for the user.

    Parameters
    ----------
    config : Config
    folder, source : str
        Of the config file, and its path.
    release : Release, optional
        None where it is refused already: then the model alone is looked at.
    schema : pa.Schema
        Columns of the objects: kept and measured ones.
    """
    try:
        options = generator_options(config, folder)
        if options is None:
            return None, "", [], []
        model = DiffusionModel.load(options["model"])
    except (weights.WeightsError, OSError) as error:
        remedy = "Give efigi, or a file that `tuningfork train diffusion` wrote"
        return None, "", [_wrong(config, source, headers.first_line(error), remedy)], []
    if release is None:
        return options, model.fingerprint, [], []
    faults, images = [], release.survey.images
    if images.extent is not None:
        problem = (
            "a diffusion model draws stamps of one pixel scale, and with extents the release's have many"
        )
        remedy = "Leave out [survey.images] extent, or [augment] balance"
        faults.append(_wrong(config, source, problem, remedy))
    if (model.bands, model.size) != (tuple(images.bands), images.size):
        drawn, wanted = _stamps(model.bands, model.size), _stamps(images.bands, images.size)
        remedy = "Give a model of the release's stamps: tuningfork train diffusion"
        faults.append(
            _wrong(config, source, f"draws stamps of {drawn}, but the release's are of {wanted}", remedy)
        )
    if config.modalities.given:
        problem = "draws stamps alone, and [modalities] tells the encoder more of objects"
        faults.append(_wrong(config, source, problem, "Leave out [augment] balance"))
    usable = with_columns(model.attributes, schema)
    unknown = [a.name for a in model.attributes if a.kind in ("label", "measured") and a not in usable]
    if not usable:
        remedy = 'Keep those that the release has ([survey] keep = ["COLUMN as NAME"]), or measure them ([measure] quantities)'
        problem = f"none of its attributes is a column of the objects; there are {', '.join(unknown)}"
        faults.append(_wrong(config, source, problem, remedy))
    notes = [f"Synthetic neighbours are like their objects in {', '.join(a.name for a in usable)}."]
    if unknown:
        notes[0] += f" No column gives {', '.join(unknown)}: unconditional."
    if model.pixel_scale != release.pixel_scale:
        scales = [
            f"{scale:.4g} arcsec" if scale else "unknown"
            for scale in (model.pixel_scale, release.pixel_scale)
        ]
        notes.append(f"The diffusion model's pixel scale is {scales[0]}, the release's {scales[1]}.")
    return options, model.fingerprint, faults, notes


def with_columns(attributes: Sequence[Attribute], schema: pa.Schema) -> list[Attribute]:
    """The attributes that have a numeric column."""
    numeric = numbers_of(schema)
    return [a for a in attributes if a.kind in ("label", "measured") and a.name in numeric]


def numbers_of(schema: pa.Schema) -> set[str]:
    """Names of the columns that hold numbers."""
    return {f.name for f in schema if pa.types.is_floating(f.type) or pa.types.is_integer(f.type)}


def _stamps(bands: Sequence[str], size: int) -> str:
    return f"{size} px in bands {', '.join(bands)}"


def _wrong(config: Config, source: str, problem: str, remedy: str) -> Fault:
    return Fault(source, problem, remedy, value=repr(config.augment.model), key="augment.model")
