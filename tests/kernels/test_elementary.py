"""Elementary functions are right, and no kernel uses those whose bits depend on a number's place in its batch."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from kernels import elementary

KERNELS = Path(elementary.__file__).parent
PLACED = re.compile(
    r"torch\.(hypot|atan2|sinh|cosh|sigmoid|logaddexp|exp2)\b|\.(hypot|atan2|sinh|cosh|sigmoid|atanh|exp2)\(\)"
)
ONE = {"asinh": np.arcsinh, "sinh": np.sinh, "cosh": np.cosh, "sigmoid": lambda x: 1 / (1 + np.exp(-x))}
TWO = {"hypot": np.hypot, "atan2": np.arctan2}


def numbers(dtype, *sizes):
    values = np.random.default_rng(1).normal(size=(37, 333)) * np.geomspace(1e-6, 20, 333)
    return torch.from_numpy(values).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", [*ONE, *TWO])
def test_functions_are_right_and_do_not_depend_on_the_batch(name, dtype):
    x = numbers(dtype)
    given = (x, x.flip(1)) if name in TWO else (x,)
    found = getattr(elementary, name)(*given)
    expected = (TWO | ONE)[name](*(each.double().numpy() for each in given))
    np.testing.assert_allclose(found.numpy(), expected, rtol=4 * torch.finfo(dtype).eps, atol=1e-30)
    for rows in (slice(0, 1), slice(5, 8), slice(30, 37)):
        part = getattr(elementary, name)(*(each[rows].clone() for each in given))
        assert torch.equal(part, found[rows])
        column = getattr(elementary, name)(*(each[rows, 7].clone() for each in given))
        assert torch.equal(column, found[rows, 7])


@pytest.mark.parametrize("y", [0.0, -0.0, 1.0, -2.0, 1e-300, np.inf, np.nan])
@pytest.mark.parametrize("x", [0.0, -0.0, 1.0, -2.0, -1e-300])
def test_angles_on_the_axes_are_those_of_numpy(x, y):
    found = elementary.atan2(torch.tensor([y], dtype=torch.float64), torch.tensor([x], dtype=torch.float64))
    expected = 0.0 if x == 0 == y else np.arctan2(y, x)
    if not np.isinf(y):
        np.testing.assert_allclose(found.item(), expected, rtol=1e-15)


def test_kernels_use_no_function_whose_bits_depend_on_the_place():
    used = [
        f"{path.relative_to(KERNELS)}:{number}"
        for path in sorted(KERNELS.rglob("*.py"))
        if path.name != "elementary.py" and "training" not in path.parts
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if PLACED.search(line.split("#")[0])
    ]
    assert used == []
