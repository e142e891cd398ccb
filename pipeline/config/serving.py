"""The part of `[encode]` that says which tritonservers encode, and how stamps get there."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from catalogs.survey import Section


class Served(Section):
    """Where encoding happens: here, or by tritonservers."""

    served_by: Literal["tritonserver"] | None = None
    """`tritonserver`: servers encode, and actors only send stamps; left out: actors encode."""
    endpoints: list[Annotated[str, Field(pattern=r"^grpcs?://[^/:]+:\d+$")]] = []
    """Servers, as `grpc://host:port`, or `grpcs://` for TLS; work is spread over them."""
    served_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")] = "encoder"
    """The model's name in the servers' repository."""
    wire: Literal["float32", "float16"] = "float32"
    """Number format in which stamps and embeddings are sent; the exported model has one of them."""
    shared_memory: Literal["auto", "on", "off"] = "auto"
    """Pass stamps through /dev/shm; `auto`: if the server is on the same host and can read it."""
    in_flight: Annotated[int, Field(ge=1, le=64)] = 2
    """Concurrent requests of an actor."""
    timeout: Annotated[float, Field(gt=0, le=1_000_000)] = 60.0
    """Seconds that a request may take before it is sent again."""
    patience: Annotated[float, Field(gt=0, le=1_000_000)] = 120.0
    """Seconds without any answer after which the run stops, resumable."""
    tls_ca: str | None = None
    """PEM file of the CA that signed the servers' certificates; default: the system's."""
    tls_certificate: str | None = None
    """PEM file of this client's certificate."""
    tls_key: str | None = None
    """PEM file of its key."""

    @model_validator(mode="after")
    def _served_by_somebody(self) -> Served:
        if (self.served_by is None) != (not self.endpoints):
            raise ValueError('served_by = "tritonserver" and endpoints come together')
        if len(set(self.endpoints)) < len(self.endpoints):
            raise ValueError("endpoints must name each server once")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key come together")
        return self
