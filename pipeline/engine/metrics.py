"""The metrics of a run: every name, meaning and tag stands here, and nowhere else.

Ray exports them to Prometheus from every node; it puts ``ray_`` before a name and ``_total`` after a counter's. Those of the
client of servers are in `actors.serving.client`, those of a training in `pipeline.training.worker`.
"""

from __future__ import annotations

import contextlib
import functools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.metrics import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from actors.embedder import Effort

SECONDS = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0]
"""Bounds of the histograms' buckets."""


@dataclass(frozen=True)
class Metric:
    """One metric; each carries the tag `run` besides its own."""

    kind: type[Counter | Gauge | Histogram]
    name: str
    meaning: str
    own_tags: tuple[str, ...] = ()

    @property
    def tags(self) -> tuple[str, ...]:
        """Names of all its tags."""
        return ("run", *self.own_tags)


OBJECTS = Metric(Counter, "tuningfork_objects", "objects whose part is written", ("stage",))
FLAGGED = Metric(Counter, "tuningfork_flagged_objects", "objects with a flag, by its name", ("flag",))
SLICES = Metric(Gauge, "tuningfork_slices", "slices that are done, waiting or failed", ("stage", "state"))
FAULTS = Metric(Counter, "tuningfork_slice_faults", "slices that failed for good", ("stage",))
READ = Metric(Counter, "tuningfork_read_bytes", "bytes of stamps read from the release")
STEP = Metric(Histogram, "tuningfork_step_seconds", "time of a step: of a slice, or a barrier", ("step",))
FILL = Metric(Gauge, "tuningfork_batch_fill", "share of an encoder's batches that was filled")
BUSY = Metric(Counter, "tuningfork_busy_seconds", "seconds that encoders computed", ("device",))
EVERY = (OBJECTS, FLAGGED, SLICES, FAULTS, READ, STEP, FILL, BUSY)


@dataclass(frozen=True)
class RunMetrics:
    """Keeps the metrics of one run, in whichever process it is sent to.

    Parameters
    ----------
    run : str
        The run's id, see `pipeline.rundir.run_directory.run_id`.
    """

    run: str

    def wrote(self, stage: str, objects: int, flags: Mapping[str, int]) -> None:
        """A slice's part is there, with so many objects and flags."""
        self._add(OBJECTS, objects, stage=stage)
        for flag, number in flags.items():
            self._add(FLAGGED, number, flag=flag)

    def failed(self, stage: str) -> None:
        """A slice has a fault."""
        self._add(FAULTS, 1, stage=stage)

    def slices(self, stage: str, **states: int) -> None:
        """How many slices of a stage are in which state."""
        for state, number in states.items():
            self._set(SLICES, number, stage=stage, state=state)

    def read(self, size: int) -> None:
        """So many bytes of stamps came from the release."""
        self._add(READ, size)

    @contextlib.contextmanager
    def step(self, step: str) -> Iterator[None]:
        """Around a step; one that fails has no time."""
        start = time.perf_counter()
        yield
        _made(STEP).observe(time.perf_counter() - start, tags={"run": self.run, "step": step})

    def computed(self, before: Effort, now: Effort) -> None:
        """Work of an encoder since the previous call."""
        self._add(BUSY, now.seconds - before.seconds, device=now.device)
        if now.slots:
            self._set(FILL, now.images / now.slots)

    def _add(self, metric: Metric, value: float, **tags: str) -> None:
        if value > 0:
            _made(metric).inc(value, tags={"run": self.run, **tags})

    def _set(self, metric: Metric, value: float, **tags: str) -> None:
        _made(metric).set(value, tags={"run": self.run, **tags})


@functools.cache
def _made(metric: Metric) -> Any:
    """The metric in this process."""
    bounds = {"boundaries": SECONDS} if metric.kind is Histogram else {}
    return metric.kind(metric.name, metric.meaning, tag_keys=metric.tags, **bounds)
