"""The console that all commands print to."""

from __future__ import annotations

import sys

from rich.console import Console

# A log has no width: 160 columns keep tables whole there.
console = Console(width=None if sys.stdout.isatty() else 160)
