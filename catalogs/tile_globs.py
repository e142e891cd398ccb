"""The files that globs of tiles name: which belong to one tile, by the same text in place of the asterisks or by the same footprint."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from catalogs import headers, images, storage
from catalogs.errors import Fault, Refused, listed
from catalogs.footprints import BadFootprint, Outline, outline
from catalogs.image_header import NotAnImage
from catalogs.path_template import filled
from catalogs.tile_columns import Place, places_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalogs.survey import Images

__all__ = ["Files", "files_at", "tiles_of"]

Key = tuple[str | None, ...]
"""What stands in place of a glob's asterisks."""
Files = dict[Place, dict[Key, str]]
"""URLs at each place, the first band's images first."""
STARS = re.compile(r"(\*\*/|\*+)")
NAME_THEM = "Mend the header, keep the file out of [survey.images] path, or name the tiles in a column, such as {TILE}"


def files_at(layout: Images, folder: str) -> Files:
    """The files that globs name.

    Raises
    ------
    Refused
        If one of them names none.
    """
    found = {place: _files(place, folder) for place in places_of(layout.templates, layout.bands)}
    missing: dict[tuple[str, str], list[str]] = {}
    for place, files in found.items():
        if not files:
            missing.setdefault((place.kind, place.template), []).append(place.band)
    _raise_if_any(
        [
            Fault(
                f"[survey.images{'' if kind == 'image' else f'.{kind}'}] path",
                f"no {kind} of band {' or '.join(map(repr, bands))} is at {storage.absolute(template, folder)}",
                "Check path, bands and names",
            )
            for (kind, template), bands in missing.items()
        ]
    )
    return found


def tiles_of(layout: Images, found: Files) -> tuple[list[dict[str, str]], list[Outline]]:
    """The tiles: the files of each, in the order of those of the first band, and its footprint.

    Returns
    -------
    tiles : list of dict
        URLs by the columns of `catalogs.tile_columns`.
    shapes : list of Outline

    Raises
    ------
    Refused
        If one has no footprint, or a band or plane has other tiles than the first band.
    """
    first, *others = found
    tiles = [{first.column: url} for url in found[first].values()]
    shapes = _shapes(list(found[first].values()), layout.hdu)
    faults = list[Fault]()
    for place in others:
        hdu = layout.hdu if place.kind == "image" else layout.planes[place.kind].hdu
        partners, some = _partners(place, hdu, found[first], found[place], shapes)
        faults += some
        for tile, url in zip(tiles, partners, strict=True):
            tile[place.column] = url or ""
    _raise_if_any(faults)
    return tiles, shapes


def _shapes(urls: Sequence[str], hdu: int | str | None) -> list[Outline]:
    """The footprints of images.

    Raises
    ------
    Refused
        With every image that has none.
    """

    def looked_at(url: str) -> Outline | Fault:
        try:
            return outline(images.open_image(url, hdu))
        except BadFootprint as error:
            return Fault(url, str(error), NAME_THEM)
        except NotAnImage as error:
            return Fault(url, str(error), error.remedy)
        except OSError as error:
            return Fault(url, f"cannot be read ({headers.first_line(error)})", "Fetch the file again")

    found = storage.parallel(looked_at, urls)
    _raise_if_any([each for each in found if isinstance(each, Fault)])
    return [each for each in found if isinstance(each, Outline)]


def _files(place: Place, folder: str) -> dict[Key, str]:
    """URLs by what stands in place of the asterisks, in their order."""
    template = filled(place.template, {}, place.band)
    try:
        urls = storage.expand(re.sub(r"([?\[])", r"[\1]", template), folder)
    except (OSError, ValueError, ImportError) as error:  # a host that is not there, a scheme nobody knows
        problem = f"cannot be listed ({headers.first_line(error)})"
        raise Refused(
            [Fault(storage.absolute(template, folder), problem, "Check [survey.images] path")]
        ) from error
    # from the first folder with an asterisk on: what is before it may be another spelling of the same place
    parts = template.split("/")
    tail = "/".join(parts[next(i for i, part in enumerate(parts) if "*" in part) :])
    pieces = [
        {"**/": "((?:.*/)?)"}.get(piece, "([^/]*)") if STARS.fullmatch(piece) else re.escape(piece)
        for piece in STARS.split(tail)
    ]
    pattern = re.compile(rf"(?:.*/)?{''.join(pieces)}")
    return {match.groups(): url for url in urls if (match := pattern.fullmatch(url)) is not None}


def _partners(
    place: Place, hdu: int | str | None, tiles: dict[Key, str], files: dict[Key, str], shapes: list[Outline]
) -> tuple[list[str | None], list[Fault]]:
    """The file at another place that belongs to each tile; and tiles without one, and files of other bands without a tile."""
    partners = [files.get(key) for key in tiles]
    left = [url for key, url in files.items() if key not in tiles]
    alone = [i for i, url in enumerate(partners) if url is None]
    faults, urls = list[Fault](), list(tiles.values())
    if left and alone:
        twins, some = _by_footprint(
            [shapes[i] for i in alone],
            [urls[i] for i in alone],
            dict(zip(left, _shapes(left, hdu), strict=True)),
            place,
        )
        faults += some
        for i, url in zip(alone, twins, strict=True):
            partners[i] = url
        left = [url for url in left if url not in twins]
        alone = [i for i in alone if partners[i] is None]
    whose = f"{place.kind} of band {place.band!r}"
    for i in alone if not faults else []:
        problem = f"there is no {whose} with the same name or the same footprint as this tile"
        faults.append(Fault(urls[i], problem, f"Fetch it, or keep this one out of path ({place.template})"))
    for url in left if place.kind == "image" and not faults else []:
        problem = "no tile of the first band has the same name or the same footprint as this one"
        faults.append(Fault(url, problem, "Fetch that, or keep this one out of [survey.images] path"))
    return partners, faults


def _by_footprint(
    shapes: list[Outline], names: list[str], others: dict[str, Outline], place: Place
) -> tuple[list[str | None], list[Fault]]:
    """Of some files, the one on the pixels of each tile."""
    urls = list(others)
    from scipy.spatial import cKDTree  # noqa: PLC0415 - only globs of tiles need it

    tree = cKDTree(np.stack([other.axes[2] for other in others.values()]))
    found, faults = list[str | None](), list[Fault]()
    for shape, name in zip(shapes, names, strict=True):
        near = tree.query_ball_point(shape.axes[2], np.radians(shape.scale / 3600))
        same = sorted(urls[i] for i in near if shape.is_like(others[urls[i]]))
        if len(same) > 1:
            problem = f"{len(same)} files have the footprint of this tile: {', '.join(same[:3])}"
            faults.append(Fault(name, problem, f"Let path fit one of them ({place.template})"))
        found.append(same[0] if same else None)
    return found, faults


def _raise_if_any(faults: list[Fault]) -> None:
    if faults:
        raise Refused(listed(sorted(faults, key=str), "tiles"))
