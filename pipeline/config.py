"""The TOML config: every key and its default. What is wrong with a file of it, `pipeline.config_check` says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from catalogs.survey import Section, Survey
from pipeline.config_augment import Augment
from pipeline.config_check import checked, read_toml
from pipeline.config_classes import Classes
from pipeline.config_measure import Measure
from pipeline.config_serving import Served
from pipeline.config_training import Train
from pipeline.config_validate import Validate


class Run(Section):
    """How the work is cut up and how it reports."""

    slice_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    """Catalog rows in a slice: the unit of work, of commit and of retry."""
    read_cpus: Annotated[float, Field(gt=0, le=1024)] = 0.5
    """CPUs that Ray sets aside for each task that cuts stamps."""
    object_store_gib: Annotated[float, Field(ge=0.1, le=1_000_000)] = 1.0
    """Shared memory for slices in flight, in GiB, where the run starts its own Ray."""
    dashboard: bool = False
    """Start the Ray dashboard on http://127.0.0.1:8265 where the run starts its own Ray."""
    interval: Annotated[float, Field(gt=0, le=86_400)] = 10.0
    """Seconds between JSON progress lines where there is no terminal."""


class Denoise(Section):
    """The denoising autoencoder; leave the table out to encode stamps as they are."""

    checkpoint: str = "bundled"
    """`bundled`, or a safetensors file of a denoiser."""


class Encode(Served):
    """From stamps to embeddings."""

    model: Annotated[str, Field(pattern=r"^(timm:.+|galaxy-atto)$")] = "galaxy-atto"
    """`galaxy-atto`, trained on galaxies, or `timm:NAME`: any timm model."""
    checkpoint: str = "auto"
    """`bundled`, `pretrained` (from the hub), `untrained`, or a safetensors file; `auto`: galaxy-atto's are bundled, timm's untrained."""
    input: Annotated[int, Field(ge=16, le=1024)] = 64
    """Side of the image that the model sees."""
    unwrap: Literal["auto", "moments", "apct", "none"] = "auto"
    """Adaptive polar unwrapping: by the light's moments, as in the paper (`apct`), or none; `auto`: as the model was trained,
    none for galaxy-atto and `moments` for timm's."""
    stretch: Literal["asinh", "linear"] = "asinh"
    """Brightness scale; each stamp is divided by its own peak after it."""
    normalise: Literal["none", "imagenet"] = "none"
    """Whether ImageNet's mean and standard deviation are taken off (the paper does not)."""
    turns: Literal[1, 2, 4] = 1
    """Embeddings averaged over this many quarter (or half) turns."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the model; `auto` is bfloat16 where the device has it."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 128
    """Stamps that the model sees at once."""
    workers: Annotated[int, Field(ge=1, le=100_000)] = 2
    """Actors in the pool: on CPUs about one a core, on GPU machines one a GPU. A run's own Ray leaves readers room, with a note."""
    cpus: Annotated[float, Field(gt=0, le=1024)] = 0.5
    """CPUs that Ray sets aside for an actor."""
    gpus: Annotated[float, Field(ge=0, le=64)] = 0.0
    """GPUs of an actor; 0 encodes on the CPU."""
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    """Threads of an actor: to encode on the CPU, where two actors of one thread outrun one of two, and to measure."""

    @property
    def unwraps(self) -> str:
        """What `unwrap` means for the model."""
        if self.unwrap != "auto":
            return self.unwrap
        return "none" if self.model == "galaxy-atto" else "moments"

    @property
    def weights(self) -> str:
        """What `checkpoint` means for the model."""
        if self.checkpoint != "auto":
            return self.checkpoint
        return "bundled" if self.model == "galaxy-atto" else "untrained"

    @model_validator(mode="after")
    def _turns_divide_the_angles(self) -> Encode:
        if self.unwraps != "none" and self.input % max(2, self.turns):
            raise ValueError(
                f"input = {self.input}: unwrapping needs an even number, divisible by turns = {self.turns}"
            )
        return self


class Reduce(Section):
    """From embeddings to codes."""

    components: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)] = 10
    """Principal components: how many, or the share of the variance that they explain."""


class Fit(Section):
    """Bags and the members fitted on them."""

    groups: Annotated[int, Field(ge=2, le=1000)] = 20
    """Groups that members vote for."""
    bags: Annotated[int, Field(ge=1, le=1000)] = 8
    """Resampled subsets on which members are fitted."""
    resample: Literal["hash", "none"] = "hash"
    """`hash` draws each bag by a hash of the object ids; `none` fits on every object (with `bags = 1`)."""
    families: list[Literal["kmeans", "birch", "ward"]] = ["kmeans", "birch", "ward"]
    """One member of each family is fitted on each bag."""
    bag_rows: Annotated[int, Field(ge=10)] = 100_000
    """Objects in a bag, at most about."""
    pilot_rows: Annotated[int, Field(ge=10)] = 20_000
    """Objects, at most about, on which strata, the reference and the alignment rest."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of every draw."""

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
    """Smallest agreement that keeps an object."""


class Publish(Section):
    """The catalog that comes out."""

    rows_per_partition: Annotated[int, Field(ge=1)] = 500_000
    """Objects in a HATS partition, at most."""
    embeddings: bool = True
    """Publish the embeddings as a catalog of their own."""


class Config(Section):
    """A whole config file."""

    model_config = ConfigDict(serialize_by_alias=True)

    survey: Survey
    run: Run = Run()
    denoise: Denoise | None = None
    encode: Encode = Encode()
    measure: Measure = Measure()
    reduce: Reduce = Reduce()
    fit: Fit = Fit()
    vote: Vote = Vote()
    augment: Augment = Augment()
    classes: Classes = Classes()
    publish: Publish = Publish()
    train: Train = Train()
    validation: Validate = Field(default=Validate(), alias="validate")  # pydantic has a method `validate`


def load(path: str | Path) -> tuple[Config, str]:
    """Read a config.

    Returns
    -------
    config : Config
    folder : str
        The file's folder, which relative paths are relative to.

    Raises
    ------
    Refused
        If the file is missing, is no TOML, or has a key or value that is not allowed.
    """
    path = Path(path)
    return parse(read_toml(path), str(path)), str(path.resolve().parent)


def parse(values: dict[str, Any], name: str) -> Config:
    """Check a config that is already read; `name` stands in its faults."""
    return checked(Config, values, name)
