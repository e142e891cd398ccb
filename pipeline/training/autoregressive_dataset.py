"""Training data of an autoregressive network: stamps as fluxes, and what else a release says of each object."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from actors.segmenter import Segmenter
from actors.stamps import modalities_of
from catalogs.errors import Fault, Refused
from catalogs.inspect import inspect
from catalogs.modalities import MODALITIES
from kernels.autoregressive_model import Description
from kernels.brightness import Brightness, brightness_of
from kernels.modalities import Modalities, Scalars, Stamps, Vector
from kernels.stretch import noise_level
from kernels.training.draws import keys
from kernels.transforms import transformed
from pipeline.plan.encoding import segmenter_options
from pipeline.plan.modalities import source_of
from pipeline.training.dataset import Dataset
from pipeline.training.targets import label_columns, label_targets_of, with_labels

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from catalogs.release import Release
    from kernels.heads.head import Head
    from pipeline.config.file import Config
    from pipeline.config.modalities import ScalarGroup
    from pipeline.training.label_targets import LabelTarget

    Floats = NDArray[np.float64]

__all__ = ["AutoregressiveDataset", "autoregressive_dataset"]

_SOFTENING = 3.0  # deviations of the noise below which a vector's values are learned as they are
_OF_MEDIAN = 0.1  # the noise over the median value, where a catalog does not tell it


@dataclass(frozen=True)
class AutoregressiveDataset(Dataset):
    """Stamps on one scale of flux, and rows of the other modalities."""

    description: Description
    label_targets: list[LabelTarget] = field(default_factory=list)
    """What embeddings are chosen by."""
    segmenter: dict[str, Any] | None = None
    """Options of `actors.segmenter.Segmenter`; None: neighbours are kept."""
    held_out: bool = False
    """Whether it is of the fold that is not learned from, and of no other."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """All bands."""
        stamps = self.description.modalities.stamps
        return (len(stamps.bands), stamps.side, stamps.side)

    @property
    def answers(self) -> int:
        """The other modalities, and what random numbers follow from, take the place of labels."""
        return self.description.modalities.width + 1

    @property
    def heads(self) -> list[Head]:
        """Nothing is learned of labels."""
        return []

    @property
    def metadata(self) -> dict[str, Any]:
        """The description, and what is done with neighbours."""
        neighbours = "keep" if self.segmenter is None else "fill"
        return {"description": self.description.to_json(), "neighbours": neighbours}

    def wanted(self, rows: pa.Table) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """All but the fold that is held out, or nothing but it."""
        learned = super().wanted(rows)
        return ~learned if self.held_out else learned

    def looked_at(self, rows: pa.Table, side: int) -> pa.Table:
        """Neighbours are filled, as before a stamp is encoded."""
        if self.segmenter is None:
            return rows
        segmenter = Segmenter(**{**self.segmenter, "size": side})
        return segmenter.filled(rows, segmenter(rows))

    def learned(self, rows: pa.Table, stamps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images as `Autoregressive.images` gives them, and rows of the other modalities, with the objects' keys behind them."""
        objects = torch.from_numpy(keys(rows["object_id"].to_numpy()))
        images = self.description.modalities.stamps.brightness.forward(stamps).half()
        return images, torch.cat([self.others(rows), objects[:, None]], dim=1)

    def others(self, rows: pa.Table) -> torch.Tensor:
        """Rows of the other modalities (n, width) float32."""
        width = self.description.modalities.width
        if not width:
            return torch.empty(len(rows), 0)
        return torch.tensor(modalities_of(rows[MODALITIES], width))


def autoregressive_dataset(config: Config, folder: str, source: str) -> AutoregressiveDataset:
    """Look at a release, and at a sample of its objects for the scales.

    Raises
    ------
    Refused
        With everything that is wrong.
    """
    labels, settings = config.train.labels, config.train.autoregressive
    survey = with_labels(config.survey, label_columns(labels))
    release = inspect(survey, folder, modalities=source_of(config))
    release = replace(release, cached_bytes=config.run.cached_bytes)
    side = release.survey.images.size
    if side % settings.patch:
        problem, remedy = f"does not divide stamps of {side} pixels", "Set one that does"
        fault = Fault(source, problem, remedy, value=str(settings.patch), key="train.autoregressive.patch")
        raise Refused([fault])
    found = Dataset(release, config.run.slice_rows, config.train.fold, config.train.folds)
    rows, stamps = found.sample()
    if not len(stamps):
        problem = "no object is usable, or all are held out"
        raise Refused([Fault(release.shards[0].table.url, problem, "Check its images")])
    images = Stamps(
        tuple(release.survey.images.bands),
        side,
        settings.patch,
        settings.order,
        settings.flux,
        brightness_of(stamps, noise_level(stamps), "asinh"),
        pixel_scale=release.pixel_scale,
    )
    description = Description(
        config.encode.model, Modalities(images, *_others(config, release, rows)), settings.components
    )
    return AutoregressiveDataset(
        release,
        found.slice_rows,
        found.fold,
        found.folds,
        description,
        label_targets_of(release, labels, config.run.slice_rows),
        segmenter_options(config),
    )


def _others(
    config: Config, release: Release, rows: pa.Table
) -> tuple[tuple[Scalars, ...], tuple[Vector, ...]]:
    """The modalities beside the stamps, on the scales of a sample.

    Raises
    ------
    Refused
        Where one has no values that differ.
    """
    source, faults = release.modalities, list[Fault]()
    if source is None:
        return (), ()
    sample = modalities_of(rows[MODALITIES], source.width).astype(np.float64)
    widths = [each.width // 2 for each in source.others for _ in range(2)]
    parts = iter(np.split(sample, np.cumsum(widths)[:-1], axis=1))
    file = release.shards[0].table.url
    scalars = [
        _scalars(release, group, next(parts), next(parts), faults) for group in config.modalities.scalars
    ]
    vectors = []
    for each, columns in zip(config.modalities.vectors, source.vectors, strict=True):
        scale = _brightness(next(parts), next(parts))
        if scale is None:
            faults.append(_without_values(file, each.column, len(sample)))
            continue
        unit = _unit(release, each.column)
        vectors.append(Vector(each.name, columns.length, each.patch, columns.grid, unit, scale))
    if faults:
        raise Refused(faults)
    return tuple(scalars), tuple(vectors)


def _scalars(
    release: Release, group: ScalarGroup, values: Floats, errors: Floats, faults: list[Fault]
) -> Scalars:
    del errors
    learned = transformed(values, group.transform)
    for name, column in zip(group.sources.values(), learned.T, strict=True):
        known = column[np.isfinite(column)]
        if len(known) < 2 or not known.std() > 0:
            faults.append(_without_values(release.shards[0].table.url, name, len(values)))
    if faults:
        return Scalars(group.name, (), (), group.transform, (), ())
    return Scalars(
        group.name,
        tuple(group.sources),
        tuple(_unit(release, name) for name in group.sources.values()),
        group.transform,
        tuple(np.nanmean(learned, axis=0).tolist()),
        tuple(np.nanstd(learned, axis=0).tolist()),
    )


def _brightness(values: Floats, ivar: Floats) -> Brightness | None:
    """Scale of a vector's values, linear within the noise; None where they don't differ."""
    known = values[np.isfinite(values)]
    if len(known) < 2 or not known.std() > 0:
        return None
    measured = ivar[np.isfinite(values) & (ivar > 0)]
    noise = np.median(measured) ** -0.5 if len(measured) else _OF_MEDIAN * np.median(np.abs(known))
    softening = float(_SOFTENING * noise) or float(known.std())
    stretched = np.arcsinh(known / softening)
    return Brightness("asinh", (softening,), (float(stretched.mean()),), (float(stretched.std()),))


def _without_values(file: str, column: str, looked_at: int) -> Fault:
    problem = f"has no two values that can be learned, of {looked_at} objects that were looked at"
    return Fault(file, problem, "Leave it out of [modalities], or correct the catalog", column)


def _unit(release: Release, column: str) -> str:
    return (release.columns.field(column).metadata or {}).get(b"unit", b"").decode()
