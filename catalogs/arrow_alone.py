"""Arrow without pandas: it loads all of pandas before it makes its first array, in case that is one of pandas'."""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

__all__ = ["arrow_alone"]


def arrow_alone() -> None:
    """Let Arrow find no pandas now; it is told as soon as anybody else loads it, and then knows pandas' arrays as ever.

    Spares a process that needs no pandas a third of a second and 50 MB.
    """
    if "pandas" in sys.modules:
        return
    finder = _Pandas()
    sys.meta_path.insert(0, finder)
    pa.array(["looks for pandas"])
    finder.hidden = False


class _Pandas(MetaPathFinder, Loader):
    """Finds no pandas while that is hidden; later it loads the real one, and tells Arrow."""

    def __init__(self) -> None:
        self.hidden = True

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        if fullname != "pandas":
            return None
        if self.hidden:
            raise ImportError("pandas is loaded when something needs it")
        found = PathFinder.find_spec(fullname, path, target)
        if found is not None and found.loader is not None:
            self._loader, found.loader = found.loader, self
        return found

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """See `importlib.abc.Loader`."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """See `importlib.abc.Loader`."""
        if module.__spec__ is not None:
            module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        sys.meta_path.remove(self)
        arrow: Any = pa.lib
        arrow._pandas_api.pd  # noqa: B018, SLF001 - asking for it makes Arrow look again
