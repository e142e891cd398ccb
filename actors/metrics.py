"""Metrics that Ray exports. A process that is none of Ray's has nobody to export to: nothing is counted there, and Ray is not loaded."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Counter", "Gauge", "Histogram"]


class _Metric:
    """Takes the place of the class of this name in `ray.util.metrics`, which is made when it is first needed."""

    def __init__(self, name: str, description: str, *more: Any, **options: Any) -> None:
        self._described = (name, description, *more), options
        self._of_ray: Any = None

    def _kept(self) -> Any:
        if self._of_ray is None and in_ray():
            from ray.util import metrics  # noqa: PLC0415 - loaded already

            arguments, options = self._described
            self._of_ray = getattr(metrics, type(self).__name__)(*arguments, **options)
        return self._of_ray


class Counter(_Metric):
    """Only ever grows."""

    def __init__(self, name: str, description: str, tag_keys: Sequence[str] = ()) -> None:
        super().__init__(name, description, tag_keys=tuple(tag_keys))

    def inc(self, value: float = 1.0, tags: Mapping[str, str] | None = None) -> None:
        """Add to it."""
        if (kept := self._kept()) is not None:
            kept.inc(value, tags=tags)


class Gauge(_Metric):
    """Is what it was set to last."""

    def __init__(self, name: str, description: str, tag_keys: Sequence[str] = ()) -> None:
        super().__init__(name, description, tag_keys=tuple(tag_keys))

    def set(self, value: float, tags: Mapping[str, str] | None = None) -> None:
        """Set it."""
        if (kept := self._kept()) is not None:
            kept.set(value, tags=tags)


class Histogram(_Metric):
    """Counts values between boundaries."""

    def __init__(
        self, name: str, description: str, boundaries: Sequence[float], tag_keys: Sequence[str] = ()
    ) -> None:
        super().__init__(name, description, boundaries=list(boundaries), tag_keys=tuple(tag_keys))

    def observe(self, value: float, tags: Mapping[str, str] | None = None) -> None:
        """Count a value."""
        if (kept := self._kept()) is not None:
            kept.observe(value, tags=tags)


def in_ray() -> bool:
    """Whether this process is connected to a Ray."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()
