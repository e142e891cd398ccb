"""A diffusion model: a network with all that is needed to draw with it, in one safetensors file."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kernels.attributes import Attribute, scaled
from kernels.brightness import Brightness
from kernels.diffusion import Sampling, initial_noise, sample
from kernels.nets import weights
from kernels.nets.unet import GalaxyUNet

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BATCH", "Description", "DiffusionModel", "untrained"]

BATCH = 32
"""Stamps that are drawn at a time. Smaller batches are filled up: a stamp has the same bits whatever else is drawn."""
_KEY = "tuningfork.diffusion"


@dataclass(frozen=True)
class Description:
    """Metadata of a file of weights."""

    bands: tuple[str, ...]
    size: int
    """Side of a stamp, pixels."""
    pixel_scale: float | None
    """Arcsec a pixel."""
    attributes: tuple[Attribute, ...]
    brightness: Brightness
    net: dict[str, int]
    """Options of `kernels.nets.unet.GalaxyUNet`."""

    def to_json(self) -> str:
        """As text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Description:
        """From the text that `to_json` gives; raises ValueError, KeyError or TypeError where it is another."""
        values = json.loads(text)
        attributes = tuple(
            Attribute(**{**a, "limits": None if a["limits"] is None else tuple(a["limits"])})
            for a in values.pop("attributes")
        )
        scale = values.pop("brightness")
        brightness = Brightness(scale["how"], *(tuple(scale[key]) for key in ("softening", "mean", "std")))
        values["bands"] = tuple(values["bands"])
        return cls(**values, attributes=attributes, brightness=brightness)

    def build(self) -> GalaxyUNet:
        """The network, untrained; its weights rest on torch's own seed."""
        return GalaxyUNet(len(self.bands), self.size, len(self.attributes), **self.net)


class DiffusionModel:
    """Draws stamps of a requested morphology, in the units of the release that it was trained on."""

    def __init__(self, net: GalaxyUNet, description: Description) -> None:
        self.net, self.description = net.eval(), description

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands, in the order of the stamps' planes."""
        return self.description.bands

    @property
    def size(self) -> int:
        """Side of a stamp, pixels."""
        return self.description.size

    @property
    def pixel_scale(self) -> float | None:
        """Arcsec a pixel; None where it is unknown."""
        return self.description.pixel_scale

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """The attributes that it can be conditioned on."""
        return self.description.attributes

    @property
    def brightness(self) -> Brightness:
        """How fluxes become what the network sees."""
        return self.description.brightness

    @property
    def stretch(self) -> str:
        """``asinh`` or ``linear``."""
        return self.brightness.how

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hex, over the weights and the description."""
        content = weights.fingerprint(self.net) + self.description.to_json()
        return hashlib.sha256(content.encode()).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write it, weights in half precision."""
        Path(path).write_bytes(self.to_bytes())

    def to_bytes(self) -> bytes:
        """The file that `load` reads."""
        return weights.half_precision(self.net, {_KEY: self.description.to_json()})

    @classmethod
    def load(cls, path: str | Path) -> DiffusionModel:
        """Read a model.

        Raises
        ------
        kernels.nets.weights.WeightsError
            With the path and what is wrong.
        """
        text = weights.metadata(path).get(_KEY)
        if text is None:
            raise weights.WeightsError(f"{path}: these are no weights of a diffusion model")
        try:
            description = Description.from_json(text)
            net = description.build()
        except (ValueError, KeyError, TypeError) as error:
            raise weights.WeightsError(f"{path}: its description is of another version ({error})") from error
        weights.load(net, path)
        return cls(net, description)

    def draw(
        self,
        values: NDArray[np.float32],
        confidence: NDArray[np.float32],
        seeds: NDArray[np.int64],
        how: Sampling,
        precision: str = "float32",
    ) -> torch.Tensor:
        """Draw one stamp for each seed.

        Parameters
        ----------
        values : (n, attributes) float32
            Requested, in the attributes' own units; NaN where unknown.
        confidence : (n, attributes) float32
            From 0 to 1.
        seeds : (n,) int64
            A seed, a condition and `how` make a stamp, whatever else is drawn with it.
        how : Sampling
        precision : {"float32", "bfloat16"}
            Of the network's arithmetic.

        Returns
        -------
        (n, b, size, size) float32 tensor on the CPU, in the release's unit.
        """
        shape, device = (len(self.bands), self.size, self.size), next(self.net.parameters()).device
        drawn = [torch.empty(0, *shape)]
        for start in range(0, len(seeds), BATCH):
            rows = np.minimum(np.arange(start, start + BATCH), len(seeds) - 1)  # the last fills up
            wanted = scaled(torch.tensor(values[rows]), self.attributes).to(device)
            sure = torch.tensor(confidence[rows], dtype=torch.float32, device=device)
            noise = initial_noise(seeds[rows], shape).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                stamps = sample(self.net, noise, wanted, sure, how)
            drawn.append(self.brightness.inverse(stamps)[: len(seeds) - start].cpu())
        return torch.cat(drawn)


def untrained(
    bands: tuple[str, ...], size: int, attributes: tuple[Attribute, ...], seed: int = 0, **options: Any
) -> DiffusionModel:
    """A model with random weights in all of its layers, for tests: it draws only noise, but works like a trained one."""
    flat = (0.0,) * len(bands), (1.0,) * len(bands)
    brightness = Brightness("linear", flat[1], *flat)
    description = Description(bands, size, None, attributes, brightness, options)
    generator = torch.Generator().manual_seed(seed)
    net = description.build()
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    return DiffusionModel(net, description)
