"""The predictor as an actor: a table of embeddings, or of stamps, in; a table of answers out."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from actors.embeddings import embeddings_of, rows_of, to_arrow
from kernels.heads.predictor import Predictor

if TYPE_CHECKING:
    from kernels.heads.columns import Column

__all__ = ["PredictFromEmbeddings", "PredictFromStamps", "prediction_schema"]

_KINDS = {"number": pa.float32(), "text": pa.string(), "flag": pa.bool_()}


def prediction_schema(columns: list[Column]) -> pa.Schema:
    """Arrow fields of a predictor's columns."""
    return pa.schema(
        [
            pa.field(
                each.name, _KINDS[each.kind], metadata={"description": each.description, "ucd": each.ucd}
            )
            for each in columns
        ]
    )


class PredictFromEmbeddings:
    """Answers for objects with embeddings.

    Parameters
    ----------
    data : bytes
        A predictor's file.
    name : str
        Of the predictor.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self._predictor, self._name = Predictor.from_bytes(data, name), name
        self._schema = prediction_schema(self._predictor.columns(name))

    def __call__(self, objects: pa.Table) -> pa.Table:
        """`object_id` and the answers for a table with `object_id` and `embedding`; null where an object has no embedding."""
        values, usable = embeddings_of(objects["embedding"])
        found = self._predictor.answers(values, self._name)
        take = rows_of(usable)
        arrays = [to_arrow(found[field.name], field.type).take(take) for field in self._schema]
        return pa.Table.from_arrays(
            [objects["object_id"].combine_chunks(), *arrays],
            schema=pa.schema([objects.schema.field("object_id"), *self._schema]),
        )


class PredictFromStamps:
    """Answers for objects with stamps, by the network that the predictor has of its own.

    Parameters
    ----------
    data, name
        As of `PredictFromEmbeddings`.
    encoder : dict
        Options of `actors.factory.make_encoder`; without `endpoints`, its checkpoint is the predictor's file.
    segmenter : dict, optional
        Options of `actors.segmenter.Segmenter`; None: the network sees the stamps as they are.
    """

    def __init__(
        self, data: bytes, name: str, encoder: dict[str, Any], segmenter: dict[str, Any] | None
    ) -> None:
        from actors.factory import EncodeAndMeasure  # noqa: PLC0415 - heads alone need no torch

        self._heads = PredictFromEmbeddings(data, name)
        if "endpoints" in encoder:
            self.encode = EncodeAndMeasure(encoder, None, segmenter)
            return
        with tempfile.TemporaryDirectory() as folder:  # the file may lie where this node does not see it
            path = Path(folder) / f"{name}.safetensors"
            path.write_bytes(data)
            self.encode = EncodeAndMeasure({**encoder, "checkpoint": str(path)}, None, segmenter)

    def __call__(self, objects: pa.Table) -> pa.Table:
        """`object_id` and the answers for a table with `object_id`, `stamp` and `usable`."""
        return self._heads(self.encode(objects))

    def close(self) -> None:
        """Let go of what lies outside of this process."""
        self.encode.close()
