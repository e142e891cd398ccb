"""What client and server have in common: names of tensors and parameters, and a fingerprint of everything that changes an embedding."""

from __future__ import annotations

import hashlib
import json
from typing import Any

__all__ = [
    "DTYPES",
    "EMBEDDING",
    "FINGERPRINT",
    "STAMP",
    "ServingError",
    "fingerprint",
    "input_shape",
    "mark",
    "values",
]

STAMP, EMBEDDING, FINGERPRINT = "STAMP", "EMBEDDING", "FINGERPRINT"
"""Input (n, bands, y, x), or (n, bands * y * x + width) where other modalities come behind the stamp; outputs (n, features) and (n, 8): the first bytes of the fingerprint, so that no answer of other weights
can be mistaken for one of these."""
MARK = 8
"""Bytes of the fingerprint that every answer carries."""
DTYPES = {"float32": "FP32", "float16": "FP16"}
"""Wire -> data type of input and embedding."""


class ServingError(ValueError):
    """Served encoding cannot go on: what is wrong is wrong for every slice, so the run stops, resumable."""


_VALUES = ("model", "bands", "size", "order", "input", "unwrap", "stretch", "normalise", "precision", "turns")


def values(options: dict[str, Any]) -> dict[str, Any]:
    """Those options of `actors.encoder.Encoder` that change what an embedding is."""
    found = {name: options[name] for name in _VALUES} | {"denoise": options["denoise"] is not None}
    given = options.get("modalities")
    return found if given is None else {**found, "modalities": given}


def input_shape(bands: int, size: int, width: int) -> tuple[int, ...]:
    """Of one object's input; `width` is the numbers of its other modalities."""
    return (bands * size**2 + width,) if width else (bands, size, size)


def fingerprint(options: dict[str, Any], weights: str) -> str:
    """SHA-256, in hex, of these options and the weights' own fingerprint."""
    return hashlib.sha256(json.dumps([values(options), weights], sort_keys=True).encode()).hexdigest()


def mark(fingerprint_hex: str) -> bytes:
    """The bytes of a fingerprint that every answer carries."""
    return bytes.fromhex(fingerprint_hex)[:MARK]
