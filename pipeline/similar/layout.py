"""Where an index lies, what it is made of, and whether it is still the one of a run's embeddings.

An index is a cache: it holds nothing that could not be made again from the published embeddings, may be deleted at any time, and is made anew where they have changed.
Equal embeddings give equal bytes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from catalogs import readers, storage
from catalogs.errors import BadRequest
from pipeline.rundir import arrays

if TYPE_CHECKING:
    from pipeline.rundir.run_directory import RunDirectory

__all__ = ["EXPLAINED", "SHARD_ROWS", "USABLE", "Layout", "Shard", "layout_of"]

VERSION = 1
"""Raise this when equal embeddings begin to give another index."""
SHARD_ROWS = 2_000_000
"""Objects of a shard, unless one partition has more: what a task makes at a time."""
USABLE, EXPLAINED = 1, 2
"""Bits of an object's mark: it has an embedding; flags explain what is odd about it."""


@dataclass(frozen=True)
class Shard:
    """Some partitions of the catalog, whose objects are numbered through."""

    number: int
    parts: list[tuple[str, int]]
    """Path of each partition's file below the catalog's folder, and its rows."""

    @property
    def rows(self) -> int:
        """Objects."""
        return sum(rows for _, rows in self.parts)

    def place(self, row: int) -> tuple[str, int]:
        """File and row there of an object."""
        for name, rows in self.parts:
            if row < rows:
                return name, row
            row -= rows
        raise IndexError(row)

    def row(self, name: str, row: int) -> int | None:
        """The object of a row of a file; None where the file is not the shard's."""
        before = 0
        for mine, rows in self.parts:
            if mine == name:
                return before + row
            before += rows
        return None


@dataclass(frozen=True)
class Layout:
    """The files of an index."""

    folder: str
    fingerprint: str
    features: int
    shards: list[Shard]

    @property
    def rows(self) -> int:
        """Rows of the published embeddings."""
        return sum(shard.rows for shard in self.shards)

    @property
    def cells(self) -> str:
        """Axes, and centres of the cells; the first file that is written."""
        return storage.join(self.folder, "cells.safetensors")

    @property
    def finished(self) -> str:
        """The last one."""
        return storage.join(self.folder, "index.json")

    def file(self, shard: Shard, kind: str) -> str:
        """A shard's `faiss` (lists of compressed points), `codes` (embeddings, row after row), or `marks` (a byte each)."""
        return storage.join(self.folder, f"shard-{shard.number:05d}.{kind}")

    @property
    def is_finished(self) -> bool:
        """Whether the index is there, and of these embeddings."""
        if not storage.exists(self.finished):
            return False
        return arrays.read_with(self.finished, lambda values: values["fingerprint"]) == self.fingerprint

    @property
    def text(self) -> bytes:
        """What the last file says."""
        about = {"fingerprint": self.fingerprint, "rows": self.rows, "features": self.features}
        shards = [asdict(shard) for shard in self.shards]
        return json.dumps({**about, "shards": shards}, indent=1, sort_keys=True).encode()


def layout_of(run: RunDirectory, record: dict[str, Any], folder: str | None) -> Layout:
    """The index that a run's published embeddings have, or should have.

    Parameters
    ----------
    run : RunDirectory
    record : dict
        Its `run.json`.
    folder : str, optional
        Folder of the index on this machine; by default `index` in the run, which lies on this machine then.

    Raises
    ------
    BadRequest
        If there are no embeddings, or the index has no place.
    """
    if folder is None and not storage.is_local(run.url):
        raise BadRequest(
            f"{run.url} is not on this machine, and an index is mapped into memory: say where it goes with --index FOLDER"
        )
    if folder is not None and not storage.is_local(folder):
        raise BadRequest(f"--index {folder}: an index is mapped into memory: give a folder of this machine")
    pattern = (
        "dataset/Norder=*/Dir=*/*.parquet"
        if storage.exists(storage.join(run.embeddings, "dataset"))
        else "*.parquet"
    )
    files = list(readers.files(run.embeddings, pattern)) if storage.exists(run.published) else []
    if not files:
        unfinished = "there is no catalog yet: finish the run" if not storage.exists(run.published) else ""
        problem = unfinished or "the run has published no embeddings ([publish] embeddings)"
        raise BadRequest(f"{run.url}: {problem}")
    looks = storage.parallel(_look, files)
    digest = hashlib.sha256(f"{VERSION} {version('faiss-cpu')} {record['fingerprints']['encode']}".encode())
    digest.update(storage.read(run.components))
    shards: list[Shard] = []
    for file, (rows, _, footer) in zip(files, looks, strict=True):
        name = file[len(run.embeddings) + 1 :]
        digest.update(f"{name} {storage.size(file)} {footer}".encode())
        if not shards or shards[-1].rows + rows > SHARD_ROWS:
            shards.append(Shard(len(shards), []))
        shards[-1].parts.append((name, rows))
    where = run.index if folder is None else folder
    return Layout(where, digest.hexdigest(), looks[0][1], shards)


def _look(file: str) -> tuple[int, int, str]:
    """Rows of a file of embeddings, their length, and a digest of its footer, which knows sizes and extremes of all columns."""
    with storage.reading(file, None) as stream:
        found = pq.ParquetFile(stream)
        length = found.schema_arrow.field("embedding").type.list_size
        rows = found.metadata.num_rows
    return rows, length, hashlib.sha256(storage.tail(file, 1 << 15)).hexdigest()
