"""An encoder of whichever kind the options are for, and a measurer beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from actors.extents import of_one_size
from actors.progress import TwoSteps, nobody

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from actors.embedder import Effort, Embedder
    from actors.measurer import Measurer
    from actors.segmenter import Segmenter

__all__ = ["EncodeAndMeasure", "make_encoder"]


def make_encoder(options: dict[str, Any]) -> Embedder:
    """`actors.serving.client.ServedEncoder` where the options name endpoints, else `actors.encoder.Encoder`.

    Imports what it needs: who sends stamps needs no torch, and who encodes no gRPC.
    """
    if "endpoints" in options:
        from actors.serving.client import ServedEncoder  # noqa: PLC0415

        return ServedEncoder(**options)
    from actors.encoder import Encoder  # noqa: PLC0415

    return Encoder(**options)


class EncodeAndMeasure:
    """Measures stamps, if there are options for it, fills neighbours in them, if that is wanted, and then replaces them by embeddings.

    Stamps with extents are measured and filled in their own pixels, and encoded with as many as the encoder expects, see `actors.extents`.

    Parameters
    ----------
    encoder, measurer : dict
        Options, see `make_encoder` and `actors.measurer.Measurer`.
    segmenter : dict, optional
        Options of `actors.segmenter.Segmenter`; None: the encoder sees the stamps as they are.
    """

    def __init__(
        self, encoder: dict[str, Any], measurer: dict[str, Any] | None, segmenter: dict[str, Any] | None
    ) -> None:
        self._encoder = make_encoder(encoder)
        self._shape = self._encoder.bands, self._encoder.size
        self._options = segmenter, measurer
        self._of_side: dict[int, tuple[Segmenter | None, Measurer | None]] = {}
        self.progress: Callable[[float], None] = nobody
        """Called with the share of the table that is done, while a call goes on."""
        # As if each step had taken a second already.
        self._seconds = [0.0 if measurer is None and segmenter is None else 1.0, 1.0]
        self._steps = TwoSteps(nobody, self._seconds, 0)
        self._prepare(self._encoder.size)

    def __call__(self, objects: pa.Table) -> pa.Table:
        """See `actors.measurer.Measurer`, `actors.segmenter.Segmenter` and `actors.embedder.Embedder`."""
        usable = pc.sum(objects["usable"]).as_py() or 0
        steps = self._steps = TwoSteps(self.progress, self._seconds, usable)
        looked_at = of_one_size(objects, *self._shape, self._looked_at)
        steps.between()
        self._encoder.progress = steps.second
        encoded = self._encoder(looked_at)
        steps.over()
        return encoded

    def _looked_at(self, objects: pa.Table, side: int) -> pa.Table:
        """Stamps of one side, measured and filled."""
        segmenter, measurer = self._prepare(side)
        seen = None if segmenter is None else segmenter(objects)
        if measurer is not None:
            measurer.progress = self._steps.first
            objects = measurer(objects, seen)
        return objects if segmenter is None or seen is None else segmenter.filled(objects, seen)

    def _prepare(self, side: int) -> tuple[Segmenter | None, Measurer | None]:
        """Who looks at stamps of a side; made once."""
        if side not in self._of_side:
            segmenter, measurer = self._options
            self._of_side[side] = (
                None if segmenter is None else _segmenter({**segmenter, "size": side}),
                None if measurer is None else _measurer({**measurer, "size": side}),
            )
        return self._of_side[side]

    @property
    def effort(self) -> Effort | None:
        """See `actors.embedder.Embedder`."""
        return self._encoder.effort

    def close(self) -> None:
        """Let go of what lies outside of this process."""
        self._encoder.close()


def _segmenter(options: dict[str, Any]) -> Segmenter:
    from actors.segmenter import Segmenter  # noqa: PLC0415

    return Segmenter(**options)


def _measurer(options: dict[str, Any]) -> Measurer:
    from actors.measurer import Measurer  # noqa: PLC0415

    return Measurer(**options)
