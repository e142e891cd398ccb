"""The client against a real server: what would put a wrong row into a catalog, or lose one."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import ipaddress
import os
import re
import signal
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import ray
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

from actors.encoder import Encoder
from actors.serving.client import ServedEncoder, ServersLost
from actors.serving.connection import ServerFault, scaled_to_half
from kernels.modalities import Modalities
from pipeline.serving.serve import Ports, serving
from tests.actors.test_encoder import bits, embeddings, stamps, table
from tests.serving.conftest import OPTIONS, expected, free_ports
from tests.serving.proxy import bad_line


@contextlib.contextmanager
def client(*ports: Ports, **options):
    made = ServedEncoder(
        **{
            "endpoints": [each.endpoint for each in ports],
            "expected": expected(),
            "batch_size": 16,
            "patience": 300.0,
            "timeout": 20.0,
            "shared_memory": "off",
        }
        | options
    )
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def here() -> Encoder:
    return Encoder(**OPTIONS)


@pytest.mark.parametrize("shared_memory", ["off", "on", "auto"])
def test_served_embeddings_are_others(server, here, shared_memory):
    """float32: the same bits, whatever travels together."""
    images = stamps(70, 2)
    usable = np.arange(70) % 9 > 0
    with client(server, shared_memory=shared_memory, in_flight=3) as served:
        for rows in (np.arange(70), np.arange(5, 40), np.arange(1)):
            there, own = (bits(e(table(images[rows], usable[rows]))) for e in (served, here))
            np.testing.assert_array_equal(there, own)
    assert not list(Path("/dev/shm").glob(f"tuningfork-{os.getpid()}-*-in"))


@pytest.mark.parametrize("shared_memory", ["off", "on"])
def test_served_objects_lose_their_other_modalities(server, multimodal, shared_memory):
    width = Modalities.from_values(multimodal["modalities"]).width
    others = np.random.default_rng(0).normal(20, 1, (40, width)).astype(np.float32)
    others[3] = np.nan
    rows = table(stamps(40, 2)).append_column(
        "modalities", pa.FixedSizeListArray.from_arrays(pa.array(others.reshape(-1)), width)
    )
    wanted = expected(multimodal, name="multimodal", width=width)
    own = Encoder(**multimodal)(rows)
    with client(server, expected=wanted, shared_memory=shared_memory) as served:
        np.testing.assert_array_equal(bits(served(rows)), bits(own))
    blind = Encoder(**multimodal)(
        rows.set_column(rows.num_columns - 1, "modalities", rows["modalities"].take([3] * 40))
    )
    assert (bits(blind) != bits(own)).any(axis=1).sum() == 39, (
        "what objects have beside stamps changes nothing"
    )


def test_half_precision_wire_loses_more_than_rounding(server, here):
    images = 1e6 * stamps(40, 2)  # beyond what float16 holds
    with client(server, expected=expected(name="half", wire="float16")) as served:
        there = embeddings(served(table(images))).astype(np.float32)
    own = embeddings(here(table(images))).astype(np.float32)
    assert np.abs(there - own).max() < 0.02 * np.abs(own).max()
    cosine = (there * own).sum(axis=1) / np.linalg.norm(there, axis=1) / np.linalg.norm(own, axis=1)
    assert cosine.min() > 0.9995


def test_scaling_to_half_changes_a_stamp():
    images = np.concatenate([stamps(5, 2) * 10.0**power for power in (-30, -3, 0, 3, 30)]).astype(np.float32)
    images[0] = 0
    images[1, 0, 0, 0] = np.nan
    half = scaled_to_half(images)
    assert half.dtype == np.float16
    peak = np.nanmax(np.abs(half.astype(np.float64)), axis=(1, 2, 3))
    assert ((peak[1:] >= 2**14) & (peak[1:] < 2**15)).all()
    back = half[2:] / peak[2:, None, None, None]
    wanted = images[2:] / np.abs(images[2:]).max(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(back, wanted, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (1, "not finite"),
        (2, "EMBEDDING is of shape (4, "),
        (3, "of other weights"),
        (4, "EMBEDDING is of shape (3, "),
        (5, "out of luck"),
        (6, "EMBEDDING is missing"),
    ],
)
def test_garbage_becomes_rows(server, asked, told):
    images = stamps(4, 2)
    images[:, 0, 0, 0] = asked
    with client(server, expected=expected(name="garbage")) as served, pytest.raises(ServerFault) as error:
        served(table(images))
    assert server.endpoint in str(error.value)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "nobody"}, "nobody"),
        ({"wire": "float16"}, 'takes FP32, and wire = "float16"'),
        ({"fingerprint": "ab" * 32}, "the same model with other weights"),
        ({"fingerprint": "ab" * 32, "values": {"stretch": "linear"}}, "stretch = 'asinh', not 'linear'"),
    ],
)
def test_another_encoder_is_not_told_apart(server, change, told):
    wrong = pytest.raises((ServerFault, ServersLost))
    with client(server, expected=expected(**change), patience=0.5) as served, wrong as error:
        served(table(stamps(4, 2)))
    assert told in str(error.value)
    assert server.endpoint in str(error.value)


def test_lost_server_is_waited_for_for_ever():
    ports = free_ports()
    start = time.monotonic()
    with client(ports, patience=1.5) as served, pytest.raises(ServersLost, match=ports.endpoint):
        served(table(stamps(4, 2)))
    assert time.monotonic() - start < 15


def test_metrics_do_not_reach_prometheus(server, ray_cluster):
    node = ray.nodes()[0]
    page = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    told = re.compile(rf'ray_tuningfork_served_stamps_total\{{.*"{re.escape(server.endpoint)}".*\}} (\d+)')

    def stamps_so_far() -> int:
        return sum(map(int, told.findall(urllib.request.urlopen(page, timeout=10).read().decode())))

    before, limit = stamps_so_far(), time.monotonic() + 60
    with client(server) as served:
        served(table(stamps(5, 2)))
        while stamps_so_far() < before + 5:
            assert time.monotonic() < limit
            time.sleep(0.5)


def test_server_that_goes_while_memory_is_shared_is_a_fault(server, monkeypatch):
    """Another try follows, with shared memory "on" too; nothing stays in /dev/shm."""
    gone = {"left": 1}
    register = grpc.InferenceServerClient.register_system_shared_memory

    def goes_once(self, *arguments, **options):
        if gone["left"]:
            gone["left"] -= 1
            raise InferenceServerException("gone", "StatusCode.UNAVAILABLE")
        return register(self, *arguments, **options)

    monkeypatch.setattr(grpc.InferenceServerClient, "register_system_shared_memory", goes_once)
    with client(server, shared_memory="on") as served:
        assert len(served(table(stamps(4, 2)))) == 4
    assert gone["left"] == 0
    assert not list(Path("/dev/shm").glob(f"tuningfork-{os.getpid()}-*-in"))


@pytest.mark.parametrize("fault", ["delay", "reset", "truncate"])
def test_bad_line_changes_an_answer(server, here, fault):
    """Each fault is met by another try, and the answers stay those of a good line."""
    images = stamps(200, 2)
    with bad_line(server.grpc, fault, faults=3, after=4000) as line:
        with client(server, endpoints=[line.endpoint], timeout=1.0) as served:
            there = bits(served(table(images)))
        assert line.met > 1
    np.testing.assert_array_equal(there, bits(here(table(images))))


def test_hopeless_line_is_not_named(server):
    with (
        bad_line(server.grpc, "reset", faults=10**6, after=0) as line,
        client(server, endpoints=[line.endpoint], patience=2.0) as served,
        pytest.raises(ServersLost, match=line.endpoint),
    ):
        served(table(stamps(4, 2)))


def certificates(folder: Path) -> Path:
    """A certificate of 127.0.0.1 that vouches for itself, and its key, both in `folder`."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now - day, now + day
    )
    made = made.add_extension(x509.BasicConstraints(True, 0), True).add_extension(address, False)
    (folder / "cert.pem").write_bytes(
        made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
    return folder


@pytest.mark.slow
def test_stamps_travel_in_the_open(repository, here, tmp_path):
    """By TLS, each side showing its certificate; a client that shows none is not let in."""
    pems, images = certificates(tmp_path), stamps(20, 2)
    cert, key = pems / "cert.pem", pems / "key.pem"
    ports = dataclasses.replace(free_ports(), certificate=cert, key=key, ca=cert)
    tls = {"ca": str(cert), "certificate": str(cert), "key": str(key)}
    with (tmp_path / "log").open("wb") as log, serving(repository, ports, log=log.fileno()):
        with client(ports, tls=tls) as served:
            np.testing.assert_array_equal(bits(served(table(images))), bits(here(table(images))))
        for stranger in ({"ca": str(cert)}, {}):
            with client(ports, tls=stranger, patience=1.0) as served, pytest.raises(ServersLost):
                served(table(images))


@pytest.mark.slow
def test_killed_server_that_comes_back_loses_or_doubles_stamps(repository, here, tmp_path):
    ports, images = free_ports(), stamps(400, 2)
    answers = []
    options = {"batch_size": 8, "shared_memory": "auto"}
    with client(ports, **options) as served, (tmp_path / "log").open("wb") as log:
        with serving(repository, ports, log=log.fileno()) as process:
            worker = threading.Thread(
                target=lambda: answers.extend(bits(served(table(images))) for _ in range(20))
            )
            worker.start()
            time.sleep(0.5)
            os.killpg(process.pid, signal.SIGKILL)
            assert worker.is_alive()
        with serving(repository, ports, log=log.fileno()):
            worker.join(300)
            assert not worker.is_alive()
    wanted = bits(here(table(images)))
    assert len(answers) == 20
    for answer in answers:
        np.testing.assert_array_equal(answer, wanted)


@pytest.mark.slow
def test_work_stays_with_a_server_that_stopped(repository, server, here, tmp_path):
    """Two servers, one stops and starts again: work moves, and comes back."""
    ports, images = free_ports(), stamps(200, 2)
    wanted = bits(here(table(images)))

    def answered(which: Ports) -> int:
        told = grpc.InferenceServerClient(f"{which.host}:{which.grpc}")
        stats = told.get_inference_statistics("encoder", as_json=True)["model_stats"][0]
        return int(stats.get("inference_count", 0))

    with client(server, ports) as served, (tmp_path / "log").open("wb") as log:
        with serving(repository, ports, log=log.fileno()):
            before = answered(server), answered(ports)
            np.testing.assert_array_equal(bits(served(table(images))), wanted)
            assert answered(server) > before[0]
            assert answered(ports) > before[1]
        np.testing.assert_array_equal(bits(served(table(images))), wanted)
        with serving(repository, ports, log=log.fileno()):
            limit, began = time.monotonic() + 300, answered(ports)
            while answered(ports) == began and time.monotonic() < limit:
                np.testing.assert_array_equal(bits(served(table(images))), wanted)
            assert answered(ports) > began


@pytest.mark.slow
def test_restart_between_requests_is_taken_for_a_fault(repository, here, tmp_path):
    """The server has forgotten the shared memory, and the line mended itself: register again, and go on."""
    ports, images = free_ports(), stamps(20, 2)
    with client(ports, shared_memory="on") as served, (tmp_path / "log").open("wb") as log:
        for _ in range(2):
            with serving(repository, ports, log=log.fileno()):
                np.testing.assert_array_equal(bits(served(table(images))), bits(here(table(images))))
