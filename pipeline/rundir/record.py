"""What `run.json` must hold: whatever else stands in the file ends in one line, not in a traceback somewhere later."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from catalogs import storage
from catalogs.errors import Fault, Refused
from catalogs.headers import first_line
from pipeline.config.file import Config

__all__ = ["read_record"]

LARGEST = 1 << 42
"""Rows that no FITS table has."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _Shard(_Part):
    label: str
    url: str
    rows: Annotated[int, Field(ge=0, le=LARGEST)]
    identity: str = ""
    """Empty in records of versions that did not look."""


class _Survey(_Part):
    name: str
    synthetic: bool = False


class _Run(_Part):
    slice_rows: Annotated[int, Field(ge=1)]


class _Fit(_Part):
    groups: Annotated[int, Field(ge=2)]


class _Encode(_Part):
    precision: str


class _Config(_Part):
    """What every command reads of a config, whichever version wrote it."""

    survey: _Survey
    run: _Run
    fit: _Fit
    encode: _Encode


class _Fingerprints(_Part):
    model_config = ConfigDict(strict=True, extra="allow")
    __pydantic_extra__: dict[str, str]
    encode: str
    fit: str


class _Seen(_Part):
    values: int
    """`pipeline.plan.fingerprints.VALUES_VERSION`."""
    weights: str
    """Fingerprint of the encoder's, and the denoiser's."""
    pixel_scale: float | None
    """Arcsec."""


class _Files(_Part):
    components: str
    ensemble: str
    classes: str


class _Like(_Part):
    run: str
    files: _Files
    config: dict[str, Any]
    seen: _Seen


class _Record(_Part):
    config: _Config
    source: str
    fingerprints: _Fingerprints
    shards: list[_Shard]
    folder: str = ""
    images: dict[str, str] = {}
    seen: _Seen | None = None
    """None in records of versions that did not say."""
    like: _Like | None = None


class _PartOfARecord(_Record):
    config: dict[str, Any]  # type: ignore[assignment]
    fingerprints: dict[str, str]  # type: ignore[assignment]


def read_record(url: str, *, whole: bool = True) -> dict[str, Any]:
    """Read `run.json`.

    Parameters
    ----------
    url : str
    whole : bool
        Whether the config and the fingerprints must be there; else only what is there must be sound.

    Raises
    ------
    Refused
        If it cannot be read, or does not hold what it must.
    """
    try:
        values = json.loads(storage.read(url))
        sound = (_Record if whole else _PartOfARecord).model_validate(values)
        if values.get("tuningfork") == version("tuningfork"):
            Config.model_validate(values["config"])  # it was written from one
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise _damaged(url, f"{where}: {first['msg']}" if where else first["msg"]) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(url, first_line(error)) from error
    except OSError as error:
        raise Refused([Fault(url, f"cannot be read ({error.strerror or error})", "Mend that")]) from error
    return {
        **{key: values[key] for key in ("config", "source", "fingerprints")},
        "shards": [{"identity": "", **shard} for shard in values["shards"]],
        "folder": sound.folder,
        "images": sound.images,
        "seen": values.get("seen"),
        "like": values.get("like"),
    }


def _damaged(url: str, why: str) -> Refused:
    return Refused([Fault(url, f"is damaged ({why})", "Restore it, or choose another --out")])
