"""A release of a billion objects that has everything but pixels: headers of its shards, and parts of a run that is half done.

Tables are holes in their files, and parts have a receipt but no rows, so that hundreds of thousands of each take little disk.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits

from actors.embedder import embedding_field
from catalogs import parts
from pipeline.plan import measuring
from tests.survey.conftest import write_toml

if TYPE_CHECKING:
    from collections.abc import Iterable

    from catalogs.slices import Slice
    from pipeline.plan.plan import Plan

FOLDERS = 100
COLUMNS = {"OBJECT_ID": "K", "TILE": "8A", "RIGHT_ASCENSION": "D", "DECLINATION": "D"} | {
    f"{quantity}_{band}": "E"
    for quantity in ("FLUX", "FLUXERR", "FLAG", "FWHM")
    for band in ("VIS", "Y", "J", "H")
}
NUMBER = "N%07d"
LONGEST_RECEIPT = 512


def write_release(folder: Path, shards: int, rows: int) -> Path:
    """Write the shards and the config of such a release, and answer the config's path."""
    columns = [
        fits.Column(name, form, unit="deg" if form == "D" else "uJy") for name, form in COLUMNS.items()
    ]
    table = fits.BinTableHDU.from_columns(columns, nrows=0)
    table.header["NAXIS2"] = rows
    table.header["TILEID"] = (NUMBER % 0, "every shard's header is another")
    table.header["DATE"] = "2026-01-01T00:00:00"
    head = fits.PrimaryHDU().header.tostring().encode()
    text = table.header.tostring().encode()
    size = len(head) + len(text) + -(-rows * table.header["NAXIS1"] // 2880) * 2880
    for number in range(shards):
        path = folder / "catalogs" / f"{number % FOLDERS:03d}" / f"shard{number:06d}.fits"
        if number < FOLDERS:
            path.parent.mkdir(parents=True)
        own = text.replace((NUMBER % 0).encode(), (NUMBER % number).encode())
        _write(path, head + own, size)
    images = {"layout": "tiles", "path": "images/{TILE}_{band}.fits", "bands": ["VIS"], "size": 64}
    survey = {
        "name": "billion",
        "catalogs": "catalogs/*/*.fits",
        "id": "OBJECT_ID",
        "ra": "RIGHT_ASCENSION",
        "dec": "DECLINATION",
        "keep": ["FLUX_VIS", "FLUXERR_VIS"],
        "images": {**images, "pixel_scale": 0.1},
    }
    return write_toml({"survey": survey}, folder / "survey.toml")


def write_parts(plan: Plan, pieces: Iterable[Slice]) -> None:
    """Record a run, and write parts of its encoding stage that promise a usable object in every row but one."""
    plan.run.prepare(plan.record, anew=False, remedy="")
    folder = Path(plan.run.objects)
    folder.mkdir(parents=True)
    told, part = "", b""
    for piece in pieces:
        rows, fingerprint = piece.rows, plan.fingerprints["encode"]
        receipt = parts.Receipt(
            piece.shard, piece.start, piece.stop, rows, rows - 1, fingerprint, {"saturated": 3}
        )
        # One file is made; in its copies the receipt is changed for one that is as long.
        own = json.dumps(asdict(receipt), sort_keys=True).ljust(LONGEST_RECEIPT)
        if not part:
            told, part = own, _part(plan, own)
        _write(folder / f"{piece.name}{parts.SUFFIX}", part.replace(told.encode(), own.encode()), len(part))


def _part(plan: Plan, receipt: str) -> bytes:
    measured = measuring.measured_columns(plan.config, plan.release)
    schema = pa.schema([*plan.release.objects_schema, *measured, embedding_field(plan.features)])
    buffer = BytesIO()
    rows = schema.with_metadata({parts.RECEIPT: receipt.encode()}).empty_table()
    pq.write_table(rows, buffer, compression="zstd")
    return buffer.getvalue()


def _write(path: Path, data: bytes, size: int) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.truncate(size)
