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

With the models of another run (`--like`) nothing is fitted: theirs are copied first, and names of groups are theirs too::

    the other run's models/ ─► like/ ─► models/ ─► vote
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalogs import storage
from pipeline.engine.cluster import cluster
from pipeline.rundir.frozen import take_over
from pipeline.stages.balance import augment
from pipeline.stages.classify import classify
from pipeline.stages.encode import encode
from pipeline.stages.fit import fit
from pipeline.stages.publish import publish
from pipeline.stages.reduce import reduce
from pipeline.stages.vote import vote

if TYPE_CHECKING:
    from pipeline.output.lock import Lock
    from pipeline.plan.plan import Plan


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
    if plan.like is not None:
        take_over(plan.like, plan.run)
    with cluster(plan.config.run, address, dashboard=dashboard, run=plan.run_id):
        encode(plan)
        if plan.like is None:
            reduce(plan)
            if plan.config.augment.balance:
                fit(plan, first=True)
                vote(plan, first=True)
                augment(plan)
            fit(plan)
        vote(plan)
        classify(plan)
        if lock is not None:
            lock.check()
        publish(plan)
