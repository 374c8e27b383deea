"""The baseline standard: what is known to let a pod take over its node is forbidden; defaults pass. Pure.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline
"""

from __future__ import annotations

import json

from api.meta import Obj
from apiserver.admission.pod_security.controls import (
    Check,
    Control,
    Finding,
    Pod,
    Values,
    context,
    in_user_namespace,
    many,
    of_containers,
    of_setters,
    quoted,
    setters,
    unless,
    uses,
)

_DEFAULT_CAPABILITIES = frozenset(
    ("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
     "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT")
)  # fmt: skip
_PROFILES = ("RuntimeDefault", "Localhost")
_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_POD, SECCOMP_CONTAINER = (
    "seccomp.security.alpha.kubernetes.io/pod",
    "container.seccomp.security.alpha.kubernetes.io/",
)
_SELINUX = ("", "container_t", "container_init_t", "container_kvm_t")
_SYSCTLS = (
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
)  # fmt: skip
_SYSCTLS_27 = (*_SYSCTLS, "net.ipv4.ip_local_reserved_ports")
_SYSCTLS_29 = (
    *_SYSCTLS_27, "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
)  # fmt: skip
_SYSCTLS_32 = (*_SYSCTLS_29, "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem")


def _profile(field: str) -> Values:
    def values(holder: Obj) -> list[object]:
        profile = context(holder).get(field)
        return [] if profile is None or profile.get("type") in _PROFILES else [profile.get("type") or ""]

    return values


def _app_armor(pod: Pod) -> Finding | None:
    who, types = setters(pod, _profile("appArmorProfile"))
    noted = sorted(
        f"{key}={json.dumps(value, ensure_ascii=False)}"
        for key, value in pod.annotations.items()
        if key.startswith(_APP_ARMOR) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    )
    if noted:
        who.append(many("annotation", len(noted)))
    found = types + noted
    if not found:
        return None
    return Finding(
        many("forbidden AppArmor profile", len(found)),
        f"{' and '.join(who)} must not set AppArmor profile type to {quoted(found)}",
    )


def _capabilities(holder: Obj) -> list[object]:
    added = (context(holder).get("capabilities") or {}).get("add") or ()
    return [name for name in added if name not in _DEFAULT_CAPABILITIES]


def _host_namespaces(pod: Pod) -> Finding | None:
    shared = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if pod.spec.get(name)]
    return Finding("host namespaces", ", ".join(shared)) if shared else None


def _host_paths(pod: Pod) -> Finding | None:
    names = [v["name"] for v in pod.spec.get("volumes") or () if v.get("hostPath") is not None]
    return Finding("hostPath volumes", f"{many('volume', len(names))} {quoted(names)}") if names else None


def _host_ports(holder: Obj) -> list[object]:
    return [port["hostPort"] for port in holder.get("ports") or () if port.get("hostPort")]


def _hosts(holder: Obj) -> list[object]:
    """Who probes and hooks ask other than the pod: the kubelet would ask it from the node."""
    handlers = [holder[kind] for kind in ("livenessProbe", "readinessProbe", "startupProbe") if holder.get(kind)]
    handlers += [hook for kind in ("postStart", "preStop") if (hook := (holder.get("lifecycle") or {}).get(kind))]
    found = [(handler.get(how) or {}).get("host") for handler in handlers for how in ("httpGet", "tcpSocket")]
    return [host for host in found if host]


def _true(*path: str) -> Values:
    def values(holder: Obj) -> list[object]:
        at: object = context(holder)
        for step in path:
            at = at.get(step) if isinstance(at, dict) else None
        return ["true"] if at is True else []

    return values


def _proc_mount(holder: Obj) -> list[object]:
    kind = context(holder).get("procMount")
    return [] if kind in (None, "Default") else [kind]


def _selinux(types: tuple[str, ...]) -> Check:
    def options(holder: Obj) -> Obj:
        return context(holder).get("seLinuxOptions") or {}

    def type_of(holder: Obj) -> list[object]:
        kind = options(holder).get("type") or ""
        return [] if kind in types else [kind]

    def values(holder: Obj) -> list[object]:
        return [*type_of(holder), *(name for name in ("user", "role") if options(holder).get(name))]

    def check(pod: Pod) -> Finding | None:
        who, _ = setters(pod, values)
        if not who:
            return None
        _, wrong = setters(pod, type_of)
        what = [f"{many('type', len(wrong))} {quoted(wrong)}"] if wrong else []
        holders = (pod.spec, *pod.containers)
        what += [f"{name} may not be set" for name in ("user", "role") if any(options(h).get(name) for h in holders)]
        detail = f"{' and '.join(who)} set forbidden securityContext.seLinuxOptions: {'; '.join(what)}"
        return Finding("seLinuxOptions", detail)

    return check


def _seccomp_annotations(pod: Pod) -> Finding | None:
    keys = {_SECCOMP_POD, *(SECCOMP_CONTAINER + c["name"] for c in pod.containers)}
    found = sorted(
        f"{key}={json.dumps(value, ensure_ascii=False)}"
        for key in keys
        if (value := pod.annotations.get(key)) is not None
        and value not in ("runtime/default", "docker/default")
        and not value.startswith("localhost/")
    )
    if not found:
        return None
    return Finding("seccompProfile", f"forbidden {many('annotation', len(found))} {', '.join(found)}")


SECCOMP = of_setters(
    "seccompProfile", _profile("seccompProfile"), "must not set securityContext.seccompProfile.type to {}"
)


def _sysctls(allowed: tuple[str, ...]) -> Check:
    def check(pod: Pod) -> Finding | None:
        names = [s["name"] for s in context(pod.spec).get("sysctls") or () if s["name"] not in allowed]
        return Finding("forbidden sysctls", ", ".join(names)) if names else None

    return check


PROC_MOUNT = of_containers("procMount", _proc_mount, "must not set securityContext.procMount to {}")

BASELINE = (
    Control("appArmorProfile", ((0, _app_armor),)),
    Control("capabilities_baseline", ((0, of_containers(
        "non-default capabilities", _capabilities, "must not include {} in securityContext.capabilities.add")),)),
    Control("hostNamespaces", ((0, _host_namespaces),)),
    Control("hostPathVolumes", ((0, _host_paths),)),
    Control("hostPorts", ((0, uses("hostPort", "hostPort", _host_ports, ", ".join, list)),)),
    Control("hostProbesAndHostLifecycle", ((34, uses(
        "probe or lifecycle host", "probe or lifecycle host", _hosts, quoted, sorted)),)),
    Control("privileged", ((0, of_containers(
        "privileged", _true("privileged"), "must not set securityContext.privileged=true")),)),
    Control("procMount", ((0, PROC_MOUNT), (35, unless(in_user_namespace, PROC_MOUNT)))),
    Control("seLinuxOptions", ((0, _selinux(_SELINUX)), (31, _selinux((*_SELINUX, "container_engine_t"))))),
    Control("seccompProfile_baseline", ((0, _seccomp_annotations), (19, SECCOMP))),
    Control("sysctls", (
        (0, _sysctls(_SYSCTLS)), (27, _sysctls(_SYSCTLS_27)), (29, _sysctls(_SYSCTLS_29)), (32, _sysctls(_SYSCTLS_32)),
    )),
    Control("windowsHostProcess", ((0, of_setters(
        "hostProcess", _true("windowsOptions", "hostProcess"),
        "must not set securityContext.windowsOptions.hostProcess=true")),)),
)  # fmt: skip
