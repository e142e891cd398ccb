"""The `[reduce]`, `[fit]` and `[vote]` parts of a config: from embeddings to groups."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from catalogs.survey import Section
from kernels.families import FAMILIES, Family


class Reduce(Section):
    """PCA of the embeddings."""

    components: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)] = 10
    """Number of principal components, or the fraction of the variance that they explain."""


class Fit(Section):
    """Bags and the members fitted on them."""

    groups: Annotated[int, Field(ge=2, le=1000)] = 20
    """Groups that members vote for."""
    bags: Annotated[int, Field(ge=1, le=1000)] = 8
    """Resampled subsets on which members are fitted."""
    resample: Literal["hash", "none"] = "hash"
    """`hash` draws each bag by a hash of the object ids; `none` fits on every object (with `bags = 1`)."""
    families: list[Family] = list(FAMILIES)
    """One member of each family is fitted on each bag."""
    bag_rows: Annotated[int, Field(ge=10)] = 100_000
    """Maximum number of objects in a bag (approximately)."""
    pilot_rows: Annotated[int, Field(ge=10)] = 20_000
    """Maximum number of objects (approximately) used for strata, the reference and the alignment."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Random seed."""

    @model_validator(mode="after")
    def _whole_bags_do_not_differ(self) -> Fit:
        if self.resample == "none" and self.bags > 1:
            msg = 'resample = "none" gives every bag the same objects: use bags = 1'
            raise ValueError(msg)
        if not self.families or len(set(self.families)) < len(self.families):
            msg = "families must name each family once, and at least one"
            raise ValueError(msg)
        return self


class Vote(Section):
    """Which objects keep their group."""

    rule: Literal["agreement", "unanimous"] = "agreement"
    """`unanimous`: every member agrees; `agreement`: at least `threshold` of them."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Smallest agreement with which an object is kept."""
