"""What a pod asks of the machine's kernel: which of it is refused, and which has no effect and is told of. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kubelet.docker.config import security
from kubelet.pods.model import every_container, field_path

SAFE_SYSCTLS = (
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
)  # fmt: skip
"""https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/#safe-and-unsafe-sysctls"""
_NAMESPACES = (
    ("kernel.sem", "IPC"), ("kernel.shm", "IPC"), ("kernel.msg", "IPC"), ("fs.mqueue.", "IPC"), ("net.", "Net"),
    ("kernel.domainname", "UTS"), ("kernel.hostname", "UTS"),
)  # fmt: skip
_SHARED = {"IPC": "hostIPC", "Net": "hostNetwork"}


def sysctl_namespace(name: str) -> str:
    """Whose sysctl, or whose sysctls that begin so, it is: IPC, Net, UTS, or "" for the whole machine's."""
    return next((namespace for prefix, namespace in _NAMESPACES if name.startswith(prefix)), "")


def allowed_sysctls(patterns: Iterable[str]) -> tuple[str, ...]:
    """Of a configuration file. ValueError for one that would reach beyond the pod."""
    found = tuple(pattern.replace("/", ".") for pattern in patterns)
    for pattern in found:
        if not sysctl_namespace(pattern.removesuffix("*")):
            raise ValueError(f"the sysctl {pattern} is not known to be namespaced")
    return found


def forbidden_sysctl(pod: Mapping[str, Any], unsafe: Iterable[str]) -> str:
    """Why the pod may not have its sysctls, or "". `unsafe` are names, or beginnings with `*`, allowed besides.

    Source: pkg/kubelet/sysctl/allowlist.go
    """
    exact = {*SAFE_SYSCTLS, *(p for p in unsafe if not p.endswith("*"))}
    beginnings = tuple(p[:-1] for p in unsafe if p.endswith("*"))
    for sysctl in security.of_pod(pod).get("sysctls") or []:
        name = sysctl["name"].replace("/", ".")
        if name not in exact and not name.startswith(beginnings):
            return f'forbidden sysctl: "{name}" not allowlisted'
        namespace = sysctl_namespace(name)
        if pod["spec"].get(_SHARED.get(namespace, "")):
            return f'forbidden sysctl: "{name}" not allowed with host {namespace} enabled'
    return ""


def app_armor_missing(pod: Mapping[str, Any], enabled: bool) -> str:
    """Why the pod's profiles cannot be enforced, or "". Source: pkg/security/apparmor/validate.go"""
    if enabled:
        return ""
    contexts = [security.of_pod(pod), *(security.effective(c, pod) for c in every_container(pod))]
    profiles = (context.get("appArmorProfile") or {} for context in contexts)
    wanted = any(profile.get("type", "Unconfined") != "Unconfined" for profile in profiles)
    return "Cannot enforce AppArmor: AppArmor is not enabled on the host" if wanted else ""


def without_effect(pod: Mapping[str, Any], *, selinux: bool) -> list[str]:
    """What to tell of fields that mean nothing on this machine, though they do elsewhere."""
    why = {"windowsOptions": "this node runs Linux"}
    if not selinux:
        why["seLinuxOptions"] = "SELinux is not enabled on this node"
    owners = [("spec.securityContext", security.of_pod(pod))]
    owners += [
        (f"{field_path(pod, c['name'])}.securityContext", c.get("securityContext") or {}) for c in every_container(pod)
    ]
    return [
        f"{owner}.{field} has no effect: {reason}"
        for owner, context in owners
        for field, reason in why.items()
        if context.get(field)
    ]
