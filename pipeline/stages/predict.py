"""The stage predict: every predictor answers its questions about every object."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from catalogs import storage
from pipeline.engine.engine import Actors, Reader
from pipeline.engine.slice_tasks import OnSlices
from pipeline.plan.predicting import SUFFIX
from pipeline.stages.code_columns import NO_COLUMNS, rows_of_slice
from pipeline.stages.part_writer import part_writer, slices_left

if TYPE_CHECKING:
    from pipeline.engine.engine import Engine
    from pipeline.engine.metrics import RunMetrics
    from pipeline.plan.plan import Plan
    from pipeline.plan.predicting import Prediction

__all__ = ["predict", "prediction_folders"]


def predict(plan: Plan, engine: Engine) -> None:
    """Answers of each predictor, for every slice that has none of it yet; what predictors have left that are not the run's any more is removed."""
    run, wanted = plan.run, {each.folder for each in plan.predictions}
    for name in storage.names(run.predictions):
        if name not in wanted:
            storage.remove(storage.join(run.predictions, name))
    kept = {f"{each.name}{SUFFIX}": each for each in plan.predictions}
    for name in set(storage.names(run.predictor_copies)) - kept.keys():
        storage.remove(storage.join(run.predictor_copies, name))
    for name, each in kept.items():
        storage.write(storage.join(run.predictor_copies, name), storage.read(each.file))
    for prediction, folder in zip(plan.predictions, prediction_folders(plan), strict=True):
        stream = slices_left(plan, "predict", folder)
        if stream.missing:
            reader, actors = _how(plan, prediction, len(stream.missing))
            engine.stream(stream, reader, actors, part_writer(plan, stream, folder, prediction.fingerprint))


def prediction_folders(plan: Plan) -> list[str]:
    """Where the parts of each predictor lie, in the order of their columns."""
    return [storage.join(plan.run.predictions, each.folder) for each in plan.predictions]


def _how(plan: Plan, prediction: Prediction, slices: int) -> tuple[Reader, Actors]:
    """What is read, and who answers: embeddings by heads alone, stamps by a network of the predictor's own."""
    config, settings = plan.config, plan.config.encode
    options: dict[str, Any] = {"data": storage.read(prediction.file), "name": prediction.name}
    if prediction.encoder_options is None:
        read = functools.partial(rows_of_slice, plan.run.objects, NO_COLUMNS)
        reader = Reader(read, 2 * plan.features + 50, config.run.read_cpus)
        return reader, Actors(Predict, (options,), slices, cpus=0.5, grows=True)
    options |= {"encoder": prediction.encoder_options, "segmenter": prediction.segmenter_options}
    reader = Reader(plan.release.read, plan.row_bytes, config.run.read_cpus)
    return reader, Actors(Predict, (options,), settings.workers, settings.cpus, settings.gpus)


class Predict(OnSlices):
    """The predictor, on slices."""

    def __init__(self, options: dict[str, Any], metrics: RunMetrics) -> None:
        from actors.predictor import PredictFromEmbeddings, PredictFromStamps  # noqa: PLC0415

        work = PredictFromStamps(**options) if "encoder" in options else PredictFromEmbeddings(**options)
        super().__init__(work, "predict", metrics)
