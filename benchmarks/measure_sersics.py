"""Simulated single-Sérsic galaxies of known truth, for `benchmarks.measure`."""

from __future__ import annotations

import galsim
import numpy as np
import torch

from benchmarks.measure_stamps import StampSet
from kernels.measure.asymmetry import asymmetry
from kernels.measure.gini import gini, m20
from kernels.measure.growth import grow
from kernels.measure.morphology import Optics
from kernels.measure.regions import petrosian_region
from kernels.measure.shapes import ellipse

SIZE, FWHM, BETA, SKY_NOISE, GAIN = 128, 3.4, 3.0, 3.8, 3.0  # as `tuningfork simulate`'s band i
_LOW, _HIGH = 1.0, 50.0  # S/N per pixel
_PRECISE = galsim.GSParams(folding_threshold=2e-3, maximum_fft_size=2**15)
_EXTENT = 1.5  # Petrosian radii


def sersics(
    count: int,
    seed: int = 0,
    size: int = SIZE,
    radii: tuple[float, float] = (2.0, 8.0),
    brightness: tuple[float, float] = (_LOW, _HIGH),
) -> StampSet:
    """Round to thin profiles of n 0.5 to 6 and r_e 2 to 8 pixels, S/N per pixel 1 to 50, or others, through a Moffat PSF.

    S/N is that of Lotz et al. (2004) in the Petrosian region of the image without noise: the flux is set so that it is what was drawn. Noise is the sky's and the
    photons'.
    """
    draw = np.random.default_rng(seed)
    n = np.exp(draw.uniform(np.log(0.5), np.log(6), count))
    r_e = np.exp(draw.uniform(*np.log(radii), count))
    ratio, angle = draw.uniform(0.2, 1, count), draw.uniform(-np.pi / 2, np.pi / 2, count)
    off = draw.uniform(-0.5, 0.5, (count, 2))
    sn = np.exp(draw.uniform(*np.log(brightness), count))
    psf = galsim.Moffat(beta=BETA, fwhm=FWHM, gsparams=_PRECISE)
    clean = np.stack(
        [profile(n[i], r_e[i], ratio[i], angle[i], off[i], psf, size) for i in range(count)]
    )  # of flux 1, to infinity
    centre = torch.from_numpy((size - 1) / 2 + off)
    images = torch.from_numpy(clean)
    no_mask = torch.zeros_like(images, dtype=torch.bool)
    shape = ellipse(images, ~no_mask, centre)
    truth = _truth(images, centre, shape.ratio, shape.angle)
    flux = np.array([_flux(clean[i][truth["region"][i]], sn[i]) for i in range(count)])
    light = clean * flux[:, None, None]
    electrons = draw.poisson(np.clip(light, 0, None) * GAIN)
    noisy = electrons / GAIN + draw.normal(0, SKY_NOISE, light.shape)
    psf_image = psf.drawImage(nx=61, ny=61, scale=1, dtype=np.float32).array
    return StampSet(
        "sersics",
        "single Sérsic profiles",
        torch.from_numpy(noisy.astype(np.float32)),
        no_mask,
        Optics(torch.from_numpy(psf_image / psf_image.sum()), FWHM, GAIN),
        {
            "sn": sn,
            "sersic_n": n,
            "sersic_r_e": r_e,
            "sersic_ellipticity": 1 - ratio,
            "sersic_flux": flux,
            "sersic_angle": np.rad2deg(angle),
            "sersic_sky": np.zeros(count),
            "x_centre": (size - 1) / 2 + off[:, 0],
            "y_centre": (size - 1) / 2 + off[:, 1],
            **{name: values for name, values in truth.items() if name != "region"},
        },
        torch.from_numpy(light.astype(np.float32)),
    )


def profile(
    n: float,
    r_e: float,
    ratio: float,
    angle: float,
    off: np.ndarray,
    psf: galsim.Moffat,
    size: int = SIZE,
) -> np.ndarray:
    round_one = galsim.Sersic(n, half_light_radius=r_e * np.sqrt(ratio), gsparams=_PRECISE)
    thin = round_one.shear(q=ratio, beta=angle * galsim.radians).shift(*off)
    seen = galsim.Convolve(thin, psf, gsparams=_PRECISE)
    return seen.drawImage(nx=size, ny=size, scale=1, dtype=np.float32).array


def _truth(
    images: torch.Tensor, centre: torch.Tensor, ratio: torch.Tensor, angle: torch.Tensor
) -> dict[str, np.ndarray]:
    """What the images without noise show about the true centre, and the Petrosian region."""
    nothing = torch.zeros_like(images, dtype=torch.bool)
    circles = grow(images, nothing, centre)
    circular = circles.petrosian
    elliptical = grow(images, nothing, centre, ratio, angle).petrosian
    region = petrosian_region(images, nothing, centre, elliptical, ratio, angle).pixels
    r20, r50, r80 = (circles.radius(share, _EXTENT * circular) for share in (0.2, 0.5, 0.8))
    no_sky = torch.zeros(len(images), dtype=torch.float64)
    found = {
        "r_petro_circ": circular,
        "r_petro": elliptical,
        "r20": r20,
        "r50": r50,
        "r80": r80,
        "gini": gini(images, region),
        "m20": m20(images, region),
        "concentration": 5 * (r80 / r20).log10(),
        "asymmetry": asymmetry(images, nothing, centre, _EXTENT * circular, no_sky).value,
        "region": region,
    }
    return {name: values.numpy() for name, values in found.items()}


def _flux(light: np.ndarray, sn: float) -> float:
    """The flux at which pixels of such light have a mean S/N."""
    low, high = 0.0, 1e9
    for _ in range(100):
        middle = (low + high) / 2
        seen = middle * light
        reached = np.mean(seen / np.sqrt(SKY_NOISE**2 + np.clip(seen, 0, None) / GAIN))
        low, high = (middle, high) if reached < sn else (low, middle)
    return low
