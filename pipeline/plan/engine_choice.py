"""Which engine works on a run: small work stays in this process, all else is Ray's."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from catalogs.errors import BadRequest, Fault

if TYPE_CHECKING:
    from pipeline.config.file import Config
    from pipeline.engine.start import Name

__all__ = ["SMALL", "chosen", "decided", "engine_faults"]

SMALL = 120.0
"""Seconds of work on one core, as a plan judges them: starting Ray and its workers costs about thirty."""
OF_RAY = ("RAY_ADDRESS", "RAY_JOB_CONFIG_JSON_ENV_VAR")
"""Ray sets them for jobs and in the pods of its clusters."""


def engine_faults(config: Config, source: str, address: str | None) -> list[Fault]:
    """What a config wants that this process alone cannot do."""
    settings = config.run
    if settings.engine != "local":
        return []
    wanted = {
        "encode.gpus": bool(config.encode.gpus),
        "augment.gpus": config.augment.balance and bool(config.augment.gpus),
        "run.dashboard": settings.dashboard,
        "--address": address is not None,
    }
    problem = "works in one process, on its CPUs, without Ray"
    return [
        Fault(
            source,
            f"{problem}; {key} asks for more",
            f'Leave {key} out, or engine = "auto"',
            key="run.engine",
        )
        for key, more in wanted.items()
        if more
    ]


def chosen(
    config: Config, work: float, address: str | None = None, *, dashboard: bool = False
) -> tuple[Name, str]:
    """The engine, and why it is that one.

    Parameters
    ----------
    config : Config
    work : float
        Seconds on one core that are left to do, NaN where that is not known.
    address : str, optional
        Of a Ray cluster.
    dashboard : bool
        Ray's is asked for.
    """
    known = decided(config, address, dashboard=dashboard)
    if known is not None:
        return known
    if math.isnan(work):
        return "ray", "how much work is left is not known"
    if work > SMALL:
        return "ray", f"{work:,.0f} s of work for one core, more than {SMALL:.0f}"
    return "local", f"{work:.0f} s of work for one core, no more than {SMALL:.0f}"


def decided(config: Config, address: str | None, *, dashboard: bool) -> tuple[Name, str] | None:
    """The same, where it does not rest on how much work there is.

    Raises
    ------
    BadRequest
        If Ray's dashboard is asked for where the config wants no Ray.
    """
    settings = config.run
    if settings.engine == "local":
        if dashboard:
            raise BadRequest('run.engine = "local" has no dashboard: leave out --dashboard, or set "auto".')
        return "local", 'run.engine = "local"'
    inside = next((name for name in OF_RAY if name in os.environ), None)
    reasons = {
        'run.engine = "ray"': settings.engine == "ray",
        f"--address {address}": address is not None,
        f"{inside} is set": inside is not None,
        "the dashboard is asked for": dashboard or settings.dashboard,
        "GPUs are asked for": bool(config.encode.gpus),
        "balanced bags take long to draw": config.augment.balance,
    }
    reason = next((reason for reason, holds in reasons.items() if holds), None)
    return None if reason is None else ("ray", reason)
