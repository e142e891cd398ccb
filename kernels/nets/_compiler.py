"""torch's compiler, which torchvision and timm load when they are imported, and nothing here uses: a second, and 70 MiB, of every process."""

from __future__ import annotations

import contextlib
import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["left_out"]

_COMPILER = "torch._dynamo"


class _StandIn(ModuleType):
    """Has what the two ask of a module of the compiler while they are imported; asked for more, it gives way to the module."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        _remove()
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def left_out() -> Iterator[None]:
    """Import in this block without the compiler; who needs it afterwards loads it then."""
    if _COMPILER in sys.modules:
        yield
        return
    compiler, utils = _StandIn(_COMPILER), _StandIn(f"{_COMPILER}.utils")
    compiler.__path__ = []
    compiler.disable, compiler.utils = _as_it_is, utils  # type: ignore[attr-defined]
    utils.is_compile_supported = _is_compile_supported  # type: ignore[attr-defined]
    sys.modules.update({each.__name__: each for each in (compiler, utils)})
    try:
        yield
    finally:
        _remove()


def _remove() -> None:
    for name, module in list(sys.modules.items()):
        if isinstance(module, _StandIn):
            del sys.modules[name]
    vars(sys.modules["torch"]).pop("_dynamo", None)


def _as_it_is(function: Any = None, *_: Any, **__: Any) -> Any:
    """`disable`, which keeps the compiler from a function of timm's."""
    return function if function is not None else _as_it_is


def _is_compile_supported(device: str) -> Any:
    """What torchvision's region pooling asks when it is called."""
    return importlib.import_module(f"{_COMPILER}.utils").is_compile_supported(device)
