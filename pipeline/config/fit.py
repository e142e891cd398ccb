"""The `[reduce]`, `[fit]` and `[vote]` parts of a config: from embeddings to groups."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from catalogs.survey import Section
from kernels.families import FAMILIES, Family
from kernels.rules import Rule  # noqa: TC001 - pydantic reads it


class Reduce(Section):
    """PCA of the embeddings, and measured columns beside the components."""

    components: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)] = 10
    """Number of principal components, or the fraction of the variance that they explain."""
    columns: Annotated[list[str], Field(max_length=100)] = []
    """SQL expressions on kept and measured columns that objects are grouped by too (`sersic_n`, `ln(r50)`, `MAG_G - MAG_R`), scaled by
    their median and scatter and limited to three sigma; an object without a value counts as the median one."""
    weight: Annotated[float, Field(gt=0, le=100)] = 0.5
    """Variance of all `columns` together, as a multiple of that of the components."""

    @property
    def in_words(self) -> str:
        """What objects are grouped by."""
        beside = f" and {len(self.columns)} columns" if self.columns else ""
        return f"{self.components} principal components{beside}"


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

    rule: Rule = "classes"
    """What decides: `classes` goes by `class_share` (where groups have no class, by the share of their branch), `branches` by
    `branch_confidence`, `confidence` and `agreement` by the columns of those names; `unanimous`: every member agrees."""
    threshold: Annotated[float, Field(gt=0, le=1)] | None = None
    """Smallest value with which an object is kept; without `keep`, it is 0.6 for `confidence` and `agreement`."""
    keep: Annotated[float, Field(gt=0, le=1)] | None = None
    """Instead of a threshold: the share of the usable objects to keep, those with the highest values (as counted on the pilot); without
    `threshold`, it is 0.66 for `classes` and `branches`."""
    branches: Annotated[int, Field(ge=2, le=1000)] = 6
    """Branches into which the tree of the groups is cut."""

    @property
    def share(self) -> float | None:
        """Share of the objects to keep; None where a threshold decides."""
        by_share = self.rule in ("classes", "branches") and self.threshold is None
        return 0.66 if by_share and self.keep is None else self.keep

    @property
    def least(self) -> float:
        """The threshold, where no share decides."""
        return self.threshold or (1.0 if self.rule == "unanimous" else 0.6)

    @property
    def in_words(self) -> str:
        """The rule in a line."""
        if self.rule == "unanimous":
            return "unanimous"
        value = {"classes": "class share", "branches": "branch confidence"}.get(self.rule, self.rule)
        return f"{value} >= {self.least:g}" if self.share is None else f"share {self.share:g}, by {value}"

    @model_validator(mode="after")
    def _one_way_to_choose(self) -> Vote:
        if self.keep is not None and self.threshold is not None:
            raise ValueError("threshold and keep both say how much is kept: give one of them")
        if self.rule == "unanimous" and self.keep is not None:
            raise ValueError('rule = "unanimous" takes no keep: use another rule')
        return self
