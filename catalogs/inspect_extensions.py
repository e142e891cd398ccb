"""Look at every HDU that holds a stamp, or the mask or weights of one, before any work starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from catalogs import bounds, headers, images, masks, storage
from catalogs.errors import Fault
from catalogs.image_header import NotAnImage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from astropy.io import fits

    from catalogs.image_header import ImageHeader
    from catalogs.survey import Images

__all__ = ["extension_faults"]


class _Place(NamedTuple):
    """An HDU of a file."""

    url: str
    hdu: int | str


class _Use(NamedTuple):
    """What an HDU is wanted for: image, mask or weight; and the catalog's column that names it, if one does."""

    name: str
    column: str | None


def extension_faults(
    layout: Images, rows: Iterable[tuple[Mapping[str, object], Mapping[str, str]]], missing: str
) -> list[Fault]:
    """HDUs that are not there, hold no image, or are no planes of the images that they are named for.

    Parameters
    ----------
    layout : Images
    rows : iterable of (values, urls)
        Values of the columns that name HDUs, and where a stamp (`image`) and its planes (`mask`, `weight`) lie.
    missing : str
        What to do about a file that is not there.
    """
    faults, uses, pairs = list[Fault](), dict[_Place, _Use](), dict[tuple[_Place, _Place], str]()
    for values, urls in rows:
        places = dict[str, _Place]()
        for name, url in urls.items():
            hdu, use = _named(layout, name, values)
            by_name = use.column is None and isinstance(hdu, str)
            if not by_name and (not isinstance(hdu, int) or hdu < 0):
                problem = "the number of an HDU is an integer from 0"
                faults.append(Fault(url, problem, "Correct the column", use.column, repr(hdu)))
                continue
            assert isinstance(hdu, int | str)
            places[name] = _Place(url, hdu)
            uses[places[name]] = use
        image = places.pop("image", None)
        if image is not None:
            pairs |= {(place, image): name for name, place in places.items()}
    files = dict[str, dict[int | str, _Use]]()
    for place, use in sorted(uses.items(), key=str):
        files.setdefault(place.url, {})[place.hdu] = use
    shapes = dict[_Place, tuple[int, int]]()
    for found, seen in storage.parallel(lambda item: _look(layout, *item, missing), sorted(files.items())):
        faults += found
        shapes |= seen
    return faults + _of_other_shapes(pairs, shapes)


def _named(layout: Images, name: str, values: Mapping[str, object]) -> tuple[object, _Use]:
    """The HDU that a row names for a stamp or a plane of it."""
    plane, own = layout.planes.get(name), str(layout.hdu_column)
    if plane is not None and plane.hdu is not None:
        return plane.hdu, _Use(name, None)
    column = own if plane is None or plane.hdu_column is None else plane.hdu_column
    return values[column], _Use(name, column)


def _of_other_shapes(
    pairs: Mapping[tuple[_Place, _Place], str], shapes: Mapping[_Place, tuple[int, int]]
) -> list[Fault]:
    faults = []
    for (plane, image), name in pairs.items():
        ours, theirs = shapes.get(plane), shapes.get(image)
        if ours is not None and theirs is not None and ours != theirs:
            said = [f"{shape[1]} x {shape[0]} pixels" for shape in (ours, theirs)]
            problem = f"the {name} in HDU {plane.hdu!r} has {said[0]}, but HDU {image.hdu} of {image.url} has {said[1]}"
            faults.append(Fault(plane.url, problem, f"Check [survey.images.{name}]"))
    return faults


def _look(
    layout: Images, url: str, wanted: Mapping[int | str, _Use], missing: str
) -> tuple[list[Fault], dict[_Place, tuple[int, int]]]:
    """What is wrong with HDUs that are wanted of a file, and the shapes of the others."""
    faults, shapes, last, left = list[Fault](), dict[_Place, tuple[int, int]](), -1, set(wanted)
    use, correct = min(wanted.values()), "Fetch the file again, or correct "  # "image" if there are any
    try:
        with storage.glancing(url) as (stream, compression):
            for last, header, offset in headers.walk(stream):
                for hdu in _both(last, header) & left:
                    left.remove(hdu)
                    use = wanted[hdu]
                    try:
                        image = images.image_in(url, last, header, offset, compression)
                        _check(layout, use.name, image)
                        shapes[_Place(url, hdu)] = image.shape
                    except NotAnImage as error:
                        faults.append(Fault(url, str(error), correct + _place(use), use.column, str(hdu)))
                if not left:
                    if not headers.is_complete(url, offset + headers.data_bytes(header), compression):
                        faults.append(
                            Fault(url, f"is truncated: it ends inside HDU {last}", "Fetch the file again")
                        )
                    break
    except FileNotFoundError:
        return [Fault(url, f"this {use.name} is missing", missing)], {}
    except bounds.TooLarge as error:
        return [*faults, Fault(url, str(error), error.remedy, use.column, str(last))], {}
    except headers.MALFORMED as error:
        told = headers.first_line(error)
        told = told if isinstance(error, headers.NotFits) else f"cannot be read ({told})"
        return [*faults, Fault(url, told, "Fetch the file again")], {}
    return faults + _not_there(url, wanted, left, last), shapes


def _both(number: int, header: fits.Header) -> set[int | str]:
    """What an HDU may be called."""
    return {number, str(header.get("EXTNAME", "")).strip()}


def _not_there(url: str, wanted: Mapping[int | str, _Use], left: set[int | str], last: int) -> list[Fault]:
    """The last one of the HDUs that a file lacks."""
    if not left:
        return []
    hdu = max(left, key=lambda hdu: (isinstance(hdu, int), hdu))
    there = f"the file has only {last + 1} HDUs (counted from 0)"
    problem = there if isinstance(hdu, int) else f"the file has no HDU {hdu!r}"
    use = wanted[hdu]
    return [Fault(url, problem, f"Fetch the file again, or correct {_place(use)}", use.column, str(hdu))]


def _check(layout: Images, name: str, image: ImageHeader) -> None:
    bounds.check_stamp(image.hdu, image.header)
    images.try_pixels(image)
    if name == "mask" and layout.mask is not None:
        masks.check(layout.mask, image)


def _place(use: _Use) -> str:
    """Where an HDU is named."""
    return "the column" if use.column is not None else f"[survey.images.{use.name}] hdu"
