"""Everything measured at once: what pathological objects must not do, and that nothing is missing without a word."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from kernels.measure import flags as flags_
from kernels.measure.flags import EXPLAINS, MeasureFlag
from kernels.measure.morphology import Optics, measure
from kernels.measure.multimode import multimode
from kernels.measure.psf import full_width, gaussian
from kernels.measure.quantities import QUANTITIES
from kernels.measure.regions import blur, petrosian_region
from kernels.measure.smoothness import smoothness
from tests.kernels.test_measure import SIDE, draw, everywhere, galaxies, nothing

Found = dict[str, torch.Tensor]


def noise(n: int = 1) -> torch.Tensor:
    return torch.randn(n, SIDE, SIDE, generator=draw())


def looked_at(images: torch.Tensor, bad: torch.Tensor | None = None, optics: Optics | None = None) -> Found:
    bad = nothing(images) if bad is None else bad
    return measure(images, bad, optics)


def carries(found: Found, flag: MeasureFlag) -> bool:
    return bool((found["measure_flags"] & flag > 0).all())


def blob(x: float, y: float, sigma: float, peak: float) -> torch.Tensor:
    line = torch.arange(SIDE)
    return (peak * torch.exp(-((line - x) ** 2 + (line[:, None] - y) ** 2) / (2 * sigma**2)))[None]


GALAXY = galaxies(1)
BAD = nothing(GALAXY)
RAY = blob(23, 23, 0.1, 3000.0) + blob(24, 24, 0.1, 3000.0) + blob(25, 25, 0.1, 3000.0)
PATHOLOGIES = {
    "star": blob(23.4, 23.1, 1.3, 800.0) + noise(),
    "blank": torch.zeros(1, SIDE, SIDE),
    "negative": -GALAXY + noise(),
    "all_nan": torch.full((1, SIDE, SIDE), torch.nan),
    "infinite": GALAXY / 0.0 + noise(),
    "only_noise": noise(),
    "two_nuclei": blob(19, 23, 2.5, 100.0) + blob(28, 23, 2.5, 100.0) + noise(),
    "three_pixels": torch.where(RAY > 1000, 60.0, 0.0) + noise(),
    "larger_than_the_stamp": blob(23.5, 23.5, 40.0, 100.0) + noise(),
    "saturated_core": GALAXY.clamp(max=40.0) + noise(),
    "cosmic_ray": GALAXY + RAY + noise(),
    "gradient": GALAXY + noise() + torch.linspace(-5, 5, SIDE),
    "on_the_border": blob(SIDE - 1.0, 24.0, 3.0, 100.0) + noise(),
    "huge": GALAXY * 1e30 + noise() * 1e28,
    "noiseless": torch.where(GALAXY > 1, GALAXY, 0.0),
}


@pytest.mark.parametrize("name", PATHOLOGIES)
def test_value_is_missing_without_a_flag_that_says_why(name: str) -> None:
    found = looked_at(PATHOLOGIES[name], optics=Optics(gaussian(2.5), 2.5))
    flags = int(found["measure_flags"])
    for column in (name for columns in QUANTITIES.values() for name in columns):
        value = float(found[column])
        assert not np.isinf(value), column
        if np.isnan(value):
            assert flags & EXPLAINS[column], (column, flags)


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("star", MeasureFlag.BELOW_PSF),
        ("blank", MeasureFlag.NO_OBJECT),
        ("negative", MeasureFlag.NO_OBJECT),
        ("all_nan", MeasureFlag.NO_OBJECT),
        ("infinite", MeasureFlag.NO_OBJECT),
        ("larger_than_the_stamp", MeasureFlag.NO_RADIUS),
        ("on_the_border", MeasureFlag.NO_OBJECT),
        ("noiseless", MeasureFlag.NO_NOISE),
    ],
)
def test_pathology_is_not_named(name: str, flag: MeasureFlag) -> None:
    assert carries(looked_at(PATHOLOGIES[name], optics=Optics(gaussian(3.5), 3.5)), flag)


def test_all_pixels_masked() -> None:
    found = looked_at(GALAXY, ~BAD)
    assert carries(found, MeasureFlag.NO_OBJECT)
    assert found["gini"].isnan().all()


def test_two_equal_nuclei_are_two() -> None:
    """In one envelope: two that stand apart are two objects."""
    nuclei = blob(20, 23, 2.0, 140.0) + blob(27, 23, 2.0, 140.0) + blob(23, 23, 6.0, 100.0)
    found, one = looked_at(nuclei + noise()), looked_at(blob(23, 23, 4.0, 100.0) + noise())
    assert float(found["multimode"]) > 0.5 > float(one["multimode"])
    assert float(found["intensity"]) > 0.6 > float(one["intensity"])
    assert float(found["m20"]) > float(one["m20"]) + 0.3


def test_saturated_core_moves_the_centre() -> None:
    clean, found = looked_at(GALAXY + noise()), looked_at(PATHOLOGIES["saturated_core"])
    for name, within in (("x_centre", 0.5), ("y_centre", 0.5), ("r50", 1.0), ("position_angle", 5.0)):
        assert abs(float(found[name] - clean[name])) < within, name


def test_gradient_in_the_background_changes_the_galaxy() -> None:
    clean, found = looked_at(GALAXY + noise()), looked_at(PATHOLOGIES["gradient"])
    for name, within in (
        ("x_centre", 0.3),
        ("y_centre", 0.3),
        ("r50", 0.5),
        ("gini", 0.03),
        ("sersic_n", 0.4),
    ):
        assert abs(float(found[name] - clean[name])) < within, name
    assert float(found["sn_pixel"]) < 0.5 * float(clean["sn_pixel"])  # the gradient counts as noise


def test_three_pixels_are_a_galaxy() -> None:
    found = looked_at(PATHOLOGIES["three_pixels"], optics=Optics(gaussian(2.5), 2.5))
    for flag in (MeasureFlag.BELOW_PSF, MeasureFlag.NO_SMOOTHNESS, MeasureFlag.FIT_LIMIT):
        assert carries(found, flag), flag


def test_neighbour_is_close_without_a_word() -> None:
    for away, said in ((14, True), (20, False)):
        found = looked_at(blob(20, 23, 2.0, 100.0) + blob(20 + away, 23, 2.0, 100.0) + noise())
        assert carries(found, MeasureFlag.NEIGHBOUR) == said
        assert abs(float(found["x_centre"]) - 20) < 0.3


def test_masked_cosmic_ray_changes_what_is_measured() -> None:
    clean, found = looked_at(GALAXY + noise()), looked_at(PATHOLOGIES["cosmic_ray"], RAY > 1)
    assert carries(found, MeasureFlag.BAD_PIXELS)
    for name, within in (("gini", 0.02), ("m20", 0.1), ("concentration", 0.15), ("asymmetry", 0.03)):
        assert abs(float(found[name] - clean[name])) < within, name


def test_result_depends_on_its_neighbours_in_the_batch() -> None:
    images = torch.cat([galaxies(30, noise=1.0), *PATHOLOGIES.values()])
    whole = looked_at(images)
    alone = [looked_at(images[i : i + 1]) for i in range(len(images))]
    for name, values in whole.items():
        np.testing.assert_array_equal(values.float(), torch.cat([a[name] for a in alone]).float(), name)


def test_images_are_changed() -> None:
    images, bad = galaxies(3, noise=1.0), nothing(galaxies(3))
    before = images.clone()
    looked_at(images, bad)
    assert torch.equal(images, before)
    assert not bad.any()


def test_no_objects_at_all() -> None:
    found = looked_at(torch.zeros(0, SIDE, SIDE))
    assert all(len(values) == 0 for values in found.values())
    assert set(found) == {name for columns in QUANTITIES.values() for name in columns} | {"measure_flags"}


def test_flags_keep_their_names_and_bits_apart() -> None:
    values = [flag.value for flag in MeasureFlag]
    assert sorted(values) == [1 << k for k in range(len(values))]
    assert all(str(flag.name).lower() in flags_.DESCRIPTION for flag in MeasureFlag)


def test_turned_or_brighter_galaxy_measures_the_same() -> None:
    images = galaxies(8, noise=0.3)
    found = looked_at(images)
    for other in (images.rot90(1, (1, 2)), images.flip(2), 1000 * images):
        again = looked_at(other.contiguous())
        for name in (
            "gini",
            "m20",
            "concentration",
            "r50",
            "r_petro",
            "smoothness",
            "multimode",
            "intensity",
        ):
            np.testing.assert_allclose(again[name], found[name], rtol=0.03, atol=0.01, err_msg=name)


def test_blur_against_scipy() -> None:
    image = noise()[0].numpy()
    for sigma in (0.0, 0.4, 1.0, 3.3, 20.0):
        smooth = np.empty_like(image)
        blur(image, sigma, smooth, 0, image.shape[0], 0, image.shape[1])
        wanted = ndimage.gaussian_filter(image, sigma, mode="constant") if sigma else image
        np.testing.assert_allclose(smooth, wanted, atol=2e-6)


def test_petrosian_region_against_the_obvious_way() -> None:
    images = galaxies(6, noise=1.0)
    centre, radius = everywhere(images, 24.0)[:, None].expand(-1, 2), everywhere(images, 10.0)
    ratio, angle = everywhere(images, 0.6), everywhere(images, 0.4)
    found = petrosian_region(images, nothing(images), centre, radius, ratio, angle).pixels
    y, x = np.mgrid[0:SIDE, 0:SIDE] - 24.0
    along, across = np.cos(0.4) * x + np.sin(0.4) * y, (np.cos(0.4) * y - np.sin(0.4) * x) / 0.6
    ring = np.clip(1 - np.abs(np.hypot(along, across) - 10), 0, None)
    for image, region in zip(images.numpy(), found.numpy(), strict=True):
        smooth = ndimage.gaussian_filter(image, 2.0, mode="constant")
        labels, _ = ndimage.label(smooth >= np.average(smooth, weights=ring), structure=np.ones((3, 3)))
        within = np.where(np.hypot(along, across) <= 10, smooth, -np.inf)
        np.testing.assert_array_equal(region, labels == labels.ravel()[within.argmax()])


def test_smoothness_against_the_obvious_way() -> None:
    images = galaxies(6, noise=1.0)
    sky = nothing(images)
    sky[:, :, :12] = True
    centre, radius = everywhere(images, 26.0)[:, None].expand(-1, 2), everywhere(images, 13.0)
    found = smoothness(images, nothing(images), sky, centre, radius)
    y, x = np.mgrid[0:SIDE, 0:SIDE] - 26.0
    distance = np.hypot(x, y)
    ring = np.clip(1.5 * 13 + 0.5 - distance, 0, 1) - np.clip(0.25 * 13 + 0.5 - distance, 0, 1)
    for image, value in zip(images.double().numpy(), found.numpy(), strict=True):
        out = np.clip(image - ndimage.uniform_filter(image, 3, mode="constant"), 0, None)
        sky_out = out[1:-1, 1:11].mean()
        wanted = (ring * (out - sky_out)).sum() / (ring * image).sum()
        assert value == pytest.approx(wanted, abs=1e-5)


def test_multimode_against_every_threshold() -> None:
    images = ndimage.gaussian_filter(noise(8).numpy(), (0, 1.5, 1.5)) * 10 + 1
    images = torch.from_numpy(images)
    central = torch.zeros(images.shape, dtype=torch.bool)
    central[:, 12:34, 12:34] = True
    found = multimode(images, central)
    for image, inside, value in zip(images.numpy(), central.numpy(), found.multimode.numpy(), strict=True):
        light = np.where(inside & (image > 0), image, 0)
        best = (0.0, 0.0)
        main = _main_heart(light)
        for threshold in np.unique(light[main]):
            _, areas = np.unique(
                ndimage.label(main & (light >= threshold), np.ones((3, 3)))[0], return_counts=True
            )
            areas = np.sort(areas[1:])[::-1]
            if len(areas) > 1:
                best = max(best, (areas[1] ** 2 / areas[0], areas[1] / areas[0]))
        assert value == pytest.approx(best[1])


def _main_heart(light: np.ndarray) -> np.ndarray:
    top = light.argmax()

    def main(pixels: np.ndarray) -> np.ndarray:
        labels, _ = ndimage.label(pixels, np.ones((3, 3)))
        return labels == labels.ravel()[top]

    for level in np.sort(light[light > 0])[::-1]:
        heart = main(light >= level)
        if level <= 0.2 * light[heart].mean():
            inside = ndimage.uniform_filter(heart.astype(float), 3, mode="constant") > 0.5
            inside.ravel()[top] = True
            return main(inside)
    return main(light > 0)


def test_width_of_a_point_source() -> None:
    for fwhm in (2.0, 3.3, 6.0):
        psf = gaussian(fwhm)
        assert float(psf.sum()) == pytest.approx(1.0)
        assert full_width(psf) == pytest.approx(np.hypot(fwhm, np.sqrt(8 * np.log(2) / 12)), rel=0.05)
