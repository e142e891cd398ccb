"""Globs of tiles: the columns that rows get with the files of the tile that they lie on, in place of those that a path template names."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from catalogs import path_template

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Place", "column_of", "misfit", "places_of"]


class Place(NamedTuple):
    """Where one file of each tile is looked for."""

    kind: str
    """`image`, or the name of a plane's table."""
    template: str
    band: str

    @property
    def column(self) -> str:
        """Column with the file's path, below the config's folder where it lies there."""
        return column_of(self.kind, self.template, self.band)


def column_of(kind: str, template: str, band: str) -> str:
    """A name that no catalog's column has; one for all bands where the file is the same."""
    return f"* {kind} {band}" if path_template.names_band(template) else f"* {kind}"


def places_of(templates: Mapping[str, str], bands: Sequence[str]) -> list[Place]:
    """Where the files of a tile are looked for, each once; first the images of the first band, which are the tiles.

    `templates` are those of the images, `image`, and of planes that have files of their own.
    """
    every = [Place(kind, template, band) for kind, template in templates.items() for band in bands]
    return list({place.column: place for place in reversed(every)}.values())[::-1]


def misfit(templates: Mapping[str, str], layout: str, position: str) -> str | None:
    """What is wrong with globs among the paths of images; None where nothing is."""
    glob = templates.get("image")
    if layout != "tiles" or glob is None or not path_template.is_glob(glob):
        return None
    if position != "sky":
        named = "name the tile in a column of the catalog instead, such as {TILE}"
        return f'path = {glob!r} is a glob, whose tiles are found by ra and dec, not by position = "pixel": {named}'
    for kind, path in templates.items():
        where = f"[survey.images.{kind}] path = {path!r}"
        if columns := path_template.columns_of(path):
            return f"{where} has {{{columns[0]}}}, but path = {glob!r} names no column: write * for it, or the column there too"
        if not path_template.is_glob(path):
            return f"{where} has no *, but path = {glob!r} has: write * for what differs from tile to tile"
    return None
