"""The whole job on one screen.

::

    catalogs/*.fits ─┐             ┌─► denoise ─► unwrap ─► encode ─┐
    images/*.fits ───┴─► slices ─► stamps ────► measure ────────────┴─► objects/part-*.parquet
                                                                              │
                          models/ ◄── fit bags ◄── reduce (PCA) ◄─────────────┤
                             └───────────────► vote ◄─────────────────────────┘
                                                └─► votes/part-*.parquet ─► classify ─► publish ─► catalog/ (HATS)

With balanced bags, it fits and votes twice; synthetic neighbours join the second fit's bags and go nowhere else::

    fit bags ─► vote ─► first_votes/ ─► rare groups ─► augment (diffusion) ─► encode ─► synthetic/ ─► fit bags ─► vote
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalogs import storage
from pipeline import barriers, streams
from pipeline.balance import augment
from pipeline.classify import classify
from pipeline.cluster import cluster
from pipeline.publish import publish

if TYPE_CHECKING:
    from pipeline.lock import Lock
    from pipeline.plan import Plan


def run(plan: Plan, address: str | None = None, *, dashboard: bool = False, lock: Lock | None = None) -> None:
    """Do everything that the plan says and that is not done yet.

    Every stage looks at what it finds and adds what is missing, so starting again continues. Streams take
    slices and write parts; barriers need everything before them and start whole.

    Parameters
    ----------
    plan : Plan
    address : str, optional
        Ray cluster to join; by default one is started on this machine.
    dashboard : bool
        Start the Ray dashboard with it.
    lock : Lock, optional
        Of the run directory: nothing is published that another command has taken over.
    """
    if storage.exists(plan.run.published):
        return
    with cluster(plan.config.run, address, dashboard=dashboard, run=plan.run_id):
        streams.encode(plan)
        barriers.reduce(plan)
        if plan.config.augment.balance:
            barriers.fit(plan, first=True)
            streams.vote(plan, first=True)
            augment(plan)
        barriers.fit(plan)
        streams.vote(plan)
        classify(plan)
        if lock is not None:
            lock.check()
        publish(plan)
