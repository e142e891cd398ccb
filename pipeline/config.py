"""The TOML config: every key, its default, and what is refused before anything is opened."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

from pydantic import ConfigDict, Field, ValidationError, model_validator

from catalogs import storage
from catalogs.errors import Fault, Refused
from catalogs.survey import Section, Survey
from pipeline.config_augment import Augment
from pipeline.config_classes import Classes
from pipeline.config_measure import Measure
from pipeline.config_serving import Served
from pipeline.config_training import Train
from pipeline.config_validate import Validate

if TYPE_CHECKING:
    from collections.abc import Iterator

Checked = TypeVar("Checked", bound=Section)

PATTERNS = {
    r"^(timm:.+|galaxy-atto)$": "galaxy-atto or timm:NAME",
    r"^timm:.+$": "timm:NAME",
    r"^[^\s/]+$": "a name without spaces and slashes",
    r"^[A-Za-z0-9_.-]+$": "a name of letters, digits, underscores, dots and hyphens",
    r"^grpcs?://[^/:]+:\d+$": "grpc://HOST:PORT, or grpcs://HOST:PORT for TLS",
    r"\S": "a text that is not blank",
}
"""The patterns of texts, in words."""


class Run(Section):
    """How the work is cut up and how it reports."""

    slice_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    """Catalog rows in a slice: the unit of work, of commit and of retry."""
    read_cpus: Annotated[float, Field(gt=0)] = 0.5
    """CPUs that Ray sets aside for each task that cuts stamps."""
    object_store_gib: Annotated[float, Field(ge=0.1)] = 1.0
    """Shared memory for slices in flight, in GiB, where the run starts its own Ray."""
    dashboard: bool = False
    """Start the Ray dashboard on http://127.0.0.1:8265 where the run starts its own Ray."""
    interval: Annotated[float, Field(gt=0)] = 10.0
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
    batch_size: Annotated[int, Field(ge=1)] = 128
    """Stamps that the model sees at once."""
    workers: Annotated[int, Field(ge=1)] = 2
    """Actors in the pool: on CPUs about one a core, on GPU machines one a GPU. A run's own Ray leaves readers room, with a note."""
    cpus: Annotated[float, Field(gt=0)] = 0.5
    """CPUs that Ray sets aside for an actor."""
    gpus: Annotated[float, Field(ge=0)] = 0.0
    """GPUs of an actor; 0 encodes on the CPU."""
    threads: Annotated[int, Field(ge=1)] = 1
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


def read_toml(path: Path) -> dict[str, Any]:
    """Values of a TOML file; refused where it is missing or is no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refused(
            [Fault(str(path), f"cannot be read ({error.strerror})", "Give the path of a TOML file")]
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused([Fault(str(path), f"is no TOML ({error})", "Correct the file")]) from error


def credentials_fault(name: str, key: str | None = None) -> Fault:
    """What is wrong with a URL that holds a secret; it is not shown, since logs are kept."""
    remedy = "Take them out, and give them in the environment (AWS_ACCESS_KEY_ID …; docs/security.md)"
    return Fault(name, "a URL with credentials would stand in every log and file of the run", remedy, key=key)


def parse(values: dict[str, Any], name: str) -> Config:
    """Check a config that is already read; `name` stands in its faults."""
    return checked(Config, values, name)


def checked(model: type[Checked], values: dict[str, Any], name: str, page: str = "docs/config.md") -> Checked:
    """Values of a file as a section, or a refusal with every fault in them; `name` stands in the faults, and their page."""
    secret = [
        credentials_fault(name, key) for key, text in _texts(values) if storage.carries_credentials(text)
    ]
    if secret:
        raise Refused(secret)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        wrong: dict[str, list[Any]] = {}
        for details in error.errors():
            wrong.setdefault(".".join(_keys(values, details)), []).append(details)
        # A value that may be a list, and is one with a wrong entry, is not wrong for being no string.
        wrong = {
            key: d for key, d in wrong.items() if not any(other.startswith(f"{key}.") for other in wrong)
        }
        raise Refused([_fault(model, name, page, key, details) for key, details in wrong.items()]) from error


def _texts(values: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a config, and the dotted name of its key."""
    if isinstance(values, str):
        yield key, values
    elif isinstance(values, dict):
        for name, value in values.items():
            yield from _texts(value, f"{key}.{name}".lstrip("."))
    elif isinstance(values, list):
        for value in values:
            yield from _texts(value, key)


def _keys(values: Any, details: Any) -> list[str]:
    """The keys to the wrong value; where a value may be of several types, pydantic's path goes on into the types."""
    keys = []
    for part in details["loc"]:
        here = isinstance(values, dict) and part in values
        if not here and not (isinstance(values, list) and isinstance(part, int) and part < len(values)):
            if details["type"] == "missing" and part == details["loc"][-1]:
                keys.append(str(part))
            # The rest of the path names a type, or an entry of a list behind one.
            continue
        keys.append(str(part))
        values = values[part]
    return keys


def _fault(model: type[Section], name: str, page: str, key: str, alternatives: list[Any]) -> Fault:
    # Where one of several types fitted but for something inside it, that is what the author meant.
    deepest = max(len(details["loc"]) for details in alternatives)
    details = next(d for d in alternatives if len(d["loc"]) == deepest)
    value = None if isinstance(details["input"], dict) else repr(details["input"])[:80]
    section, _, rest = key.partition(".")
    see = f"See [{section}] in {page}" if rest else f"See {page}"
    if details["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key.rpartition(".")[2], _known(model, key), 1)
        remedy = f"Did you mean {near[0]}? {see}" if near else f"{see} for the keys there are"
        return Fault(name, "unknown key", remedy, value=value, key=key)
    if details["type"] == "missing":
        return Fault(name, "this key is missing", f"Add it. {see}", key=key)
    problems = list(dict.fromkeys(_problem(d) for d in alternatives))
    problem = " or ".join([problems[0], *(p.removeprefix("must be ") for p in problems[1:])])
    return Fault(name, problem, see, value=value, key=key or None)


def _problem(details: Any) -> str:
    kinds = {
        "model_type": "must be a table",
        "list_type": "must be a list",
        "dict_type": "must be a table",
        "float_type": "must be a number",
    }
    kinds |= {
        "string_type": "must be a text",
        "int_type": "must be a whole number",
        "bool_type": "must be true or false",
    }
    if details["type"] in kinds:
        return kinds[details["type"]]
    if details["type"] == "string_pattern_mismatch":
        return f"must be {PATTERNS[details['ctx']['pattern']]}"
    told = str(details["msg"]).removeprefix("Value error, ")
    for pydantic, plain in (
        ("Input should be", "must be"),
        ("List should have", "must have"),
        (" after validation", ""),
    ):
        told = told.replace(pydantic, plain)
    return told.rstrip(".")


def _known(model: type[Section], key: str) -> list[str]:
    """Keys of the table that a dotted name is in."""
    for part in key.split(".")[:-1]:
        field = next((f for name, f in model.model_fields.items() if part == (f.alias or name)), None)
        kinds = [field.annotation, *get_args(field.annotation)] if field else []
        inner = next((k for k in kinds if isinstance(k, type) and issubclass(k, Section)), None)
        if inner is None:
            return []
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]
