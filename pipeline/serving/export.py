"""`tuningfork export-encoder`: a model repository for tritonserver, of the encoder that a config or a name means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from actors.serving.repository import export
from catalogs import storage
from catalogs.errors import Fault, Refused
from kernels.heads.predictor import NotAPredictor, Predictor
from pipeline.config.file import load, parse
from pipeline.plan.encoding import encoder_of, resolved
from pipeline.plan.predicting import REMEDY, predictor_name
from pipeline.plan.predictor_encoder import own_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from actors.serving.repository import Serving
    from pipeline.config.file import Config

__all__ = ["export_encoder"]


def _networks_of_predictors(config: Config, folder: str, source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and options of `actors.encoder.Encoder` of the predictors that have a network of their own."""
    for path in config.predict.with_:
        file = storage.absolute(path, folder)
        try:
            predictor = Predictor.from_bytes(storage.read(file), file)
        except (NotAPredictor, OSError) as error:
            raise Refused(
                [Fault(source, str(error), REMEDY, key="predict.with", value=repr(path))]
            ) from error
        if predictor.has_network:
            yield predictor_name(file), own_options(predictor.encoder, file, resolved(config))


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
    Path of the model's folder. The networks of predictors in the config's `[predict] with` lie beside it, under the predictors' names.

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
    for name, own in _networks_of_predictors(config, folder, model):
        export(own, repository, replace(serving, name=name))
    if serving.flavour == "onnxruntime" and options["precision"] != "float32":
        remedy = 'Set precision = "float32" in [encode]: a run must ask for what the server computes'
        fault = Fault(model, "ONNX graphs compute in float32", remedy, key="encode.precision")
        raise Refused([fault])
    return export(options, repository, serving)
