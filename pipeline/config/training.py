"""The part of the config that `tuningfork train` reads: how to train, and the labels of a release."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from catalogs.path_template import unfilled
from catalogs.survey import Section
from kernels.transforms import Transform  # noqa: TC001 - pydantic reads it


class Scale(Section):
    """Attributes that are numbers, with or without confidence limits."""

    columns: Annotated[list[str], Field(min_length=1)]
    """Columns of the attributes."""
    low: str | None = None
    """Column of the lower confidence limit, for example `"{column}_lo"`."""
    high: str | None = None
    """Column of the upper confidence limit."""
    missing: float | None = None
    """Value that means that an attribute is unknown."""

    def names(self, column: str) -> list[str]:
        """Columns of an attribute: its own and those of its limits."""
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
    """Attributes on an ordered scale, as labels for an encoder."""

    weight: Annotated[float, Field(gt=0)] = 1.0
    """Weight of these labels relative to the others."""


class DiffusionAttributes(Scale):
    """Attributes that a diffusion model is conditioned on."""

    range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    """Least and greatest value; default: those in the release."""
    needs: str | None = None
    """Attribute that these depend on: where it has its least value, they are meaningless and set to unknown."""
    mirrored: bool = False
    """Mirroring the image swaps low and high values, as for the sense in which arms wind; needs a range."""

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range = {self.range}: the least value comes first")
        if self.mirrored and self.range is None:
            raise ValueError("mirrored attributes need a range: its middle is what a mirror leaves as it is")
        return self


class Diffusion(Section):
    """For `tuningfork train diffusion`: a conditional diffusion model that draws galaxies of a requested morphology."""

    attributes: list[DiffusionAttributes] = []
    """Columns of the release that describe a galaxy."""
    measured: list[str] = []
    """Measured columns (`r50`, `ellipticity`, ...) to condition on as well."""
    width: Annotated[int, Field(ge=16, le=4096, multiple_of=16)] = 96
    """Channels of a patch; twice as many at half that resolution."""
    depth: Annotated[int, Field(ge=1, le=256)] = 1
    """Blocks at each of the two resolutions, in the encoder and in the decoder of the U-Net."""
    patch: Annotated[int, Field(ge=1, le=512)] = 4
    """Side of a patch in pixels, the U-Net's first resolution; twice this must divide the stamp size."""
    skin: Annotated[int, Field(ge=4, le=1024)] = 12
    """Channels of the convolutions at full resolution."""
    degrade: Annotated[float, Field(ge=0, le=1)] = 0.15
    """Fraction of the training stamps that are blurred and made noisier, so that noise and PSF can be requested."""


class Values(Section):
    """Numbers of any size as labels: a redshift, a mass, a Sérsic index."""

    columns: Annotated[list[str], Field(min_length=1)]
    """Columns of the values."""
    error: str | None = None
    """Column of the standard error, for example `"{column}_err"`."""
    transform: Transform = "none"
    """`log` (natural), `log1p` or `asinh`: what is learned is this function of the value."""
    missing: float | None = None
    """Value that means that it is unknown."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Weight of these labels relative to the others."""

    def names(self, column: str) -> list[str]:
        """Columns of a value: its own and that of its error."""
        return [column] if self.error is None else [column, self.error.replace("{column}", column)]


class TreeVotes(Section):
    """Volunteers' votes along a decision tree."""

    tree: str
    """A bundled tree (`gz2`, `gz-decals`, `gz-hubble`, `gz-candels`, `gz-euclid`), or a TOML file."""
    hold: Literal["counts", "fractions", "products"] = "counts"
    """What the columns hold: numbers of votes; fractions of those who were asked the question; or, as in the Galaxy Challenge, fractions of all volunteers."""
    volunteers: Annotated[float, Field(gt=0)] = 40.0
    """Volunteers an object, where columns hold fractions."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Weight of these labels relative to the others."""


class Labels(Section):
    """Labels of a release; without any, an encoder's training is self-supervised."""

    classes: list[str] = []
    """Columns with the name of a class."""
    conditions: dict[str, str] = {}
    """Questions of yes or no, each an SQL condition on the catalog's columns: `bar = "CASE WHEN bar_length >= 0 THEN bar_length >= 0.25 END"`; null: unknown."""
    votes: list[Annotated[list[str], Field(min_length=2)]] = []
    """Questions, each a list of columns with the votes for its answers (counts, or fractions of `volunteers`)."""
    volunteers: Annotated[float, Field(gt=0)] = 40.0
    """Volunteers an object, where the columns of `votes` hold fractions."""
    ordinals: list[Ordinal] = []
    """Attributes on an ordered scale."""
    values: list[Values] = []
    """Numbers of any size."""
    trees: list[TreeVotes] = []
    """Votes along decision trees."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Weight of this release's labels relative to those of other releases."""


class Teacher(Section):
    """Distillation: a pretrained network whose features the encoder learns to predict from any view of a galaxy; it needs no labels."""

    model: Annotated[str, Field(pattern=r"^timm:.+$")]
    """`timm:NAME`, of a network for RGB images."""
    checkpoint: str = "pretrained"
    """`pretrained` (from the hub), or a safetensors file."""
    input: Annotated[int, Field(ge=16, le=1024)] = 224
    """Side of its input images, pixels."""
    weight: Annotated[float, Field(gt=0)] = 3.0
    """Weight of its loss relative to the self-supervised one."""


class PredictorTraining(Section):
    """For `tuningfork train predictor`; all but `balance` is for networks that learn too, without `--from`."""

    balance: bool = False
    """Whether classes count the same, however rare each is."""
    validation: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    """Share of the labelled objects outside the held-out fold that is not learned from: the training stops by it, and answers are calibrated on it. Where labels
    are few it is larger, to have 30 of them, but at most three in ten."""
    patience: Annotated[int, Field(ge=1)] = 10
    """Epochs without a better loss of those objects after which the training stops; the weights that were best are kept."""
    network_rate: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Learning rate of the network as a share of `train.rate`, that of the heads; 0: it learns nothing."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Factor of the rate from each block of the network to the one before it."""
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the stamps for which the network's last block is skipped (stochastic depth), where it has a place for that."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the codes that the heads don't see."""
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of a class label that is spread over all classes."""
    mixup: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Parameter of the Beta distribution that two stamps are mixed by; 0: they are not."""
    zoom: Annotated[float, Field(ge=0, le=1)] = 0.15
    """Largest enlargement of a stamp that is learned from."""
    noise: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Largest noise added to it, in units of its peak."""
    colours: Annotated[float, Field(ge=0, le=2)] = 0.0
    """Largest change of a band's gain, as a natural logarithm; 0: colours are kept."""
    tree_loss: Literal["dirichlet", "challenge"] = "dirichlet"
    """Loss of votes along trees: the likelihood of the votes on each question, or, as the Galaxy Challenge scores, squared errors of fractions of all volunteers."""


class AutoregressiveTraining(Section):
    """For `tuningfork train autoregressive`: the network of `[encode] model`, one of `ar-…`, learns to predict the next token of stamps and of `[modalities]`."""

    patch: Annotated[int, Field(ge=1, le=512)] = 8
    """Side of a patch of a stamp, pixels; divides the stamps' size."""
    order: Literal["spiral", "raster"] = "spiral"
    """Of the patches: from the centre outwards, or line by line."""
    flux: Literal["kept", "standardised"] = "kept"
    """`kept`: stamps are learned on one scale of calibrated flux; `standardised`: each patch with its own mean and deviation taken out, as in AstroPT, which forgets how bright objects are."""
    components: Annotated[int, Field(ge=0, le=32)] = 0
    """0: Huber's loss of each value; else this many normal distributions, whose mixture is predicted for each token."""


class Train(Section):
    """Settings of `tuningfork train`. With several configs, those of the first one are used, except for `labels`."""

    epochs: Annotated[int, Field(ge=1)] = 20
    """Passes over all objects. May be changed when a training is resumed."""
    batch_size: Annotated[int, Field(ge=8, le=65_536)] = 64
    """Stamps per step and process."""
    rate: Annotated[float, Field(gt=0)] = 2e-3
    """Highest learning rate of AdamW; Muon, which optimises the weight matrices, uses ten times as much."""
    label_weight: Annotated[float, Field(gt=0)] = 6.0
    """Weight of the labels' loss relative to the self-supervised one."""
    fold: Annotated[int, Field(ge=0)] | None = None
    """Fold of objects (by a hash of the id) that is held out for scoring."""
    folds: Annotated[int, Field(ge=2, le=1_000_000)] = 5
    """Number of folds."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the order, the views and the initial weights of the heads."""
    workers: Annotated[int, Field(ge=1, le=100_000)] = 1
    """Training processes; each reads its own slices."""
    threads: Annotated[int, Field(ge=1, le=1024)] = 2
    """CPU threads of a process."""
    gpus: Annotated[float, Field(ge=0, le=64)] = 0.0
    """GPUs of a process; 0 trains on the CPU."""
    memory_gib: Annotated[float, Field(ge=0.01, le=1_000_000)] = 2.0
    """Memory of a process for a window of stamps and for reading ahead, in GiB; a release that fits is read once."""
    labels: Labels = Labels()
    """Labels of the release."""
    teacher: Teacher | None = None
    """A pretrained network to learn from too."""
    predictor: PredictorTraining = PredictorTraining()
    """The predictor."""
    diffusion: Diffusion = Diffusion()
    """The diffusion model."""
    autoregressive: AutoregressiveTraining = AutoregressiveTraining()
    """The autoregressive network."""

    @model_validator(mode="after")
    def _fold_is_one_of_the_folds(self) -> Train:
        if self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold = {self.fold}: with folds = {self.folds} it is at most {self.folds - 1}")
        return self
