"""The part of the config that `tuningfork train` reads: how it learns, and what labels a release has."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from catalogs.path_template import unfilled
from catalogs.survey import Section


class Scale(Section):
    """Attributes that are numbers, with or without confidence limits."""

    columns: Annotated[list[str], Field(min_length=1)]
    """Columns of the attributes."""
    low: str | None = None
    """Column of the lower confidence limit, `"{column}_lo"` for one."""
    high: str | None = None
    """Column of the upper confidence limit."""
    missing: float | None = None
    """Value that stands for an attribute that nobody could determine."""

    def names(self, column: str) -> list[str]:
        """Columns that say what an attribute is: its own and its limits."""
        limits = [limit.replace("{column}", column) for limit in (self.low, self.high) if limit is not None]
        return [column, *limits]

    @model_validator(mode="after")
    def _limits_come_in_pairs(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high come together: give both or neither")
        left = unfilled(f"{self.low} {self.high}", "column")
        if left:
            raise ValueError(f"{', '.join(left)} is not filled in: low and high take only {{column}}")
        return self


class Ordinal(Scale):
    """Attributes on an ordered scale, for an encoder to learn."""

    weight: Annotated[float, Field(gt=0)] = 1.0
    """Weight of these heads among the others."""


class Told(Scale):
    """Attributes that a diffusion model is told of a galaxy."""

    range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    """Least and greatest value; default: what the release has."""
    needs: str | None = None
    """Attribute without which these mean nothing: where it is at its least, they are unknown."""
    mirrored: bool = False
    """A mirror turns low into high values, as it does with the sense in which arms wind; needs a range."""

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range = {self.range}: the least value comes first")
        if self.mirrored and self.range is None:
            raise ValueError("mirrored attributes need a range: its middle is what a mirror leaves as it is")
        return self


class Diffusion(Section):
    """What `tuningfork train diffusion` makes: a model that draws galaxies of a wanted morphology."""

    attributes: list[Told] = []
    """Columns of the release that say what a galaxy is like."""
    measured: list[str] = []
    """Columns that [measure] would add (`r50`, `ellipticity`, ...) to be told of as well."""
    width: Annotated[int, Field(ge=16, le=4096, multiple_of=16)] = 96
    """Channels of a patch; twice as many at half that resolution."""
    depth: Annotated[int, Field(ge=1, le=256)] = 1
    """Blocks at either resolution, on the way down as on the way up."""
    patch: Annotated[int, Field(ge=1, le=512)] = 4
    """Side of a patch, pixels: where the network begins; two of them divide a stamp."""
    skin: Annotated[int, Field(ge=4, le=1024)] = 12
    """Channels of the convolutions at full resolution."""
    degrade: Annotated[float, Field(ge=0, le=1)] = 0.15
    """Share of the stamps that are learned from blurred and with more noise, so that both can be asked for."""


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
    """Times that every object is looked at. May be changed to go on with a training to another end."""
    batch_size: Annotated[int, Field(ge=8, le=65_536)] = 64
    """Stamps of one step and process."""
    rate: Annotated[float, Field(gt=0)] = 2e-3
    """Highest learning rate of AdamW; Muon, which moves the matrices, takes ten times as much."""
    label_weight: Annotated[float, Field(gt=0)] = 6.0
    """Weight of the labels' loss beside the self-supervised one."""
    fold: Annotated[int, Field(ge=0)] | None = None
    """Fold of objects (by a hash of the id) that is held out, to score on."""
    folds: Annotated[int, Field(ge=2, le=1_000_000)] = 5
    """Folds that objects are dealt out to."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the order, the views and the heads."""
    workers: Annotated[int, Field(ge=1, le=100_000)] = 1
    """Training processes; each reads slices of its own."""
    threads: Annotated[int, Field(ge=1, le=1024)] = 2
    """CPU threads of a process."""
    gpus: Annotated[float, Field(ge=0, le=64)] = 0.0
    """GPUs of a process; 0 trains on the CPU."""
    memory_gib: Annotated[float, Field(ge=0.01, le=1_000_000)] = 2.0
    """Stamps that a process learns from at once, and reads ahead; a release that fits is read once."""
    labels: Labels = Labels()
    """Labels of the release."""
    teacher: Teacher | None = None
    """A pretrained network to learn from too."""
    diffusion: Diffusion = Diffusion()
    """The diffusion model."""

    @model_validator(mode="after")
    def _fold_is_one_of_the_folds(self) -> Train:
        if self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold = {self.fold}: with folds = {self.folds} it is at most {self.folds - 1}")
        return self
