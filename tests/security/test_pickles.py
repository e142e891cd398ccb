"""A pickle can run any code: wherever weights, arrays or checkpoints are read, one that is planted is not run."""

from __future__ import annotations

import ast
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from kernels.diffusion_model import DiffusionModel
from kernels.nets import create, weights
from pipeline.rundir import arrays

FOLDERS = ("catalogs", "kernels", "actors", "pipeline", "benchmarks", "examples")
ROOT = Path(__file__).parents[2]


class Malicious:
    """Unpickled, it leaves a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


@pytest.fixture
def trace(tmp_path) -> Path:
    return tmp_path / "ran"


@pytest.fixture
def planted(tmp_path, trace):
    """`planted(name, kind)` writes a malicious file of that name."""

    def plant(name: str, kind: str = "pickle") -> Path:
        path = tmp_path / name
        if kind == "torch":
            torch.save({"training": Malicious(trace)}, path)
        elif kind == "npy":
            with path.open("wb") as stream:
                np.save(stream, np.array([Malicious(trace)], object), allow_pickle=True)
        else:
            path.write_bytes(pickle.dumps(Malicious(trace)))
        return path

    return plant


READERS = {
    "encoder": lambda path: weights.load(create("galaxy-atto", bands=1), path),
    "denoiser": lambda path: weights.load(create("denoiser"), path),
    "diffusion": DiffusionModel.load,
    "what a file says of itself": weights.metadata,
    "what barriers leave": lambda path: arrays.load(str(path)),
}


def test_the_plant_runs_where_it_is_let(planted, trace):
    """Else nothing here would be shown."""
    pickle.loads(planted("x.pt").read_bytes())
    assert trace.exists()


@pytest.mark.parametrize("reader", sorted(READERS))
@pytest.mark.parametrize("name", ["x.safetensors", "x.pt", "x.pth", "x.bin", "x.npy", "x.npz"])
@pytest.mark.parametrize("kind", ["pickle", "torch", "npy"])
def test_weights_are_never_unpickled(planted, trace, reader, name, kind):
    with pytest.raises(Exception, match="safetensors|[Hh]eader"):
        READERS[reader](planted(name, kind))
    assert not trace.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_training_goes_on_from_tensors_alone(planted, trace):
    """As `pipeline.training.worker` reads the checkpoints that it has written itself."""
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        torch.load(planted("state.pt", "torch"), map_location="cpu", weights_only=True)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(planted("raw.pt"), map_location="cpu", weights_only=True)
    assert not trace.exists()


def test_arrays_with_objects_in_them_are_not_read(planted, trace):
    with pytest.raises(ValueError, match="allow_pickle=False"):
        np.load(planted("x.npy", "npy"))
    assert not trace.exists()


def readers_of_pickles(tree: ast.Module) -> list[int]:
    """Lines that could unpickle something."""
    found = []
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        given = {k.arg: ast.unparse(k.value) for k in node.keywords} if isinstance(node, ast.Call) else {}
        if (
            {name.split(".")[0] for name in names}
            & {"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"}
            or (called == "torch.load" and given.get("weights_only") != "True")
            or called in {"torch.jit.load", "pd.read_pickle", "pandas.read_pickle"}
            or given.get("allow_pickle") == "True"
        ):
            found.append(node.lineno)
    return found


def test_no_other_reader_of_pickles_is_in_the_code():
    """What is new and reads pickles must come here first."""
    assert readers_of_pickles(ast.parse("import joblib\ntorch.load(x)\nnp.load(x, allow_pickle=True)")) == [
        1,
        2,
        3,
    ]
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert len(paths) > 100
    found = {str(path.relative_to(ROOT)): readers_of_pickles(ast.parse(path.read_text())) for path in paths}
    assert not {path: lines for path, lines in found.items() if lines}


def test_a_model_repository_holds_no_pickle(tmp_path):
    from actors.serving.repository import Serving, export
    from tests.serving.conftest import OPTIONS

    folder = export(OPTIONS, tmp_path, Serving())
    files = sorted(path.name for path in folder.rglob("*") if path.is_file())
    assert any(name.endswith(".safetensors") for name in files)
    assert {Path(name).suffix for name in files} <= {".safetensors", ".py", ".json", ".pbtxt"}
    assert not any(zipfile.is_zipfile(path) for path in folder.rglob("*") if path.is_file())
