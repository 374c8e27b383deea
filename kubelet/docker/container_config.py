"""The bodies of Docker's container-create calls, for sandboxes and for containers in them. Pure.

Names and labels are dockershim's, so that what people know of `docker ps` on a node holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from api.meta import Obj
from kubelet.docker.labels import (
    CONTAINER_NAME,
    GRACE,
    NETWORK,
    POD_IP,
    POD_NAME,
    POD_NAMESPACE,
    POD_UID,
    RESTART_COUNT,
    SANDBOX_ID,
    SPEC_HASH,
    TERMINATION_LOG,
    TERMINATION_POLICY,
)
from kubelet.network.names import hostname_and_domain
from kubelet.pods import qos
from kubelet.pods.environment import ConfigError, expand
from kubelet.pods.model import SANDBOX, grace_period, spec_hash

_LOGS = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "5"}}


@dataclass(frozen=True, slots=True)
class Mount:
    source: str
    target: str
    read_only: bool = False
    propagation: str = ""

    def body(self) -> Obj:
        body: Obj = {"Type": "bind", "Source": self.source, "Target": self.target, "ReadOnly": self.read_only}
        if self.propagation:
            body["BindOptions"] = {"Propagation": self.propagation}
        return body


@dataclass(slots=True)
class Surroundings:
    """What a container is put into."""

    labels: Mapping[str, str]
    """Of the cluster and the node."""
    sandbox_id: str = ""
    target_id: str = ""
    """The container whose processes an ephemeral container sees."""
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: list[Mount] = field(default_factory=list)
    termination_log: str = ""
    image: str = ""
    image_user: str = ""
    node_memory: int = 0
    lower_oom_score: bool = True
    """False on a machine that does not let us make a process less likely to be killed."""
    cluster_domain: str = "cluster.local"


def container_name(name: str, pod: Mapping[str, Any], attempt: int) -> str:
    meta = pod["metadata"]
    return f"k8s_{name}_{meta['name']}_{meta['namespace']}_{meta['uid']}_{attempt}"


def _labels(name: str, pod: Mapping[str, Any], attempt: int, around: Surroundings) -> dict[str, str]:
    meta = pod["metadata"]
    return {
        **around.labels,
        POD_NAME: meta["name"],
        POD_NAMESPACE: meta["namespace"],
        POD_UID: meta["uid"],
        CONTAINER_NAME: name,
        RESTART_COUNT: str(attempt),
        GRACE: str(grace_period(pod)),
    }


def sandbox(pod: Mapping[str, Any], attempt: int, around: Surroundings, address: str = "") -> Obj:
    """`address` is what the kubelet will plug it in with itself; without one Docker does it."""
    spec = pod["spec"]
    context = spec.get("securityContext") or {}
    host: Obj = {
        "NetworkMode": "host" if spec.get("hostNetwork") else "none" if address else NETWORK,
        "IpcMode": "host" if spec.get("hostIPC") else "shareable",
        "LogConfig": {"Type": "none"},
        "ReadonlyRootfs": True,
        "CpuShares": 2,
        "SecurityOpt": ["no-new-privileges"],
        "OomScoreAdj": -998 if around.lower_oom_score else 0,
    }
    if spec.get("hostPID"):
        host["PidMode"] = "host"
    if context.get("sysctls"):
        host["Sysctls"] = {s["name"]: s["value"] for s in context["sysctls"]}
    config: Obj = {
        "Image": around.image,
        "Labels": _labels(SANDBOX, pod, attempt, around) | ({POD_IP: address} if address else {}),
        "HostConfig": host,
    }
    if not spec.get("hostNetwork"):
        name, domain = hostname_and_domain(pod, around.cluster_domain)
        config["Hostname"] = f"{name}.{domain}" if spec.get("setHostnameAsFQDN") and domain else name
        bindings = _port_bindings(spec)
        if bindings:
            host["PortBindings"] = bindings
            config["ExposedPorts"] = {port: {} for port in bindings}
    return config


def _port_bindings(spec: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for container in [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]:
        for port in container.get("ports") or []:
            if port.get("hostPort"):
                inside = f"{port['containerPort']}/{(port.get('protocol') or 'TCP').lower()}"
                to = {"HostPort": str(port["hostPort"]), "HostIp": port.get("hostIP") or ""}
                bindings.setdefault(inside, []).append(to)
    return bindings


def container(spec: Mapping[str, Any], pod: Mapping[str, Any], attempt: int, around: Surroundings) -> Obj:
    """ConfigError when the security context cannot be met."""
    name, pod_spec = spec["name"], pod["spec"]
    labels = _labels(name, pod, attempt, around)
    labels |= {SANDBOX_ID: around.sandbox_id, SPEC_HASH: spec_hash(spec)}
    if around.termination_log:
        labels[TERMINATION_LOG] = around.termination_log
        labels[TERMINATION_POLICY] = spec.get("terminationMessagePolicy") or "File"
    score = qos.oom_score_adj(pod, spec, around.node_memory)
    host: Obj = {
        "NetworkMode": "host" if pod_spec.get("hostNetwork") else f"container:{around.sandbox_id}",
        "IpcMode": "host" if pod_spec.get("hostIPC") else f"container:{around.sandbox_id}",
        "LogConfig": _LOGS,
        "OomScoreAdj": score if around.lower_oom_score else max(score, 0),
        "Mounts": [mount.body() for mount in around.mounts],
        **qos.docker_resources(spec),
    }
    if pod_spec.get("hostPID"):
        host["PidMode"] = "host"
    elif around.target_id:
        host["PidMode"] = f"container:{around.target_id}"
    elif pod_spec.get("shareProcessNamespace"):
        host["PidMode"] = f"container:{around.sandbox_id}"
    config: Obj = {
        "Image": around.image,
        "Labels": labels,
        "Env": [f"{key}={value}" for key, value in around.environment.items()],
        "HostConfig": host,
        "Tty": bool(spec.get("tty")),
        "OpenStdin": bool(spec.get("stdin")),
        "StdinOnce": bool(spec.get("stdinOnce")),
        # Docker's own health checks would run beside the pod's probes.
        "Healthcheck": {"Test": ["NONE"]},
    }
    if spec.get("command"):
        config["Entrypoint"] = [expand(word, around.environment) for word in spec["command"]]
        config["Cmd"] = []
    if spec.get("args"):
        config["Cmd"] = [expand(word, around.environment) for word in spec["args"]]
    if spec.get("workingDir"):
        config["WorkingDir"] = spec["workingDir"]
    _secure(spec, pod, config, around)
    return config


def _secure(spec: Mapping[str, Any], pod: Mapping[str, Any], config: Obj, around: Surroundings) -> None:
    of_pod = pod["spec"].get("securityContext") or {}
    own = spec.get("securityContext") or {}
    context = {**of_pod, **own}
    host = config["HostConfig"]
    user, group = context.get("runAsUser"), context.get("runAsGroup")
    if context.get("runAsNonRoot"):
        _check_not_root(user, around.image_user, spec, pod)
    if user is not None:
        config["User"] = f"{user}:{group}" if group is not None else str(user)
    elif group is not None:
        config["User"] = f"{around.image_user.split(':')[0] or '0'}:{group}"
    groups = [str(g) for g in of_pod.get("supplementalGroups") or []]
    if of_pod.get("fsGroup") is not None:
        groups.append(str(of_pod["fsGroup"]))
    if groups:
        host["GroupAdd"] = groups
    capabilities = own.get("capabilities") or {}
    for field_name, key in (("add", "CapAdd"), ("drop", "CapDrop")):
        if capabilities.get(field_name):
            host[key] = [c.removeprefix("CAP_") for c in capabilities[field_name]]
    host["Privileged"] = bool(own.get("privileged"))
    host["ReadonlyRootfs"] = bool(own.get("readOnlyRootFilesystem"))
    options = []
    if own.get("allowPrivilegeEscalation") is False:
        options.append("no-new-privileges")
    profile = (context.get("seccompProfile") or {}).get("type", "Unconfined")
    if profile == "Unconfined" and not host["Privileged"]:
        options.append("seccomp=unconfined")
    elif profile == "Localhost":
        raise ConfigError("seccomp profiles of type Localhost are not supported on this node")
    host["SecurityOpt"] = options
    if own.get("procMount") == "Unmasked":
        host["MaskedPaths"], host["ReadonlyPaths"] = [], []


def _check_not_root(user: int | None, image_user: str, spec: Mapping[str, Any], pod: Mapping[str, Any]) -> None:
    meta = pod["metadata"]
    where = f'(pod: "{meta["name"]}_{meta["namespace"]}({meta["uid"]})", container: {spec["name"]})'
    name = image_user.split(":")[0]
    if user == 0:
        raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
    if user is None and name in ("", "0"):
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
    if user is None and not name.isdigit():
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({name}), "
            f"cannot verify user is non-root {where}"
        )
