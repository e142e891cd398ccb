"""The rules by which a vote keeps objects: what decides, and how much of it is enough, is said in `kernels.vote.kept`."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["RULES", "Rule"]

Rule = Literal["classes", "branches", "confidence", "agreement", "unanimous"]
RULES: tuple[Rule, ...] = get_args(Rule)
