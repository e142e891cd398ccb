"""The `[publish]` part of a config: the catalog that comes out."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from catalogs.survey import Section


class Publish(Section):
    """The catalog that comes out."""

    rows_per_partition: Annotated[int, Field(ge=1)] = 500_000
    """Objects in a HATS partition, at most."""
    embeddings: bool = True
    """Publish the embeddings as a catalog of their own."""
    margin: Annotated[float, Field(ge=0, le=60)] = 5.0
    """Arcsec: objects so near to a partition are in the catalog's margin cache, so that LSDB loses no pair of a cross-match of at most this radius; 0: there is none."""
    extends: Annotated[str | None, Field(pattern=r"\S")] = None
    """Folder or URL of another HATS catalog or collection: what is found is written as an extension of it too, for LSDB's `load_extension`."""
    extends_id: Annotated[str | None, Field(pattern=r"\S")] = None
    """Column of that catalog with the ids that `[survey] id` has."""

    @model_validator(mode="after")
    def _extension_has_both(self) -> Publish:
        if (self.extends is None) != (self.extends_id is None):
            given, missing = ("extends_id", "extends") if self.extends is None else ("extends", "extends_id")
            raise ValueError(f"{given} is given without {missing}: give both, or neither")
        return self
