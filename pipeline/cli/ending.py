"""The end of a command: Python takes most of a second to take torch's and numba's modules apart, and DuckDB's then report, page by page, what they leave behind."""

from __future__ import annotations

import atexit
import os
import sys
import threading

__all__ = ["end_quickly"]


def end_quickly(code: int = 0) -> None:
    """Exit with a code and call what was registered for the end, as Python does, but leave memory to the system.

    Returns where that must be left to Python: threads still work, or what was printed cannot be written.
    """
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        return
    atexit._run_exitfuncs()  # noqa: SLF001
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return
    os._exit(code)
