"""The measurer: stamps in, columns of measured morphology out, in the catalog's units."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch

from actors.bands import POGSON, band_fields, colour_values, in_band, measured_fields
from actors.progress import nobody
from actors.segmenter import Segmenter
from kernels.bags import hash_ids
from kernels.measure.colours import matched
from kernels.measure.flags import MeasureFlag
from kernels.measure.morphology import Optics, measure
from kernels.measure.psf import PSF, full_width, gaussian
from kernels.measure.quantities import LENGTH, columns_of
from kernels.measure.surroundings import EXTENT
from kernels.segmentation.noise_map import NoiseMap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from actors.segmenter import Segmented
    from kernels.measure.quantities import Errors
    from kernels.segmentation.segments import Segments

__all__ = ["Measurer"]

_SHARE = 64  # stamps that a thread measures at a time
_PIXELS = (
    64 * 424**2
)  # of stamps that one thread measures at a time: some seconds, beside which a call takes nothing
_SEED = 0x6E6F697365  # "noise" in ASCII: a stream of its own


class Measurer:
    """Measures one band, or several, of every usable stamp; call it with a table of stamps.

    Parameters
    ----------
    bands, size : int
        Bands and side (pixels) of the stamps.
    band : int
        Which one is measured.
    quantities : sequence of str
        Of `kernels.measure.quantities.QUANTITIES`.
    pixel_scale : float, optional
        Arcsec a pixel; without it lengths are in pixels.
    psf : (y, x) float array, optional
        Image of the PSF, its sum 1.
    fwhm : float, optional
        Of a Gaussian PSF, pixels, where there is no image of it.
    psf_column : str, optional
        Column with a PSF for each stamp, instead of one for all: square images (lists of float32, row by row), or FWHM of Gaussians in pixels; null where
        it is not known. It is taken out of the table.
    gain, zeropoint : float, optional
        Electrons per image unit; magnitude of one image unit.
    holes : int
        Bits of the column ``flags`` that say that zeros in a stamp stand for pixels that are no data.
    photons : bool
        Whether a column ``stamp_noise`` holds the objects' own photon noise: give no gain then.
    name : str, optional
        Of the band, where there are others.
    others : sequence of dict
        Further bands that are measured, and whose fluxes are taken within the circle of this one: their `name`, `band`, `psf`, `fwhm`, `gain` and `zeropoint`.
    errors : {"none", "fast", "full"}
        Whether values have 1-sigma errors, see `kernels.measure.morphology.measure`. Noise that is drawn for "full" follows from ``object_id``.
    threads : int
        Threads that measure; they change no value.
    """

    def __init__(
        self,
        *,
        bands: int,
        size: int,
        band: int,
        quantities: Sequence[str],
        pixel_scale: float | None = None,
        psf: np.ndarray | None = None,
        fwhm: float | None = None,
        psf_column: str | None = None,
        gain: float | None = None,
        zeropoint: float | None = None,
        holes: int = 0,
        photons: bool = False,
        errors: Errors = "none",
        name: str = "",
        others: Sequence[dict[str, Any]] = (),
        threads: int = 1,
    ) -> None:
        self._band, self._errors = band, errors
        self._quantities, self._scale, self._zeropoint = tuple(quantities), pixel_scale, zeropoint
        fields = self.columns(quantities, pixel_scale, zeropoint, errors).schema
        self._zeropoints = {name: zeropoint, **{other["name"]: other["zeropoint"] for other in others}}
        if others:
            fields = [*fields, *band_fields(self._zeropoints, quantities, pixel_scale, errors)]
        self._fields = pa.schema(fields)
        names = [c.name for c in columns_of(quantities, errors) if c.unit == LENGTH]
        self._scaled = {*names, *(in_band(each, other["name"]) for each in names for other in others)}
        self._psf_column = psf_column
        self._optics = _optics(psf, fwhm, gain)
        self._others = [
            (other["name"], other["band"], _optics(other["psf"], other["fwhm"], other["gain"]))
            for other in others
        ]
        self._segmenter = Segmenter(bands=bands, size=size, holes=holes, photons=photons, threads=threads)
        self._threads = threads
        self.progress: Callable[[float], None] = nobody
        """Called with how many more stamps are measured, while a call goes on."""

    @classmethod
    def columns(
        cls,
        quantities: Sequence[str],
        pixel_scale: float | None = None,
        zeropoint: float | None = None,
        errors: Errors = "none",
    ) -> pa.Table:
        """Empty table of the columns that are added."""
        if not quantities:
            return pa.schema([]).empty_table()
        return pa.schema(measured_fields(quantities, pixel_scale, zeropoint, errors)).empty_table()

    @torch.inference_mode()
    def __call__(self, objects: pa.Table, seen: Segmented | None = None) -> pa.Table:
        """Add the columns, null where there is no value, to a table with ``stamp``, ``usable``, ``flags`` and maybe ``stamp_noise`` (see `Segmenter`), whose segments may be known."""
        seen = self._segmenter(objects) if seen is None else seen
        optics = self._optics_of(objects, seen.rows)
        if self._psf_column is not None:
            objects = objects.drop_columns(self._psf_column)
        seeds = None
        if self._errors == "full":
            seeds = hash_ids(objects.column("object_id").to_numpy()[seen.rows], _SEED)
        found = self._values(seen, self._band, optics, self._zeropoint, seeds)
        if self._others:
            found |= self._in_other_bands(found, seen, seeds)
        before = objects.column_names.index("usable")
        for place, field in enumerate(self._fields):
            objects = objects.add_column(
                before + place, field, self._column(field, found, seen.rows, len(objects))
            )
        return objects

    def _values(
        self,
        seen: Segmented,
        band: int,
        optics: Optics,
        zeropoint: float | None,
        seeds: np.ndarray | None,
    ) -> dict[str, torch.Tensor]:
        """The columns of one band."""
        noise = None if seen.noise is None else seen.noise.band(band)
        images, bad = seen.stamps[:, band], seen.bad[:, band]
        found = self._measure(images, bad, seen.segments, optics, noise, seeds)
        _drop_lost(found, found.keys() - {"measure_flags"})
        if "sersic_flux" in found and zeropoint is not None:
            magnitudes = {"sersic_magnitude": zeropoint - 2.5 * found["sersic_flux"].log10()}
            if "sersic_flux_error" in found:
                relative = found["sersic_flux_error"] / found["sersic_flux"]
                magnitudes["sersic_magnitude_error"] = POGSON * relative
            found |= magnitudes
            _drop_lost(found, magnitudes)
        return found

    def _in_other_bands(
        self, found: dict[str, torch.Tensor], seen: Segmented, seeds: np.ndarray | None
    ) -> dict[str, torch.Tensor]:
        """The columns of further bands, and those of all of them together."""
        values: dict[str, torch.Tensor] = {}
        for name, band, optics in self._others:
            of_band = self._values(seen, band, optics, self._zeropoints[name], seeds)
            values |= {in_band(each, name): column for each, column in of_band.items()}
        places = [self._band, *(band for _, band, _ in self._others)]
        gains = [self._optics.gain, *(optics.gain for _, _, optics in self._others)]
        noise = seen.noise
        if noise is not None:
            noise = NoiseMap(noise.total[:, places], noise.sky[:, places])
        centre = torch.stack([found["x_centre"], found["y_centre"]], dim=1)
        radius = EXTENT * found["r_petro_circ"]
        stamps, bad = seen.stamps[:, places], seen.bad[:, places]
        together = matched(stamps, bad, seen.segments, centre, radius, gains, noise)
        for name, column in colour_values(together, self._zeropoints).items():
            values[name] = torch.where(_lost(name, column), torch.nan, column)
        return values

    @torch.inference_mode()
    def _measure(
        self,
        images: torch.Tensor,
        bad: torch.Tensor,
        segments: Segments,
        optics: Optics,
        noise: NoiseMap | None,
        seeds: np.ndarray | None,
    ) -> dict[str, torch.Tensor]:
        """See `kernels.measure.morphology.measure`; each thread takes a few stamps at a time."""
        share = _SHARE if self._threads > 1 else max(1, _PIXELS // images[0].numel()) if len(images) else 1
        if len(images) <= share:
            return measure(images, bad, optics, self._quantities, segments, noise, self._errors, seeds)
        split = [values.split(share) for values in (images, bad)]
        firsts = range(0, len(images), share)
        each = [optics.part(first, share) for first in firsts]
        noises = [None] * len(each) if noise is None else noise.split(share)
        drawn = [None if seeds is None else seeds[first : first + share] for first in firsts]
        parts = []
        for part in self._side_by_side(*split, segments.split(share), each, noises, drawn):
            parts.append(part)
            self.progress(len(part["measure_flags"]) / (1 + len(self._others)))
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _side_by_side(self, *arguments: Iterable[Any]) -> Iterator[dict[str, torch.Tensor]]:
        """What `_measure` says of each, in order."""
        if self._threads == 1:
            yield from map(self._measure, *arguments)
        else:
            with ThreadPoolExecutor(self._threads) as pool:
                yield from pool.map(self._measure, *arguments)

    def _optics_of(self, objects: pa.Table, rows: np.ndarray) -> Optics:
        """What is known of the camera for some rows; those with equal PSFs share one."""
        if self._psf_column is None:
            return self._optics
        column = objects.column(self._psf_column).take(pa.array(rows))
        keys: list[float | bytes | None] = (
            column.to_pylist() if pa.types.is_floating(column.type) else _pixels(column)
        )
        psfs = {key: None if key is None else PSF(_image(key)) for key in dict.fromkeys(keys)}
        return replace(self._optics, psfs=tuple(psfs[key] for key in keys))

    def _column(
        self, field: pa.Field, found: dict[str, torch.Tensor], rows: np.ndarray, length: int
    ) -> pa.Array:
        if pa.types.is_integer(field.type):
            flags = np.full(length, int(MeasureFlag.NO_OBJECT), np.int32)
            flags[rows] = found[field.name].numpy()
            return pa.array(flags)
        values = np.full(length, np.nan)
        values[rows] = found[field.name].numpy()
        if field.name in self._scaled and self._scale is not None:
            values *= self._scale
        single = values.astype(np.float32)
        return pa.array(single, mask=np.isnan(single))


def _optics(psf: np.ndarray | None, fwhm: float | None, gain: float | None) -> Optics:
    image = None if psf is None else torch.tensor(psf)
    if image is not None:
        fwhm = full_width(image)
    elif fwhm is not None:
        image = gaussian(fwhm)
    return Optics(image, fwhm, gain)


def _pixels(lists: pa.ChunkedArray) -> list[float | bytes | None]:
    """The bytes of each list."""
    return [each.values.to_numpy().tobytes() if each.is_valid else None for each in lists]


def _image(psf: float | bytes) -> torch.Tensor:
    """A square image of a FWHM or of pixels."""
    if isinstance(psf, float):
        return gaussian(psf)
    values = np.frombuffer(psf, np.float32)
    side = math.isqrt(len(values))
    return torch.tensor(values.reshape(side, side))


def _drop_lost(found: dict[str, torch.Tensor], names: Iterable[str]) -> None:
    """Take out of columns what is lost, and say so in the flags."""
    for name in names:
        lost = _lost(name, found[name])
        found[name] = torch.where(lost, torch.nan, found[name])
        reason = MeasureFlag.NO_ERROR if name.endswith("_error") else MeasureFlag.NO_LIGHT
        found["measure_flags"] |= torch.where(lost, int(reason), 0).int()


def _lost(name: str, values: torch.Tensor) -> torch.Tensor:
    """Where (n,) bool a column's float32 cannot hold a value: it is too large, or a flux or an error so small that it would be none."""
    none = torch.zeros_like(values, dtype=torch.bool)
    if name.endswith(("flux", "_error")):
        none = (values.float() == 0) & (values != 0)
    return (values.isfinite() & ~values.float().isfinite()) | none
