"""What KubeRay and Kueue refuse, or silently do otherwise, though the API server takes it (KubeRay 1.7, Kueue 0.19)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from tests.k8s.manifests import ROOT, Manifest, Pod, amount, of_kind, pods, rayjob
from tests.k8s.references import Check

KUEUE_GROUPS = 17


def rayjob_is_one(manifests: list[Manifest]) -> Iterator[str]:
    """Rules of KubeRay's RayJob."""
    job = rayjob(manifests)
    spec, name = job["spec"], job["metadata"]["name"]
    cluster = spec.get("rayClusterSpec")
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name) or len(name) > 47:
        yield f"{name}: a RayJob's name is a DNS label of 47 characters at most"
    mode = spec.get("submissionMode", "K8sJobMode")
    if mode not in {"K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"}:
        yield f"submissionMode {mode} is none"
    if mode == "SidecarMode" and {"submitterPodTemplate", "submitterConfig", "clusterSelector"} & spec.keys():
        yield "SidecarMode has no submitter of its own"
    if (cluster is None) == ("clusterSelector" not in spec):
        yield "either rayClusterSpec or clusterSelector"
    if spec.get("managedBy", "ray.io/kuberay-operator") not in {
        "ray.io/kuberay-operator",
        "kueue.x-k8s.io/multikueue",
    }:
        yield f"managedBy {spec['managedBy']} is nobody"
    if spec.get("backoffLimit", 0) < 0 or spec.get("activeDeadlineSeconds", 1) <= 0:
        yield "backoffLimit and activeDeadlineSeconds are positive"
    if spec.get("backoffLimit", 0) and ("clusterSelector" in spec or mode == "InteractiveMode"):
        yield "backoffLimit needs a cluster of the job's own"
    if "runtimeEnvYAML" in spec and not isinstance(yaml.safe_load(spec["runtimeEnvYAML"]), dict):
        yield "runtimeEnvYAML is no mapping"


def cluster_goes_when_the_job_is_done(manifests: list[Manifest]) -> Iterator[str]:
    """GPUs that nobody uses cost as much as others; and a retry must be a resume."""
    spec = rayjob(manifests)["spec"]
    rules = spec.get("deletionStrategy", {})
    shutdown = spec.get("shutdownAfterJobFinishes", False)
    if not shutdown and not rules:
        yield "the cluster stays when the job is done"
    if shutdown and rules:
        yield "deletionStrategy and shutdownAfterJobFinishes exclude each other"
    if spec.get("ttlSecondsAfterFinished", 0) > 0 and not shutdown:
        yield "ttlSecondsAfterFinished needs shutdownAfterJobFinishes"
    if spec.get("suspend") and not shutdown:
        yield "suspend needs shutdownAfterJobFinishes"
    if not spec.get("backoffLimit"):
        yield "a lost head ends the run: backoffLimit is 0"
    if "--anew" in spec["entrypoint"]:
        yield "a retry would throw away what is done: --anew"


def ray_is_the_images(manifests: list[Manifest]) -> Iterator[str]:
    """KubeRay takes decisions by rayVersion, and tasks cross between nodes: one version of Ray everywhere."""
    cluster = rayjob(manifests)["spec"]["rayClusterSpec"]
    pinned = re.search(r"(?m)^ray==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"))
    if cluster.get("rayVersion") != pinned[1]:
        yield f"rayVersion {cluster.get('rayVersion')}, and the images have {pinned[1]}"
    if cluster.get("authOptions", {}).get("mode") != "token":
        yield "whoever reaches the dashboard may run code: authOptions has no token"


def head_takes_no_work(manifests: list[Manifest]) -> Iterator[str]:
    """One slice that takes all memory would take the whole run with it."""
    if rayjob(manifests)["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"].get("num-cpus") != "0":
        yield "the head takes work"


def groups_can_scale(manifests: list[Manifest]) -> Iterator[str]:
    """Rules of KubeRay's worker groups."""
    cluster = rayjob(manifests)["spec"]["rayClusterSpec"]
    names = [group["groupName"] for group in cluster["workerGroupSpecs"]]
    if len(set(names)) < len(names):
        yield "two groups of one name"
    for group in cluster["workerGroupSpecs"]:
        least, most, now = (group.get(key, 0) for key in ("minReplicas", "maxReplicas", "replicas"))
        if not 0 <= least <= now <= most or most == 0:
            yield f"{group['groupName']}: {least} <= {now} <= {most} does not hold"
        if not cluster.get("enableInTreeAutoscaling") and now < most:
            yield f"{group['groupName']}: nobody would start more than {now} of {most}"
        if "priority" in group and "rayVersion" not in cluster:
            yield f"{group['groupName']}: priority needs rayVersion"


def autoscaler_takes_the_groups(manifests: list[Manifest]) -> Iterator[str]:
    """Rules of KubeRay for the second autoscaler, which is the default, and of what Ray is started with."""
    cluster = rayjob(manifests)["spec"]["rayClusterSpec"]
    for pod in (pod for pod in pods(rayjob(manifests)) if pod.group):
        parameters = pod.group.get("rayStartParams", {})
        if cluster.get("enableInTreeAutoscaling") and pod.spec.get("restartPolicy", "Never") != "Never":
            yield f"{pod.name}: the autoscaler wants restartPolicy Never"
        if "labels" in parameters:
            yield f"{pod.name}: labels are no rayStartParams"
        if "resources" in pod.group and {"num-cpus", "num-gpus", "memory", "resources"} & parameters.keys():
            yield f"{pod.name}: resources stand in the group and in rayStartParams"
        if "RAY_enable_autoscaler_v2" in {v["name"] for v in pod.ray.get("env", [])}:
            yield f"{pod.name}: the autoscaler's version stands in autoscalerOptions"


def queue_admits(manifests: list[Manifest]) -> Iterator[str]:
    """Rules of Kueue, for a job that is queued."""
    job = rayjob(manifests)
    queue = job["metadata"].get("labels", {}).get("kueue.x-k8s.io/queue-name")
    if queue is None:
        return
    if queue not in {each["metadata"]["name"] for each in of_kind(manifests, "LocalQueue")}:
        yield f"there is no LocalQueue {queue}"
    if not job["spec"].get("shutdownAfterJobFinishes") or "clusterSelector" in job["spec"]:
        yield "Kueue wants a cluster of the job's own that ends with it"
    if job["spec"]["rayClusterSpec"].get("enableInTreeAutoscaling"):
        yield "Kueue admits no autoscaled job"
    if len(job["spec"]["rayClusterSpec"]["workerGroupSpecs"]) > KUEUE_GROUPS:
        yield "Kueue takes 17 worker groups at most"


def quota_is_enough(manifests: list[Manifest]) -> Iterator[str]:
    """A job that asks for more than its ClusterQueue ever has, or for what that does not cover, waits for ever."""
    for queue in of_kind(manifests, "ClusterQueue"):
        (group,) = queue["spec"]["resourceGroups"]
        left = [
            {r["name"]: amount(r["nominalQuota"]) for r in flavor["resources"]} for flavor in group["flavors"]
        ]
        for pod in (pod for pod in pods(rayjob(manifests)) if pod.replicas):
            wanted = {key: value * pod.replicas for key, value in _total(pod).items()}
            uncovered = sorted(wanted.keys() - set(group["coveredResources"]))
            if uncovered:
                yield f"{pod.name}: asks for {uncovered}, which {queue['metadata']['name']} does not cover"
                continue
            taken = next((f for f in left if all(f[key] >= value for key, value in wanted.items())), None)
            if taken is None:
                yield f"{pod.name}: no flavor has {wanted} left"
                continue
            taken |= {key: taken[key] - value for key, value in wanted.items()}


def queue_is_whole(manifests: list[Manifest]) -> Iterator[str]:
    """What a ClusterQueue and a job name is there."""
    names = {(each["kind"], each["metadata"]["name"]) for each in manifests}
    wanted = set()
    for queue in of_kind(manifests, "ClusterQueue"):
        for group in queue["spec"]["resourceGroups"]:
            wanted |= {("ResourceFlavor", flavor["name"]) for flavor in group["flavors"]}
            for flavor in group["flavors"]:
                if [r["name"] for r in flavor["resources"]] != group["coveredResources"]:
                    yield f"{flavor['name']}: its resources are not those that are covered"
        priority = rayjob(manifests)["metadata"]["labels"]["kueue.x-k8s.io/priority-class"]
        wanted |= {("WorkloadPriorityClass", priority)}
        wanted |= {("ClusterQueue", e["spec"]["clusterQueue"]) for e in of_kind(manifests, "LocalQueue")}
    for kind, name in sorted(wanted - names):
        yield f"there is no {kind} {name}"


def _total(pod: Pod) -> dict[str, float]:
    """What a pod asks for, its sidecars' share included."""
    total: dict[str, float] = {}
    for container in pod.running:
        for key, value in container["resources"]["requests"].items():
            total[key] = total.get(key, 0.0) + amount(value)
    return total


CHECKS: tuple[Check, ...] = (
    rayjob_is_one,
    cluster_goes_when_the_job_is_done,
    ray_is_the_images,
    head_takes_no_work,
    groups_can_scale,
    autoscaler_takes_the_groups,
    queue_admits,
    quota_is_enough,
    queue_is_whole,
)
