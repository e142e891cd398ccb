"""What every encoder is to the pipeline: a table of stamps in, a table of embeddings out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from actors.progress import nobody
from actors.stamps import modalities_of, planes_in, stamps_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Effort", "Embedder", "EmbeddingError", "embedding_field"]

_LARGEST = float(np.finfo(np.float16).max)


class EmbeddingError(ValueError):
    """The network gave values that no embedding can hold; the message names the objects."""


@dataclass(frozen=True)
class Effort:
    """What an encoder has computed since it was loaded."""

    device: str
    images: int = 0
    slots: int = 0
    """Places in the batches that the network saw: those without an image were padded."""
    seconds: float = 0.0


class Embedder(ABC):
    """Replaces stamps by embeddings; how, a subclass says in `embed`.

    Parameters
    ----------
    bands, size : int
        Bands and side (pixels) of the stamps.
    features : int
        Length of an embedding.
    width : int
        Numbers that an object has beside its stamp, see `kernels.modalities`.
    """

    def __init__(self, bands: int, size: int, features: int, width: int = 0) -> None:
        self._bands, self._size, self._features, self._width = bands, size, features, width
        self.progress: Callable[[float], None] = nobody
        """Called with how many more stamps are encoded, while a call goes on."""

    @property
    def bands(self) -> int:
        """Bands of the stamps."""
        return self._bands

    @property
    def size(self) -> int:
        """Side of the stamps, pixels."""
        return self._size

    @property
    def width(self) -> int:
        """Numbers that an object has beside its stamp."""
        return self._width

    @property
    def effort(self) -> Effort | None:
        """What was computed here so far; None where others compute."""
        return None

    @abstractmethod
    def embed(self, stamps: np.ndarray, rows: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
        """Embeddings (rows, features) float32 of these rows of stamps (n, b, y, x) float32, and of what else their objects have, (n, width), if there is something."""

    def close(self) -> None:  # noqa: B027 - most encoders hold nothing
        """Let go of what lies outside of this process."""

    def __call__(self, objects: pa.Table) -> pa.Table:
        """Replace columns ``stamp``, ``stamp_noise``, ``stamp_owners`` and ``modalities`` (if there are any) and ``usable`` by ``embedding``, null where usable is false.

        Parameters
        ----------
        objects : pa.Table
            With ``stamp``, fixed-size lists of bands * size * size float32, ``usable``, booleans, and, for a network that takes more than stamps, ``modalities``,
            fixed-size lists of ``width`` float32; other columns are kept.

        Raises
        ------
        EmbeddingError
            When an embedding is not finite or overflows float16; names the objects by ``object_id``.
        """
        stamps = stamps_of(objects.column("stamp"), self._bands, self._size)
        usable = np.asarray(objects.column("usable").fill_null(False), dtype=bool)
        rows = np.flatnonzero(usable)
        others = modalities_of(objects.column("modalities"), self._width) if self._width else None
        found = self.embed(stamps, rows, others)
        wrong = ~(np.abs(found) <= _LARGEST).all(axis=1)  # not finite is not <= either
        if wrong.any():
            bad = rows[wrong]
            named = bad[:5].tolist()
            if "object_id" in objects.column_names:
                named = objects.column("object_id").take(named).to_pylist()
            raise EmbeddingError(
                f"{len(bad)} of {len(rows)} embeddings are not finite or exceed float16, of objects {named}: "
                "check the network's checkpoint, normalise and stretch"
            )
        values = np.zeros((len(usable), self._features), dtype=np.float16)
        values[rows] = found
        field = embedding_field(self._features)
        embedding = pa.FixedSizeListArray.from_arrays(
            pa.array(values.reshape(-1)), type=field.type, mask=pa.array(~usable)
        )
        done = [*planes_in(objects), "usable", *(["modalities"] if self._width else [])]
        return objects.drop_columns(done).append_column(field, embedding)


def embedding_field(length: int) -> pa.Field:
    """The column that encoders add."""
    return pa.field(
        "embedding", pa.list_(pa.float16(), length), metadata={"description": "encoder's pooled features"}
    )
