"""The encoder: stamps in, embeddings out. Denoises, unwraps, stretches and runs one network on one device."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from torch.nn import functional

from actors.embedder import Effort, Embedder, EmbeddingError, embedding_field
from actors.precision import resolve_precision
from kernels import autoregressive_model, nets
from kernels.denoise import denoise as remove_noise
from kernels.modalities import Modalities
from kernels.nets import weights
from kernels.networks import network_of
from kernels.normalisation import normalisation
from kernels.polar import unwrap as unwrap_stamps
from kernels.stretch import noise_level
from kernels.stretch import stretch as stretch_stamps

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["EmbeddingError", "Encoder"]

_TOGETHER = 1 << 22  # numbers of stamps that are prepared together: what memory is not fetched anew for
_CHOICES = {
    "unwrap": ("moments", "apct", "none"),
    "stretch": ("asinh", "linear", "none"),
    "normalise": ("none", "imagenet"),
    "precision": ("auto", "float32", "bfloat16"),
    "turns": (1, 2, 4),
}


class Encoder(Embedder):
    """One loaded network; call it with a table of stamps.

    An object's embedding has the same bits whatever slice, batch and neighbours it came with: every batch is padded to
    ``batch_size``, so that the network always sees one shape.

    Parameters
    ----------
    model : str
        Name of the network, see `kernels.nets.create`.
    bands, size : int
        Bands and side (pixels) of the stamps.
    checkpoint : str, optional
        None: untrained, the same everywhere; "bundled": of the package; "pretrained": timm's own; else path of a
        .safetensors file.
    order : sequence of int, optional
        Bands of the stamps in the order in which the network expects them, see `kernels.bands.band_order`.
    input : int
        Side of the image that the network sees. Unwrapped: ``input`` angles by ``input // 2`` radii, mirrored; else the
        stamp, resized.
    unwrap : {"moments", "apct", "none"}
        How the pole is found, see `kernels.polar`.
    denoise : str, optional
        "bundled", or path of a denoiser's .safetensors.
    stretch : {"asinh", "linear", "none"}
        See `kernels.stretch`; "none": the network sees fluxes.
    normalise : {"none", "imagenet"}
        Take ImageNet's mean and deviation out (averages unless there are three bands); not so in arXiv 2501.00380.
    precision : {"auto", "float32", "bfloat16"}
        Of the network; see `actors.precision`.
    batch_size, device, threads
        Device "cpu", "cuda" or "cuda:0" and so on; CPU threads of this process, None leaves torch's setting.
    turns : {1, 2, 4}
        Average the embedding over this many equal turns of the object. Two remove the 180-degree ambiguity of its axis.
    modalities : dict, optional
        What a multi-modal network is given, as `kernels.modalities.Modalities.to_values` has it.
    """

    def __init__(
        self,
        *,
        model: str,
        bands: int,
        size: int,
        checkpoint: str | None = None,
        order: Sequence[int] | None = None,
        input: int = 64,  # noqa: A002
        unwrap: str = "moments",
        denoise: str | None = None,
        stretch: str = "asinh",
        normalise: str = "none",
        precision: str = "auto",
        batch_size: int = 128,
        device: str = "cpu",
        threads: int | None = None,
        turns: int = 1,
        modalities: dict[str, Any] | None = None,
    ) -> None:
        given = {
            "unwrap": unwrap,
            "stretch": stretch,
            "normalise": normalise,
            "precision": precision,
            "turns": turns,
        }
        for option, value in given.items():
            if value not in _CHOICES[option]:
                raise ValueError(f"{option} = {value!r}: it is one of {_CHOICES[option]}")
        if unwrap != "none" and input % max(2, turns):
            raise ValueError(
                f"input = {input}: unwrapping needs an even number, divisible by turns = {turns}"
            )
        if threads is not None:
            torch.set_num_threads(threads)
        width = 0 if modalities is None else Modalities.from_values(modalities).width
        super().__init__(bands, size, _features(model, checkpoint, bands, input), width)
        self._input = input
        self._order = None if order is None or list(order) == list(range(bands)) else list(order)
        self._unwrap, self._stretch, self._turns = unwrap, stretch, turns
        self._batch_size, self._device = batch_size, torch.device(device)
        self._precision = resolve_precision(precision, device)
        self._net = _place(_network(model, checkpoint, bands, input, modalities), self._device)
        self._denoiser = None if denoise is None else _place(_denoiser(denoise), self._device)
        if self._precision == "bfloat16":
            # cast once what autocast would cast for every batch; norms stay in float32
            for net in filter(None, (self._net, self._denoiser)):
                for layer in net.modules():
                    if isinstance(layer, nn.Conv2d | nn.Linear):
                        layer.to(torch.bfloat16)
        self._mean, self._std = normalisation(normalise, bands)
        self._effort = Effort(self._device.type)

    @property
    def effort(self) -> Effort:
        """What was computed here so far."""
        return self._effort

    @classmethod
    def columns(cls, **options: Any) -> pa.Table:
        """Empty table of the added column, for the options of `Encoder`; loads no weights."""
        given = cls._given(options)
        length = _features(*(given[name] for name in ("model", "checkpoint", "bands", "input")))
        return pa.schema([embedding_field(length)]).empty_table()

    @classmethod
    def weights_fingerprint(cls, **options: Any) -> str:
        """SHA-256, in hex, of all weights that these options load."""
        network, denoiser = cls.networks(**options)
        digest = weights.fingerprint(network)
        if network_of(options["model"]).described:
            description = autoregressive_model.describe(options["checkpoint"]).to_json()
            digest = hashlib.sha256((digest + description).encode()).hexdigest()
        if denoiser is None:
            return digest
        return hashlib.sha256((digest + weights.fingerprint(denoiser)).encode()).hexdigest()

    @classmethod
    def networks(cls, **options: Any) -> tuple[nn.Module, nn.Module | None]:
        """The network and the denoiser (None without one) that these options load, float32 on the CPU."""
        given = cls._given(options)
        of_network = (given[name] for name in ("model", "checkpoint", "bands", "input", "modalities"))
        network = _network(*of_network)
        return network, None if given["denoise"] is None else _denoiser(given["denoise"])

    @classmethod
    def _given(cls, options: dict[str, Any]) -> dict[str, Any]:
        bound = inspect.signature(cls).bind(**options)
        bound.apply_defaults()
        return bound.arguments

    @torch.inference_mode()
    def embed(self, stamps: np.ndarray, rows: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
        """Embeddings (rows, features) float32 of these rows of stamps (n, b, y, x) float32, and of other modalities (n, width) where it takes some."""
        began = time.perf_counter()
        answers = [np.zeros((0, self._features), dtype=np.float32)]
        beside = np.zeros((self._batch_size, self._width), dtype=np.float32)
        for start in range(0, len(rows), self._batch_size):
            part = rows[start : start + self._batch_size]
            images = self._images(stamps, part)
            if others is not None:
                np.take(others, part, axis=0, out=beside[: len(part)])
            also = (torch.from_numpy(beside).to(self._device),) if self._width else ()
            answers.append(self._embed(images, *also)[: len(part)].cpu().numpy())
            self.progress(len(part))
        before, slots = self._effort, (len(answers) - 1) * self._batch_size
        self._effort = Effort(
            before.device,
            before.images + len(rows),
            before.slots + slots,
            before.seconds + time.perf_counter() - began,
        )
        return np.concatenate(answers)

    def _images(self, stamps: np.ndarray, rows: np.ndarray) -> torch.Tensor:
        """What the network sees of some rows of stamps, (batch_size, b, input, input): a few of them are prepared at a time, always as many, and zeros follow."""
        few = min(max(_TOGETHER // math.prod(stamps.shape[1:]), 1), self._batch_size)
        if self._device.type != "cpu":
            few = self._batch_size
        part, prepared = np.zeros((few, *stamps.shape[1:]), np.float32), []
        for first in range(0, len(rows), few):
            some = rows[first : first + few]
            np.take(stamps, some, axis=0, out=part[: len(some)])
            part[len(some) :] = 0
            prepared.append(self._prepare(torch.from_numpy(part).to(self._device)))
        images = torch.cat(prepared) if len(prepared) > 1 else prepared[0]
        missing = max(self._batch_size - len(images), 0)
        return functional.pad(images, (0, 0, 0, 0, 0, 0, 0, missing))[: self._batch_size]

    def tensors(self, given: torch.Tensor) -> torch.Tensor:
        """Stamps (n, b, y, x), as `actors.stamps.with_modalities` gives them, to embeddings (n, features), float32 on the encoder's device."""
        if not self._width:
            return self._embed(self._prepare(given))
        pixels, others = given.tensor_split([given.shape[1] - self._width], dim=1)
        return self._embed(self._prepare(pixels.unflatten(1, (self._bands, self._size, self._size))), others)

    def modules(self) -> tuple[nn.Module, nn.Module | None]:
        """The network and the denoiser as they run."""
        return self._net, self._denoiser

    def _prepare(self, stamps: torch.Tensor) -> torch.Tensor:
        """Stamps (n, b, y, x) to the network's images (n, b, input, input)."""
        noise = None
        if self._denoiser is not None:
            noise = noise_level(stamps)
            # in bfloat16 within 0.02 sigma of float32
            stamps = remove_noise(stamps, functools.partial(self._run, self._denoiser), noise)
        images = stamps if self._stretch == "none" else stretch_stamps(stamps, self._stretch, noise)
        if self._order is not None:
            images = images[:, self._order]
        if self._unwrap != "none":
            images = unwrap_stamps(images, self._input, self._input // 2, self._unwrap)
        elif self._size != self._input:
            side = (self._input, self._input)
            images = functional.interpolate(
                images, side, mode="bilinear", align_corners=False, antialias=True
            )
        if self._mean is not None and self._std is not None:
            images = (images - self._mean.to(images.device)) / self._std.to(images.device)
        return images

    def _run(self, net: nn.Module, images: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        """A network's answer, float32: in this precision, by algorithms that do not depend on the moment."""
        with contextlib.ExitStack() as stack:
            if self._device.type == "cuda":
                # an algorithm chosen by timing may differ from process to process; TF32 is no float32
                exact = {"benchmark": False, "deterministic": True, "allow_tf32": False}
                stack.enter_context(torch.backends.cudnn.flags(enabled=True, **exact))
            if self._precision == "bfloat16":
                stack.enter_context(torch.autocast(self._device.type, torch.bfloat16))
            convolved = any(isinstance(layer, nn.Conv2d) for layer in net.modules())
            layout = torch.channels_last if convolved else torch.contiguous_format
            answer: torch.Tensor = net(images.contiguous(memory_format=layout), *others).float()
        return answer

    def _embed(self, images: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        """Images (n, b, input, input) to embeddings (n, features) float32, averaged over turns."""
        total = torch.zeros((), device=images.device)
        for turn in range(self._turns):
            if self._unwrap == "none":
                turned = images.rot90(turn * (4 // self._turns), dims=(2, 3)) if turn else images
            else:  # a turn of the object is a shift along the angle
                turned = images.roll(turn * (self._input // self._turns), dims=2) if turn else images
            total = total + self._run(self._net, turned, *others)
        return total / self._turns


def _place(net: nn.Module, device: torch.device) -> nn.Module:
    net.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net


def _features(model: str, checkpoint: str | None, bands: int, side: int) -> int:
    """Length of an embedding."""
    if network_of(model).described:
        return autoregressive_model.describe(str(checkpoint)).features
    return nets.features(model, bands=bands, size=side)


def _network(
    model: str, checkpoint: str | None, bands: int, side: int, modalities: dict[str, Any] | None
) -> nn.Module:
    if network_of(model).described:
        return autoregressive_model.load(str(checkpoint), model, side, modalities)
    net = nets.create(model, bands=bands, size=side, pretrained=checkpoint == "pretrained")
    if checkpoint == "bundled":
        weights.load(net, weights.bundled(model))
    elif checkpoint not in (None, "pretrained"):
        weights.load(net, str(checkpoint))
    return net


def _denoiser(path: str) -> nn.Module:
    net = nets.create("denoiser")
    weights.load(net, weights.bundled("denoiser") if path == "bundled" else path)
    return net
