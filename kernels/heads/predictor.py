"""A predictor: heads with all that is needed to answer their questions from codes, in one safetensors file, with the network's weights where it has its own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.heads import columns
from kernels.heads.answers import Calibration
from kernels.heads.domain import Domain
from kernels.heads.head import Head
from kernels.heads.scores import Scores
from kernels.linear_map import LinearMap
from kernels.nets.weights import KEY, NETWORK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["NotAPredictor", "Predictor", "TaughtHead"]

_VERSION = 1


class NotAPredictor(ValueError):
    """A file that holds no predictor; the message names it."""


@dataclass(frozen=True)
class TaughtHead:
    """A head with its calibration and its scores on held-out objects."""

    head: Head
    calibration: Calibration = field(default_factory=Calibration)
    scores: Scores = field(default_factory=lambda: Scores(0))
    strength: float | None = None
    """Of the regularisation, where cross-validation chose one."""


@dataclass(frozen=True, eq=False)
class Predictor:
    """Answers questions about galaxies, given codes.

    Attributes
    ----------
    heads
        In the order of the layer's outputs.
    layer
        From codes (n, d) to outputs.
    domain
        What it was taught on.
    encoder
        How stamps become codes: model, checkpoint, input, stretch, bands..., plain values; see `pipeline.predictors.encoder`.
    taught
        For people and the model card: objects, survey, labels, date.
    """

    heads: tuple[TaughtHead, ...]
    layer: LinearMap
    domain: Domain
    encoder: dict[str, Any]
    taught: dict[str, Any]
    has_network: bool = False
    """Whether the file holds the weights of a network of its own, as the names that begin with `NETWORK`."""

    def columns(self, name: str) -> list[columns.Column]:
        """The columns that it adds under this name, see `kernels.heads.columns`."""
        return columns.columns_of([each.head for each in self.heads], name)

    def answers(self, codes: NDArray[np.floating], name: str) -> dict[str, NDArray[Any]]:
        """The values of `columns`, each (n,), given codes (n, d); masked where there is no answer."""
        outputs, start, each = self.layer(codes), 0, []
        for taught in self.heads:
            each.append((taught.head, outputs[:, start : start + taught.head.width], taught.calibration))
            start += taught.head.width
        return columns.values_of(each, self.domain.distance(codes), name)

    def check(self) -> None:
        """Whether its parts belong together.

        Raises
        ------
        ValueError
            If not.
        """
        outputs, features = self.layer.weight.shape
        wanted = sum(each.head.width for each in self.heads)
        if outputs != wanted or self.layer.bias.shape != (wanted,):
            raise ValueError(f"its questions take {wanted} outputs, and its layer gives {outputs}")
        if self.domain.axes.weight.shape != (self.domain.codes.shape[1], features):
            raise ValueError("its layer and its domain are of other codes")
        if not (np.isfinite(self.layer.weight).all() and np.isfinite(self.layer.bias).all()):
            raise ValueError("its layer is not finite")
        columns.in_order([each.head for each in self.heads])

    def description(self) -> str:
        """As text; the same for the same predictor."""
        heads = [asdict(each) for each in self.heads]
        return json.dumps(
            {"version": _VERSION, "heads": heads, "encoder": self.encoder, "taught": self.taught},
            sort_keys=True,
        )

    def to_bytes(self, network: Mapping[str, NDArray[np.generic]] | None = None) -> bytes:
        """The file, with the weights of its own network if it has one."""
        from safetensors.numpy import save  # noqa: PLC0415

        arrays = {
            **{f"layer.{key}": value for key, value in self.layer.to_arrays().items()},
            **{f"domain.{key}": value for key, value in self.domain.to_arrays().items()},
            **{NETWORK + key: value for key, value in (network or {}).items()},
        }
        return bytes(
            save(
                {key: np.ascontiguousarray(value) for key, value in arrays.items()}, {KEY: self.description()}
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes, file: str) -> Predictor:
        """Read a predictor from its file's bytes; not its network. `file` stands in errors.

        Raises
        ------
        NotAPredictor
            With the file and what is wrong.
        """
        from safetensors import SafetensorError  # noqa: PLC0415
        from safetensors.numpy import load  # noqa: PLC0415

        try:
            arrays = load(data)
            metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__") or {}
            if KEY not in metadata:
                raise NotAPredictor(f"{file}: holds no predictor; `tuningfork train predictor` makes one")
            values = json.loads(metadata[KEY])
            if values["version"] != _VERSION:
                made = f"is of version {values['version']}, and this reads {_VERSION}"
                raise NotAPredictor(f"{file}: {made}: train it anew")
            found = cls(
                tuple(_head(each) for each in values["heads"]),
                LinearMap.from_arrays(_under("layer.", arrays)),
                Domain.from_arrays(_under("domain.", arrays)),
                dict(values["encoder"]),
                dict(values["taught"]),
                any(key.startswith(NETWORK) for key in arrays),
            )
            found.check()
        except NotAPredictor:
            raise
        except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise NotAPredictor(f"{file}: is damaged or no predictor ({error})") from error
        return found


def _head(values: dict[str, Any]) -> TaughtHead:
    head = values["head"]
    head |= {key: tuple(head[key]) for key in ("answers", "levels", "balance")}
    head["asked"] = tuple((question, answer) for question, answer in head["asked"])
    scores = values["scores"]
    scores |= {key: tuple(map(tuple, scores[key])) for key in ("reliability", "decided")}
    return TaughtHead(
        Head(**head), Calibration(**values["calibration"]), Scores(**scores), values["strength"]
    )


def _under(prefix: str, arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
