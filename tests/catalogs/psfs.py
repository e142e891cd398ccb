"""PSFEx models for tests, as PSFEx writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits


def blob(side: int, fwhm: float, ratio: float = 1.0) -> np.ndarray:
    """A Gaussian (side, side) of a FWHM in samples along x, whose sum is about 1."""
    y, x = np.mgrid[:side, :side] - side // 2
    sigma = fwhm / 2.3548
    return np.exp(-(x**2 + (y / ratio) ** 2) / (2 * sigma**2)) / (2 * np.pi * sigma**2 * ratio)


def write_psfex(
    path: Path,
    masks: np.ndarray,
    *,
    names: tuple[str, ...] = ("X_IMAGE", "Y_IMAGE"),
    zero: tuple[float, ...] = (150.0, 160.0),
    scale: tuple[float, ...] = (140.0, 120.0),
    degree: int = 2,
    step: float = 1.0,
    **cards: Any,
) -> Path:
    """Write a model of basis images (k, side, side)."""
    column = fits.Column(
        "PSF_MASK", f"{masks.size}E", dim=str(masks.shape[::-1]), array=masks[None].astype(np.float32)
    )
    table = fits.BinTableHDU.from_columns([column], name="PSF_DATA")
    header = table.header
    header["POLNAXIS"] = len(names)
    for i, (name, offset, unit) in enumerate(zip(names, zero, scale, strict=True), start=1):
        header[f"POLGRP{i}"], header[f"POLNAME{i}"] = 1, name
        header[f"POLZERO{i}"], header[f"POLSCAL{i}"] = offset, unit
    header["POLNGRP"], header["POLDEG1"] = (1, degree) if names else (0, 0)
    header["PSF_FWHM"], header["PSF_SAMP"], header["PSFNAXIS"] = 3.0, step, 3
    for i, size in enumerate(masks.shape[::-1], start=1):
        header[f"PSFAXIS{i}"] = size
    header.update(cards)
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, overwrite=True)
    return path


def varying(side: int = 25, fwhm: float = 3.0, seed: int = 1) -> np.ndarray:
    """Six basis images of a PSF that changes its form across a tile."""
    random = np.random.default_rng(seed)
    base = blob(side, fwhm)
    others = [
        0.2 * (blob(side, fwhm * random.uniform(0.8, 1.3), random.uniform(0.8, 1.2)) - base) for _ in range(5)
    ]
    return np.stack([base, *others])
