"""The config in the ConfigMap beside the pods that it runs in: whether what it asks for is somewhere, and where."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from pipeline.config.file import Config
from pipeline.config.file import parse as parse_config
from tests.k8s.manifests import Manifest, Pod, of_kind, pods, rayjob
from tests.k8s.references import Check


def toml(manifests: list[Manifest]) -> str:
    """The text of survey.toml."""
    (found,) = (
        each["data"]["survey.toml"]
        for each in of_kind(manifests, "ConfigMap")
        if "survey.toml" in each["data"]
    )
    return str(found)


def config_of(manifests: list[Manifest]) -> Config:
    """The config that the run gets."""
    return parse_config(tomllib.loads(toml(manifests)), "survey.toml")


def encoders_find_a_place(manifests: list[Manifest]) -> Iterator[str]:
    """Ray waits without a word for a node that no group can be."""
    settings = config_of(manifests).encode
    hosts = _hosts(manifests)
    if not hosts:
        yield f"no group has {settings.cpus:g} CPUs and {settings.gpus:g} GPUs for an encoder"
        return
    room = sum(pod.replicas * _fit(pod, settings.cpus, settings.gpus) for pod in hosts)
    if room < settings.workers:
        yield f"{settings.workers} encoders, and room for {room}"
    for pod in hosts:
        if settings.gpus and not pod.ray["image"].partition(":")[0].endswith("-cuda"):
            yield f"{pod.name}: encoders on GPUs in an image for CPUs"
        if settings.threads > settings.cpus:
            yield f"encoders of {settings.threads} threads on {settings.cpus:g} CPUs"


def readers_find_a_place(manifests: list[Manifest]) -> Iterator[str]:
    """Reading needs CPUs that encoders leave free, on a group that is always there."""
    config = config_of(manifests)
    always = [p for p in _workers(manifests) if p.group["minReplicas"] > 0 and p.resource("num-gpus") == 0]
    left = [
        p.resource("num-cpus") - config.encode.cpus * (_fit(p, config.encode.cpus, config.encode.gpus) > 0)
        for p in always
    ]
    if max(left, default=0.0) < config.run.read_cpus:
        yield "no pod that is always there has CPUs for reading"


def servers_are_where_encoders_are(manifests: list[Manifest]) -> Iterator[str]:
    """An endpoint on 127.0.0.1 is another server in every pod: there must be one wherever an encoder may be."""
    settings = config_of(manifests).encode
    if settings.served_by is None:
        return
    for endpoint in settings.endpoints:
        if urlsplit(endpoint).hostname != "127.0.0.1":
            yield f"{endpoint} is not the encoder's own pod"
    for pod in _hosts(manifests):
        if _server(pod) is None:
            yield f"{pod.name}: encoders may come here, and there is no tritonserver"


def servers_listen_where_they_are_asked(manifests: list[Manifest]) -> Iterator[str]:
    """Endpoints, flags, and ports for probes and metrics agree."""
    asked = {urlsplit(endpoint).port for endpoint in config_of(manifests).encode.endpoints}
    for pod, server in _servers(manifests):
        flags = _flags(server)
        ports = {port["name"]: port["containerPort"] for port in server["ports"]}
        if asked != {int(flags["grpc-port"])}:
            yield f"{pod.name}: encoders ask {asked}, and the server listens on {flags['grpc-port']}"
        for kind in ("grpc", "http", "metrics"):
            if ports[f"server-{kind}"] != int(flags[f"{kind}-port"]):
                yield f"{pod.name}: the server's {kind} is not at port {ports[f'server-{kind}']}"
        for kind in ("http", "metrics"):
            if flags[f"{kind}-address"] != "0.0.0.0":
                yield f"{pod.name}: neither kubelet nor Prometheus reach {kind} on {flags[f'{kind}-address']}"


def servers_share_memory_with_encoders(manifests: list[Manifest]) -> Iterator[str]:
    """Stamps go over in one /dev/shm, which the server must be told to read."""
    settings = config_of(manifests).encode
    for pod, server in _servers(manifests):
        shared = [_mounted(pod, container, "/dev/shm") for container in (server, pod.ray)]
        if shared[0] is None or shared[0] != shared[1]:
            yield f"{pod.name}: Ray and the server have no /dev/shm in common"
        if settings.shared_memory == "on" and _flags(server).get("allow-client-shm") != "true":
            yield f"{pod.name}: the server takes no shared memory from clients"


def servers_serve_what_the_config_says(manifests: list[Manifest]) -> Iterator[str]:
    """The model is exported from the run's config, before the server looks, for the device that the server has."""
    for pod, server in _servers(manifests):
        inits = pod.spec["initContainers"]
        first = inits[: inits.index(server)]
        export = next((c for c in first if c["command"][:2] == ["tuningfork", "export-encoder"]), None)
        if export is None:
            yield f"{pod.name}: nothing is exported before the server starts"
            continue
        repository = _flags(server)["model-repository"]
        volumes = {_mounted(pod, container, repository) for container in (export, server)}
        if export["command"][3] != repository or len(volumes) > 1 or None in volumes:
            yield f"{pod.name}: the server does not serve what was exported"
        if export["command"][2] != shlex.split(rayjob(manifests)["spec"]["entrypoint"])[2]:
            yield f"{pod.name}: what is exported is another config's"
        if ("--gpus" in export["command"]) != ("nvidia.com/gpu" in server["resources"]["limits"]):
            yield f"{pod.name}: the model and the server disagree on GPUs"


def paths_are_mounted(manifests: list[Manifest]) -> Iterator[str]:
    """The config, the release and the run are where the command and the config say."""
    words = shlex.split(rayjob(manifests)["spec"]["entrypoint"])
    config, run = words[2], words[words.index("--out") + 1]
    images = config_of(manifests).survey
    for pod in (pod for pod in pods(rayjob(manifests)) if pod.group):
        mounts = {mount["mountPath"]: mount for mount in pod.ray.get("volumeMounts", [])}
        for path, writes in (
            (config, False),
            (run, True),
            (images.patterns[0], False),
            (str(images.images.path), False),
        ):
            if path.startswith("s3://"):
                if not pod.ray.get("envFrom"):
                    yield f"{pod.name}: {path}, and no credentials"
                continue
            above = [str(folder) for folder in PurePosixPath(path).parents]
            found = next((mounts[folder] for folder in above if folder in mounts), None)
            if found is None or (writes and found.get("readOnly")):
                yield f"{pod.name}: {path} is on no volume{' that can be written to' if writes else ''}"


def _workers(manifests: list[Manifest]) -> list[Pod]:
    return [p for p in pods(rayjob(manifests)) if p.group and p.name != "head" and p.replicas]


def _hosts(manifests: list[Manifest]) -> list[Pod]:
    settings = config_of(manifests).encode
    return [pod for pod in _workers(manifests) if _fit(pod, settings.cpus, settings.gpus)]


def _fit(pod: Pod, cpus: float, gpus: float) -> int:
    """How many actors of this size fit in a pod."""
    room = pod.resource("num-cpus") // cpus
    return int(min(room, pod.resource("num-gpus") // gpus) if gpus else room)


def _server(pod: Pod) -> Manifest | None:
    return next((container for container in pod.running if container["name"] == "tritonserver"), None)


def _servers(manifests: list[Manifest]) -> Iterator[tuple[Pod, Manifest]]:
    for pod in _workers(manifests):
        server = _server(pod)
        if server is not None:
            yield pod, server


def _flags(server: Manifest) -> dict[str, str]:
    return dict(flag.removeprefix("--").split("=", 1) for flag in server["args"])


def _mounted(pod: Pod, container: Manifest, path: str) -> str | None:
    return next((m["name"] for m in container.get("volumeMounts", []) if m["mountPath"] == path), None)


CHECKS: tuple[Check, ...] = (
    encoders_find_a_place,
    readers_find_a_place,
    servers_are_where_encoders_are,
    servers_listen_where_they_are_asked,
    servers_share_memory_with_encoders,
    servers_serve_what_the_config_says,
    paths_are_mounted,
)
