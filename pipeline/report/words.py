"""Values as people read them in tables."""

from __future__ import annotations

from typing import Any

NOTHING = "\N{EN DASH}"


def short(value: Any) -> str:
    """A value in a table: three digits of a number, a dash for none."""
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return NOTHING
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1%}"


def percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else NOTHING


def evidence(found: dict[str, Any]) -> str:
    """The evidence for a group's class, in one line."""
    reasons = [f"rule {found['rule']}"] if found.get("rule") else []
    shares = sorted((found.get("labels") or {}).items(), key=lambda item: -item[1])[:4]
    if shares:
        reasons.append(f"labels ({found['labelled']}): " + ", ".join(f"{n} {v:.0%}" for n, v in shares))
    medians = [f"{n} {short(v)}" for n, v in (found.get("medians") or {}).items() if v is not None]
    reasons += [f"medians {', '.join(medians)}"] if medians else []
    return "; ".join(reasons)
