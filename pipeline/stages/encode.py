"""The stage encode: stamps to embeddings and measured columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.factory import EncodeAndMeasure
from catalogs import storage
from pipeline.engine.engine import Actors, Reader
from pipeline.engine.slice_tasks import OnSlices
from pipeline.engine.warm_up import compile_loops_once
from pipeline.stages import image_versions
from pipeline.stages.part_writer import part_writer, slices_left

if TYPE_CHECKING:
    from pipeline.engine.engine import Engine
    from pipeline.engine.metrics import RunMetrics
    from pipeline.plan.plan import Plan


def encode(plan: Plan, engine: Engine) -> None:
    """Stamps to embeddings and measured columns, for every slice that has no part yet."""
    run, config = plan.run, plan.config
    stream = slices_left(plan, "encode", run.objects)
    if stream.missing:
        if plan.measurer_options is not None or plan.segmenter_options is not None:
            compile_loops_once()
        image_versions.look_again(plan, engine)
        storage.remove(run.images)
        options = plan.encoder_options, plan.measurer_options, plan.segmenter_options
        settings = config.encode
        engine.stream(
            stream,
            Reader(plan.release.read, plan.row_bytes, config.run.read_cpus),
            Actors(Encode, options, settings.workers, settings.cpus, settings.gpus),
            part_writer(plan, stream, run.objects),
        )
    image_versions.settle(plan, engine)


class Encode(OnSlices):
    """The encoder and the measurer, on slices: both look at stamps while they are in memory."""

    def __init__(
        self,
        encoder: dict[str, Any],
        measurer: dict[str, Any] | None,
        segmenter: dict[str, Any] | None,
        metrics: RunMetrics,
    ) -> None:
        work = EncodeAndMeasure(encoder, measurer, segmenter)
        super().__init__(work, "encode", metrics, lambda: work.effort)
