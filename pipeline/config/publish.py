"""The `[publish]` part of a config: the catalog that comes out."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from catalogs.survey import Section


class Publish(Section):
    """The catalog that comes out."""

    rows_per_partition: Annotated[int, Field(ge=1)] = 500_000
    """Objects in a HATS partition, at most."""
    embeddings: bool = True
    """Publish the embeddings as a catalog of their own."""
