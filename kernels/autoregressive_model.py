"""An autoregressive network with all that is needed to encode with it, in one safetensors file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kernels.modalities import Modalities
from kernels.nets import weights
from kernels.nets.autoregressive import Autoregressive, Pooling
from kernels.networks import NETWORKS

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Description", "describe", "from_bytes", "load", "to_bytes"]

_KEY = "tuningfork.autoregressive"


@dataclass(frozen=True)
class Description:
    """Metadata of a file of weights."""

    model: str
    """Name of the network, see `kernels.networks`."""
    modalities: Modalities
    components: int
    """Normal distributions that are mixed in what is predicted of a token; 0: its values."""
    pooling: Pooling | None = None
    """What an embedding is; None: as `Autoregressive` has it."""
    chosen_by: str = ""
    """How the pooling was chosen, for people."""

    def to_json(self) -> str:
        """As text."""
        return json.dumps({**asdict(self), "modalities": self.modalities.to_values()}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Description:
        """From the text that `to_json` gives; raises ValueError, KeyError or TypeError where it is another."""
        values = json.loads(text)
        pooling = values.pop("pooling")
        return cls(
            modalities=Modalities.from_values(values.pop("modalities")),
            pooling=None if pooling is None else Pooling(**pooling),
            **values,
        )

    @property
    def features(self) -> int:
        """Length of an embedding."""
        parts = 1 if self.pooling is None else self.pooling.parts(self.modalities)
        return parts * int(NETWORKS[self.model].options["width"])

    @property
    def metadata(self) -> dict[str, str]:
        """Of a file of weights."""
        return {_KEY: self.to_json()}

    def build(self, given: Modalities | None = None) -> Autoregressive:
        """The network, untrained, for a release that has what is given; its weights rest on torch's own seed."""
        return Autoregressive(
            self.modalities,
            **NETWORKS[self.model].options,
            components=self.components,
            pooling=self.pooling,
            given=given,
        )


def describe(path: str | Path) -> Description:
    """What a file of weights says of itself.

    Raises
    ------
    kernels.nets.weights.WeightsError
        If it holds something else.
    """
    return _described(weights.metadata(path), str(path))


def load(path: str | Path, model: str, side: int, given: dict[str, Any] | None = None) -> Autoregressive:
    """The network of this name in evaluation mode, for stamps of a side (pixels), and for what a release has, as `Modalities.to_values` says it.

    Raises
    ------
    kernels.nets.weights.WeightsError
        With the path and what is wrong.
    """
    description = describe(path)
    if description.model != model:
        raise weights.WeightsError(f"{path}: is of {description.model}, not of {model}")
    known = description.modalities.stamps.side
    if side != known:
        raise weights.WeightsError(f"{path}: looks at stamps of {known} pixels, and these are of {side}")
    net = description.build(None if given is None else Modalities.from_values(given))
    weights.load(net, path)
    return net.eval()


def from_bytes(data: bytes, file: str) -> tuple[Autoregressive, Description]:
    """The network of a file's bytes, in evaluation mode, and what it says of itself; `file` stands in errors.

    Raises
    ------
    kernels.nets.weights.WeightsError
    """
    from safetensors.torch import load as load_bytes  # noqa: PLC0415

    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    description = _described(header.get("__metadata__") or {}, file)
    net = description.build()
    net.load_state_dict(load_bytes(data))
    return net.eval(), description


def to_bytes(net: Autoregressive, description: Description) -> bytes:
    """The file that `load` reads, weights in half precision."""
    return weights.half_precision(net, description.metadata)


def _described(metadata: dict[str, str], file: str) -> Description:
    if _KEY not in metadata:
        raise weights.WeightsError(f"{file}: these are no weights of an autoregressive network")
    try:
        return Description.from_json(metadata[_KEY])
    except (ValueError, KeyError, TypeError) as error:
        raise weights.WeightsError(f"{file}: its description is of another version ({error})") from error
