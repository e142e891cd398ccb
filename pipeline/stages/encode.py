"""The stage encode: stamps to embeddings and measured columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ray
import ray.data

from actors.factory import EncodeAndMeasure
from catalogs import storage
from catalogs.errors import BadRequest
from pipeline.console import console
from pipeline.engine.cluster import OWN_STORE
from pipeline.engine.slice_tasks import ONE_SLICE, OnSlices
from pipeline.stages import image_versions
from pipeline.stages.part_writer import slices_left, write_parts

if TYPE_CHECKING:
    from pipeline.config.file import Config
    from pipeline.engine.metrics import RunMetrics
    from pipeline.engine.streams import Stream
    from pipeline.plan.plan import Plan


def encode(plan: Plan) -> None:
    """Stamps to embeddings and measured columns, for every slice that has no part yet."""
    run = plan.run
    stream = slices_left(plan, "encode", run.objects)
    if stream.missing:
        image_versions.look_again(plan)
        storage.remove(run.images)
        _encode(plan, stream)
    image_versions.settle(plan)


def _encode(plan: Plan, stream: Stream) -> None:
    config, run, slices = plan.config, plan.run, len(stream.missing)
    count = encoders(config, slices)
    encoded = stream.slices(plan.release.read, plan.row_bytes, config.run.read_cpus).map_batches(
        Encode,
        fn_constructor_args=(
            plan.encoder_options,
            plan.measurer_options,
            plan.segmenter_options,
            stream.metrics,
        ),
        compute=ray.data.ActorPoolStrategy(
            size=count,
            # Ray Data queues two slices at an encoder, so that it never waits; of few slices the first encoder would get all.
            max_tasks_in_flight_per_actor=1 if slices <= 2 * count else None,
        ),
        num_cpus=config.encode.cpus,
        num_gpus=config.encode.gpus or None,
        **ONE_SLICE,
    )
    write_parts(plan, stream, encoded, run.objects)


def encoders(config: Config, slices: int) -> int:
    """No more than slices, for Ray warns of actors that would idle; and on one machine no more than leave a reader its CPUs."""
    wanted = min(config.encode.workers, slices)
    if ray.data.DataContext.get_current().get_config(OWN_STORE) is None:
        return wanted  # somebody's cluster may grow
    cpus = ray.cluster_resources().get("CPU", 0.0)
    room = int((cpus - config.run.read_cpus) / config.encode.cpus)
    if room < 1:
        raise BadRequest(
            f"an encoder of [encode] cpus = {config.encode.cpus:g} and a reader of [run] read_cpus = {config.run.read_cpus:g} "
            f"don't fit on the {cpus:g} CPUs of this machine: lower them."
        )
    if room < wanted:
        console.print(
            f"note: encoders: {room} instead of {wanted}, so that readers have room on {cpus:g} CPUs."
        )
    return min(wanted, room)


class Encode(OnSlices):
    """The encoder and the measurer as Ray Data sees them: both look at stamps while they are in memory."""

    def __init__(
        self,
        encoder: dict[str, Any],
        measurer: dict[str, Any] | None,
        segmenter: dict[str, Any] | None,
        metrics: RunMetrics,
    ) -> None:
        work = EncodeAndMeasure(encoder, measurer, segmenter)
        super().__init__(work, "encode", metrics, lambda: work.effort)
