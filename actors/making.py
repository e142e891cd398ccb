"""An encoder of whichever kind the options are for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors.embedder import Embedder

__all__ = ["make_encoder"]


def make_encoder(options: dict[str, Any]) -> Embedder:
    """`actors.serving.client.ServedEncoder` where the options name endpoints, else `actors.encoder.Encoder`.

    Imports what it needs: who sends stamps needs no torch, and who encodes no gRPC.
    """
    if "endpoints" in options:
        from actors.serving.client import ServedEncoder  # noqa: PLC0415

        return ServedEncoder(**options)
    from actors.encoder import Encoder  # noqa: PLC0415

    return Encoder(**options)
