"""The recipes of docs/architecture.md, each followed on a copy of the code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture
def code(tmp_path):
    """A copy of the packages, to change."""
    for package in ("pipeline", "actors", "kernels", "catalogs"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def changed(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, (path, old)
    path.write_text(text.replace(old, new), encoding="utf-8")


def told(code: Path, script: str) -> str:
    """What a script prints that is run on the changed code."""
    environment = {**os.environ, "PYTHONPATH": str(code)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=code, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_encoder(code):
    net = """
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self, bands=1):
        super().__init__()
        self.layer = nn.Conv2d(bands, 7, 5)

    def forward(self, stamps):
        return self.layer(stamps).mean(dim=(2, 3))
"""
    (code / "kernels/nets/tiny.py").write_text(net, encoding="utf-8")
    changed(
        code / "kernels/networks.py",
        '        Network("denoiser",',
        '        Network("tiny", "encoder", "kernels.nets.tiny", "Tiny", ("bands",), unwrap="none"),\n'
        '        Network("denoiser",',
    )
    script = """
from actors.encoder import Encoder
from pipeline.config.encode import Encode
settings = Encode(model="tiny")
made = Encoder(model=settings.model, bands=2, size=40, unwrap=settings.unwraps)
print(settings.unwraps, settings.weights, Encoder.columns(model="tiny", bands=2, size=40).schema.field("embedding").type.list_size)
"""
    assert told(code, script) == "none untrained 7"


def test_measured_quantity(code):
    changed(
        code / "kernels/measure/quantities.py",
        'Literal["shape", "gini"',
        'Literal["shape", "peak", "gini"',
    )
    changed(
        code / "kernels/measure/quantities.py",
        '    Column("gini", "gini"',
        '    Column("peak_flux", "peak", "", "phot.flux", "brightest pixel, in the image\'s unit"),\n'
        '    Column("gini", "gini"',
    )
    changed(
        code / "kernels/measure/few_stamps.py",
        '    if "gini" in quantities:\n',
        '    if "peak" in quantities:\n        found["peak_flux"] = (images.double() * unit[:, None, None]).flatten(1).amax(dim=1)\n'
        '    if "gini" in quantities:\n',
    )
    changed(
        code / "kernels/measure/flags.py",
        '    "gini": _ON_REGION,\n',
        '    "gini": _ON_REGION,\n    "peak_flux": MeasureFlag.NO_OBJECT,\n',
    )
    script = """
import torch
from actors.measurer import Measurer
from kernels.measure.morphology import measure
from pipeline.config.measure import Measure
y, x = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
image = 100 * torch.exp(-((y - 20) ** 2 + (x - 20) ** 2) / 20) + torch.randn(40, 40)
image[20, 20] = 123.0
found = measure(image[None], torch.zeros(1, 40, 40, dtype=torch.bool), quantities=["peak"])
wanted = Measure(quantities=["peak"]).quantities
print(round(float(found["peak_flux"]), 3), "peak_flux" in Measurer.columns(wanted).column_names)
"""
    assert told(code, script) == "123.0 True"


def test_family_of_clusterers(code):
    changed(code / "kernels/families.py", '"ward"]', '"ward", "halves"]')
    changed(
        code / "kernels/members.py",
        '    "ward": _fit_ward,\n',
        '    "ward": _fit_ward,\n    "halves": _fit_kmeans,\n',
    )
    script = """
import numpy as np
from kernels.members import fit_member
from kernels.vote import align, ensemble, vote
from pipeline.config.fit import Fit
families = Fit(families=["kmeans", "halves"]).families
codes = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
members = [fit_member(family, codes, 4, 0) for family in families]
ballot = vote(codes, ensemble(align(members, members[0], codes), members[0]))
print(sorted(ballot.family_groups))
"""
    assert told(code, script) == "['halves', 'kmeans']"


def test_validation_test(code):
    script = """
from catalogs.validation import tests
print("ordering" in tests(), "mine" in tests())
"""
    assert told(code, script) == "True False"
    shutil.copy(code / "catalogs/sql/validate/ordering.sql", code / "catalogs/sql/validate/mine.sql")
    assert told(code, script) == "True True"
