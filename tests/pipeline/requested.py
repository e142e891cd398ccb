"""A tiny diffusion model, a table to draw like, and what an order of theirs comes to."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from catalogs.errors import Refused
from kernels.attributes import Attribute
from kernels.diffusion_model import untrained
from pipeline.synthesis.augment import augment
from pipeline.synthesis.requests import Order, look

ATTRIBUTES = (
    Attribute("t_type", -6, 11, missing=-9, limits=("t_lo", "t_hi")),
    Attribute("arm_strength", 0, 1),
    Attribute("arm_curvature", 0, 1, needs="arm_strength"),
    Attribute("gini", 0, 1, "measured"),
    Attribute("noise_r", 0.01, 100, "noise"),
)


def write_model(path: Path, seed: int = 0) -> Path:
    """A model of one band and 32 pixels a side."""
    untrained(("r",), 32, ATTRIBUTES, seed=seed, width=32, depth=2, patch=4, skin=4).save(path)
    return path


def write_table(path: Path) -> Path:
    """Ten rows; nobody could tell what the last one is."""
    lines = ["id,T_type,t_lo,t_hi,arm_strength,arm_curvature"]
    lines += [f"g{i},{i % 12 - 3},{i % 12 - 4},{i % 12 - 3},{0.5 if i % 4 else 0},0.5" for i in range(9)]
    path.write_text("\n".join([*lines, "g9,-9,,,,"]) + "\n", encoding="utf-8")
    return path


def asked(order: Order) -> pa.Table:
    """What an order comes to, row by row; nothing is drawn."""
    _, model, requests = look(order)
    return requests.table(model)


def refused(order: Order) -> list[str]:
    """What is wrong with an order; nothing may be left of it."""
    with pytest.raises(Refused) as told:
        augment(order)
    assert not any(Path(order.out).glob("*"))
    assert all(fault.remedy for fault in told.value.faults)
    return [str(fault) for fault in told.value.faults]
