"""The `[augment]` part of a config: synthetic neighbours for rare groups, in the bags only."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from catalogs.survey import Section


class Augment(Section):
    """Balanced bags: after a first vote, a diffusion model draws synthetic neighbours of the objects in rare groups, and
    members are fitted again on bags that include these. Synthetic objects don't vote, are not counted and are not in the catalog.
    """

    balance: bool = False
    """Fit and vote twice, with synthetic neighbours in the second fit's bags."""
    model: str | None = None
    """Diffusion model that draws them, with the release's bands and stamp size: `efigi` (comes with the package) or a
    safetensors file. Required if `balance` is true."""
    rare: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """A group with a smaller share of the kept objects is under-populated."""
    fill: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """Share of the usable objects that such a group's kept objects and their synthetic neighbours make up together, in the bags."""
    most: Annotated[int, Field(ge=1, le=1_000_000)] = 2000
    """Maximum number of synthetic objects, in all groups together."""
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Scatter of a neighbour's attributes around those of its exemplar, as a fraction of each attribute's range."""
    steps: Annotated[int, Field(ge=1, le=1000)] = 20
    """Steps of the sampling."""
    guidance: Annotated[float, Field(ge=0, le=20)] = 1.0
    """Weight of the condition in the sampling (classifier-free guidance); 1 samples the model as it is."""
    rescale: Annotated[float, Field(ge=0, le=1)] = 0.7
    """How much of the contrast added by guidance is removed."""
    workers: Annotated[int, Field(ge=1, le=100_000)] = 2
    """Actors that draw and encode."""
    gpus: Annotated[float, Field(ge=0, le=64)] = 0.0
    """GPUs of such an actor; 0 draws on the CPU."""
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    """Threads of such an actor on the CPU."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Random seed; each synthetic object has its own, derived from this one and its id."""

    @model_validator(mode="after")
    def _balance_needs_a_model(self) -> Augment:
        if self.balance and self.model is None:
            msg = 'balance = true needs model = "…": efigi, or a safetensors file that `tuningfork train diffusion` wrote'
            raise ValueError(msg)
        return self
