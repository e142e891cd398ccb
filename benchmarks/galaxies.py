"""Labelled galaxies that encoders are scored on: EFIGI and Galaxy Zoo 1, through the same reader as a run's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from catalogs.inspect import inspect
from catalogs.pack import pack
from catalogs.slices import slices_of
from pipeline.config.file import load
from pipeline.training.dataset import fold_of

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
TYPE_EDGES = (-3.5, -0.5, 3.5, 8.5)
SIZE, FOLDS = 88, 5


@dataclass(frozen=True)
class Galaxies:
    """Stamps of one release, bands r, g, b, with their labels."""

    stamps: pa.Table
    labels: pd.DataFrame
    fold: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def galaxies(name: str, scratch: Path) -> Galaxies:
    """`efigi`, `gz1` or `gz2_kaggle` (which has no classes), packed into `scratch` if it is not there yet."""
    folder = scratch / name
    if not folder.exists():
        pack(
            SHARED / name / "labels.csv",
            folder,
            shards=8,
            size=SIZE,
            fit="pad" if name == "efigi" else "galaxy",
        )
    config, where = load(folder / "survey.toml")
    labels = ["class as truth"] if name == "gz1" else config.survey.keep
    release = inspect(config.survey.model_copy(update={"keep": labels}), where)
    rows = pa.concat_tables([release.read(piece) for piece in slices_of(release.shards, 1024)])
    rows = rows.filter(rows["usable"])
    columns = ["object_id", "usable", "stamp"]
    return Galaxies(
        rows.select(columns), rows.drop_columns(columns).to_pandas(), fold_of(rows["object_id"], FOLDS)
    )


def type_bins(labels: pd.DataFrame) -> NDArray[np.int64]:
    """EFIGI's types in five bins: E, S0, early spirals, late spirals, irregulars."""
    return np.digitize(labels["t_type"].to_numpy(float), TYPE_EDGES)


def as_grey(stamps: pa.Table) -> pa.Table:
    """The mean of the three bands as the only one."""
    column = stamps["stamp"].combine_chunks()
    pixels = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), 3, -1)
    grey = np.ascontiguousarray(pixels.mean(axis=1, dtype=np.float32))
    lists = pa.FixedSizeListArray.from_arrays(pa.array(grey.reshape(-1)), grey.shape[1])
    return stamps.set_column(stamps.column_names.index("stamp"), "stamp", lists)
