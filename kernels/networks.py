"""The registry of networks: the role of each, its shape parameters, how stamps are prepared for it, and its weights.

A network is one file in `kernels/nets` and one entry here; `create`, the config, the plan and `train` read it from here. Reading it
loads neither torch nor timm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "DEFAULT_ENCODER",
    "NETWORKS",
    "Network",
    "UnknownNetError",
    "encoder_pattern",
    "encoders",
    "network_of",
]

Role = Literal["encoder", "denoiser", "diffusion"]


class UnknownNetError(ValueError):
    """No network has this name."""


@dataclass(frozen=True)
class Network:
    """One network.

    Attributes
    ----------
    name
        In configs, of its weights' file, and of its model card.
    role
        What it is for.
    module, attribute
        Where its class is.
    shape
        Properties of stamps that its class takes: `bands`, `size`.
    options
        What else its class is given: networks of one class differ in these.
    unwrap, stretch, input
        How stamps are prepared for it unless a config says otherwise, see `actors.encoder.Encoder`.
    checkpoint
        Its weights unless a config says otherwise: of the package, or drawn from one seed.
    by_wavelength
        Whether it takes bands from the bluest to the reddest.
    described
        Whether the file of its weights says what it is made for, see `kernels.autoregressive_model`: there is no network without one. The options have its `width`.
    """

    name: str
    role: Role
    module: str
    attribute: str
    shape: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    unwrap: Literal["moments", "apct", "none"] = "moments"
    stretch: Literal["asinh", "linear", "none"] = "asinh"
    input: int = 64
    checkpoint: Literal["bundled", "untrained"] = "untrained"
    by_wavelength: bool = False
    described: bool = False


NETWORKS = {
    network.name: network
    for network in (
        Network(
            "galaxy-atto",
            "encoder",
            "kernels.nets.galaxy",
            "GalaxyAtto",
            shape=("bands",),
            unwrap="none",
            checkpoint="bundled",
            by_wavelength=True,
        ),
        Network(
            "galaxy-d4",
            "encoder",
            "kernels.nets.equivariant",
            "GalaxyD4",
            shape=("bands",),
            unwrap="none",
            by_wavelength=True,
        ),
        Network(
            "viewpoints",
            "encoder",
            "kernels.nets.viewpoints",
            "Viewpoints",
            shape=("bands", "size"),
            unwrap="none",
            by_wavelength=True,
        ),
        *(
            Network(
                f"astroformer-{variant}",
                "encoder",
                "kernels.nets.astroformer",
                "Astroformer",
                shape=("bands", "size"),
                options={"variant": variant},
                unwrap="none",
                by_wavelength=True,
            )
            for variant in ("atto", "0", "1", "2", "3", "4", "5")
        ),
        *(
            Network(
                f"ar-{name}",
                "encoder",
                "kernels.nets.autoregressive",
                "Autoregressive",
                options={"layers": layers, "heads": heads, "width": width},
                unwrap="none",
                stretch="none",
                described=True,
            )
            for name, layers, heads, width in (
                ("1m", 4, 8, 128),
                ("5m", 6, 8, 256),
                ("20m", 6, 8, 512),
                ("90m", 12, 12, 768),
            )
        ),
        Network("denoiser", "denoiser", "kernels.nets.denoiser", "Denoiser", checkpoint="bundled"),
        Network("galaxy-unet", "diffusion", "kernels.nets.unet", "GalaxyUNet", shape=("bands", "size")),
    )
}
"""Our own, by name."""
TIMM = Network("timm:NAME", "encoder", "timm", "create_model")
"""Any model of timm: prepared as in arXiv 2501.00380, untrained unless weights are given."""
DEFAULT_ENCODER = NETWORKS["galaxy-atto"]


def network_of(name: str) -> Network:
    """The network of a name: one of our own, or timm's.

    Raises
    ------
    UnknownNetError
    """
    if name in NETWORKS:
        return NETWORKS[name]
    family, _, model = name.partition(":")
    if family != "timm" or not model:
        raise UnknownNetError(f'no network "{name}": it is "timm:NAME" or one of {sorted(NETWORKS)}')
    return TIMM


def encoders() -> list[str]:
    """Names of our own encoders."""
    return [network.name for network in NETWORKS.values() if network.role == "encoder"]


def encoder_pattern() -> str:
    """Pattern of the names that an encoder may have."""
    return rf"^(timm:.+|{'|'.join(map(re.escape, encoders()))})$".replace(r"\-", "-")
