"""Stamps that are no galaxies: no value leaves what it can physically be, and none is missing without a flag that says why."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from actors.measurer import Measurer
from kernels.measure.flags import EXPLAINS, MeasureFlag
from kernels.measure.quantities import QUANTITIES, columns_of

if TYPE_CHECKING:
    from collections.abc import Callable

FLOAT32 = float(np.finfo(np.float32).max)
RIGHT_ANGLE = 90.0
OPTIONS = {
    "bands": 1,
    "band": 0,
    "quantities": list(QUANTITIES),
    "fwhm": 2.5,
    "zeropoint": 25.0,
    "errors": "fast",
}


def ranges(side: int) -> dict[str, tuple[float, float]]:
    """The smallest and the largest value of every column in stamps of a side."""
    tiny, far = float(np.nextafter(np.float32(0), np.float32(1))), math.hypot(side, side) + 2
    below_one = float(np.nextafter(np.float32(1), np.float32(0)))
    return {
        "sn_pixel": (0, FLOAT32),
        **dict.fromkeys(("x_centre", "y_centre"), (0, side - 1)),
        **dict.fromkeys(("flux", "sersic_flux"), (tiny, FLOAT32)),
        **dict.fromkeys(("r_petro", "r_petro_circ", "r20", "r50", "r80"), (tiny, far)),
        **dict.fromkeys(("ellipticity", "sersic_ellipticity"), (0, below_one)),
        **dict.fromkeys(("position_angle", "sersic_angle"), (-RIGHT_ANGLE, RIGHT_ANGLE)),
        "gini": (0, 1),
        "m20": (-12, 0),
        "concentration": (0, 5 * math.log10(far / 1e-4)),
        "asymmetry": (-2, 2),
        "smoothness": (-1, 1),
        **dict.fromkeys(("blend_fraction", "multimode", "intensity"), (0, 1)),
        "deviation": (0, math.sqrt(math.pi) * far),
        "sersic_n": (0.3 * (1 - 1e-6), 8 * (1 + 1e-6)),
        "sersic_r_e": (tiny, 5 * side),
        "sersic_magnitude": (-100, 150),
        "sersic_sky": (-FLOAT32, FLOAT32),
        "sersic_chi2": (0, FLOAT32),
        "multiplicity": (-50, 700),
        **dict.fromkeys(("g2", "shape_asymmetry"), (0, 2 * (1 + 1e-6))),
        "outer_asymmetry": (-2, 2),
        "rms_asymmetry2": (-4, 4),
    }


def error_ranges() -> dict[str, tuple[float, float]]:
    """The same of errors."""
    tiny, full = float(np.nextafter(np.float32(0), np.float32(1))), {"position_angle", "sersic_angle"}
    effort = OPTIONS["errors"]
    names = [column.name for column in columns_of(OPTIONS["quantities"], effort, zeropoint=True)]
    errors = [name for name in names if name.endswith("_error")]
    return {name: (tiny, 52.0 if name.removesuffix("_error") in full else FLOAT32) for name in errors}


def layer(random: np.random.Generator, side: int) -> np.ndarray:
    """Light, or what is none, with values of about one."""
    line = np.arange(side)
    x, y = np.meshgrid(line, line)
    x0, y0 = random.uniform(-2, side + 1, 2)
    turn, period = random.uniform(0, math.pi), random.uniform(1, side)
    away = np.hypot(x - x0, y - y0)
    along = math.cos(turn) * x + math.sin(turn) * y
    pixel = np.zeros((side, side))
    pixel[tuple(random.integers(0, side, 2))] = 1
    kinds: list[Callable[[], np.ndarray]] = [
        lambda: np.exp(-((away / random.uniform(0.3, side)) ** 2)),
        lambda: np.exp(-away / random.uniform(0.3, side / 2)),
        lambda: np.exp(-((away - side / 4) ** 2)),  # a ring
        lambda: np.sin(along / period),
        lambda: (along / side) ** random.integers(1, 9),
        lambda: (along % period < 1).astype(float),
        lambda: (x + y) % 2 * 2.0 - 1,
        lambda: np.ones((side, side)),
        lambda: pixel,
        lambda: random.normal(size=(side, side)),
        lambda: random.standard_cauchy((side, side)),
        lambda: random.poisson(0.3, (side, side)).astype(float),
        lambda: (away < random.uniform(1, side)).astype(float),
    ]
    return kinds[random.integers(len(kinds))]()


def hostile(seed: int, side: int) -> np.ndarray:
    """A stamp of several layers that may be negative, of very different brightness, cut, rounded, or in a strange unit."""
    random = np.random.default_rng(seed)
    image = np.zeros((side, side))
    for _ in range(random.integers(1, 5)):
        image += (
            random.choice([-1, 1, 1])
            * 10 ** random.uniform(-3, random.choice([1, 3, 9]))
            * layer(random, side)
        )
    if random.random() < 0.2:
        image = image.clip(*np.sort(random.normal(size=2) * np.abs(image).max()))
    if random.random() < 0.2:
        image = np.round(image)
    if random.random() < 0.3:
        image = image / max(np.abs(image).max(), 1e-300) * 10 ** random.uniform(-44, 38.5)
    with np.errstate(over="ignore"):
        image = image.astype(np.float32)
    if random.random() < 0.2:
        top, left = random.integers(0, side, 2)
        image[top : top + random.integers(side), left : left + random.integers(side)] = random.choice(
            [np.nan, np.inf, -np.inf, 0]
        )
    if random.random() < 0.1:
        image[random.random(image.shape) < random.random()] = np.nan
    return image


def measured(images: np.ndarray, gain: float | None = None) -> pa.Table:
    flat = pa.array(images.ravel())
    stamps = pa.FixedSizeListArray.from_arrays(flat, images[0].size)
    usable = pa.array([True] * len(images))
    return Measurer(size=images.shape[-1], gain=gain, **OPTIONS)(
        pa.table({"stamp": stamps, "usable": usable})
    )


def wrong(found: pa.Table, side: int) -> list[tuple[int, str, float | None, int]]:
    """Row, column, value and flags of what no galaxy can have, or what nothing explains."""
    flags = found["measure_flags"].to_numpy()
    answer = []
    for name, (low, high) in (ranges(side) | error_ranges()).items():
        for row, value in enumerate(found[name].to_pylist()):
            fine = bool(flags[row] & EXPLAINS[name]) if value is None else low <= value <= high
            if not fine:
                answer.append((row, name, value, int(flags[row])))
    return answer


def check(seeds: range, side: int) -> None:
    images = np.stack([hostile(seed, side) for seed in seeds])
    gain = [None, 2.0, 1e-6][seeds.start % 3]
    found = measured(images, gain)
    assert not [(seeds[row], *rest) for row, *rest in wrong(found, side)]
    assert (
        not pc.and_(pc.is_null(found["sersic_flux"]), pc.is_valid(found["sersic_magnitude"])).to_numpy().any()
    )
    radii = [found[name].to_numpy() for name in ("r20", "r50", "r80")]
    assert not (radii[0] > radii[1]).any()
    assert not (radii[1] > radii[2]).any()
    cut = 1 + seeds.start % (len(seeds) - 1)
    apart = pa.concat_tables([measured(images[:cut], gain), measured(images[cut:], gain)])
    for name in (*ranges(side), *error_ranges(), "measure_flags"):
        assert apart[name].combine_chunks().equals(found[name].combine_chunks()), name


@pytest.mark.parametrize(
    ("side", "first"),
    [
        (8, 0),
        (13, 0),
        (32, 0),
        (8, 1768),
    ],  # in the last one a fit's flux is negative before it has photon noise
)
def test_hostile_stamp_has_a_value_that_no_galaxy_has(side: int, first: int) -> None:
    check(range(first, first + 96), side)


@pytest.mark.slow
@pytest.mark.parametrize("side", [8, 9, 16, 21, 32, 65, 100])
def test_one_of_many_hostile_stamps_has_a_value_that_no_galaxy_has(side: int) -> None:
    for first in range(1000, 1000 + 16_000 // side, 64):
        check(range(first, first + 64), side)


def test_every_column_has_a_range() -> None:
    declared = Measurer.columns(OPTIONS["quantities"], None, 25.0, "fast").column_names
    assert set(ranges(8)) | set(error_ranges()) | {"measure_flags"} == set(declared)
    every = columns_of(OPTIONS["quantities"], "full", zeropoint=True)
    assert {column.name for column in every} == set(EXPLAINS)


@pytest.mark.parametrize("peak", [3e38, 1e-44])
def test_flux_that_no_float32_holds_is_null_without_a_word(peak: float) -> None:
    line = np.arange(32) - 15.5
    image = peak * np.exp(-np.hypot(line, line[:, None]) / 3)
    found = measured(image[None].astype(np.float32))
    assert found["flux"][0].as_py() is None or found["flux"][0].as_py() > 0
    assert not wrong(found, 32)


def test_negative_pixels_make_an_ellipticity_negative() -> None:
    """A sharpened point source: beside its peak light is negative, and so are both of its second moments."""
    images = np.random.default_rng(5).normal(size=(2, 32, 32)).astype(np.float32)
    for image, beside in zip(images, (0.30, 0.22), strict=True):
        image[15:18, 15:18] = 0
        image[16, 16] = 500
        image[16, [15, 17]] = -beside * 500
        image[[15, 17], 16] = -0.15 * 500
    found = measured(images)
    assert not wrong(found, 32)
    assert found["ellipticity"].to_pylist() == [None, None]
    assert found["x_centre"].null_count == 0
    assert (found["measure_flags"].to_numpy() & MeasureFlag.NO_LIGHT > 0).all()
