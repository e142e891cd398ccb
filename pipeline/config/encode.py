"""The `[denoise]` and `[encode]` parts of a config: from stamps to embeddings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from catalogs.survey import Section
from kernels.networks import DEFAULT_ENCODER, encoder_pattern, network_of
from pipeline.config.serving import Served


class Denoise(Section):
    """The denoising autoencoder; leave the table out to encode stamps as they are."""

    checkpoint: str = "bundled"
    """`bundled`, or a safetensors file of a denoiser."""


class Encode(Served):
    """From stamps to embeddings."""

    model: Annotated[str, Field(pattern=encoder_pattern())] = DEFAULT_ENCODER.name
    """`galaxy-atto`, trained on galaxies; `galaxy-d4`, `viewpoints`, `astroformer-atto` and `-0` to `-5`, or `ar-1m` to `ar-90m`, which take more than stamps, to be trained; or `timm:NAME`: any timm model."""
    checkpoint: str = "auto"
    """`bundled`, `pretrained` (from the hub), `untrained`, or a safetensors file; `auto`: galaxy-atto's are bundled, all others untrained."""
    input: Annotated[int, Field(ge=16, le=1024)] = DEFAULT_ENCODER.input
    """Side of the image that the model sees."""
    unwrap: Literal["auto", "moments", "apct", "none"] = "auto"
    """Adaptive polar unwrapping: by the light's moments, as in the paper (`apct`), or none; `auto`: as the model was trained,
    none for ours and `moments` for timm's."""
    stretch: Literal["asinh", "linear"] = "asinh"
    """Brightness scale; each stamp is divided by its own peak after it."""
    normalise: Literal["none", "imagenet"] = "none"
    """Whether ImageNet's mean and standard deviation are taken off (the paper does not)."""
    neighbours: Literal["fill", "keep"] = "fill"
    """`fill`: other objects in a stamp are replaced by sky, and by the object's own light where they cover it, before it is encoded; `keep`: the stamp
    is encoded as it is."""
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
        return network_of(self.model).unwrap if self.unwrap == "auto" else self.unwrap

    @property
    def weights(self) -> str:
        """What `checkpoint` means for the model."""
        return network_of(self.model).checkpoint if self.checkpoint == "auto" else self.checkpoint

    @model_validator(mode="after")
    def _turns_divide_the_angles(self) -> Encode:
        if self.unwraps != "none" and self.input % max(2, self.turns):
            raise ValueError(
                f"input = {self.input}: unwrapping needs an even number, divisible by turns = {self.turns}"
            )
        return self
