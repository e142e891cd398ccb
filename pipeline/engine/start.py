"""An engine for as long as a run needs one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Literal

from pipeline.engine.cluster import cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.config.run import Run
    from pipeline.engine.engine import Engine

__all__ = ["Name", "started"]

Name = Literal["local", "ray"]


@contextlib.contextmanager
def started(
    name: Name, settings: Run, address: str | None = None, *, dashboard: bool = False, run: str | None = None
) -> Iterator[Engine]:
    """An engine, while the block runs; see `pipeline.engine.cluster.cluster` for what follows its name. Ray is loaded where it is wanted alone."""
    if name == "local":
        from pipeline.engine.local_engine import LocalEngine  # noqa: PLC0415

        with LocalEngine() as local:
            yield local
    else:
        with cluster(settings, address, dashboard=dashboard, run=run):
            from pipeline.engine.ray_engine import RayEngine  # noqa: PLC0415 - after `cluster` has set what Ray reads

            yield RayEngine()
