"""Detection: what `sep` is told, and what is made of its answers."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.detection import BandSum, NoNoise, Settings, flatten, photometry, sources
from kernels.kernel_images import PYRAMID, kernel_of
from kernels.point_sources import are_points, point_radius

SETTINGS = Settings(1.5, 5, 32, 3, PYRAMID, 32, 0.005, 1.0)


def field(places, noise: float = 1.0, side: int = 128, peak: float = 80.0, sigma: float = 2.0) -> np.ndarray:
    yy, xx = np.mgrid[:side, :side]
    image = np.random.default_rng(0).normal(0, noise, (side, side))
    for x, y in places:
        image += peak * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * sigma**2))
    return image.astype(np.float32)


def found(image: np.ndarray, bad=None, **more):
    rms = flatten(image, bad, SETTINGS)
    each = sources(image, rms, bad, SETTINGS)
    return photometry(each, image, rms, bad, **more)


def test_positions_begin_at_zero():
    columns = found(field([(40.3, 81.7)]))
    np.testing.assert_allclose([columns["X_IMAGE"], columns["Y_IMAGE"]], [[41.3], [82.7]], atol=0.1)
    np.testing.assert_allclose(columns["FLUX_RADIUS"], 2.0 * 1.1774, rtol=0.05)
    np.testing.assert_allclose(columns["FLUX_AUTO"], 80 * 2 * np.pi * 4, rtol=0.05)


def test_no_source_is_an_error():
    columns = found(field([]))
    assert all(len(values) == 0 for values in columns.values())


def test_flags_are_those_of_sep_and_not_of_sextractor():
    columns = found(field([(30, 64), (37, 64), (1, 100), (90, 30)]), saturated=np.array([30 * 128 + 90]))
    near = {
        name: int(columns["FLAGS"][np.hypot(columns["X_IMAGE"] - x - 1, columns["Y_IMAGE"] - y - 1) < 2][0])
        for name, x, y in (("pair", 37, 64), ("edge", 1.5, 100), ("saturated", 90, 30))
    }
    assert near["pair"] & 3 == 3
    assert near["edge"] & 24 == 24
    assert near["saturated"] == 4


def test_bad_pixels_hold_sources():
    bad = np.zeros((128, 128), bool)
    bad[:, 64:] = True
    image = field([(30, 64), (90, 64)])
    image[bad] = 0
    columns = found(image, bad)
    assert len(columns["X_IMAGE"]) == 1
    assert columns["X_IMAGE"][0] < 40


@pytest.mark.parametrize("scale", [1e-18, 1.0, 1e12])
def test_a_sum_of_bands_is_not_their_weighted_mean_by_noise(scale):
    rng = np.random.default_rng(1)
    images = [scale * rng.normal(0, 1, (8, 9)) for _ in range(3)]
    noises = [2.0 * scale, scale * rng.uniform(1, 2, (8, 9)), 0.5 * scale]
    bads = [None, rng.random((8, 9)) < 0.3, np.zeros((8, 9), bool)]
    bads[2][2, 3] = bads[1][2, 3] = True
    bands = BandSum((8, 9))
    for image, noise, bad in zip(images, noises, bads):
        each = np.asarray(noise, np.float32) if np.ndim(noise) else noise
        bands.add(image.astype(np.float32), each, bad)
    total, nowhere = bands.result()
    assert nowhere is None
    for j in range(8):
        for i in range(9):
            light = weight = 0.0
            for image, noise, bad in zip(images, noises, bads):
                if bad is None or not bad[j, i]:
                    sigma = np.broadcast_to(noise, (8, 9))[j, i]
                    light, weight = light + image[j, i] / sigma**2, weight + 1 / sigma**2
            np.testing.assert_allclose(total[j, i], light / np.sqrt(weight), rtol=1e-4, atol=1e-5)


def test_an_image_without_noise_is_searched():
    with pytest.raises(NoNoise):
        flatten(np.full((64, 64), 5.0, np.float32), None, SETTINGS)
    with pytest.raises(NoNoise):
        flatten(np.ones((64, 64), np.float32), np.ones((64, 64), bool), SETTINGS)


def test_kernels_are_not_what_their_names_say():
    assert kernel_of("none") is None
    assert kernel_of("default") == PYRAMID
    gauss = np.array(kernel_of(3.0))
    middle = len(gauss) // 2
    assert gauss.shape[0] % 2 == 1
    assert gauss[middle, middle] == 1
    np.testing.assert_allclose(np.interp(1.5, [1, 2], gauss[middle, middle + 1 : middle + 3]), 0.5, atol=0.05)


def test_galaxies_are_taken_for_stars():
    rng = np.random.default_rng(2)
    radius = np.concatenate([1.7 * rng.normal(1, 0.02, 30), rng.uniform(1.9, 8, 200)])
    snr, round_, flags = np.full(230, 50.0), np.full(230, 0.9), np.zeros(230, np.int16)
    star = point_radius(radius, snr, round_, flags)
    assert abs(star / 1.7 - 1) < 0.03
    marked = are_points(radius, snr, round_, star, 0.1, 10.0)
    assert marked[:30].all()
    assert not marked[30:].any()
    assert np.isnan(point_radius(radius[:4], snr[:4], round_[:4], flags[:4]))
    assert not are_points(radius, snr, round_, np.nan, 0.1, 10.0).any()
