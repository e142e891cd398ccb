"""The encoder as a client: stamps go to tritonservers, several requests at a time, and embeddings come back in order."""

from __future__ import annotations

import contextlib
import functools
import queue
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.embedder import Embedder
from actors.metrics import Counter, Gauge, Histogram
from actors.serving.connection import Connection, Expected, ServerAway
from actors.serving.contract import ServingError
from actors.stamps import with_modalities

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["ServedEncoder", "ServersLost"]

_BACKOFF = (0.1, 5.0)  # seconds, after the first failure and at most


class ServersLost(ServingError):
    """No server answered for longer than the patience."""


class ServedEncoder(Embedder):
    """Takes the place of `actors.encoder.Encoder`: the same table in, the same table out.

    Parameters
    ----------
    endpoints : sequence of str
        ``grpc://host:port`` or ``grpcs://host:port``, of servers of the same model.
    expected : dict
        What they must serve, see `actors.serving.connection.Expected`.
    batch_size : int
        Stamps in a request.
    in_flight : int
        Requests on their way at once.
    timeout : float
        Seconds that a request may take before another server is tried.
    patience : float
        Seconds of failures after which a request is given up, and the run with it.
    shared_memory : {"auto", "on", "off"}
        See `actors.serving.connection.Connection`.
    tls : mapping of str to str, optional
        PEM files `ca`, `certificate` and `key`.
    """

    def __init__(
        self,
        *,
        endpoints: Sequence[str],
        expected: dict[str, Any],
        batch_size: int = 128,
        in_flight: int = 2,
        timeout: float = 60.0,
        patience: float = 120.0,
        shared_memory: str = "auto",
        tls: Mapping[str, str] | None = None,
    ) -> None:
        self._expected = Expected(**expected)
        wanted = self._expected
        super().__init__(wanted.bands, wanted.size, wanted.features, wanted.width)
        self._batch_size, self._patience = batch_size, patience
        self._fleet, self._meters = Fleet(endpoints), Meters()
        self._open = functools.partial(
            Connection,
            expected=self._expected,
            batch=batch_size,
            timeout=timeout,
            shared_memory=shared_memory,
            tls=tls,
        )
        # each request in flight has lines of its own, with input objects and memory that it reuses
        self._lines: queue.SimpleQueue[dict[str, Connection]] = queue.SimpleQueue()
        for _ in range(in_flight):
            self._lines.put({})
        self._pool = ThreadPoolExecutor(in_flight, "request")

    def embed(self, stamps: np.ndarray, rows: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
        """Embeddings (rows, features) float32 of these rows of stamps (n, b, y, x) float32, and of other modalities (n, width) where it takes some.

        Raises
        ------
        ServersLost
            If no server answered.
        actors.serving.connection.ServerFault
            If one answered what cannot be an embedding.
        """
        parts = [rows[i : i + self._batch_size] for i in range(0, len(rows), self._batch_size)]

        def ask(part: np.ndarray) -> np.ndarray:
            return self._request(with_modalities(stamps[part], None if others is None else others[part]))

        found = [np.zeros((0, self._features), np.float32)]
        for answer in self._pool.map(ask, parts):
            found.append(answer)
            self.progress(len(answer))
        return np.concatenate(found)

    def close(self) -> None:
        """Let go of all servers and of shared memory."""
        self._pool.shutdown()
        while not self._lines.empty():
            for connection in self._lines.get().values():
                connection.close()

    def __del__(self) -> None:
        """Shared memory must not outlive the actor."""
        if hasattr(self, "_pool"):
            self.close()

    def _request(self, stamps: np.ndarray) -> np.ndarray:
        lines, first_failure = self._lines.get(), None
        try:
            while True:
                endpoint = self._fleet.take()
                try:
                    found = self._call(lines, endpoint, stamps)
                except ServerAway as error:
                    self._fleet.failed(endpoint)
                    self._meters.retries.inc(tags={"endpoint": endpoint})
                    first_failure = first_failure or time.monotonic()
                    if time.monotonic() - first_failure > self._patience:
                        problem = f"no server answered for {self._patience:g} s, the last: {error}"
                        raise ServersLost(problem) from error
                else:
                    self._fleet.answered(endpoint)
                    return found
                finally:
                    self._fleet.give_back(endpoint)
        finally:
            self._lines.put(lines)

    def _call(self, lines: dict[str, Connection], endpoint: str, stamps: np.ndarray) -> np.ndarray:
        """One try; a line that broke is not used again, for there may be another server at its end."""
        try:
            with self._meters.request(endpoint, len(stamps)):
                if endpoint not in lines:
                    lines[endpoint] = self._open(endpoint)
                return lines[endpoint].infer(stamps)
        except ServerAway:
            if endpoint in lines:
                lines.pop(endpoint).close()
            raise


@dataclass
class _Standing:
    busy: int = 0
    failures: int = 0
    away_until: float = 0.0


class Fleet:
    """Which server to use next: the least busy one; servers that failed are tried again after a while."""

    def __init__(self, endpoints: Sequence[str]) -> None:
        self._each = {endpoint: _Standing() for endpoint in endpoints}
        self._lock = threading.Lock()

    def take(self) -> str:
        """A server for the next request; waits while all are away."""
        with self._lock:
            now = time.monotonic()
            endpoint, standing = min(
                self._each.items(), key=lambda item: (max(0.0, item[1].away_until - now), item[1].busy)
            )
            standing.busy += 1
            wait = standing.away_until - now
        if wait > 0:
            time.sleep(wait)
        return endpoint

    def give_back(self, endpoint: str) -> None:
        """Its request is over."""
        with self._lock:
            self._each[endpoint].busy -= 1

    def answered(self, endpoint: str) -> None:
        """It is there."""
        with self._lock:
            self._each[endpoint].failures = 0

    def failed(self, endpoint: str) -> None:
        """Leave it alone for twice as long as after the failure before, more or less."""
        with self._lock:
            standing = self._each[endpoint]
            first, most = _BACKOFF
            delay = min(most, first * 2.0**standing.failures) * random.uniform(0.5, 1.5)  # noqa: S311
            standing.failures += 1
            standing.away_until = time.monotonic() + delay


class Meters:
    """Metrics on Ray's dashboard and its Prometheus endpoints, beside the servers' own ``nv_inference_…``."""

    def __init__(self) -> None:
        tags = ("endpoint",)
        self.retries = Counter("tuningfork_served_retries", "requests that another try had to follow", tags)
        self._requests = Counter("tuningfork_served_requests", "requests that were answered", tags)
        self._stamps = Counter("tuningfork_served_stamps", "stamps in requests that were answered", tags)
        self._flying = Gauge("tuningfork_served_in_flight", "requests on their way", tags)
        self._latency = Histogram(
            "tuningfork_served_latency_seconds",
            "time from a request to its answer",
            [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0],
            tags,
        )
        self._count: dict[str, int] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def request(self, endpoint: str, stamps: int) -> Iterator[None]:
        """Around one request."""
        tags, start = {"endpoint": endpoint}, time.perf_counter()
        self._fly(endpoint, 1)
        try:
            yield
        finally:
            self._fly(endpoint, -1)
        self._requests.inc(tags=tags)
        self._stamps.inc(stamps, tags=tags)
        self._latency.observe(time.perf_counter() - start, tags=tags)

    def _fly(self, endpoint: str, by: int) -> None:
        with self._lock:
            self._count[endpoint] = self._count.get(endpoint, 0) + by
            self._flying.set(self._count[endpoint], tags={"endpoint": endpoint})
