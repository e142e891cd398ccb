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
    globs = [path for path in templates.values() if path_template.is_glob(path)]
    if not globs:
        return None
    named = "name the tile in a column of the catalog instead, such as {TILE}"
    if layout != "tiles":
        return f'path = {globs[0]!r} is a glob, which is for layout = "tiles": {named}'
    if position != "sky":
        return f'path = {globs[0]!r} is a glob, whose tiles are found by ra and dec, not by position = "pixel": {named}'
    for kind, path in templates.items():
        where = f"[survey.images{'' if kind == 'image' else f'.{kind}'}] path = {path!r}"
        if not path_template.is_glob(path):
            columns = path_template.columns_of(path)
            said = (
                f"names {{{columns[0]}}}, but {globs[0]!r} does not"
                if columns
                else f"has no *, but {globs[0]!r} has"
            )
            return f"{where} {said}: either all paths are globs, or all name the columns"
    return None
