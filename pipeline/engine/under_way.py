"""How far actors are with slices that are not written yet: large stamps make a slice take minutes, and a run is to be seen at work.

Numbers of objects, for people alone: whether a slice is done, its part says.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.engine.progress import StageProgress

__all__ = ["LocalUnderWay", "RayUnderWay", "UnderWay", "shown"]

SECONDS = 1.0
"""Between two looks, and between two words of an actor on Ray."""
NAMESPACE = b"tuningfork"


class UnderWay(Protocol):
    """Where actors say how many objects of a slice are through, and who shows it sums them up."""

    def tell(self, piece: str, objects: int) -> None:
        """So many of a slice are through; 0 when an actor is done with it."""
        ...

    def total(self) -> int:
        """Of all slices that actors work on."""
        ...


class LocalUnderWay:
    """In this process."""

    def __init__(self) -> None:
        self._objects: dict[str, int] = {}

    def tell(self, piece: str, objects: int) -> None:
        """See `UnderWay`."""
        self._objects[piece] = objects
        if not objects:
            del self._objects[piece]

    def total(self) -> int:
        """See `UnderWay`."""
        return sum(self._objects.copy().values())


class RayUnderWay:
    """In the store that a Ray cluster's head keeps for names and numbers; whatever goes wrong there, the run does not hear of it.

    Parameters
    ----------
    stream : str
        Run and stage.
    """

    def __init__(self, stream: str) -> None:
        self._prefix, self._spoke = f"{stream}/", 0.0

    def tell(self, piece: str, objects: int) -> None:
        """See `UnderWay`; says no more than one word a second."""
        from ray.experimental import internal_kv as store  # noqa: PLC0415

        if objects and time.monotonic() - self._spoke < SECONDS:
            return
        self._spoke = time.monotonic()
        with contextlib.suppress(Exception):
            if objects:
                store._internal_kv_put(self._prefix + piece, str(objects), namespace=NAMESPACE)  # noqa: SLF001
            else:
                store._internal_kv_del(self._prefix + piece, namespace=NAMESPACE)  # noqa: SLF001

    def total(self) -> int:
        """See `UnderWay`."""
        from ray.experimental import internal_kv as store  # noqa: PLC0415

        with contextlib.suppress(Exception):
            keys = store._internal_kv_list(self._prefix, namespace=NAMESPACE)  # noqa: SLF001
            found = [store._internal_kv_get(key, namespace=NAMESPACE) for key in keys]  # noqa: SLF001
            return sum(int(value) for value in found if value)
        return 0


@contextlib.contextmanager
def shown(progress: StageProgress, total: Callable[[], int]) -> Iterator[None]:
    """In this block, look every second how far slices are, and show it."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(SECONDS):
            progress.under_way(total())

    thread = threading.Thread(target=look, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
