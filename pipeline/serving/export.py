"""`tuningfork export-encoder`: a model repository for tritonserver, of the encoder that a config or a name means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from actors.serving.repository import export
from catalogs.errors import Fault, Refused
from pipeline.config.file import load, parse
from pipeline.plan.encoding import encoder_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.serving.repository import Serving

__all__ = ["export_encoder"]


def export_encoder(
    model: str,
    repository: Path,
    serving: Serving,
    *,
    bands: Sequence[str] = ("r",),
    size: int = 64,
    precision: str = "auto",
) -> Path:
    """Write the model.

    Parameters
    ----------
    model : str
        Path of a run's config (.toml), or a model's name, which takes the defaults of `[encode]`.
    repository : Path
    serving : Serving
        Its name and wire are the config's where `model` is one.
    bands, size
        Of the stamps, where `model` is a name.
    precision : {"auto", "float32", "bfloat16"}
        Of the network, where `model` is a name.

    Returns
    -------
    Path of the model's folder.

    Raises
    ------
    Refused
        If there is no such model, or its weights cannot be loaded.
    """
    if model.endswith(".toml"):
        config, folder = load(model)
        settings = config.encode
        serving = replace(serving, name=settings.served_name, wire=settings.wire)
    else:
        images = {"layout": "column", "column": "none", "bands": list(bands), "size": size}
        values = {
            "survey": {
                "catalogs": "none",
                "id": "none",
                "images": {**images, "pixel_scale": "unknown"},
            },
            "encode": {"model": model, "precision": precision},
        }
        config, folder = parse(values, model), str(Path.cwd())
    options = encoder_of(config, folder, model)
    if serving.flavour == "onnxruntime" and options["precision"] != "float32":
        remedy = 'Set precision = "float32" in [encode]: a run must ask for what the server computes'
        fault = Fault(model, "ONNX graphs compute in float32", remedy, key="encode.precision")
        raise Refused([fault])
    return export(options, repository, serving)
