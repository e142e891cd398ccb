"""The `[run]` part of a config: how the work is cut up and how it reports."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from catalogs.survey import Section

_SLICE_BYTES = 1 << 28  # of stamps


class Run(Section):
    """How the work is divided, and progress reports."""

    engine: Literal["auto", "local", "ray"] = "auto"
    """Who does the work: `local`, this process alone; `ray`, Ray, on this machine or at `--address`; `auto`: `local` where the plan judges that no more
    than two minutes of work for one core are left and nothing asks for Ray (`--address`, a Ray job, GPUs, the dashboard, balanced bags); it looks again once all is encoded. The bytes are the same."""
    slice_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    """Catalog rows in a slice: the unit of work, of commit and of retry. The default is less where the stamps of 1,024 rows would take more than 256 MiB."""
    read_cpus: Annotated[float, Field(gt=0, le=1024)] = 0.5
    """CPUs that Ray reserves for each task that cuts stamps."""
    object_store_gib: Annotated[float, Field(ge=0.1, le=1_000_000)] = 1.0
    """Shared memory for slices in flight, in GiB, if the run starts its own Ray."""
    tile_cache_gib: Annotated[float, Field(ge=0, le=1_000_000)] = 2.0
    """Disk in GiB that each reader may take for compressed tiles that it has decoded, in files without names in `RAY_TMPDIR`, else `TMPDIR`, else `/tmp`; 0 decodes tiles again for each slice."""
    dashboard: bool = False
    """Start the Ray dashboard on http://127.0.0.1:8265 if the run starts its own Ray."""
    interval: Annotated[float, Field(gt=0, le=86_400)] = 10.0
    """Seconds between JSON progress lines if there is no terminal."""

    def for_stamps_of(self, row_bytes: int) -> Run:
        """The same, with shorter slices for large stamps, of so many bytes a row, if nobody has set how long they are."""
        if "slice_rows" in self.model_fields_set:
            return self
        return self.model_copy(update={"slice_rows": min(self.slice_rows, max(1, _SLICE_BYTES // row_bytes))})

    @property
    def cached_bytes(self) -> int:
        """Of decoded tiles, for each reader."""
        return int(self.tile_cache_gib * 2**30)
