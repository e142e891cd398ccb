"""No overlay reaches a cluster with a mistake that can be seen without one; and each check sees the mistake that it is for."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from functools import reduce
from typing import Any

import pytest
import yaml

from tests.k8s import operators, placement, references, schemas
from tests.k8s.manifests import K8S, OVERLAYS, Manifest, Strict, of_kind, rayjob, rendered

CHECKS = (*references.CHECKS, *operators.CHECKS, *placement.CHECKS)
CLUSTER = "kueue/cluster"


def shell() -> list[Manifest]:
    """The pod for looking around, and the claims that it mounts."""
    pod = yaml.load((K8S / "shell.yaml").read_text(encoding="utf-8"), Loader=Strict)
    return [pod, *of_kind(rendered("cpu-small"), "PersistentVolumeClaim")]


@pytest.mark.parametrize("overlay", [*OVERLAYS, CLUSTER])
def test_manifest_that_the_api_server_would_refuse(overlay):
    faults = {each["kind"]: schemas.faults(each) for each in rendered(overlay)}
    assert not {kind: found for kind, found in faults.items() if found}


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_mistake_that_no_schema_sees(overlay, check):
    manifests = rendered(overlay)
    if overlay == "kueue":  # an administrator's part is applied on its own, but must fit
        manifests += rendered(CLUSTER)
    assert list(check(manifests)) == []


def test_shell_pod_is_as_strict_as_the_rest():
    pod, *_ = manifests = shell()
    assert schemas.faults(pod) == []
    for check in references.CHECKS:
        if check not in {
            references.memory_holds_the_object_store,
            references.release_is_read_only,
            references.selectors_select,
        }:
            assert list(check(manifests)) == []


def test_key_that_stands_twice_is_refused_though_yaml_lets_the_last_one_win():
    with pytest.raises(yaml.constructor.ConstructorError, match="stands twice: replicas"):
        yaml.load("replicas: 1\nreplicas: 2\n", Loader=Strict)


# Mistakes, each made in a sound manifest: where, what, and the check that sees it with the words that it says.

HEAD = "spec.rayClusterSpec.headGroupSpec"
POD = "template.spec"


def group(number: int) -> str:
    """Path of a worker group: 0 readers, 1 encoders, 2 generators."""
    return f"spec.rayClusterSpec.workerGroupSpecs.{number}"


def at(manifest: Any, path: str) -> tuple[Any, Any]:
    """What holds the last part of a dotted path, and that part; `~` stands for a dot within a key."""
    parts = [int(p) if p.isdigit() else p.replace("~", ".") for p in path.split(".")]
    return reduce(operator.getitem, parts[:-1], manifest), parts[-1]


def put(path: str, value: Any, kind: str = "RayJob", number: int = 0) -> Callable[[list[Manifest]], None]:
    """Set a value in a manifest."""

    def change(manifests: list[Manifest]) -> None:
        holder, key = at(of_kind(manifests, kind)[number], path)
        if isinstance(holder, list) and key == len(holder):
            holder.append(value)
        else:
            holder[key] = value

    return change


def drop(path: str, kind: str = "RayJob", number: int = 0) -> Callable[[list[Manifest]], None]:
    """Take a value out of a manifest."""

    def change(manifests: list[Manifest]) -> None:
        holder, key = at(of_kind(manifests, kind)[number], path)
        del holder[key]

    return change


def config(old: str, new: str) -> Callable[[list[Manifest]], None]:
    """Change the TOML."""

    def change(manifests: list[Manifest]) -> None:
        (holder,) = (
            each["data"] for each in of_kind(manifests, "ConfigMap") if "survey.toml" in each["data"]
        )
        assert old in holder["survey.toml"]
        holder["survey.toml"] = holder["survey.toml"].replace(old, new)

    return change


def without(kind: str) -> Callable[[list[Manifest]], None]:
    """Forget all manifests of a kind."""

    def change(manifests: list[Manifest]) -> None:
        manifests[:] = [each for each in manifests if each["kind"] != kind]

    return change


REFUSED: dict[str, tuple[str, Callable[[list[Manifest]], None], str]] = {
    "misspelt key": ("gpu", put("spec.shutdownAfterJobFinish", True), "shutdownAfterJobFinish"),
    "misspelt key in a pod": ("gpu", put(f"{group(0)}.{POD}.containers.0.resources.limitss", {}), "limitss"),
    "group without a name": ("gpu", drop(f"{group(0)}.groupName"), "groupName"),
    "number where a text belongs": ("gpu", put(f"{HEAD}.rayStartParams.num-cpus", 0), "0 is not of type"),
    "autoscaler that is none": ("gpu", put("spec.rayClusterSpec.autoscalerOptions.version", "v3"), "v3"),
    "quantity that is none": (
        "gpu",
        put(f"{group(0)}.{POD}.containers.0.resources.limits.memory", "96 GB"),
        "96 GB",
    ),
    "variable twice": ("gpu", put(f"{HEAD}.{POD}.containers.0.env.1.name", "HOME"), "stands twice"),
    "interval that is none": (
        "gpu",
        put("spec.podMetricsEndpoints.0.interval", "15 s", "PodMonitor"),
        "15 s",
    ),
    "alert without an expression": ("gpu", drop("spec.groups.0.rules.0.expr", "PrometheusRule"), "expr"),
    "claim of a kind that is none": (
        "cpu-small",
        put("spec.accessMode", [], "PersistentVolumeClaim"),
        "accessMode",
    ),
    "policy for no direction": ("gpu", put("spec.policyTypes", "Ingress", "NetworkPolicy"), "policyTypes"),
    "queue that is none": ("kueue", put("spec.clusterqueue", "x", "LocalQueue"), "clusterqueue"),
    "quota of no resource": (
        CLUSTER,
        drop("spec.resourceGroups.0.flavors.0.resources.0.name", "ClusterQueue"),
        "name",
    ),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_schemas_see(mistake):
    overlay, make, words = REFUSED[mistake]
    manifests = rendered(overlay)
    make(manifests)
    assert words in " ".join(fault for each in manifests for fault in schemas.faults(each))


RAY = f"{POD}.containers.0"
SIDECAR = f"{group(1)}.{POD}.initContainers.1"
r, o, p = references, operators, placement
SEEN: dict[str, tuple[str, Callable[[list[Manifest]], None], references.Check, str]] = {
    "unknown metadata": ("gpu", put("metadata.labelz", {}), r.metadata_is_known, "labelz"),
    "name that is none": ("gpu", put("metadata.name", "Survey_1"), r.metadata_is_known, "no name"),
    "label that is none": ("gpu", put("metadata.labels", {"a": "b c"}), r.metadata_is_known, "b c"),
    "quantity in a core kind": (
        "cpu-small",
        put("spec.resources.requests.storage", "32 GB", "PersistentVolumeClaim"),
        r.quantities_are_such,
        "32 GB",
    ),
    "claim in whichever namespace": (
        "cpu-small",
        drop("metadata.namespace", "PersistentVolumeClaim"),
        r.everything_is_in_the_namespace,
        "PersistentVolumeClaim release is in namespace None",
    ),
    "policy in another namespace": (
        "gpu",
        put("metadata.namespace", "default", "NetworkPolicy", 3),
        r.everything_is_in_the_namespace,
        "NetworkPolicy tuningfork-s3 is in namespace default",
    ),
    "suffix of the ConfigMap left out": (
        "gpu",
        put(f"{HEAD}.{POD}.volumes.0.configMap.name", "survey"),
        r.names_are_there,
        "no ConfigMap survey",
    ),
    "claim that nobody makes": (
        "cpu-small",
        without("PersistentVolumeClaim"),
        r.names_are_there,
        "no PersistentVolumeClaim run",
    ),
    "Secret that the docs don't make": (
        "gpu",
        put(f"{group(0)}.{RAY}.envFrom.0.secretRef.name", "s3"),
        r.names_are_there,
        "no Secret s3",
    ),
    "account that nobody makes": (
        "gpu",
        put(f"{group(0)}.{POD}.serviceAccountName", "me"),
        r.names_are_there,
        "no ServiceAccount me",
    ),
    "password in clear": (
        "gpu",
        put(f"{group(0)}.{RAY}.env.0", {"name": "AWS_SECRET_ACCESS_KEY", "value": "x"}),
        r.secrets_are_not_written_down,
        "AWS_SECRET",
    ),
    "mount of nothing": (
        "gpu",
        put(f"{group(0)}.{RAY}.volumeMounts.1.name", "tnp"),
        r.mounts_are_volumes,
        "tnp, which is no volume",
    ),
    "volume for nothing": (
        "gpu",
        drop(f"{group(0)}.{RAY}.volumeMounts.2"),
        r.mounts_are_volumes,
        "nobody mounts shm",
    ),
    "two mounts in one place": (
        "gpu",
        put(f"{group(0)}.{RAY}.volumeMounts.2.mountPath", "/tmp"),
        r.mounts_are_volumes,
        "/tmp twice",
    ),
    "GPU requested, not limited": (
        "gpu",
        drop(f"{group(1)}.{RAY}.resources.limits.nvidia~com/gpu"),
        r.requests_are_limits,
        "nvidia.com/gpu",
    ),
    "memory overcommitted": (
        "gpu",
        put(f"{group(0)}.{RAY}.resources.requests.memory", "1Gi"),
        r.requests_are_limits,
        "1Gi of memory",
    ),
    "no limit of disk": (
        "gpu",
        drop(f"{group(0)}.{RAY}.resources.limits.ephemeral-storage"),
        r.requests_are_limits,
        "no limit",
    ),
    "root": (
        "gpu",
        put(f"{HEAD}.{POD}.securityContext.runAsNonRoot", False),
        r.pods_are_restricted,
        "head: may run as root",
    ),
    "no seccomp profile": (
        "gpu",
        drop("spec.submitterPodTemplate.spec.securityContext.seccompProfile"),
        r.pods_are_restricted,
        "submitter",
    ),
    "capabilities kept": (
        "gpu-served",
        drop(f"{SIDECAR}.securityContext.capabilities"),
        r.containers_are_confined,
        "tritonserver has capabilities",
    ),
    "root that can be written to": (
        "gpu",
        put(f"{group(1)}.{RAY}.securityContext.readOnlyRootFilesystem", False),
        r.containers_are_confined,
        "readOnlyRootFilesystem",
    ),
    "container as another user": (
        "gpu-served",
        put(f"{SIDECAR}.securityContext.runAsUser", 1001),
        r.containers_are_confined,
        "undoes",
    ),
    "folder of the node": (
        "gpu",
        put(f"{group(0)}.{POD}.volumes.1", {"name": "tmp", "hostPath": {"path": "/tmp"}}),
        r.pods_are_restricted,
        "not allowed",
    ),
    "network of the node": (
        "gpu",
        put(f"{group(0)}.{POD}.hostNetwork", True),
        r.pods_are_restricted,
        "hostNetwork",
    ),
    "autoscaler as root": (
        "gpu",
        drop("spec.rayClusterSpec.autoscalerOptions.securityContext"),
        r.containers_are_confined,
        "autoscaler",
    ),
    "numba's cache on the root": (
        "gpu",
        put(f"{group(0)}.{RAY}.env.1.value", "/var/numba"),
        r.folders_can_be_written_to,
        "NUMBA_CACHE_DIR, /var/numba",
    ),
    "no cache for numba": (
        "gpu",
        drop(f"{group(0)}.{RAY}.env.1"),
        r.folders_can_be_written_to,
        "no NUMBA_CACHE_DIR",
    ),
    "no /tmp": (
        "gpu",
        put(f"{group(1)}.{RAY}.volumeMounts.1.readOnly", True),
        r.folders_can_be_written_to,
        "/tmp/ray",
    ),
    "object store larger than /dev/shm": (
        "gpu",
        put(f"{group(0)}.rayStartParams.object-store-memory", "8589934592"),
        r.memory_holds_the_object_store,
        "too much for 5Gi",
    ),
    "/dev/shm on disk": (
        "gpu",
        drop(f"{group(1)}.{POD}.volumes.2.emptyDir.medium"),
        r.memory_holds_the_object_store,
        "not in memory",
    ),
    "/dev/shm larger than memory": (
        "gpu",
        put(f"{group(0)}.{POD}.volumes.2.emptyDir.sizeLimit", "15Gi"),
        r.memory_holds_the_object_store,
        "half of the memory",
    ),
    "more disk than asked for": (
        "gpu",
        put(f"{group(0)}.{POD}.volumes.1.emptyDir.sizeLimit", "900Gi"),
        r.disks_hold_what_is_written,
        "900 GiB",
    ),
    "disk without end": (
        "gpu",
        drop(f"{group(0)}.{POD}.volumes.1.emptyDir.sizeLimit"),
        r.disks_hold_what_is_written,
        "no sizeLimit",
    ),
    "probe of a port that is not there": (
        "gpu-served",
        put(f"{SIDECAR}.startupProbe.httpGet.port", "http"),
        r.probes_ask_their_container,
        "asks port http",
    ),
    "monitor of a port that is not there": (
        "gpu",
        put("spec.podMetricsEndpoints.1.port", "autoscaler", "PodMonitor"),
        r.monitors_find_ports,
        "port autoscaler",
    ),
    "policy for a port that is not there": (
        "gpu",
        put("spec.ingress.0.ports.0.port", 9999, "NetworkPolicy", 1),
        r.policies_open_ports_that_are_there,
        "listens on 9999",
    ),
    "monitored port shut": (
        "gpu",
        drop("spec.ingress.0.ports.0", "NetworkPolicy", 2),
        r.monitored_ports_are_open,
        "reach 8080",
    ),
    "two ports of one name": (
        "gpu-served",
        put(f"{SIDECAR}.ports.2.name", "metrics"),
        r.probes_ask_their_container,
        "two ports are called metrics",
    ),
    "policy for nobody": (
        "gpu",
        put("spec.podSelector.matchLabels", {"app": "x"}, "NetworkPolicy"),
        r.selectors_select,
        "selects no pod",
    ),
    "monitor of nobody": (
        "gpu",
        put("spec.selector.matchLabels", {"app": "x"}, "PodMonitor"),
        r.selectors_select,
        "PodMonitor tuningfork selects no pod",
    ),
    "pod without a policy": (
        "gpu",
        put(f"{group(0)}.template.metadata.labels", {}),
        r.selectors_select,
        "readers: no NetworkPolicy",
    ),
    "image that nobody makes": (
        "gpu",
        put(f"{HEAD}.{RAY}.image", "rayproject/ray:2.60.0"),
        r.images_are_ours,
        "makes no ray",
    ),
    "GPU for an image without CUDA": (
        "gpu",
        put(f"{group(1)}.{RAY}.image", "registry.example.org/tuningfork:0.1.0"),
        r.images_are_ours,
        "is for CPUs",
    ),
    "image without a tag": (
        "cpu-small",
        put(f"{HEAD}.{RAY}.image", "tuningfork"),
        r.images_are_ours,
        "no tag of its own",
    ),
    "images of two versions": (
        "gpu",
        put(f"{HEAD}.{RAY}.image", "registry.example.org/tuningfork:0.2.0"),
        r.images_are_ours,
        "several versions",
    ),
    "release that can be written to": (
        "cpu-small",
        drop(f"{group(0)}.{RAY}.volumeMounts.3.readOnly"),
        r.release_is_read_only,
        "for writing",
    ),
    "name too long": ("gpu", put("metadata.name", "t" * 48), o.rayjob_is_one, "47 characters"),
    "submission that is none": ("gpu", put("spec.submissionMode", "Bogus"), o.rayjob_is_one, "Bogus"),
    "manager that is nobody": ("gpu", put("spec.managedBy", "me"), o.rayjob_is_one, "managedBy me"),
    "retry on somebody's cluster": ("gpu", put("spec.clusterSelector", {}), o.rayjob_is_one, "own"),
    "cluster that stays": (
        "gpu",
        put("spec.shutdownAfterJobFinishes", False),
        o.cluster_goes_when_the_job_is_done,
        "stays",
    ),
    "two ways to end": (
        "gpu",
        put("spec.deletionStrategy", {"deletionRules": []}),
        o.cluster_goes_when_the_job_is_done,
        "exclude",
    ),
    "no retry": ("gpu", drop("spec.backoffLimit"), o.cluster_goes_when_the_job_is_done, "backoffLimit"),
    "retry that starts anew": (
        "gpu",
        put("spec.entrypoint", "tuningfork run c --out r --anew"),
        o.cluster_goes_when_the_job_is_done,
        "--anew",
    ),
    "another Ray": ("gpu", put("spec.rayClusterSpec.rayVersion", "2.52.0"), o.ray_is_the_images, "2.52.0"),
    "dashboard without a token": (
        "gpu",
        drop("spec.rayClusterSpec.authOptions"),
        o.ray_is_the_images,
        "token",
    ),
    "head that works": (
        "gpu",
        drop(f"{HEAD}.rayStartParams.num-cpus"),
        o.head_takes_no_work,
        "head takes work",
    ),
    "pods that start again": (
        "gpu",
        put(f"{group(0)}.{POD}.restartPolicy", "Always"),
        o.autoscaler_takes_the_groups,
        "restartPolicy",
    ),
    "fewer than the least": ("gpu", put(f"{group(0)}.minReplicas", 64), o.groups_can_scale, "does not hold"),
    "resources twice": (
        "gpu-served",
        put(f"{group(1)}.resources", {"CPU": "1"}),
        o.autoscaler_takes_the_groups,
        "resources stand",
    ),
    "group that nobody starts": ("kueue", put(f"{group(1)}.replicas", 0), o.groups_can_scale, "8 <= 0 <= 8"),
    "queue that nobody made": (
        "kueue",
        put("metadata.labels.kueue~x-k8s~io/queue-name", "x"),
        o.queue_admits,
        "LocalQueue x",
    ),
    "autoscaling in a queue": (
        "kueue",
        put("spec.rayClusterSpec.enableInTreeAutoscaling", True),
        o.queue_admits,
        "autoscaled",
    ),
    "quota too small": (
        "kueue",
        put("spec.resourceGroups.0.flavors.1.resources.3.nominalQuota", "4", "ClusterQueue"),
        o.quota_is_enough,
        "encoders: no flavor",
    ),
    "resource without a quota": (
        "kueue",
        drop("spec.resourceGroups.0.coveredResources.2", "ClusterQueue"),
        o.quota_is_enough,
        "ephemeral-storage",
    ),
    "priority that nobody made": (
        "kueue",
        without("WorkloadPriorityClass"),
        o.queue_is_whole,
        "WorkloadPriorityClass survey",
    ),
    "encoders larger than any pod": (
        "gpu",
        config("cpus = 7 ", "cpus = 12 "),
        p.encoders_find_a_place,
        "no group has 12",
    ),
    "more encoders than room": (
        "gpu",
        config("workers = 8", "workers = 80"),
        p.encoders_find_a_place,
        "80 encoders, and room for 8",
    ),
    "encoders on GPUs without CUDA": (
        "gpu",
        put(f"{group(1)}.{RAY}.image", "registry.example.org/tuningfork:0.1.0"),
        p.encoders_find_a_place,
        "image for CPUs",
    ),
    "no CPU left to read": ("cpu-small", config("cpus = 1", "cpus = 2"), p.readers_find_a_place, "reading"),
    "no reader": ("gpu", put(f"{group(0)}.minReplicas", 0), p.readers_find_a_place, "reading"),
    "encoders where no server is": (
        "gpu-served",
        config("cpus = 7 ", "cpus = 4 "),
        p.servers_are_where_encoders_are,
        "readers: encoders may come here",
    ),
    "server on another port": (
        "gpu-served",
        config("127.0.0.1:8001", "127.0.0.1:8005"),
        p.servers_listen_where_they_are_asked,
        "8001",
    ),
    "server of another pod": (
        "gpu-served",
        config("127.0.0.1:8001", "servers:8001"),
        p.servers_are_where_encoders_are,
        "own pod",
    ),
    "shared memory that is not": (
        "gpu-served",
        put(f"{SIDECAR}.volumeMounts.2.name", "server-tmp"),
        p.servers_share_memory_with_encoders,
        "no /dev/shm in common",
    ),
    "clients' memory refused": (
        "gpu-served",
        drop(f"{SIDECAR}.args.5"),
        p.servers_share_memory_with_encoders,
        "no shared memory",
    ),
    "metrics elsewhere": (
        "gpu-served",
        put(f"{SIDECAR}.ports.2.containerPort", 8003),
        p.servers_listen_where_they_are_asked,
        "metrics is not at port 8003",
    ),
    "nothing to serve": (
        "gpu-served",
        drop(f"{group(1)}.{POD}.initContainers.0"),
        p.servers_serve_what_the_config_says,
        "nothing is exported",
    ),
    "another repository served": (
        "gpu-served",
        put(f"{SIDECAR}.args.0", "--model-repository=/other"),
        p.servers_serve_what_the_config_says,
        "not serve what was exported",
    ),
    "model for CPUs on a GPU": (
        "gpu-served",
        put(f"{group(1)}.{POD}.initContainers.0.command.4", "--instances=1"),
        p.servers_serve_what_the_config_says,
        "disagree on GPUs",
    ),
    "run on no volume": (
        "cpu-small",
        put("spec.entrypoint", "tuningfork run /etc/tuningfork/survey.toml --out /run/x"),
        p.paths_are_mounted,
        "/run/x is on no volume",
    ),
    "run among the release": (
        "cpu-small",
        put("spec.entrypoint", "tuningfork run /etc/tuningfork/survey.toml --out /data/release/run"),
        p.paths_are_mounted,
        "written to",
    ),
    "object store without credentials": (
        "gpu",
        drop(f"{group(0)}.{RAY}.envFrom"),
        p.paths_are_mounted,
        "no credentials",
    ),
}


@pytest.mark.parametrize("mistake", SEEN)
def test_checks_see(mistake):
    overlay, make, check, words = SEEN[mistake]
    manifests = rendered(overlay)
    if overlay == "kueue":
        manifests += rendered(CLUSTER)
    assert list(check(manifests)) == []
    make(manifests)
    found = " ".join(check(manifests))
    assert words
    assert words in found


def test_every_check_is_shown_to_see_a_mistake():
    assert set(CHECKS) == {check for _, _, check, _ in SEEN.values()}


def test_configmap_of_a_retry_is_the_one_it_began_with():
    for overlay in OVERLAYS:
        manifests = rendered(overlay)
        (survey,) = (each for each in of_kind(manifests, "ConfigMap") if "survey.toml" in each["data"])
        assert survey["immutable"] is True
        assert re.fullmatch(r"survey-\w{10}", survey["metadata"]["name"])
        assert rayjob(manifests)["spec"]["backoffLimit"] > 0
