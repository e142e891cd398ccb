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
    """Measures stamps, if there are options for it, and then replaces them by embeddings."""

    def __init__(self, encoder: dict[str, Any], measurer: dict[str, Any] | None) -> None:
        self._encoder, self._measurer = make_encoder(encoder), None
        if measurer is not None:
            from actors.measurer import Measurer  # noqa: PLC0415

            self._measurer = Measurer(**measurer)

    def __call__(self, objects: pa.Table) -> pa.Table:
        """See `actors.measurer.Measurer` and `actors.embedder.Embedder`."""
        return self._encoder(objects if self._measurer is None else self._measurer(objects))

    @property
    def effort(self) -> Effort | None:
        """See `actors.embedder.Embedder`."""
        return self._encoder.effort

    def close(self) -> None:
        """Let go of what lies outside of this process."""
        self._encoder.close()
