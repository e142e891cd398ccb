"""A simulated survey with a cosmology: its numbers must agree with each other, and its galaxies with the relations they are drawn by."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table, vstack

from catalogs.inspect import inspect
from catalogs.slices import Slice
from pipeline.config.file import load
from pipeline.simulate import cosmic, exposures, filters, templates
from pipeline.simulate.cosmic_columns import columns
from pipeline.simulate.cosmic_release import simulate_cosmic
from pipeline.simulate.histories import delayed, old_light, young_light

BANDS = ("g", "r", "i", "z", "y")


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sim") / "release"
    simulate_cosmic(folder, 400, shards=3, seed=2, workers=1)
    return folder


@pytest.fixture(scope="module")
def rows(release):
    return vstack([Table.read(path) for path in sorted((release / "catalogs").iterdir())])


@pytest.fixture(scope="module")
def galaxies():
    return [cosmic.sample(2, index) for index in range(400)]


def test_bytes_do_not_depend_on_the_number_of_workers(release, tmp_path):
    simulate_cosmic(tmp_path / "again", 400, shards=3, seed=2, workers=2)
    for path in sorted(p for p in release.rglob("*") if p.is_file()):
        assert (tmp_path / "again" / path.relative_to(release)).read_bytes() == path.read_bytes(), path.name


def test_rows_do_not_depend_on_the_shards(release, tmp_path):
    simulate_cosmic(tmp_path / "one", 400, shards=1, seed=2, workers=2)
    parts = [fits.getdata(p).tobytes() for p in sorted((release / "catalogs").iterdir())]
    whole = fits.getdata(tmp_path / "one" / "catalogs" / "shard-0000.fits").tobytes()
    assert whole == b"".join(parts)
    assert (tmp_path / "one" / "truth.parquet").read_bytes() == (release / "truth.parquet").read_bytes()


def test_noise_of_a_band_does_not_depend_on_the_others():
    galaxy = cosmic.sample(2, 7)
    all_, some = exposures.expose(galaxy, 2, 7, BANDS), exposures.expose(galaxy, 2, 7, ("r", "i"))
    np.testing.assert_allclose(all_.stamp[1:3], some.stamp, rtol=1e-4, atol=1e-2)


def test_every_column_says_what_it_is(release):
    header = fits.getheader(release / "catalogs" / "shard-0000.fits", 1)
    unitless = {"object_id", "class", "redshift", "log_mass", "log_ssfr", "sersic_n", "ellipticity"}
    unitless |= {"bulge_to_total", "arms", "knots", "sn"}
    for number, column in enumerate(columns(BANDS), start=1):
        assert header[f"TTYPE{number}"] == column.name
        assert header[f"TCOMM{number}"]
        assert header[f"TUCD{number}"]
        assert (f"TUNIT{number}" in header) != (column.name in unitless), column.name


def test_a_run_reads_what_was_written(release, rows):
    config, folder = load(release / "survey.toml")
    read = inspect(config.survey, folder).read(Slice(0, 0, 5))
    stamps = np.array(read["stamp"].combine_chunks().flatten()).reshape(5, 5, 64, 64)
    np.testing.assert_array_equal(stamps, rows["IMAGE"][:5])
    assert read["mag_i"].to_pylist() == rows["mag_i"][:5].tolist()


def test_truth_is_in_the_catalog_too(release, rows):
    truth = pq.read_table(release / "truth.parquet")
    for name in truth.column_names:
        assert truth[name].to_pylist() == rows[name].tolist()
    assert set(truth["class"].to_pylist()) == {"SPH", "ETD", "LTD", "IRR"}


def test_a_clean_stamp_holds_the_flux_of_the_spectrum(galaxies):
    small = [(i, g) for i, g in enumerate(galaxies) if g.form.r_e < 0.4][:40]
    for index, galaxy in small:
        seen = exposures.expose(galaxy, 2, index, BANDS, noisy=False)
        through = filters.broad() @ galaxy.light.sum(axis=0)
        wanted = [through[filters.BANDS.index(band)] for band in BANDS]
        np.testing.assert_allclose(seen.stamp.sum(axis=(1, 2)), wanted, rtol=0.04)


def test_catalog_fluxes_are_off_by_their_errors(galaxies):
    seen = [exposures.expose(galaxy, 2, index, BANDS) for index, galaxy in enumerate(galaxies)]
    true = np.array([galaxy.fluxes.sum(axis=1) for galaxy in galaxies])
    flux, error = np.array([s.flux for s in seen]), np.array([s.flux_error for s in seen])
    pulls = ((flux - true) / error)[flux < 60 * error]
    assert abs(np.median(pulls)) < 0.1
    assert 0.9 < 1.4826 * np.median(np.abs(pulls)) < 1.15


def test_errors_of_vectors_are_their_scatter_and_gaps_have_no_weight(rows, galaxies):
    light = [galaxy.light.sum(axis=0) for galaxy in galaxies]
    sed = (rows["sed"] - np.array([filters.medium() @ f for f in light])) * np.sqrt(rows["sed_ivar"])
    assert np.std(sed) == pytest.approx(1, rel=0.05)
    pulls = (rows["spectrum"] - np.array([filters.binned(f) for f in light])) * np.sqrt(rows["spectrum_ivar"])
    seen = rows["spectrum_ivar"] > 0
    assert np.std(pulls[seen]) == pytest.approx(1, rel=0.02)
    assert not np.any(rows["spectrum"][~seen])
    telluric = np.abs(rows["spectrum_wavelength"][0] - 762.5) < 3
    assert not np.any(seen[:, telluric])
    assert 0.9 < seen.mean() < 0.99


def test_a_missing_magnitude_is_a_flux_in_the_noise(rows):
    lost = np.isnan(np.ma.filled(rows["mag_u"], np.nan))
    assert 0 < lost.sum() < 100
    assert np.all((rows["flux_u"] < 2 * rows["flux_u_err"]) == lost)
    found = ~lost
    np.testing.assert_allclose(10 ** (0.4 * (31.4 - rows["mag_u"][found])), rows["flux_u"][found], rtol=1e-4)


def test_a_spectrum_integrates_to_the_flux_through_a_filter(galaxies):
    curve = filters.transmission(*filters.EDGES["r"])
    weights = np.interp(filters.SPECTRUM_WAVELENGTHS, templates.OBSERVED, curve)
    for galaxy in galaxies[:50]:
        light = galaxy.light.sum(axis=0)
        through = weights @ filters.binned(light) / weights.sum()
        assert through == pytest.approx(galaxy.fluxes.sum(axis=1)[filters.BANDS.index("r")], rel=0.01)


def test_the_medium_bands_tile_the_spectrum(galaxies):
    inner = slice(2, -1)
    edges = filters.MEDIUM_EDGES[inner]
    for galaxy in galaxies[:50]:
        light = galaxy.light.sum(axis=0)
        inside = np.digitize(templates.OBSERVED, edges[[0, -1]]) == 1
        assert (filters.medium() @ light)[inner].mean() == pytest.approx(light[inside].mean(), rel=0.01)


def test_a_redshifted_source_is_the_k_corrected_one():
    """Against an integral that knows nothing of the shift on the grid: m = M + DM + K (Hogg et al. 2002)."""
    luminosity = old_light(delayed(8.0, 0.5), 0.1) + young_light(delayed(8.0, 4.0), 0.3, 0.5)
    for redshift in (0.0213, 0.3071, 0.7, 1.1999):
        low, high = filters.EDGES["r"]
        wave = np.geomspace(low * 0.9, high * 1.1, 200_000)
        curve = 1 / (1 + np.exp(-np.log(wave / low) / filters.SOFTNESS))
        curve /= 1 + np.exp(np.log(wave / high) / filters.SOFTNESS)
        emitted = np.interp(wave / (1 + redshift), templates.REST, luminosity)
        distance = filters.COSMOLOGY.luminosity_distance(redshift).to_value(u.cm)
        wanted = (1 + redshift) * np.average(emitted, weights=curve / wave * np.gradient(wave))
        wanted /= 4 * np.pi * distance**2 * 1e-32
        found = filters.broad()[filters.BANDS.index("r")] @ filters.observed(luminosity, redshift)
        assert found == pytest.approx(wanted, rel=2e-3)


def test_surface_brightness_dims_by_the_fourth_power():
    """Bolometric flux over solid angle of one galaxy at two redshifts (Tolman 1930)."""

    def surface(redshift):
        # f_nu over the band that the redshift carries along: one factor 1 + z of bandwidth less.
        return filters.dilution(redshift) / (1 + redshift) / filters.arcsec_per_kpc(redshift) ** 2

    assert surface(0.1) / surface(1.0) == pytest.approx((2.0 / 1.1) ** 4, rel=1e-3)


def test_the_break_and_lines_move_with_the_redshift():
    luminosity = old_light(delayed(10.0, 0.3), 0.0)
    emission = young_light(delayed(10.0, 8.0), 0.0, 0.3) + old_light(delayed(10.0, 8.0), 0.0)
    for redshift in (0.2, 0.5, 0.9):
        f = filters.observed(luminosity, redshift)

        def mean(low, high, f=f, redshift=redshift):
            place = templates.OBSERVED / (1 + redshift)
            return f[(place > low) & (place < high)].mean()

        # D4000 of Balogh et al. (1999): above 1.6 in old galaxies.
        assert 1.6 < mean(4000, 4100) / mean(3850, 3950) < 2.3
        line = templates.OBSERVED[
            np.argmax(
                np.where(
                    np.abs(templates.OBSERVED / (1 + redshift) - 5006) < 60,
                    filters.observed(emission, redshift),
                    0,
                )
            )
        ]
        assert line == pytest.approx(5006.8 * (1 + redshift), rel=1e-3)


def test_sizes_follow_mass_and_kind(galaxies):
    mass, size_, old = (
        np.array([getattr(g, name) for g in galaxies]) for name in ("log_mass", "r_e_kpc", "kind")
    )
    old, shrink = np.isin(old, ["SPH", "ETD"]), np.log10([1 + g.redshift for g in galaxies])
    slope, zero = np.polyfit(mass[~old] - 10.7, np.log10(size_[~old]) + 0.75 * shrink[~old], 1)
    assert slope == pytest.approx(0.22, abs=0.05)
    assert zero == pytest.approx(np.log10(8.9), abs=0.06)
    heavy = old & (mass > 10.5)
    slope, _ = np.polyfit(mass[heavy] - 10.7, np.log10(size_[heavy]) + 1.48 * shrink[heavy], 1)
    assert slope == pytest.approx(0.75, abs=0.15)


def test_early_types_are_red_old_and_heavy(galaxies):
    def median(kind, value):
        return np.median([value(g) for g in galaxies if g.kind == kind and g.redshift < 0.8])

    def colour(galaxy):
        flux = galaxy.fluxes.sum(axis=1)
        return -2.5 * np.log10(flux[filters.BANDS.index("g")] / flux[filters.BANDS.index("i")])

    for value in (colour, lambda g: g.age, lambda g: g.log_mass, lambda g: -g.log_ssfr):
        order = [median(kind, value) for kind in ("SPH", "LTD", "IRR")]
        assert order == sorted(order, reverse=True)
        assert order[0] > order[2] + 0.3


def test_spirals_are_redder_in_their_middle(galaxies):
    """In r - z, whose PSFs are nearly the same: a galaxy of one colour shows 0.02 mag."""
    spirals = [(n, g) for n, g in enumerate(galaxies) if g.form.arms and g.form.bulge_to_total > 0.05][:30]
    yy, xx = np.mgrid[-32:32, -32:32] + 0.5
    inner, outer = np.hypot(xx, yy) < 2.5, (np.hypot(xx, yy) > 5) & (np.hypot(xx, yy) < 12)
    steeper = []
    for index, galaxy in spirals:
        r, z = exposures.expose(galaxy, 2, index, ("r", "z"), noisy=False).stamp
        steeper.append(2.5 * np.log10(z[inner].sum() / r[inner].sum() * r[outer].sum() / z[outer].sum()))
    assert np.median(steeper) > 0.1
    assert np.mean(np.array(steeper) > 0.03) > 0.8


def test_the_sample_ends_at_its_limits(galaxies):
    magnitude = np.array([g.magnitude for g in galaxies])
    redshift = np.array([g.redshift for g in galaxies])
    assert magnitude.max() < 23 < magnitude.max() + 0.1
    assert magnitude.min() > 17
    assert 0.02 <= redshift.min() < 0.2
    assert 1.1 < redshift.max() <= 1.2
    assert 0.5 < np.median(redshift) < 0.75
    counts = np.histogram(magnitude, [20, 21, 22, 23])[0]
    assert counts[0] < counts[1] < counts[2]


def test_impossible_releases_are_refused(tmp_path):
    for wrong in ({"bands": ("w",)}, {"bands": ()}, {"shards": 11}, {"seed": -1}):
        with pytest.raises(ValueError):
            simulate_cosmic(tmp_path / "x", **{"galaxies": 10, "shards": 1, **wrong})
        assert not (tmp_path / "x").exists()
