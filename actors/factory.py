"""An encoder of whichever kind the options are for, and a measurer beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from actors.embedder import Effort, Embedder

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
        self._encoder, self._measurer, self._segmenter = make_encoder(encoder), None, None
        if segmenter is not None:
            from actors.segmenter import Segmenter  # noqa: PLC0415

            self._segmenter = Segmenter(**segmenter)
        if measurer is not None:
            from actors.measurer import Measurer  # noqa: PLC0415

            self._measurer = Measurer(**measurer)

    def __call__(self, objects: pa.Table) -> pa.Table:
        """See `actors.measurer.Measurer`, `actors.segmenter.Segmenter` and `actors.embedder.Embedder`."""
        seen = None if self._segmenter is None else self._segmenter(objects)
        if self._measurer is not None:
            objects = self._measurer(objects, seen)
        if self._segmenter is not None and seen is not None:
            objects = self._segmenter.filled(objects, seen)
        return self._encoder(objects)

    @property
    def effort(self) -> Effort | None:
        """See `actors.embedder.Embedder`."""
        return self._encoder.effort

    def close(self) -> None:
        """Let go of what lies outside of this process."""
        self._encoder.close()
