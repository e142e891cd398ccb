"""What all tests share: a tiny release written on the spot, and the real data where they are at hand."""

from __future__ import annotations

import functools
import gc
import os
import re
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeGuard
from urllib.request import Request, urlopen

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

# As in a run: threads that spin while they wait would starve whatever else shares the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Modules stay: looking for garbage among them while they are loaded takes a fifth of the time. See `pytest_collection_finish`.
gc.disable()

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Of two sets of files, which differ; not their bytes."""
    if op != "==" or not (_files(left) and _files(right)):
        return None
    names = sorted(left.keys() | right.keys())
    differ = [name for name in names if left.get(name) != right.get(name)]
    sizes = [f"{name}: {_size(left.get(name))}, {_size(right.get(name))}" for name in differ]
    return [f"{len(differ)} of {len(names)} files differ", *sizes]


def _files(value: object) -> TypeGuard[dict[str, bytes]]:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(content, bytes) for content in value.values())
    )


def _size(content: bytes | None) -> str:
    return "absent" if content is None else f"{len(content)} bytes, sha256 {sha256(content).hexdigest()[:8]}"


def pytest_collection_finish() -> None:
    """All tests are loaded."""
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Workers share the cores: a second thread of each would spin while it waits for one that another worker keeps from running."""
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(threads, "1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file of tests goes to one worker, and those with tests on Ray all to the same: each Ray takes as much as a hundred tests."""
    from xdist.scheduler import LoadFileScheduling

    class OneRay(LoadFileScheduling):
        def _assign_work_unit(self, node: Any) -> None:
            """The longest first, for the others fill in what is left at the end: Ray, runs end to end, and only then catalogs and actors."""
            longest = "on Ray" if "on Ray" in self.workqueue else next(reversed(self.workqueue))
            self.workqueue.move_to_end(longest, last=False)
            super()._assign_work_unit(node)

        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "on Ray" if _is_on_ray(file) else file

    return OneRay(config, log)


@functools.cache
def _is_on_ray(file: str) -> bool:
    text = (Path(__file__).resolve().parents[1] / file).read_text(encoding="utf-8")
    return "ray_cluster" in text or re.search(r"^def test.*\bengine\b", text, re.MULTILINE) is not None


@pytest.fixture(scope="session")
def ray_cluster():
    """One Ray for all runs in this process: starting it takes longer than a tiny run."""
    from pipeline.config.run import Run
    from pipeline.engine.cluster import cluster

    with cluster(Run()):
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data; only where it is absent are its tests skipped."""
    if not SHARED.is_dir():
        pytest.skip("the folder of shared data is absent")
    return SHARED / "data"


@pytest.fixture(scope="module")
def bucket():
    """A real S3 server on loopback with an empty bucket."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {key: os.environ.get(key) for key in keys}
    os.environ.update(keys)
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    # Moto keeps what is in buckets for as long as the process lives: another module's is emptied.
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    s3fs.S3FileSystem().mkdir("s3://survey")
    yield "s3://survey"
    for key, value in before.items():
        if value is None:
            os.environ.pop(key)
        else:
            os.environ[key] = value
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def wcs_header(nx: int, ny: int, ra: float = 150.0, dec: float = 2.0, scale: float = 0.2) -> fits.Header:
    """A plain TAN header."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [nx / 2 + 0.5, ny / 2 + 0.5]
    wcs.wcs.cdelt = [-scale / 3600, scale / 3600]
    return wcs.to_header()


class TinyRelease:
    """A release of blobs: one tile a band, objects on a grid, shards of equal size."""

    def __init__(
        self, folder: Path, shards: int = 2, bands: tuple[str, ...] = ("r",), per_side: int = 8
    ) -> None:
        self.folder, self.bands = folder, bands
        side = 40 * per_side
        rng = np.random.default_rng(5)
        yy, xx = np.mgrid[0:side, 0:side]
        image = rng.normal(0, 1, (side, side)).astype(np.float32)
        centres = [(40 * j + 20, 40 * i + 20) for i in range(per_side) for j in range(per_side)]
        for k, (x, y) in enumerate(centres):
            width = 2.0 + 3.0 * (k % 5) / 4
            box = np.s_[max(y - 20, 0) : y + 20, max(x - 20, 0) : x + 20]
            r2 = (xx[box] - x) ** 2 + (yy[box] - y) ** 2 * (1 + k % 3)
            image[box] += 100 * np.exp(-r2 / (2 * width**2))
        header = wcs_header(side, side)
        (folder / "images").mkdir(parents=True)
        (folder / "catalogs").mkdir()
        for band in bands:
            fits.PrimaryHDU(image, header).writeto(folder / "images" / f"t0_{band}.fits")
        x, y = np.array(centres, float).T
        ra, dec = WCS(header).all_pix2world(x, y, 0)
        number = np.arange(len(x), dtype=np.int64) + 1
        self.table = Table(
            {
                "NUMBER": number,
                "RA": ra,
                "DEC": dec,
                "X_IMAGE": x + 1,
                "Y_IMAGE": y + 1,
                "MAG": 20 + 0.01 * number,
                "TILE": np.full(len(x), "t0"),
            }
        )
        self.table["RA"].unit = self.table["DEC"].unit = "deg"
        self.table["MAG"].unit = "mag"
        self.write(shards)

    def write(self, shards: int = 2) -> None:
        """Write the catalog anew from `table`."""
        for old in (self.folder / "catalogs").glob("*.fits"):
            old.unlink()
        for s, rows in enumerate(np.array_split(np.arange(len(self.table)), shards)):
            self.table[rows].write(self.folder / "catalogs" / f"s{s:02d}.fits")

    def config(self, **sections: dict[str, Any]) -> dict[str, Any]:
        """A small, quick config; keyword arguments replace keys of its sections."""
        images = {
            "layout": "tiles",
            "path": "images/{TILE}_{band}.fits",
            "bands": list(self.bands),
            "size": 32,
        }
        values: dict[str, Any] = {
            "survey": {
                "name": "tiny",
                "catalogs": "catalogs/*.fits",
                "id": "NUMBER",
                "ra": "RA",
                "dec": "DEC",
                "keep": ["MAG"],
                "images": images,
            },
            "run": {"slice_rows": 16},
            "measure": {"quantities": []},  # most tests are about something else
            "encode": {"model": "timm:test_convnext", "input": 32, "batch_size": 16, "workers": 1},
            "reduce": {"components": 8},
            "fit": {"groups": 4, "bags": 2},
        }
        for name, keys in sections.items():
            if name == "images":
                values["survey"]["images"] = {**images, **keys}
            else:
                values[name] = {**values.get(name, {}), **keys}
        return values


@pytest.fixture
def tiny(tmp_path: Path) -> TinyRelease:
    """A tiny release of 64 objects in two shards."""
    return TinyRelease(tmp_path / "release")
