"""One line to one tritonserver: checked when it opens, and every answer looked at before it counts."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import dataclass
from multiprocessing import shared_memory
from typing import TYPE_CHECKING, Any

import numpy as np
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

from actors.serving import contract

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Connection", "Expected", "ServerAway", "ServerFault"]

_AWAY = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "RESOURCE_EXHAUSTED", "NOT_FOUND", "UNKNOWN"}
"""gRPC statuses of a server that is starting, stopping, full, or behind a broken line."""
_LARGEST = float(np.finfo(np.float16).max)


class ServerAway(ConnectionError):
    """A server does not answer now; it may later, or another may."""


class ServerFault(contract.ServingError):
    """A server answers what cannot be an embedding, or serves something else."""


@dataclass(frozen=True)
class Expected:
    """What a server must serve.

    Parameters
    ----------
    name : str
        The model's name.
    bands, size, features : int
    width : int
        Numbers that an object has beside its stamp.
    wire : {"float32", "float16"}
    fingerprint : str
        Of `actors.serving.contract.fingerprint`.
    values : dict
        What the fingerprint is made of, for messages.
    """

    name: str
    bands: int
    size: int
    features: int
    wire: str
    fingerprint: str
    values: dict[str, Any]
    width: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one object's input."""
        return contract.input_shape(self.bands, self.size, self.width)

    @property
    def dtype(self) -> np.dtype[Any]:
        """What stamps and embeddings travel as."""
        return np.dtype(self.wire)


class Connection:
    """Asks one server, one request at a time; not for several threads.

    Parameters
    ----------
    endpoint : str
        ``grpc://host:port``, or ``grpcs://`` for TLS.
    expected : Expected
    batch : int
        Stamps in a request, at most.
    timeout : float
        Seconds that a request may take.
    shared_memory : {"auto", "on", "off"}
        Hand stamps and embeddings over in /dev/shm; "auto": where the server can read it.
    tls : mapping of str to str
        `ca`, `certificate` and `key`: PEM files, each optional.

    Raises
    ------
    ServerAway
        If it does not answer.
    ServerFault
        If it serves something else.
    """

    def __init__(
        self,
        endpoint: str,
        expected: Expected,
        *,
        batch: int,
        timeout: float,
        shared_memory: str = "off",
        tls: Mapping[str, str] | None = None,
    ) -> None:
        self.endpoint, self._expected, self._timeout, self._batch = endpoint, expected, timeout, batch
        scheme, _, address = endpoint.partition("://")
        tls = tls or {}
        self._client = grpc.InferenceServerClient(
            address,
            ssl=scheme == "grpcs",
            root_certificates=tls.get("ca"),
            certificate_chain=tls.get("certificate"),
            private_key=tls.get("key"),
            # a channel of its own, that looks for a server that came back every second
            channel_args=[
                ("grpc.max_send_message_length", -1),
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_reconnect_backoff_ms", 1000),
                ("grpc.use_local_subchannel_pool", 1),
            ],
        )
        self._regions: dict[str, SharedRegion] = {}
        self.verify()
        self._input = grpc.InferInput(
            contract.STAMP, [batch, *expected.shape], contract.DTYPES[expected.wire]
        )
        self._outputs = [
            grpc.InferRequestedOutput(name) for name in (contract.EMBEDDING, contract.FINGERPRINT)
        ]
        if shared_memory != "off":
            self._share(required=shared_memory == "on")

    def verify(self) -> None:
        """Raise unless the server is there and serves what is expected."""
        wanted = self._expected
        config = self._call(self._client.get_model_config, wanted.name, as_json=True)["config"]
        given = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
        if "fingerprint" not in given:
            raise ServerFault(f'{self.endpoint}: "{wanted.name}" is no encoder that tuningfork exported')
        dtype = config["input"][0]["data_type"].removeprefix("TYPE_")
        if dtype != contract.DTYPES[wanted.wire]:
            raise ServerFault(
                f'{self.endpoint}: "{wanted.name}" takes {dtype}, and wire = "{wanted.wire}": export it with that wire'
            )
        if given["fingerprint"] != wanted.fingerprint:
            there = json.loads(given.get("encoder", "{}"))
            other = [
                f"{key} = {there.get(key)!r}, not {value!r}"
                for key, value in wanted.values.items()
                if there.get(key) != value
            ]
            what = "; ".join(other) or "the same model with other weights"
            raise ServerFault(f'{self.endpoint}: "{wanted.name}" is another encoder: {what}')
        if self._batch > int(config.get("max_batch_size", 0)):
            raise ServerFault(
                f"{self.endpoint}: takes {config.get('max_batch_size', 0)} stamps at once, and batch_size = {self._batch}"
            )
        if not self._call(self._client.is_model_ready, wanted.name):
            raise ServerAway(f'{self.endpoint}: "{wanted.name}" is not ready')

    def infer(self, stamps: np.ndarray) -> np.ndarray:
        """Embeddings (n, features) float32 of stamps float32, as `actors.stamps.with_modalities` gives them, n of at most `batch`.

        Raises
        ------
        ServerAway
            If there was no answer in time.
        ServerFault
            If the answer is none: of other weights, of another shape, or not finite.
        """
        sent = stamps if self._expected.wire == "float32" else scaled_to_half(stamps)
        self._input.set_shape(list(sent.shape))
        if self._regions:
            self._regions["in"].array[: len(sent)] = sent
            self._input.set_shared_memory(self._regions["in"].name, sent.nbytes)
        else:
            self._input.set_data_from_numpy(np.ascontiguousarray(sent))
        result = self._call(self._client.infer, self._expected.name, [self._input], outputs=self._outputs)
        return self._checked(result, len(sent))

    def close(self) -> None:
        """Let go of the channel and of shared memory."""
        for region in self._regions.values():
            region.close(self._client)
        self._regions = {}
        self._client.close()

    def _checked(self, result: Any, n: int) -> np.ndarray:
        mark = self._answer(result, contract.FINGERPRINT, (n, contract.MARK), np.dtype(np.uint8))
        if (mark != np.frombuffer(contract.mark(self._expected.fingerprint), np.uint8)).any():
            raise ServerFault(f"{self.endpoint}: the answer is of other weights")
        shape = (n, self._expected.features)
        found = self._answer(result, contract.EMBEDDING, shape, self._expected.dtype).astype(np.float32)
        wrong = int((~(np.abs(found) <= _LARGEST).all(axis=1)).sum())
        if wrong:
            raise ServerFault(f"{self.endpoint}: {wrong} of {n} embeddings are not finite or exceed float16")
        return found

    def _answer(self, result: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        output = result.get_output(name)
        if output is None:
            raise ServerFault(f"{self.endpoint}: {name} is missing")
        if tuple(output.shape) != shape:
            raise ServerFault(f"{self.endpoint}: {name} is of shape {tuple(output.shape)}, not {shape}")
        if name == contract.EMBEDDING and self._regions:
            return self._regions["out"].array[: shape[0]]
        try:
            answer: np.ndarray | None = result.as_numpy(name)
        except (ValueError, InferenceServerException) as error:
            raise ServerFault(f"{self.endpoint}: {name} cannot be read ({error})") from error
        if answer is None or answer.dtype != dtype:
            raise ServerFault(f"{self.endpoint}: {name} is {output.datatype}, not {dtype}")
        return answer

    def _call(self, call: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return call(*arguments, client_timeout=self._timeout, **options)
        except InferenceServerException as error:
            status = str(error.status() or "").removeprefix("StatusCode.")
            message = f"{self.endpoint}: {error.message()} ({status})"
            raise (ServerAway if status in _AWAY else ServerFault)(message) from error

    def _share(self, *, required: bool) -> None:
        """Register shared memory with the server, or do without where it cannot reach it."""
        wanted = self._expected
        # across hosts too: process ids repeat in containers, and a server elsewhere must not find another region of that name
        unique = f"tuningfork-{os.getpid()}-{uuid.uuid4().hex[:16]}"
        shapes = {"in": (self._batch, *wanted.shape), "out": (self._batch, wanted.features)}
        try:
            for way, whole in shapes.items():
                region = SharedRegion(f"{unique}-{way}", whole, wanted.dtype)
                self._regions[way] = region
                self._call(
                    self._client.register_system_shared_memory, region.name, region.key, region.array.nbytes
                )
        except (ServerFault, OSError) as error:
            for region in self._regions.values():
                region.close(self._client)
            self._regions = {}
            if isinstance(error, ServerAway):  # gone in between, which says nothing of its memory
                raise
            if required:
                raise ServerFault(f'{self.endpoint}: shared_memory = "on": {error}') from error
            return
        out = self._regions["out"]
        self._outputs[0].set_shared_memory(out.name, out.array.nbytes)


class SharedRegion:
    """A piece of /dev/shm that a server on this host reads and writes."""

    def __init__(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.name = name
        self._memory = shared_memory.SharedMemory(
            name, create=True, size=int(np.prod(shape)) * dtype.itemsize
        )
        self.key = f"/{name}"
        self.array = np.ndarray(shape, dtype, buffer=self._memory.buf)

    def close(self, client: Any) -> None:
        """Take it away from the server, if it is still there, and from /dev/shm."""
        del self.array
        try:
            client.unregister_system_shared_memory(self.name, client_timeout=5.0)
        except InferenceServerException:
            pass  # a server that is gone has let go of it
        finally:
            self._memory.close()
            self._memory.unlink()


def scaled_to_half(stamps: np.ndarray) -> np.ndarray:
    """Stamps as float16, each by a power of two so that its brightest pixel lies between 16384 and 32768.

    Encoders divide each stamp by its own scale first, so the embedding does not change but by rounding.
    """
    peak = np.abs(np.nan_to_num(stamps, nan=0.0, posinf=0.0, neginf=0.0)).max(axis=(1, 2, 3), keepdims=True)
    _, exponent = np.frexp(peak)
    return np.ldexp(stamps, 15 - exponent).astype(np.float16)
