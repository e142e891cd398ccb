"""Catalogs on a plain web server are the ones on disk; a server's faults are told in one line."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from catalogs.errors import CorruptFile, Refused
from catalogs.headers import first_line
from tests.catalogs.test_any_catalog import look, same, with_catalogs
from tests.conftest import TinyRelease


class FileServer(ThreadingHTTPServer):
    ranges = True
    broken = ""
    """Part of the paths at which it has an error of its own."""
    url = ""
    log: list[tuple[str, str]]


class Files(SimpleHTTPRequestHandler):
    """A file server that sends parts of files, and lists no folders."""

    server: FileServer

    def do_GET(self) -> None:
        self.server.log.append((self.path, self.headers.get("Range", "")))
        broken, ranges = self.server.broken, self.server.ranges
        path = Path(self.translate_path(self.path))
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if broken and broken in self.path:
            self.send_error(500)
        elif not path.is_file():
            self.send_error(404)
        elif asked and ranges:
            content = path.read_bytes()
            first = int(asked[1]) if asked[1] else max(0, len(content) - int(asked[2]))
            last = min(int(asked[2]) if asked[1] and asked[2] else len(content) - 1, len(content) - 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            self.send_header("Content-Length", str(last + 1 - first))
            self.end_headers()
            self.wfile.write(content[first : last + 1])
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        if self.server.broken and self.server.broken in self.path:
            self.send_error(500)
        else:
            super().do_HEAD()

    def log_message(self, *args: object) -> None:
        """Nothing on the screen."""


@contextmanager
def serving(folder: Path, *, ranges: bool = True, certificate: Path | None = None) -> Iterator[FileServer]:
    server = FileServer(("127.0.0.1", 0), partial(Files, directory=str(folder)))
    server.ranges, server.broken, server.log = ranges, "", []
    scheme = "http"
    if certificate is not None:
        scheme, context = "https", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.url = f"{scheme}://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> TinyRelease:
    return with_catalogs(TinyRelease(tmp_path_factory.mktemp("http") / "release"))


@pytest.fixture
def server(made) -> Iterator[FileServer]:
    with serving(made.folder) as server:
        yield server


def keys(server, folder: str = "hats") -> dict[str, str]:
    return {"catalogs": f"{server.url}/{folder}", "id": "object_id"}


def told(made, server, **survey) -> str:
    with pytest.raises(Refused) as refused:
        look(made, survey={**keys(server), **survey})
    (fault,) = refused.value.faults
    assert "\n" not in str(fault)
    assert fault.remedy
    return str(fault)


def test_hats_on_a_web_server_has_other_objects(made, server):
    release = look(made, survey=keys(server))
    assert release.shards[0].table.url.startswith(server.url)
    assert same(release, 7).equals(same(look(made), 16))
    parts = [(path, asked) for path, asked in server.log if "Npix=" in path]
    assert parts
    assert all(asked for _, asked in parts), "a partition was read whole"
    assert not any(path.endswith("/") for path, _ in server.log), "a folder was listed"


@pytest.mark.parametrize("left", ["partition_info.csv", "_metadata"])
def test_partitions_are_listed_by_whichever_file_is_there(made, tmp_path, left):
    hats = Path(shutil.copytree(made.folder / "hats", tmp_path / "hats"))
    assert pq.read_metadata(hats / "dataset" / "_metadata").num_rows == 64
    (hats / "partition_info.csv" if left == "_metadata" else hats / "dataset" / "_metadata").unlink()
    with serving(tmp_path) as server:
        assert same(look(made, survey=keys(server)), 16).equals(same(look(made), 16))


def test_a_collection_on_a_web_server_has_other_objects(made, tmp_path):
    shutil.copytree(made.folder / "hats", tmp_path / "all" / "main")
    text = "obs_collection=tiny\nhats_primary_table_url=main\n"
    (tmp_path / "all" / "collection.properties").write_text(text)
    with serving(tmp_path) as server:
        assert same(look(made, survey=keys(server, "all")), 16).equals(same(look(made), 16))


def test_errors_of_the_server(made, server, tmp_path):
    assert "no such catalog" in told(made, server, catalogs=f"{server.url}/none")
    server.broken = "/hats"
    assert "cannot be listed (the server answers 500" in told(made, server)
    server.broken = "Npix="
    assert "the server answers 500" in told(made, server)
    with serving(tmp_path) as gone:
        url = gone.url
    assert "cannot be listed (the server cannot be reached" in told(made, server, catalogs=f"{url}/hats")


def test_a_partition_that_is_missing(made, tmp_path):
    hats = Path(shutil.copytree(made.folder / "hats", tmp_path / "hats"))
    lost = min((hats / "dataset").rglob("Npix=*.parquet"))
    lost.unlink()
    with serving(tmp_path) as server:
        assert "the server answers 404" in (text := told(made, server))
        assert lost.name in text


def test_a_server_without_ranges_sends_everything_whole(made):
    with serving(made.folder, ranges=False) as server:
        assert "knows no range requests" in told(made, server)
        assert not any("Npix=" in path for path, _ in server.log)
        one = {"catalogs": f"{server.url}/one/all.parquet", "id": "NUMBER"}
        assert "knows no range requests" in told(made, server, **one)


def test_a_server_that_breaks_later_is_told_as_a_file_that_cannot_be_read(made, server):
    table = look(made, survey=keys(server)).shards[0].table
    server.broken = "Npix="
    with pytest.raises(CorruptFile, match=r"Npix=.*the server answers 500"):
        table.read(0, 1, ["MAG"])


READ = """
import sys
from catalogs.catalog_files import catalog_files
from catalogs.open_table import open_any
files = catalog_files([sys.argv[1]], "/")
assert not files.faults, files.faults
print(sum(open_any(url, None, "").read(0, 1, ["MAG"]).num_rows for url in files.urls), len(files.urls))
"""


def test_https_is_another_server(made, tmp_path):
    certificate = own_certificate(tmp_path)
    with serving(made.folder, certificate=certificate) as server:
        done = subprocess.run(
            [sys.executable, "-c", READ, f"{server.url}/hats"],
            capture_output=True,
            text=True,
            env={**os.environ, "SSL_CERT_FILE": str(certificate)},
        )
        assert done.returncode == 0, first_line(ValueError(done.stderr[-500:]))
        rows, files = map(int, done.stdout.split())
        assert rows == files > 0
        assert "the server cannot be reached" in told(made, server)  # here nobody knows its certificate


def own_certificate(folder: Path) -> Path:
    """A certificate of localhost that is its own authority, with its key."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    own = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "localhost.pem"
    path.write_bytes(own + made.public_bytes(pem))
    return path
