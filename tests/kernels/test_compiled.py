"""What a loop computes does not depend on who compiled it: the process itself, or one before it that kept the result."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kernels import compiled
from kernels.loops import PARTS

KERNELS = Path(compiled.__file__).parent
MEASURED = """
import hashlib
import sys
from kernels.measure import quantities
from kernels.measure.morphology import measure
from tests.kernels.test_measure import draw, galaxies, nothing
import torch

images = galaxies(12)
images = images + torch.randn(images.shape, generator=draw())
found = measure(images, nothing(images), quantities=tuple(getattr(quantities, sys.argv[1])), errors="fast")
for name, values in found.items():
    print(name, hashlib.sha256(values.numpy().tobytes()).hexdigest())
"""


def test_sums_are_taken_in_an_order_of_the_compilers_choice():
    """Such loops are optimised once more where they are compiled into others: the process that compiled them had other last bits."""
    assert [path.name for path in KERNELS.rglob("*.py") if "fastmath=" in path.read_text()] == []


def test_folder_that_is_not_there_yet_or_read_only_is_mistaken(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled.settings, "CACHE_DIR", str(tmp_path / "new" / "cache"))
    assert compiled.are_missing()
    (compiled.folder() / "measure").mkdir(parents=True)
    assert compiled.are_missing()
    (compiled.folder() / "measure" / "a_loop.nbi").touch()
    assert not compiled.are_missing()
    monkeypatch.setattr(compiled.settings, "CACHE_DIR", "/proc/1/none")
    assert not compiled.are_missing()


@pytest.mark.slow
def test_loop_is_compiled_that_a_warm_up_has_left_out(tmp_path):
    """A run of what is measured if nobody says what compiles nothing more."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    for part in range(len(PARTS)):
        command = [sys.executable, "-m", "kernels.loops", str(part)]
        subprocess.run(command, timeout=300, env=environment, check=True)
    kept = sorted(tmp_path.rglob("*.nbc"))
    command = [sys.executable, "-c", MEASURED, "USUAL"]
    subprocess.run(command, capture_output=True, timeout=300, env=environment, check=True)
    assert len(kept) > 40
    assert sorted(tmp_path.rglob("*.nbc")) == kept


@pytest.mark.slow
def test_process_that_compiles_measures_other_bits(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", MEASURED, "QUANTITIES"]
    compiled, kept = (
        subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=True)
        for _ in range(2)
    )
    assert compiled.stdout.count("\n") > 20
    assert kept.stdout == compiled.stdout
