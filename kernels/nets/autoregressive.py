"""A decoder-only transformer that learns from stamps, scalars and spectra by predicting the next token of each.

The idea is AstroPT's (Smith et al., arXiv:2405.14930; several modalities: arXiv:2503.15312), the patches' order, a spiral from the centre, that of AIM
(El-Nouby et al., arXiv:2401.08541); the blocks are those of GPT-2: norms first, causal attention, GELU, no biases.

A modality begins with a marker, from which, and all that stood before it, its first token is predicted. So modalities may come in any order, and those that an
object lacks come last, where they change nothing, as attention is causal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import nn
from torch.nn import functional

from kernels.modalities import STAMPS, Modalities, Scalars
from kernels.nets.modality_tokens import PatchTokens, ScalarTokens, Tokens, VectorTokens, embedding

Over = Literal["tokens", "modalities", "each", "scalars"]
TOKENS, PREDICTING = slice(1, None), slice(-1)
"""Of a modality's places, its marker and then its tokens: the tokens, and those that a token follows on."""

if TYPE_CHECKING:
    from collections.abc import Sequence

    Tokeniser = PatchTokens | ScalarTokens | VectorTokens

__all__ = ["TOKENS", "Autoregressive", "Over", "Pooling", "Predicted"]


@dataclass(frozen=True)
class Pooling:
    """Which means of a layer's tokens an embedding is."""

    layer: int
    """Blocks that the tokens have passed."""
    patches: int
    """Tokens of a stamp that count, those that come first."""
    over: Over
    """`tokens`: one mean over all tokens; `modalities`: over the modalities' means; `each`: the mean of each modality, one after the other, zeros for those that an
    object lacks; `scalars`: the same, but the token of each scalar by itself, for a mean of them blurs their values."""

    def parts(self, modalities: Modalities) -> int:
        """Means that are joined to an embedding."""
        if self.over in ("tokens", "modalities"):
            return 1
        alone = sum(each.tokens - 1 for each in modalities.scalars) if self.over == "scalars" else 0
        return len(modalities.names) + alone


@dataclass(frozen=True)
class Predicted:
    """A modality, and what was predicted of it."""

    name: str
    tokens: Tokens
    outputs: torch.Tensor
    """(n, tokens, outputs): of the decoder."""


class Autoregressive(nn.Module):
    """Stamps (n, bands, side, side) and rows of other modalities (n, width) -> (n, features).

    Parameters
    ----------
    modalities : Modalities
        All that it learns from.
    layers, heads, width : int
        Blocks, attention heads, and numbers of a token, which are the features.
    components : int
        Normal distributions whose mixture is predicted for a token; 0: its values, see `kernels.training.token_loss`.
    pooling : Pooling, optional
        Default: the mean over all tokens of the middle layer.
    given : Modalities, optional
        Those that a release has; default: all.
    """

    band: torch.Tensor

    def __init__(
        self,
        modalities: Modalities,
        *,
        layers: int,
        heads: int,
        width: int,
        components: int = 0,
        pooling: Pooling | None = None,
        given: Modalities | None = None,
    ) -> None:
        super().__init__()
        self.modalities, self.given = modalities, given or modalities
        self.pooling = pooling or Pooling(layers // 2, modalities.stamps.tokens, "tokens")
        self.features = width * self.pooling.parts(modalities)
        self.tokenisers = nn.ModuleDict({_key(STAMPS): PatchTokens(modalities.stamps, width, components)})
        for scalars in modalities.scalars:
            self.tokenisers[_key(scalars.name)] = ScalarTokens(scalars, width, components)
        for vector in modalities.vectors:
            self.tokenisers[_key(vector.name)] = VectorTokens(vector, width, components)
        self.markers = nn.ParameterDict({_key(name): embedding(1, width) for name in modalities.names})
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)
        _begin(self)
        bands = modalities.stamps.bands
        places = torch.tensor([bands.index(band) for band in self.given.stamps.bands])
        self.register_buffer("band", places, persistent=False)

    def forward(self, stamps: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
        """Embeddings (n, features) of stamps (n, bands given, side, side) and rows (n, width of what is given)."""
        tokens = self.tokens(self.images(stamps), rows)
        counted = dict.fromkeys(tokens, TOKENS) | {STAMPS: slice(1, 1 + self.pooling.patches)}
        (state,) = self.states(tokens, None, [self.pooling.layer], counted)
        return self.pooled(state, tokens, self.pooling)

    def images(self, stamps: torch.Tensor) -> torch.Tensor:
        """Images (n, bands, side, side) of stamps (n, bands given, side, side): all bands, on the network's scale; NaN in those that are missing."""
        bands = self.modalities.stamps.bands
        if self.given.stamps.bands != bands:
            missing = stamps.new_full((len(stamps), len(bands), *stamps.shape[2:]), torch.nan)
            stamps = missing.index_copy(1, self.band, stamps)
        return self.modalities.stamps.brightness.forward(stamps)

    def tokens(self, images: torch.Tensor, rows: torch.Tensor | None) -> dict[str, Tokens]:
        """Tokens of all modalities that are given, by name."""
        found = {STAMPS: self._tokeniser(STAMPS)(images)}
        if rows is not None:
            for each, values, errors in self.given.split(rows):
                found[each.name] = self._tokeniser(each.name)(values, errors)
        return found

    def states(
        self,
        tokens: dict[str, Tokens],
        order: torch.Tensor | None,
        layers: Sequence[int],
        asked: dict[str, slice],
    ) -> list[dict[str, torch.Tensor]]:
        """What stands in some places of each modality (n, places, width) after some blocks.

        Parameters
        ----------
        tokens : dict
        order : (n, modalities) tensor, optional
            The modalities of an object come by rising numbers, but for those that it lacks; default: as in `tokens`.
        layers : sequence of int
            After how many blocks, ascending.
        asked : dict
            Which of a modality's places, its marker and then its tokens; the last block answers no others.
        """
        parts = [
            part
            for name, each in tokens.items()
            for part in (self.markers[_key(name)].expand(len(each.read), -1, -1), each.read)
        ]
        there, back = _orders(tokens, order, asked)
        states, x = [], torch.cat([part.float() for part in parts], dim=1)
        if there is not None:
            x = _taken(x, there)
        if len(tokens) == 1:
            x = x[:, : asked[STAMPS].stop]  # nothing that is asked for sees the rest
        for number, block in enumerate(self.blocks[: layers[-1]], 1):
            ends = number == layers[-1]
            x = block(x, back if ends else None)
            if number in layers:
                states.append(x if ends else _taken(x, back))
        counts = [len(range(1 + each.read.shape[1])[asked[name]]) for name, each in tokens.items()]
        return [dict(zip(tokens, state.split(counts, dim=1), strict=True)) for state in states]

    def predicted(
        self, images: torch.Tensor, rows: torch.Tensor | None, order: torch.Tensor
    ) -> list[Predicted]:
        """Every token of every modality, from those before it; `order` as of `states`."""
        tokens = self.tokens(images, rows)
        (last,) = self.states(tokens, order, [len(self.blocks)], dict.fromkeys(tokens, PREDICTING))
        return [
            Predicted(name, each, self._tokeniser(name).answer(self.norm(last[name])))
            for name, each in tokens.items()
        ]

    def _tokeniser(self, name: str) -> Tokeniser:
        return cast("Tokeniser", self.tokenisers[_key(name)])

    def pooled(
        self, state: dict[str, torch.Tensor], tokens: dict[str, Tokens], pooling: Pooling
    ) -> torch.Tensor:
        """Embeddings (n, features) of what stands in the tokens' places in a layer; of stamps those that count are enough."""
        modalities, (objects, _, width) = self.modalities, state[STAMPS].shape
        means, counts = [], []
        for name, each in zip(modalities.names, (modalities.stamps, *modalities.others), strict=True):
            apart = each.tokens if pooling.over == "scalars" and isinstance(each, Scalars) else 1
            if name not in state:
                means.append(state[STAMPS].new_zeros(objects, apart * width, dtype=torch.float32))
                counts.append(means[-1][:, :1])
                continue
            own = state[name].float()
            own = own[:, : pooling.patches] if name == STAMPS else own
            present = tokens[name].present.float()[:, None]
            means.append(own.unflatten(1, (apart, -1)).mean(dim=2).flatten(1) * present)
            counts.append(present * (own.shape[1] if pooling.over == "tokens" else 1))
        if pooling.over in ("each", "scalars"):
            return torch.cat(means, dim=1)
        total = torch.stack([mean * count for mean, count in zip(means, counts, strict=True)]).sum(dim=0)
        return total / torch.stack(counts).sum(dim=0).clamp(min=1.0)


class Block(nn.Module):
    """(n, tokens, width) -> the same: attention to what stood before, and a network for each token."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mlp = (nn.LayerNorm(width, bias=False) for _ in range(2))
        self.attended = nn.Linear(width, 3 * width, bias=False)
        self.joined = nn.Linear(width, width, bias=False)
        self.widened = nn.Linear(width, 4 * width, bias=False)
        self.narrowed = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: torch.Tensor, asked: torch.Tensor | None = None) -> torch.Tensor:
        """All places, or those that are asked for (n, places)."""
        parts = self.attended(self.before_attention(x)).unflatten(2, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # (n, heads, tokens, width / heads) each
        seen = _attended(query, key, value).transpose(1, 2).flatten(2)
        if asked is not None:
            x, seen = _taken(x, asked), _taken(seen, asked)
        x = x + self.joined(seen)
        return x + self.narrowed(functional.gelu(self.widened(self.before_mlp(x))))


def _attended(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Causal attention; on a CPU in float32: through bfloat16 torch takes a fifth longer, and back four times as long."""
    kind = query.device.type
    if kind != "cpu":
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    with torch.autocast(kind, enabled=False):
        return functional.scaled_dot_product_attention(
            query.float(), key.float(), value.float(), is_causal=True
        )


def _begin(net: Autoregressive) -> None:
    """Weights as GPT-2 draws them: what is added to the stream is smaller the more blocks add to it."""
    for name, weight in net.named_parameters():
        if weight.ndim == 2 and ("blocks." in name or "tokenisers." in name):
            last = name.endswith(("joined.weight", "narrowed.weight"))
            nn.init.normal_(weight, std=0.02 / (2 * len(net.blocks)) ** 0.5 if last else 0.02)


def _key(name: str) -> str:
    """Of a modality in the names of weights: torch takes no points in them, and no names of its own methods."""
    return "of_" + name.replace(".", "-")


def _orders(
    tokens: dict[str, Tokens], order: torch.Tensor | None, asked: dict[str, slice]
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Where each place (n, length) of a sequence is taken from, None where all stay; and where those that are asked for (n, places) are then."""
    present = torch.stack([each.present for each in tokens.values()], dim=1)
    lengths = [1 + each.read.shape[1] for each in tokens.values()]
    places = torch.arange(sum(lengths), device=present.device)
    back = torch.cat([own[asked[name]] for name, own in zip(tokens, places.split(lengths), strict=True)])
    if order is None:
        if len(tokens) == 1 or (not torch.compiler.is_exporting() and present.all()):
            return None, back.expand(len(present), -1)
        order = torch.arange(len(tokens), device=present.device).expand_as(present)
    turn = torch.where(present, order, order + len(tokens))
    modality = [i for i, length in enumerate(lengths) for _ in range(length)]
    there = (turn[:, modality] * len(modality) + places).argsort(dim=1)
    return there, there.argsort(dim=1)[:, back]


def _taken(sequence: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """What stands in the places (n, length) of a sequence (n, length, width)."""
    objects = torch.arange(len(places), device=places.device)[:, None]
    rows = places + objects * sequence.shape[1]
    return functional.embedding(rows, sequence.flatten(0, 1))  # gathers alike, and learns faster
