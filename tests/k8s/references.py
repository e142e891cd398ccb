"""What no schema sees: names that must agree, amounts that must fit, and rights that pods must not have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tests.k8s.manifests import QUANTITY, ROOT, Manifest, Pod, amount, of_kind, pods, rayjob, walk

METADATA = {"name", "namespace", "labels", "annotations"}
NAME = re.compile(r"^[a-z]([-a-z0-9.]*[a-z0-9])?$")
LABEL = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")
WRITTEN = {"HOME", "NUMBA_CACHE_DIR", "MPLCONFIGDIR", "XDG_CACHE_HOME"}
"""Variables that name a folder which something writes to."""
IMAGES = {"tuningfork", "tuningfork-cuda", "tuningfork-server"}
"""What the Dockerfile makes."""
NAMESPACE = "tuningfork"
CLUSTERS = {"Namespace", "ClusterQueue", "ResourceFlavor", "WorkloadPriorityClass"}
"""Kinds that are a cluster's own, and in no namespace."""
SOURCES = {
    "configMap": ("ConfigMap", "name"),
    "persistentVolumeClaim": ("PersistentVolumeClaim", "claimName"),
    "secret": ("Secret", "secretName"),
}
"""Volumes that are something else's: its kind, and the key of its name."""
VOLUMES = {*SOURCES, "emptyDir", "projected", "downwardAPI", "csi", "ephemeral"}
"""Kinds of volumes at the `restricted` level."""
CONFINED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
"""Security context of every container: the `restricted` level, and a root that nobody writes to."""
BY_HAND = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
"""Where a reader is told to make what no manifest holds."""

Check = Callable[[list[Manifest]], Iterator[str]]


def metadata_is_known(manifests: list[Manifest]) -> Iterator[str]:
    """Metadata of custom resources is open in their schemas."""
    for each in manifests:
        metadata, where = each["metadata"], f"{each['kind']} {each['metadata'].get('name')}"
        for key in metadata.keys() - METADATA:
            yield f"{where}: metadata.{key} is unknown"
        if not NAME.match(str(metadata.get("name"))) or len(str(metadata.get("name"))) > 63:
            yield f"{where}: is no name"
        for key, value in metadata.get("labels", {}).items():
            if not LABEL.match(str(value)) or len(str(value)) > 63:
                yield f"{where}: label {key} = {value!r} is none"


def quantities_are_such(manifests: list[Manifest]) -> Iterator[str]:
    """Schemas of core kinds take any string for a quantity."""
    for each in manifests:
        for path, value in walk(each):
            amounts = {}
            if path.endswith((".requests", ".limits")) and isinstance(value, dict):
                amounts = value
            elif path.endswith((".sizeLimit", ".nominalQuota")):
                amounts = {"": value}
            for key, quantity in amounts.items():
                if not QUANTITY.match(str(quantity)):
                    yield f"{each['kind']}{path} {key}: {quantity!r} is no quantity"


def everything_is_in_the_namespace(manifests: list[Manifest]) -> Iterator[str]:
    """What names no namespace lands in the one that somebody happens to use: pods find no claim there, and policies no pod."""
    for each in manifests:
        found = each["metadata"].get("namespace")
        if found != (None if each["kind"] in CLUSTERS else NAMESPACE):
            yield f"{each['kind']} {each['metadata']['name']} is in namespace {found}"


def names_are_there(manifests: list[Manifest]) -> Iterator[str]:
    """Pods wait for ever for a ConfigMap, claim or Secret that is not there."""
    there = {(each["kind"], each["metadata"]["name"]) for each in manifests}
    for pod in _pods(manifests):
        for kind, name in sorted(set(_named(pod)) - there):
            if kind != "Secret" or not re.search(rf"create secret generic {re.escape(name)}\b", BY_HAND):
                yield f"{pod.name}: there is no {kind} {name}"


def _named(pod: Pod) -> Iterator[tuple[str, str]]:
    """Kinds and names of all that a pod needs."""
    if "serviceAccountName" in pod.spec:
        yield "ServiceAccount", pod.spec["serviceAccountName"]
    for volume in pod.spec.get("volumes", []):
        for key, (kind, name) in SOURCES.items():
            if key in volume:
                yield kind, volume[key][name]
    for container in pod.containers:
        for source in container.get("envFrom", []):
            ((key, value),) = source.items()
            yield {"secretRef": "Secret", "configMapRef": "ConfigMap"}[key], value["name"]
        for variable in container.get("env", []):
            if "secretKeyRef" in variable.get("valueFrom", {}):
                yield "Secret", variable["valueFrom"]["secretKeyRef"]["name"]


def secrets_are_not_written_down(manifests: list[Manifest]) -> Iterator[str]:
    """Secrets are named, never held."""
    for each in manifests:
        if each["kind"] == "Secret":
            yield f"Secret {each['metadata']['name']} is in the manifests"
    for pod in _pods(manifests):
        for container in pod.containers:
            for variable in container.get("env", []):
                if re.search(r"KEY|TOKEN|PASSWORD|SECRET", variable["name"]) and "value" in variable:
                    yield f"{pod.name}: {variable['name']} is written down"


def mounts_are_volumes(manifests: list[Manifest]) -> Iterator[str]:
    """Mounts of volumes that there are, and each volume for something."""
    for pod in _pods(manifests):
        volumes = {volume["name"] for volume in pod.spec.get("volumes", [])}
        used = set()
        for container in pod.containers:
            mounts = container.get("volumeMounts", [])
            used |= {mount["name"] for mount in mounts}
            paths = [mount["mountPath"] for mount in mounts]
            for path in sorted({path for path in paths if paths.count(path) > 1}):
                yield f"{pod.name}: {container['name']} mounts {path} twice"
        for name in sorted(used - volumes):
            yield f"{pod.name}: mounts {name}, which is no volume"
        for name in sorted(volumes - used):
            yield f"{pod.name}: nobody mounts {name}"


def requests_are_limits(manifests: list[Manifest]) -> Iterator[str]:
    """A Ray node that gets less than it counts on is killed, or starves; a GPU cannot be asked for otherwise at all."""
    for pod in _pods(manifests):
        for container in pod.containers:
            resources = container.get("resources", {})
            requests, limits = resources.get("requests", {}), resources.get("limits", {})
            where = f"{pod.name}: {container['name']}"
            if {"cpu", "memory", "ephemeral-storage"} - limits.keys():
                yield f"{where} has no limit of all of cpu, memory and ephemeral-storage"
            for key in sorted(requests.keys() | limits.keys()):
                if requests.get(key) != limits.get(key):
                    yield f"{where} requests {requests.get(key)} of {key}, with a limit of {limits.get(key)}"


def pods_are_restricted(manifests: list[Manifest]) -> Iterator[str]:
    """The `restricted` level of Pod Security, as far as it is the pod's."""
    for pod in _pods(manifests):
        context = pod.spec.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
            yield f"{pod.name}: may run as root"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{pod.name}: has no seccomp profile"
        for key in sorted({"hostNetwork", "hostPID", "hostIPC"} & pod.spec.keys()):
            yield f"{pod.name}: {key}"
        for volume in pod.spec.get("volumes", []):
            if not (volume.keys() - {"name"}) <= VOLUMES:
                yield f"{pod.name}: volume {volume['name']} is of a kind that is not allowed"


def containers_are_confined(manifests: list[Manifest]) -> Iterator[str]:
    """The rest of it, in every container, the autoscaler's too; and one user in a pod, for /dev/shm is its own only."""
    for pod in _pods(manifests):
        for container in pod.containers:
            own = container.get("securityContext", {})
            for key, value in CONFINED.items():
                if own.get(key) != value:
                    yield f"{pod.name}: {container['name']} has {key} = {own.get(key)}"
            if own.keys() - CONFINED.keys():
                yield f"{pod.name}: {container['name']} undoes the pod's {sorted(own.keys() - CONFINED.keys())}"
            if any("hostPort" in port for port in container.get("ports", [])):
                yield f"{pod.name}: {container['name']} takes a port of its node"
    for job in of_kind(manifests, "RayJob"):
        cluster = job["spec"]["rayClusterSpec"]
        own = cluster.get("autoscalerOptions", {}).get("securityContext", {})
        if cluster.get("enableInTreeAutoscaling") and own != CONFINED:
            yield "the autoscaler's container is not confined"


def folders_can_be_written_to(manifests: list[Manifest]) -> Iterator[str]:
    """With a read-only root, whatever writes needs a volume."""
    for pod in _pods(manifests):
        for container in pod.containers:
            mounts = container.get("volumeMounts", [])
            writable = [m["mountPath"] for m in mounts if not m.get("readOnly")]
            env = {v["name"]: v.get("value", "") for v in container.get("env", [])}
            wanted = {name: value for name, value in env.items() if name in WRITTEN} | {
                "Ray's folder": "/tmp/ray"
            }
            if "HOME" not in env:
                yield f"{pod.name}: {container['name']} has no HOME"
            if container["name"].startswith("ray-") and pod.group and "NUMBA_CACHE_DIR" not in env:
                yield f"{pod.name}: {container['name']} has no NUMBA_CACHE_DIR"
            for name, folder in wanted.items():
                if not any(folder == path or folder.startswith(f"{path}/") for path in writable):
                    yield f"{pod.name}: {container['name']} cannot write to {name}, {folder}"


def memory_holds_the_object_store(manifests: list[Manifest]) -> Iterator[str]:
    """The object store lives in /dev/shm, which counts as the container's memory; containers that share it must be one user."""
    for pod in _ray_pods(manifests):
        mount = next((m for m in pod.ray.get("volumeMounts", []) if m["mountPath"] == "/dev/shm"), {})
        shm = pod.volume(mount.get("name", "")).get("emptyDir", {})
        if shm.get("medium") != "Memory" or "sizeLimit" not in shm:
            yield f"{pod.name}: /dev/shm is not in memory"
            continue
        store = amount(pod.group["rayStartParams"].get("object-store-memory", "1Ei"))
        if store > 0.95 * amount(shm["sizeLimit"]):
            yield f"{pod.name}: an object store of {store:.3g} bytes is too much for {shm['sizeLimit']} in /dev/shm"
        if amount(shm["sizeLimit"]) > 0.5 * amount(pod.ray["resources"]["limits"]["memory"]):
            yield f"{pod.name}: /dev/shm takes more than half of the memory"


def disks_hold_what_is_written(manifests: list[Manifest]) -> Iterator[str]:
    """A pod that writes more than its ephemeral-storage is evicted."""
    for pod in _pods(manifests):
        disks = [v["emptyDir"] for v in pod.spec.get("volumes", []) if "emptyDir" in v]
        disks = [each for each in disks if each.get("medium") != "Memory"]
        if any("sizeLimit" not in each for each in disks):
            yield f"{pod.name}: an emptyDir has no sizeLimit"
            continue
        wanted = sum(amount(each["sizeLimit"]) for each in disks)
        limit = sum(amount(c["resources"]["limits"].get("ephemeral-storage", 0)) for c in pod.running)
        if wanted > limit:
            yield f"{pod.name}: emptyDirs of {wanted / 2**30:.0f} GiB in ephemeral-storage of {limit / 2**30:.0f} GiB"


def probes_ask_their_container(manifests: list[Manifest]) -> Iterator[str]:
    """Ports that probes name; a pod's ports have a name each."""
    for pod in _pods(manifests):
        names = [port["name"] for c in pod.containers for port in c.get("ports", [])]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"{pod.name}: two ports are called {name}"
        for container in pod.containers:
            own = {port["name"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                port = container.get(probe, {}).get("httpGet", {}).get("port")
                if port is not None and port not in own:
                    yield f"{pod.name}: {probe} of {container['name']} asks port {port}, which it has not"


def monitors_find_ports(manifests: list[Manifest]) -> Iterator[str]:
    """Prometheus scrapes nothing, and says nothing, where no pod has the port."""
    spare = _ports_of_servers(manifests, "name")
    for monitor in of_kind(manifests, "PodMonitor"):
        names = _ports(_chosen(_pods(manifests), monitor["spec"]["selector"]), "name")
        wanted = {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]}
        for name in sorted(wanted - names - spare):
            yield f"PodMonitor {monitor['metadata']['name']}: no pod that it selects has a port {name}"


def policies_open_ports_that_are_there(manifests: list[Manifest]) -> Iterator[str]:
    """A policy that opens another port than the one that is listened on shuts everybody out."""
    spare = _ports_of_servers(manifests, "containerPort")
    for policy in of_kind(manifests, "NetworkPolicy"):
        numbers = _ports(_chosen(_pods(manifests), policy["spec"]["podSelector"]), "containerPort")
        opened = {
            port["port"] for rule in policy["spec"].get("ingress", []) for port in rule.get("ports", [])
        }
        for number in sorted(opened - numbers - spare):
            yield f"NetworkPolicy {policy['metadata']['name']}: no pod listens on {number}"


def monitored_ports_are_open(manifests: list[Manifest]) -> Iterator[str]:
    """Prometheus comes from outside: what a monitor names, a policy must open."""
    opened = {
        port["port"]
        for policy in of_kind(manifests, "NetworkPolicy")
        for rule in policy["spec"].get("ingress", [])
        for port in rule.get("ports", [])
    }
    every = [port for pod in _pods(manifests) for c in pod.running for port in c.get("ports", [])]
    for monitor in of_kind(manifests, "PodMonitor"):
        wanted = {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]}
        for number in sorted({port["containerPort"] for port in every if port["name"] in wanted} - opened):
            yield f"no NetworkPolicy lets Prometheus reach {number}"


def selectors_select(manifests: list[Manifest]) -> Iterator[str]:
    """A selector without a pod does nothing, without a word; a pod without a policy may talk to anybody."""
    everywhere = _pods(manifests)
    covered: set[str] = set()
    for kind, key in (("NetworkPolicy", "podSelector"), ("PodMonitor", "selector")):
        for each in of_kind(manifests, kind):
            chosen = _chosen(everywhere, each["spec"][key])
            if not chosen:
                yield f"{kind} {each['metadata']['name']} selects no pod"
            both = {"Ingress", "Egress"} <= set(each["spec"].get("policyTypes", []))
            covered |= {pod.name for pod in chosen} if both else set()
    for pod in everywhere:
        if pod.name not in covered:
            yield f"{pod.name}: no NetworkPolicy is for it"


def images_are_ours(manifests: list[Manifest]) -> Iterator[str]:
    """Images that the Dockerfile makes, with CUDA where there is a GPU, and one tag for all."""
    tags = set()
    for pod in _pods(manifests):
        for container in pod.containers:
            name, _, tag = container["image"].rpartition("/")[2].partition(":")
            tags.add(tag)
            if tag in {
                "",
                "latest",
            }:  # Kubernetes asks the registry for these, even where somebody has loaded the image
                yield f"{pod.name}: {container['image']} has no tag of its own"
            if name not in IMAGES:
                yield f"{pod.name}: the Dockerfile makes no {name}"
            gpu = "nvidia.com/gpu" in container["resources"].get("limits", {})
            if gpu and name == "tuningfork":
                yield f"{pod.name}: {container['name']} has a GPU, but {name} is for CPUs"
    if len(tags) > 1:
        yield f"images of several versions: {sorted(tags)}"


def release_is_read_only(manifests: list[Manifest]) -> Iterator[str]:
    """No run writes to its release."""
    for pod in _ray_pods(manifests):
        for mount in pod.ray.get("volumeMounts", []):
            if mount["name"] == "release" and not mount.get("readOnly"):
                yield f"{pod.name}: mounts the release for writing"


def _pods(manifests: list[Manifest]) -> list[Pod]:
    return [pod for job in of_kind(manifests, "RayJob") for pod in pods(job)] + [
        Pod("submitter", {"metadata": each["metadata"], "spec": each["spec"]}, {}, 1)
        for each in of_kind(manifests, "Pod")
    ]


def _ports(pods_: list[Pod], key: str) -> set[str | int]:
    return {port[key] for pod in pods_ for c in pod.running for port in c.get("ports", [])}


def _ports_of_servers(manifests: list[Manifest], key: str) -> set[str | int]:
    """What monitors and policies may name for tritonserver where there is none."""
    served = any(c["name"] == "tritonserver" for pod in _pods(manifests) for c in pod.containers)
    return set() if served else {{"name": "server-metrics", "containerPort": 8002}[key]}


def _ray_pods(manifests: list[Manifest]) -> list[Pod]:
    return [pod for pod in pods(rayjob(manifests)) if pod.group]


def _chosen(everywhere: list[Pod], selector: Manifest) -> list[Pod]:
    return [pod for pod in everywhere if selector.get("matchLabels", {}).items() <= pod.labels.items()]


CHECKS: tuple[Check, ...] = (
    metadata_is_known,
    quantities_are_such,
    everything_is_in_the_namespace,
    names_are_there,
    secrets_are_not_written_down,
    mounts_are_volumes,
    requests_are_limits,
    pods_are_restricted,
    containers_are_confined,
    folders_can_be_written_to,
    memory_holds_the_object_store,
    disks_hold_what_is_written,
    probes_ask_their_container,
    monitors_find_ports,
    policies_open_ports_that_are_there,
    monitored_ports_are_open,
    selectors_select,
    images_are_ours,
    release_is_read_only,
)
