"""Weights of networks: read from safetensors, and identified by a fingerprint."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import nn

__all__ = ["KEY", "NETWORK", "WeightsError", "bundled", "fingerprint", "half_precision", "load", "metadata"]

KEY = "tuningfork.predictor"
"""Of a predictor's description in the metadata of its file, `kernels.heads.predictor`."""
NETWORK = "network."
"""Before the names of the weights of a predictor's own network."""
_LISTED = 4  # names in an error message


class WeightsError(ValueError):
    """Weights that cannot be had, or that are not the network's."""


def bundled(name: str) -> Path:
    """Path of weights that come with the package, such as ``denoiser``; the model card lies beside them.

    Raises
    ------
    WeightsError
        If none come with it.
    """
    folder = Path(__file__).parents[1] / "weights"
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in folder.glob("*.safetensors")))
        raise WeightsError(f"no weights of {name} come with the package (there are: {there})")
    return path


def load(module: nn.Module, path: str | Path) -> None:
    """Load weights in place, strictly: every name and every shape must be the module's own.

    Two things may differ. Weights of a classifier (``head.fc.weight`` and the like, as timm declares it) are
    dropped when the module was made without one. An input layer of three bands is summed into one band, or repeated and scaled by 3 / bands
    for another number, as timm does: one band then gives what it would give as a grey RGB image.
    Half-precision weights are widened to the module's type.

    Parameters
    ----------
    module : nn.Module
    path : str or Path
        A .safetensors file. Pickles (.pt, .pth, .bin...) can run code and are refused.

    Raises
    ------
    WeightsError
        Naming the file and the first few names that are missing, unexpected, or of the wrong shape.
    """
    path = _checked(path)
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        stored = load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a safetensors file ({error})") from error
    stored = _of_network(stored, path)
    own = module.state_dict()
    classifiers, inputs = _declared(module, "classifier"), _declared(module, "first_conv")
    for name in [name for name in stored if name not in own and name.rpartition(".")[0] in classifiers]:
        del stored[name]
    for name in (f"{layer}.weight" for layer in inputs):
        if name in stored and name in own:
            stored[name] = _adapt_bands(stored[name], own[name].shape)
    wrong = [
        f"{name} is {tuple(stored[name].shape)}, not {tuple(own[name].shape)}"
        for name in sorted(own.keys() & stored.keys())
        if stored[name].shape != own[name].shape
    ]
    faults = [
        f"{len(names)} {what}: {', '.join(names[:_LISTED])}{' ...' if len(names) > _LISTED else ''}"
        for what, names in (
            ("missing", sorted(own.keys() - stored.keys())),
            ("unexpected", sorted(stored.keys() - own.keys())),
            ("of another shape", wrong),
        )
        if names
    ]
    if faults:
        raise WeightsError(f"{path}: not the weights of this {type(module).__name__}: {'; '.join(faults)}")
    module.load_state_dict(stored, strict=True)


def _of_network(stored: dict[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    """Of a predictor's file, the weights of its network; all of any other's."""
    if KEY not in metadata(path):
        return stored
    found = {name.removeprefix(NETWORK): value for name, value in stored.items() if name.startswith(NETWORK)}
    if not found:
        raise WeightsError(
            f"{path}: a predictor without a network of its own: it works on a run's embeddings"
        )
    return found


def metadata(path: str | Path) -> dict[str, str]:
    """The metadata of a safetensors file.

    Raises
    ------
    WeightsError
        If the file is missing or no safetensors file.
    """
    path = _checked(path)
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    try:
        with safe_open(path, "pt") as stored:
            return stored.metadata() or {}
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a safetensors file ({error})") from error


def _checked(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"{path}: weights are read from .safetensors files only, since a pickle can run any code; "
            "convert it with safetensors.torch.save_file(state_dict, path)"
        )
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    return path


def half_precision(module: nn.Module, metadata: dict[str, str] | None = None) -> bytes:
    """All weights and buffers in float16, as the bytes of a safetensors file with this `metadata`."""
    from safetensors.torch import save  # noqa: PLC0415

    state = module.state_dict()
    return bytes(
        save({name: value.detach().cpu().half().contiguous() for name, value in state.items()}, metadata)
    )


def fingerprint(module: nn.Module) -> str:
    """SHA-256, in hex, over the names, types, shapes and bytes of all weights and buffers, in order of name."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _declared(module: nn.Module, what: str) -> tuple[str, ...]:
    """Names of a timm model's layers of one kind; none for other modules."""
    names = (getattr(module, "pretrained_cfg", None) or {}).get(what) or ()
    return (names,) if isinstance(names, str) else tuple(names)


def _adapt_bands(weight: torch.Tensor, wanted: torch.Size) -> torch.Tensor:
    """(out, 3, ...) -> (out, bands, ...), nothing else changed."""
    if weight.ndim != 4 or weight.shape[1] != 3 or len(wanted) != 4 or wanted[1] == 3:
        return weight
    if wanted[1] == 1:
        return weight.float().sum(dim=1, keepdim=True)
    repeats = -(-wanted[1] // 3)
    return weight.float().repeat(1, repeats, 1, 1)[:, : wanted[1]] * (3 / wanted[1])
