"""Who is in which bag: decided for every object alone, by a hash of its id.

No worker needs to know what the others hold. An object's place in the pilot and in each bag follows from its id, its
code and the seed, so bags do not depend on shards, slices or the order of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kernels.kmeans import distinct_rows, kmeans
from kernels.nearest import finite_matrix, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "FRACTION",
    "Strata",
    "bag_masks",
    "canonical_order",
    "hash_ids",
    "in_pilot",
    "inclusion",
    "stratify",
]

FRACTION = 0.632
"""Largest share of the objects that a bag holds: 1 - 1/e, that of distinct objects in a bootstrap sample (Breiman 1996)."""
_WORD = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_PILOT = 0x70696C6F74  # "pilot" and "order" in ASCII: streams that share no draw with any bag
_ORDER = 0x6F72646572


@dataclass(frozen=True, eq=False)
class Strata:
    """Cells of the code space from which bags are drawn at their own rates.

    Attributes
    ----------
    centres
        (s, d) float32; an object belongs to the nearest.
    shares
        (s,) float64, the share of the population in each, estimated from the pilot; sums to 1.
    """

    centres: NDArray[np.float32]
    shares: NDArray[np.float64]


def hash_ids(ids: NDArray[Any], seed: int) -> NDArray[np.uint64]:
    """Hash object ids to 64 well-mixed bits.

    Parameters
    ----------
    ids
        (n,) integers of any width, or text as numpy str, bytes or object. Equal integers hash equally whatever their
        width, equal ASCII or UTF-8 text whatever its type and padding. n may be 0.
    seed
        Any integer; different seeds give independent hashes.

    Returns
    -------
    ndarray
        (n,) uint64. The finaliser is splitmix64 (Steele, Lea & Flood 2014), a bijection: integer ids never collide.

    Raises
    ------
    TypeError
        For any other type (floats, None, mixtures): a float id has already lost digits.
    """
    key = np.uint64(_mix_int(seed & _WORD))
    array = _plain(ids)
    if array.dtype.kind == "S":
        return _mix(_fold(array) ^ key)
    words = array.astype(np.int64 if array.dtype.kind == "i" else np.uint64).view(np.uint64)
    return _mix(_mix(words + np.uint64(_GOLDEN)) ^ key)


def in_pilot(ids: NDArray[Any], total: int, pilot_rows: int, seed: int) -> NDArray[np.bool_]:
    """Whether each object is in the pilot, a uniform sample of about `pilot_rows` out of `total` objects.

    Returns (n,) bool; everything if `pilot_rows` >= `total`.
    """
    if total < 1 or pilot_rows < 1:
        raise ValueError(f"total and pilot_rows must be positive, got {total} and {pilot_rows}")
    hashes = hash_ids(ids, _mix_int((seed ^ _PILOT) & _WORD))
    return _below(hashes, np.array(min(1.0, pilot_rows / total)))


def stratify(pilot_codes: NDArray[np.floating], strata: int = 32, seed: int = 0) -> Strata:
    """Cut the code space into the k-means cells of the pilot.

    Parameters
    ----------
    pilot_codes
        (n, d) finite, n >= 1, in canonical order.
    strata
        Number of cells. A pilot with fewer distinct codes gets one cell a distinct code: strata steer the sampling
        only, so a tiny release needs no more.
    seed
        Of the k-means.
    """
    codes = finite_matrix(pilot_codes, "pilot_codes").astype(np.float32, copy=False)
    if len(codes) == 0 or strata < 1:
        raise ValueError(
            f"strata need a pilot and at least one cell, got {len(codes)} rows and {strata} strata"
        )
    centres = kmeans(codes, distinct_rows(codes, strata), seed, restarts=1)
    counts = np.bincount(nearest(codes, centres), minlength=len(centres))
    return Strata(centres, counts / len(codes))


def inclusion(
    strata_shares: NDArray[np.float64], total: int, bag_rows: int, fraction: float = FRACTION
) -> NDArray[np.float64]:
    """Probability that an object of each stratum enters a bag.

    Parameters
    ----------
    strata_shares
        (s,) shares of the population.
    total, bag_rows
        Objects of the release, and wanted in a bag.
    fraction
        Largest probability: bags that hold nearly everything would all be the same bag.

    Returns
    -------
    ndarray
        (s,) float64. The uniform rate ``min(fraction, bag_rows / total)``, raised where a stratum would otherwise
        send fewer than ``bag_rows / (4 s)`` rows, at most to `fraction`. Rare objects so keep enough similar objects in every
        bag to form a group; a bag grows by a quarter at most.
    """
    if total < 1 or bag_rows < 1 or not 0.0 < fraction <= 1.0:
        raise ValueError(
            f"total and bag_rows must be positive and fraction within (0, 1], got {total}, {bag_rows}, {fraction}"
        )
    shares = np.asarray(strata_shares, dtype=np.float64)
    uniform = min(fraction, bag_rows / total)
    floor = bag_rows / (4.0 * len(shares))
    # A stratum the pilot saw empty may hold a few objects all the same: it is drawn at the full `fraction`.
    wanted = floor / np.maximum(shares * total, floor)
    return np.maximum(uniform, np.minimum(fraction, wanted))


def bag_masks(
    ids: NDArray[Any],
    codes: NDArray[np.floating],
    strata: Strata | None,
    probabilities: NDArray[np.float64] | None,
    bags: int,
    seed: int,
    resample: Literal["strata", "none"] = "strata",
) -> NDArray[np.bool_]:
    """Which objects enter which bag.

    Parameters
    ----------
    ids
        (n,) as in `hash_ids`.
    codes
        (n, d) finite.
    strata, probabilities
        From `stratify` and `inclusion`; not looked at (may be None) if `resample` is "none".
    bags
        Number of bags.
    seed
        Of the draw; bag b draws the same objects whatever the number of bags.
    resample
        "none" puts every object into the one bag, as the published method does (arXiv 2501.00380).

    Returns
    -------
    ndarray
        (bags, n) bool.
    """
    if bags < 1:
        raise ValueError(f"at least one bag is needed, got {bags}")
    if len(ids) != len(codes):
        raise ValueError(f"{len(ids)} ids for {len(codes)} codes")
    if resample == "none":
        if bags != 1:
            raise ValueError(f"without resampling all bags are the same: ask for 1 bag, not {bags}")
        return np.ones((1, len(ids)), dtype=np.bool_)
    if strata is None or probabilities is None:
        raise ValueError("strata and probabilities are needed unless resample is 'none'")
    wanted = np.asarray(probabilities, dtype=np.float64)[
        nearest(finite_matrix(codes, "codes"), strata.centres)
    ]
    hashes = hash_ids(ids, seed)
    masks = np.empty((bags, len(ids)), dtype=np.bool_)
    for bag in range(bags):
        masks[bag] = _below(_mix(hashes ^ np.uint64(_mix_int(bag + 1))), wanted)
    return masks


def canonical_order(ids: NDArray[Any], seed: int) -> NDArray[np.intp]:
    """Order of rows by (hash, id): a gathered bag becomes the same matrix in whatever order it arrived.

    Returns (n,) indices. The order is as good as random, so any leading part is a uniform sample. An id that occurs
    twice raises ValueError, because its two rows would have no order.
    """
    array = _plain(ids)
    hashes = hash_ids(array, _mix_int((seed ^ _ORDER) & _WORD))
    order = np.argsort(hashes, kind="stable")
    ranked = hashes[order]
    if (ranked[1:] == ranked[:-1]).any():
        order = np.lexsort((array, hashes))
        names = array[order]
        twice = names[1:][(names[1:] == names[:-1]) & (hashes[order][1:] == hashes[order][:-1])]
        if len(twice):
            raise ValueError(f"object ids must be unique, but {len(twice)} repeat, the first is {twice[0]}")
    return order


def _plain(ids: NDArray[Any]) -> NDArray[Any]:
    """Ids as an integer array or as UTF-8 bytes."""
    array = np.asarray(ids)
    if array.ndim != 1:
        raise ValueError(f"ids must be one-dimensional, got shape {array.shape}")
    if array.dtype.kind == "O":
        kinds = {type(item) for item in array}
        if kinds <= {str, np.str_}:
            array = array.astype(np.str_) if len(array) else np.empty(0, dtype="S1")
        elif kinds <= {bytes, np.bytes_}:
            array = array.astype(np.bytes_)
        elif all(issubclass(kind, int | np.integer) and kind is not bool for kind in kinds):
            array = np.array(array.tolist())
        else:
            raise TypeError(
                f"ids must be all integers or all text, got {sorted(kind.__name__ for kind in kinds)}"
            )
    if array.dtype.kind == "U":
        return _utf8(array)
    if array.dtype.kind not in "iuS":
        raise TypeError(f"ids must be integers or text, got {array.dtype}")
    return array


def _utf8(text: NDArray[np.str_]) -> NDArray[np.bytes_]:
    width = text.dtype.itemsize // 4
    if len(text) == 0 or width == 0:
        return np.zeros(len(text), dtype="S1")
    points = np.ascontiguousarray(text, dtype=text.dtype.newbyteorder("=")).view(np.uint32).reshape(-1, width)
    if points.max() < 128:  # ASCII, the usual case: narrowing the code points is the encoding
        return points.astype(np.uint8).view(f"S{width}").ravel()
    return np.char.encode(text, "utf-8")


def _fold(text: NDArray[np.bytes_]) -> NDArray[np.uint64]:
    """Fold bytes into one word, eight at a time; padding beyond a text's own end takes no part."""
    width = max(text.dtype.itemsize, 1)
    padded = np.zeros((len(text), -(-width // 8) * 8), dtype=np.uint8)
    if text.dtype.itemsize:
        padded[:, :width] = np.ascontiguousarray(text).view(np.uint8).reshape(len(text), width)
    filled = padded != 0
    length = np.where(filled.any(axis=1), padded.shape[1] - filled[:, ::-1].argmax(axis=1), 0)
    folded = _mix(length.astype(np.uint64) + np.uint64(_GOLDEN))
    for position, word in enumerate(padded.view("<u8").astype(np.uint64).T):
        folded = np.where(position * 8 < length, _mix(folded ^ word) + np.uint64(_GOLDEN), folded)
    return folded


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _mix_int(value: int) -> int:
    return int(_mix(np.array([(value + _GOLDEN) & _WORD], dtype=np.uint64))[0])


def _below(hashes: NDArray[np.uint64], probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
    """True with the given probabilities, decided by the upper 53 bits, which float64 holds exactly."""
    return (hashes >> np.uint64(11)).astype(np.float64) < probabilities * 2.0**53
