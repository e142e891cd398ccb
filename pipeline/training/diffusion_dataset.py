"""Training data of a diffusion model: the stamps of a release and the conditions of each."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from actors.measurer import Measurer
from actors.stamps import planes_in
from catalogs.errors import Fault, Refused
from catalogs.inspect import inspect
from kernels.attributes import Attribute
from kernels.brightness import brightness_of
from kernels.diffusion_model import Description
from kernels.measure.psf import full_width
from kernels.measure.quantities import QUANTITIES
from kernels.stretch import noise_level
from kernels.training.degrade import BLUR
from pipeline.conditions import UnfitRows, of_rows
from pipeline.plan.measuring import measurer_options, psf_source
from pipeline.training.dataset import Dataset
from pipeline.training.label_targets import LABEL
from pipeline.training.targets import label_rows, refuse_types, with_labels

if TYPE_CHECKING:
    import pyarrow as pa

    from catalogs.release import Release
    from pipeline.config.file import Config

__all__ = ["DiffusionDataset", "diffusion_dataset"]

LOWEST, HIGHEST = 0.01, 0.99
"""Quantiles that a measured attribute's range ends at."""
NOISIER = 3.0
"""Noise of a degraded stamp over its own, at most."""
TURNED = {"x_centre", "y_centre", "position_angle", "sersic_angle"}
"""Measured columns that change when a stamp is turned, as every stamp is before it is learned from."""


@dataclass(frozen=True)
class DiffusionDataset(Dataset):
    """Stamps as they are, and the conditions of each."""

    description: Description
    measurer: dict[str, Any] | None
    """Options of `actors.measurer.Measurer`; None without measured attributes."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """All bands."""
        return (len(self.description.bands), self.description.size, self.description.size)

    @property
    def answers(self) -> int:
        """A value and a confidence for each attribute of the galaxy itself."""
        return 2 * len(_of_galaxies(self.description))

    @property
    def metadata(self) -> dict[str, Any]:
        """The description."""
        return {"description": self.description.to_json()}

    def learned(self, rows: pa.Table, stamps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Stamps in the description's brightness; targets are values, then confidences."""
        conditions = np.concatenate(
            of_rows(_condition_rows(rows, self.measurer), _of_galaxies(self.description)), axis=1
        )
        return self.description.brightness.forward(stamps).half(), torch.from_numpy(conditions)


def diffusion_dataset(config: Config, folder: str, source: str) -> DiffusionDataset:
    """Look at a release, and at a sample of its stamps for the scales.

    Raises
    ------
    Refused
        With everything that is wrong.
    """
    settings = config.train.diffusion
    columns = [
        name for group in settings.attributes for column in group.columns for name in group.names(column)
    ]
    psfs = psf_source(_with_measured(config), folder) if _quantities(config) else None
    release = inspect(with_labels(config.survey, columns), folder, psfs)
    release = replace(release, cached_bytes=config.run.cached_bytes)
    measurer, psf, faults = _measuring(config, folder, source, release)
    faults += _faults(config, source, release)
    if faults:
        raise Refused(faults)
    refuse_types(release, columns)
    labels = _labels(config, release)
    dataset = Dataset(release, config.run.slice_rows, config.train.fold, config.train.folds)
    rows, stamps = dataset.sample()
    if not len(stamps):
        problem = "no object is usable, or all are held out"
        raise Refused([Fault(release.shards[0].table.url, problem, "Check its images")])
    noise = noise_level(stamps)
    measured = _condition_rows(rows, measurer)
    attributes = (
        *labels,
        *(_measured(name, measured) for name in settings.measured),
        *_noises(release.survey.images.bands, stamps, noise),
        Attribute("psf", psf, math.hypot(psf, BLUR), "psf", "pix"),
    )
    description = Description(
        tuple(release.survey.images.bands),
        release.survey.images.size,
        release.pixel_scale,
        attributes,
        brightness_of(stamps, noise, config.encode.stretch),
        {
            "width": settings.width,
            "depth": settings.depth,
            "patch": settings.patch,
            "skin": settings.skin,
        },
    )
    return DiffusionDataset(release, dataset.slice_rows, dataset.fold, dataset.folds, description, measurer)


def _of_galaxies(description: Description) -> tuple[Attribute, ...]:
    """Attributes of galaxies, and not of how they were observed."""
    return tuple(a for a in description.attributes if a.kind in ("label", "measured"))


def _condition_rows(rows: pa.Table, measurer: dict[str, Any] | None) -> pa.Table:
    """Rows with their labels under the names that the release gives them, and with what is measured."""
    plain = [name.removeprefix(LABEL) for name in rows.column_names if name.startswith(LABEL)]
    labels = rows.select([LABEL + name for name in plain]).rename_columns(plain)
    if measurer is None:
        return labels
    psf = measurer["psf_column"]
    seen = [*planes_in(rows), "usable", "flags", *([psf] if psf else [])]
    measured = Measurer(**measurer)(rows.select(seen))
    for name in measured.column_names:
        if name not in (*seen, *plain):
            labels = labels.append_column(name, measured[name])
    return labels


def _labels(config: Config, release: Release) -> list[Attribute]:
    """Attributes that are columns of the release, all of whose rows must be in their range."""
    settings, first, faults = config.train.diffusion, release.shards[0].table.url, []
    wanted = [
        name for group in settings.attributes for column in group.columns for name in group.names(column)
    ]
    rows = label_rows(release, config.run.slice_rows, list(dict.fromkeys(wanted))) if wanted else None
    found = []
    for group in settings.attributes:
        for name in group.columns:
            assert rows is not None, "there are wanted columns"
            everywhere = Attribute(name, -math.inf, math.inf, "label", missing=group.missing)
            values = of_rows(rows, [everywhere])[0]
            low, high = group.range or (_ends(values) if np.isfinite(values).any() else (0.0, 0.0))
            if low >= high:
                faults.append(Fault(first, "has no two values", "Leave it out, or give its range", name))
                continue
            limits = None if group.low is None else (group.names(name)[1], group.names(name)[2])
            attribute = Attribute(name, low, high, "label", _unit(release, name), group.missing, limits, group.needs, group.mirrored)  # fmt: skip
            try:
                of_rows(rows, [attribute])
            except UnfitRows as error:
                faults.append(
                    Fault(first, str(error), "Give another range or missing value", name, error.value)
                )
            found.append(attribute)
    if faults:
        raise Refused(faults)
    return found


def _ends(values: np.ndarray) -> tuple[float, float]:
    return float(np.nanmin(values)), float(np.nanmax(values))


def _unit(release: Release, name: str) -> str:
    return (release.columns.field(name).metadata or {}).get(b"unit", b"").decode()


def _measured(name: str, rows: pa.Table) -> Attribute:
    values = rows[name].drop_null().to_numpy()
    low, high = np.quantile(values, [LOWEST, HIGHEST]) if len(values) else (0.0, 1.0)
    unit = (rows.schema.field(name).metadata or {}).get(b"unit", b"").decode()
    return Attribute(name, float(low), float(max(high, low + 1e-6)), "measured", unit)


def _noises(bands: list[str], stamps: torch.Tensor, noise: torch.Tensor) -> list[Attribute]:
    least = 1e-3 * stamps.std(dim=(0, 2, 3)).clamp(
        min=torch.finfo(torch.float32).tiny
    )  # stamps may have no noise
    low = torch.maximum(noise.quantile(LOWEST, dim=0), least)
    high = torch.maximum(NOISIER * noise.quantile(HIGHEST, dim=0), 10 * low)
    return [
        Attribute(f"noise_{band}", float(low[i]), float(high[i]), "noise") for i, band in enumerate(bands)
    ]


def _measuring(
    config: Config, folder: str, source: str, release: Release
) -> tuple[dict[str, Any] | None, float, list[Fault]]:
    """Options of the measurer, None without measured attributes; FWHM of the release's PSF in pixels, 0 if unknown, or where each object has its own."""
    options, faults = measurer_options(_with_measured(config), folder, source, release)
    if options is None:
        return None, 0.0, faults
    image = options["psf"]
    psf = float(options["fwhm"] or 0.0) if image is None else full_width(torch.tensor(image))
    return options if _quantities(config) else None, psf, faults


def _quantities(config: Config) -> list[str]:
    """What the measured attributes are columns of."""
    wanted = set(config.train.diffusion.measured)
    return [name for name, columns in QUANTITIES.items() if wanted & set(columns)]


def _with_measured(config: Config) -> Config:
    settings = config.measure.model_copy(
        update={"quantities": _quantities(config) or ["shape"], "errors": "none"}
    )
    return config.model_copy(update={"measure": settings})


def _faults(config: Config, source: str, release: Release) -> list[Fault]:
    settings, size = config.train.diffusion, release.survey.images.size
    names = [name for group in settings.attributes for name in group.columns] + settings.measured
    known = {name for columns in QUANTITIES.values() for name in columns} - TURNED
    faults = []

    def wrong(key: str, value: object, problem: str, remedy: str) -> None:
        faults.append(Fault(source, problem, remedy, value=repr(value), key=f"train.diffusion.{key}"))

    if release.survey.images.extent is not None:
        problem = "a diffusion model learns stamps of one pixel scale"
        key = "survey.images.extent"
        faults.append(
            Fault(
                source,
                problem,
                "Leave it out of this config",
                value=repr(release.survey.images.extent),
                key=key,
            )
        )
    if size % (2 * settings.patch):
        wrong("patch", settings.patch, f"stamps of {size} pixels are no multiple of two", "Set one that fits")
    for name in sorted({name for name in names if names.count(name) > 1}):
        wrong("attributes", name, "is named twice", "Name it once")
    for name in settings.measured:
        if name in TURNED:
            wrong("measured", name, "changes when a stamp is turned, and all are", "Leave it out")
        elif name not in known:
            wrong("measured", name, "is not measured", f"There are: {', '.join(sorted(known))}")
    for group in settings.attributes:
        if group.needs is not None and group.needs not in names:
            wrong(
                "attributes", group.needs, f"is no attribute, but {group.columns[0]} needs it", "Name it too"
            )
    return faults
