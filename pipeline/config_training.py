"""The part of the config that `tuningfork train` reads: how it learns, and what labels a release has."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from catalogs.survey import Section


class Ordinal(Section):
    """Attributes on an ordered scale, with or without confidence limits."""

    columns: Annotated[list[str], Field(min_length=1)]
    """Columns of the attributes."""
    low: str | None = None
    """Column of the lower confidence limit, `"{column}_lo"` for one."""
    high: str | None = None
    """Column of the upper confidence limit."""
    missing: float | None = None
    """Value that stands for an attribute that nobody could determine."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Weight of these heads among the others."""

    def names(self, column: str) -> list[str]:
        """Columns that say what an attribute is: its own and its limits."""
        limits = [limit.replace("{column}", column) for limit in (self.low, self.high) if limit is not None]
        return [column, *limits]

    @model_validator(mode="after")
    def _limits_come_in_pairs(self) -> Ordinal:
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high come together: give both or neither")
        return self


class Labels(Section):
    """What a release says of its galaxies, for an encoder to learn; none of it: self-supervised."""

    classes: list[str] = []
    """Columns that name a class."""
    votes: list[Annotated[list[str], Field(min_length=2)]] = []
    """Questions, each a list of columns with the votes for its answers (fractions or counts)."""
    ordinals: list[Ordinal] = []
    """Attributes on an ordered scale."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Weight of this release's heads among those of others."""


class Teacher(Section):
    """A pretrained network whose features an encoder learns to tell from any view of a galaxy; no labels are needed."""

    model: Annotated[str, Field(pattern=r"^timm:.+$")]
    """`timm:NAME`, of a network that takes red, green and blue."""
    checkpoint: str = "pretrained"
    """`pretrained` (from the hub), or a safetensors file."""
    input: Annotated[int, Field(ge=16, le=1024)] = 224
    """Side of the images that it sees."""
    weight: Annotated[float, Field(gt=0)] = 3.0
    """Weight of its loss beside the self-supervised one."""


class Train(Section):
    """How `tuningfork train` learns; where it is given several configs, the first one's, but for `labels`."""

    epochs: Annotated[int, Field(ge=1)] = 20
    """Times that every object is looked at."""
    batch_size: Annotated[int, Field(ge=8)] = 64
    """Stamps of one step and process."""
    rate: Annotated[float, Field(gt=0)] = 2e-3
    """Highest learning rate of AdamW; Muon, which moves the matrices, takes ten times as much."""
    label_weight: Annotated[float, Field(gt=0)] = 6.0
    """Weight of the labels' loss beside the self-supervised one."""
    fold: Annotated[int, Field(ge=0)] | None = None
    """Fold of objects (by a hash of the id) that is held out, to score on."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Folds that objects are dealt out to."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the order, the views and the heads."""
    workers: Annotated[int, Field(ge=1)] = 1
    """Training processes; each reads slices of its own."""
    threads: Annotated[int, Field(ge=1)] = 2
    """CPU threads of a process."""
    gpus: Annotated[float, Field(ge=0)] = 0.0
    """GPUs of a process; 0 trains on the CPU."""
    memory_gib: Annotated[float, Field(ge=0.01)] = 2.0
    """Stamps that a process learns from at once, and reads ahead; a release that fits is read once."""
    labels: Labels = Labels()
    """Labels of the release."""
    teacher: Teacher | None = None
    """A pretrained network to learn from too."""

    @model_validator(mode="after")
    def _fold_is_one_of_the_folds(self) -> Train:
        if self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold = {self.fold}: with folds = {self.folds} it is at most {self.folds - 1}")
        return self
