"""The body of Docker's create call for a sandbox: what a pod's containers share. Pure.

Source: kuberuntime_sandbox.go (generatePodSandboxConfig)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.meta import Obj
from kubelet.docker.config import security
from kubelet.docker.config.parts import Surroundings, labels, oom_score, place
from kubelet.docker.labels import NETWORK, POD_IP
from kubelet.network.names import kernel_hostname
from kubelet.pods.environment import ConfigError
from kubelet.pods.model import SANDBOX

_OOM_SCORE = -998


def body(pod: Mapping[str, Any], attempt: int, around: Surroundings, address: str = "") -> Obj:
    """`address` is what the kubelet will plug it in with itself; without one Docker does it. ConfigError when there
    can be no such pod on this node."""
    spec = pod["spec"]
    if spec.get("hostUsers") is False:
        raise ConfigError("can't set `spec.hostUsers: false`, runtime does not support user namespaces")
    if spec.get("resourceClaims"):
        raise ConfigError("spec.resourceClaims: this node has no driver for dynamic resource allocation")
    host: Obj = {
        "NetworkMode": "host" if spec.get("hostNetwork") else "none" if address else NETWORK,
        "IpcMode": "host" if spec.get("hostIPC") else "shareable",
        "LogConfig": {"Type": "none"},
        "ReadonlyRootfs": True,
        "CpuShares": 2,
        "SecurityOpt": ["no-new-privileges", *security.selinux(security.of_pod(pod), around)],
        "OomScoreAdj": oom_score(_OOM_SCORE, around),
        **place(around),
    }
    if spec.get("hostPID"):
        host["PidMode"] = "host"
    sysctls = (spec.get("securityContext") or {}).get("sysctls")
    if sysctls:
        host["Sysctls"] = {s["name"].replace("/", "."): s["value"] for s in sysctls}
    config: Obj = {
        "Image": around.image,
        "Labels": labels(SANDBOX, pod, attempt, around) | ({POD_IP: address} if address else {}),
        "HostConfig": host,
    }
    if not spec.get("hostNetwork"):
        config["Hostname"] = kernel_hostname(pod, around.cluster_domain)
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
