"""What a plan finds out of another catalog that is to be extended (`[publish] extends`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalogs import storage
from catalogs.errors import Fault, Refused

if TYPE_CHECKING:
    from catalogs.hats_primary import Primary
    from catalogs.release import Release
    from pipeline.config.file import Config

__all__ = ["look_at_primary", "notes", "position_faults"]


def position_faults(config: Config, source: str) -> list[Fault]:
    """An extension of a release without positions."""
    if config.publish.extends is None or config.survey.ra is not None:
        return []
    problem = "an extension's objects are found by their positions, and the release has none"
    remedy = "Name [survey] ra and dec, or take extends out"
    return [Fault(source, problem, remedy, value=config.publish.extends, key="publish.extends")]


def look_at_primary(
    config: Config, folder: str, source: str, release: Release | None
) -> tuple[Primary | None, list[Fault]]:
    """The catalog that is extended, or what is wrong with it; nothing where none is, or where the release is not known."""
    settings = config.publish
    if settings.extends is None or settings.extends_id is None or release is None:
        return None, []
    faults = position_faults(config, source)
    if faults:
        return None, faults
    url = storage.absolute(settings.extends, folder).rstrip("/")
    if storage.is_local(url):
        url = str(storage.local_path(url).resolve())
    from catalogs import hats_primary  # noqa: PLC0415 - hats loads for seconds, and few catalogs are extended

    ids = release.objects_schema.field("object_id").type
    try:
        return hats_primary.look(url, settings.extends_id, ids, source), []
    except Refused as refused:
        return None, refused.faults


def notes(primary: Primary | None) -> list[str]:
    """What the extension will be."""
    if primary is None:
        return []
    rows = "" if primary.rows is None else f" of {primary.rows:,} objects"
    return [
        f"The catalog{rows} at {primary.url} is extended: its column {primary.id} must have the ids of this release."
    ]
