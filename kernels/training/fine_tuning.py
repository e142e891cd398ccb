"""How the weights of a pretrained network and of new heads move: AdamW, slower the nearer to the pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import nn

__all__ = ["FineTuningOptimiser"]


class FineTuningOptimiser:
    """AdamW whose rate falls from the heads to the network, and within it from its last block to its first.

    Layer-wise decay is that of Clark et al. 2020 (arXiv:2003.10555) and Bao et al. 2022 (arXiv:2106.08254).

    Parameters
    ----------
    network, heads : nn.Module
    weight_decay : float
        Of matrices; biases, norms and scales do not shrink.
    network_rate : float
        Rate of the network's last block as a share of the heads'.
    layer_decay : float
        Factor of the rate from each block to the one before it.
    """

    def __init__(
        self,
        network: nn.Module,
        heads: nn.Module,
        weight_decay: float,
        network_rate: float,
        layer_decay: float,
    ) -> None:
        depth = depths(network)
        last = max(depth.values(), default=0)
        named = [
            (network_rate * layer_decay ** (last - depth[name]), parameter)
            for name, parameter in network.named_parameters()
        ]
        named += [(1.0, parameter) for parameter in heads.parameters()]
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for share, parameter in named:
            decay = weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((share, decay), []).append(parameter)
        self._shares = [share for share, _ in groups]
        self._adam = torch.optim.AdamW(
            [{"params": found, "weight_decay": decay} for (_, decay), found in groups.items()]
        )

    def step(self, rate: float) -> None:
        """Move all weights along their gradients, the heads at this rate."""
        for group, share in zip(self._adam.param_groups, self._shares, strict=True):
            group["lr"] = rate * share
        self._adam.step()

    def state_dict(self) -> list[dict[str, Any]]:
        """Momenta and steps."""
        return [self._adam.state_dict()]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Continue from a `state_dict`."""
        self._adam.load_state_dict(state[0])


def depths(network: nn.Module) -> dict[str, int]:
    """Block of each parameter, counted from the pixels: a new one begins with each numbered module, however deep its number lies in the name."""
    found: dict[str, int] = {}
    number, block = 0, ""
    for name, _ in network.named_parameters():
        words = name.split(".")
        numbered = [place for place, word in enumerate(words[:-1]) if word.isdigit()]
        # stages.1.blocks.2.mlp.fc1.weight belongs to stages.1.blocks.2
        here = ".".join(words[: numbered[min(1, len(numbered) - 1)] + 1]) if numbered else block
        number += block not in {here, ""}
        block = here
        found[name] = number
    return found
