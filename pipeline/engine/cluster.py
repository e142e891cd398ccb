"""Ray for one run: join a cluster by its address, or start one on this machine that listens on loopback only."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalogs.errors import Fault, Refused, TuningforkError
from pipeline.console import console
from pipeline.engine.head_watch import watch_head
from pipeline.engine.private_cluster import on_loopback
from pipeline.engine.temp_folder import temp_faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.config.run import Run

OWN_STORE = "tuningfork.own_store"
"""Key of Ray Data's context: bytes of the object store of a Ray that the run started itself, which will not grow; else None."""
STARTING = 90
"""Seconds that Ray may take to start: on a busy machine its own limits, of half a minute, are too short; for a raylet that died, it waits as long."""


def refuse_or_wait(faults: list[Fault], address: str | None) -> None:
    """Say what Ray will wait for: a machine never gets more CPUs or GPUs than it has, somebody's cluster may grow.

    Raises
    ------
    Refused
        With the faults, if Ray is the command's own.
    """
    if faults and is_own(address):
        raise Refused(faults)
    for fault in faults:
        console.print(f"note: {fault.key or fault.file}: {fault.problem}: waiting for the cluster to grow.")


def is_own(address: str | None) -> bool:
    """Whether Ray will be the command's own, on this machine."""
    return address in {None, "local"}


class NoRay(TuningforkError):
    """Ray did not start on this machine, or no cluster answers at an address."""


class WorkLost(TuningforkError):
    """Ray gave something up after all of its tries: processes or nodes died, or memory or disks were full."""


@contextlib.contextmanager
def cluster(
    settings: Run, address: str | None = None, *, dashboard: bool = False, run: str | None = None
) -> Iterator[None]:
    """Be connected to Ray while the block runs.

    Parameters
    ----------
    settings : Run
    address : str, optional
        Address of a running cluster (`auto`, `ray://…`, `host:port`). Without it, or for `local`, a cluster of
        this machine is started and stopped again.
    dashboard : bool
        Start the Ray dashboard with a cluster of this machine, even if the settings don't enable it.
    run : str, optional
        The run's id, which Ray's list of jobs then shows.

    Raises
    ------
    NoRay
        If there is none to be connected to.
    WorkLost
        If the block ends because Ray lost something that it could not make again.
    """
    # Ray reads these when it is imported and when its processes start.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Threads that spin while they wait take the cores that readers and writers need.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    # Ray warns in red of restarts that cannot work; a run that loses an actor's arguments is run again anyway.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray would put its workers behind everything else that runs: they are as nice as the command is.
    os.environ.setdefault("RAY_worker_niceness", "0")
    import ray  # noqa: PLC0415 - after the settings above
    import ray.data  # noqa: PLC0415

    joined, execution = ray.is_initialized(), ray.data.DataContext.get_current()
    if not joined:
        own = is_own(address)
        for fault in temp_faults() if own else []:
            raise NoRay(f"Ray did not start on this machine, after 0 s: {fault}.")
        options: dict[str, Any] = {"address": address}
        store = int(settings.object_store_gib * 2**30) if own else None
        if store is not None:
            options = {
                "address": "local",  # else Ray joins whatever it finds running here
                "include_dashboard": dashboard or settings.dashboard,
                "dashboard_host": "127.0.0.1",
                "object_store_memory": store,
            }
        execution.set_config(OWN_STORE, store)
        if run is not None:
            options["job_config"] = ray.job_config.JobConfig(metadata={"run": run})
        on_stop = signal.getsignal(signal.SIGTERM)
        with (
            on_loopback() if own else contextlib.nullcontext(),
            _told_plainly(address, own),
            _silent_stderr(),
        ):
            context = ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_stop)  # Ray puts its own there, which ends without a word
        if context.dashboard_url:
            console.print(f"Ray dashboard: http://{context.dashboard_url}")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    execution.enable_progress_bars = False
    # Blocks are whole slices already: Ray must neither split nor merge them.
    execution.target_max_block_size = None
    if joined:
        yield
        return
    try:
        with watch_head(ray.get_runtime_context().gcs_address):
            yield
    except ray.exceptions.RayTaskError:
        raise  # of our own code: its trace says where
    except ray.exceptions.RayError as error:
        raise WorkLost(f"{_in_one_line(error)}. Nothing is lost: run the same command again.") from error
    finally:
        ray.shutdown()


def _in_one_line(error: Exception) -> str:
    """Ray says first what happened; but where an actor could not start, a trace follows, and the reason stands last."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if getattr(error, "actor_init_failed", False):
        return f"an actor cannot start: {lines[-1]}".rstrip(".")
    return lines[0].rstrip(".")


@contextlib.contextmanager
def _told_plainly(address: str | None, own: bool) -> Iterator[None]:
    """Give Ray time to start, or to be joined, and say in one line what went wrong."""
    if own:
        what, remedy = (
            "Ray did not start on this machine",
            "Run it again once that is mended, or less is running",
        )
        limits = {"RAY_raylet_start_wait_time_s": STARTING, "RAY_agent_register_timeout_ms": 1000 * STARTING}
        limits |= {"RAY_gcs_server_port_wait_time_s": STARTING}
    else:
        what, remedy = (
            f"no Ray cluster at {address}",
            "Start it, or correct --address; without it, Ray starts here",
        )
        limits = {"RAY_gcs_server_port_wait_time_s": 1}  # one try, of half a minute: Ray would make twenty
    ours = {name: str(limit) for name, limit in limits.items() if name not in os.environ}
    os.environ.update(ours)
    start = time.monotonic()
    try:
        yield
    except Exception as error:
        raise NoRay(
            f"{what}, after {time.monotonic() - start:.0f} s: {_in_one_line(error)}. {remedy}."
        ) from error
    finally:
        for name in ours:
            os.environ.pop(name)


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drop what Ray's C++ prints while it starts: what goes wrong there is raised as well."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
