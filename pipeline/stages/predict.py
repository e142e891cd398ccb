"""The stage predict: every predictor answers its questions about every object."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import ray
import ray.data

from catalogs import storage
from pipeline.engine.slice_tasks import ONE_SLICE, OnSlices
from pipeline.stages.part_writer import slices_left, write_parts
from pipeline.stages.vote import embeddings_of_slice, voters

if TYPE_CHECKING:
    from pipeline.engine.metrics import RunMetrics
    from pipeline.engine.streams import Stream
    from pipeline.plan.plan import Plan
    from pipeline.plan.predicting import Prediction

__all__ = ["predict", "prediction_folders"]


def predict(plan: Plan) -> None:
    """Answers of each predictor, for every slice that has none of it yet; what predictors have left that are not the run's any more is removed."""
    run, wanted = plan.run, {each.folder for each in plan.predictions}
    for name in storage.names(run.predictions):
        if name not in wanted:
            storage.remove(storage.join(run.predictions, name))
    for prediction in plan.predictions:
        folder = storage.join(run.predictions, prediction.folder)
        stream = slices_left(plan, "predict", folder)
        if stream.missing:
            answered = _from_embeddings if prediction.encoder_options is None else _from_stamps
            write_parts(plan, stream, answered(plan, prediction, stream), folder, prediction.fingerprint)


def prediction_folders(plan: Plan) -> list[str]:
    """Where the parts of each predictor lie, in the order of their columns."""
    return [storage.join(plan.run.predictions, each.folder) for each in plan.predictions]


def _from_embeddings(plan: Plan, prediction: Prediction, stream: Stream) -> ray.data.Dataset:
    read = functools.partial(embeddings_of_slice, plan.run.objects)
    options = {"data": storage.read(prediction.file), "name": prediction.name}
    return stream.slices(read, 2 * plan.features + 50, plan.config.run.read_cpus).map_batches(
        Predict,
        fn_constructor_args=(ray.put(options), stream.metrics),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=voters(len(stream.missing))),
        num_cpus=0.5,
        **ONE_SLICE,
    )


def _from_stamps(plan: Plan, prediction: Prediction, stream: Stream) -> ray.data.Dataset:
    from pipeline.stages.encode import encoders  # noqa: PLC0415

    config = plan.config
    options = {
        "data": storage.read(prediction.file),
        "name": prediction.name,
        "encoder": prediction.encoder_options,
        "segmenter": prediction.segmenter_options,
    }
    return stream.slices(plan.release.read, plan.row_bytes, config.run.read_cpus).map_batches(
        Predict,
        fn_constructor_args=(ray.put(options), stream.metrics),
        compute=ray.data.ActorPoolStrategy(size=encoders(config, len(stream.missing))),
        num_cpus=config.encode.cpus,
        num_gpus=config.encode.gpus or None,
        **ONE_SLICE,
    )


class Predict(OnSlices):
    """The predictor as Ray Data sees it."""

    def __init__(self, options: Any, metrics: RunMetrics) -> None:
        from actors.predictor import PredictFromEmbeddings, PredictFromStamps  # noqa: PLC0415

        given = ray.get(options)
        work = PredictFromStamps(**given) if "encoder" in given else PredictFromEmbeddings(**given)
        super().__init__(work, "predict", metrics)
