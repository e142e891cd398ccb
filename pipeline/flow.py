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
from pipeline.engine.start import started
from pipeline.plan import run_time
from pipeline.rundir.frozen import take_over
from pipeline.stages.balance import augment
from pipeline.stages.classify import classify
from pipeline.stages.encode import encode
from pipeline.stages.finish import finish
from pipeline.stages.fit import fit
from pipeline.stages.predict import predict
from pipeline.stages.reduce import reduce
from pipeline.stages.vote import vote

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pipeline.engine.engine import Engine
    from pipeline.engine.start import Name
    from pipeline.output.lock import Lock
    from pipeline.plan.plan import Plan


def run(
    plan: Plan,
    address: str | None = None,
    *,
    engine: Name | None = None,
    dashboard: bool = False,
    lock: Lock | None = None,
) -> None:
    """Do everything that the plan says and that is not done yet.

    Every stage looks at what it finds and adds what is missing, so starting again continues. Streams take
    slices and write parts; barriers need everything before them and start whole.

    Parameters
    ----------
    plan : Plan
    address : str, optional
        Ray cluster to join; by default Ray is started on this machine, or not at all.
    engine : {"local", "ray"}, optional
        Who works; by default the one that `pipeline.plan.engine_choice` chooses, anew once all is encoded.
    dashboard : bool
        Start the Ray dashboard.
    lock : Lock, optional
        Of the run directory: nothing is published that another command has taken over.
    """
    if storage.exists(plan.run.published):
        return
    if plan.like is not None:
        take_over(plan.like, plan.run)

    def chosen() -> Name:
        return engine or run_time.engine_for(plan, address, dashboard=dashboard)

    def starting(name: Name) -> AbstractContextManager[Engine]:
        return started(name, plan.config.run, address, dashboard=dashboard, run=plan.run_id)

    first = chosen()
    with starting(first) as workers:
        encode(plan, workers)
        then = chosen()  # by what is left: it may be too little for Ray
        if then == first:
            _after_encoding(plan, workers, lock)
    if then != first:
        with starting(then) as workers:
            _after_encoding(plan, workers, lock)


def _after_encoding(plan: Plan, workers: Engine, lock: Lock | None) -> None:
    if plan.like is None:
        reduce(plan, workers)
        if plan.config.augment.balance:
            fit(plan, workers, first=True)
            vote(plan, workers, first=True)
            augment(plan, workers)
        fit(plan, workers)
    vote(plan, workers)
    classify(plan, workers)
    finish(plan, workers)
    predict(plan, workers)
    if lock is not None:
        lock.check()
    from pipeline.stages.publish import publish  # noqa: PLC0415 - hats takes memory beside encoders otherwise

    publish(plan, workers)
