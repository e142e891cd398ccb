"""How long hypothesis looks for inputs that break something: seconds in `make test`, minutes in `make test-all`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("TUNINGFORK_FUZZ", "1"))
"""So many times the usual number of examples."""


def fuzz(examples: int) -> Callable[[Any], Any]:
    """Mark a test as one that tries many inputs, and say how many."""
    limits = settings(
        max_examples=examples * TIMES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
    )

    def marked(test: Any) -> Any:
        return pytest.mark.fuzz(limits(test))

    return marked
