"""What a security context means to Docker. Pure.

Sources: pkg/securitycontext (DetermineEffectiveSecurityContext), kuberuntime/security_context.go, and for what its
words mean https://kubernetes.io/docs/tasks/configure-pod-container/security-context/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.meta import Obj
from kubelet.docker.config.parts import Surroundings

_INHERITED = (
    "runAsUser", "runAsGroup", "runAsNonRoot", "seLinuxOptions", "seccompProfile", "appArmorProfile", "windowsOptions",
)  # fmt: skip
_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"


def of_pod(pod: Mapping[str, Any]) -> Obj:
    return pod["spec"].get("securityContext") or {}


def effective(spec: Mapping[str, Any], pod: Mapping[str, Any]) -> Obj:
    """The container's own context over what it takes from its pod's."""
    inherited = {k: v for k, v in of_pod(pod).items() if k in _INHERITED} | _annotated(spec, pod)
    return inherited | {k: v for k, v in (spec.get("securityContext") or {}).items() if v is not None}


def _annotated(spec: Mapping[str, Any], pod: Mapping[str, Any]) -> Obj:
    """AppArmor profiles were annotations once, and still are where no apiserver has made fields of them."""
    said = (pod["metadata"].get("annotations") or {}).get(_APP_ARMOR + spec["name"])
    if not said:
        return {}
    kind = {"runtime/default": "RuntimeDefault", "unconfined": "Unconfined"}.get(said, "Localhost")
    profile = {"type": kind, "localhostProfile": said.removeprefix("localhost/")}
    return {"appArmorProfile": profile if kind == "Localhost" else {"type": kind}}


def seccomp_file(context: Mapping[str, Any]) -> str:
    """The profile's path below the node's seccomp directory; "" when it is no file."""
    profile = context.get("seccompProfile") or {}
    if profile.get("type") != "Localhost" or context.get("privileged"):
        return ""
    return str(profile.get("localhostProfile") or "")


def host_fields(context: Mapping[str, Any], around: Surroundings) -> Obj:
    privileged = bool(context.get("privileged"))
    host: Obj = {
        "Privileged": privileged,
        "ReadonlyRootfs": bool(context.get("readOnlyRootFilesystem")),
        "SecurityOpt": [
            *(["no-new-privileges"] if context.get("allowPrivilegeEscalation") is False else []),
            *_seccomp(context, around),
            *_app_armor(context, around),
            *selinux(context, around),
        ],
        **_capabilities(context.get("capabilities") or {}),
    }
    if context.get("procMount") == "Unmasked":
        host["MaskedPaths"], host["ReadonlyPaths"] = [], []
    return host


def _capabilities(wanted: Mapping[str, Any]) -> Obj:
    """Upstream adds first and then drops, and ALL stands before the single names either way. Docker would do otherwise
    when a name is in both."""
    add, drop = ([_capability(name) for name in wanted.get(which) or []] for which in ("add", "drop"))
    nothing = "ALL" in drop
    add = [name for name in add if name not in drop]
    return ({"CapAdd": add} if add else {}) | ({"CapDrop": ["ALL"] if nothing else drop} if drop else {})


def _capability(name: str) -> str:
    return name.upper().removeprefix("CAP_")


def _seccomp(context: Mapping[str, Any], around: Surroundings) -> list[str]:
    default = "RuntimeDefault" if around.seccomp_default else "Unconfined"
    kind = (context.get("seccompProfile") or {}).get("type") or default
    if context.get("privileged") or kind == "RuntimeDefault":
        return []
    return [f"seccomp={around.seccomp if kind == 'Localhost' else 'unconfined'}"]


def _app_armor(context: Mapping[str, Any], around: Surroundings) -> list[str]:
    """Docker's own profile is the default. A pod that asks for one where there is none is refused before."""
    profile = context.get("appArmorProfile") or {}
    name = {"Unconfined": "unconfined", "Localhost": profile.get("localhostProfile")}.get(profile.get("type", ""))
    return [f"apparmor={name}"] if name and around.app_armor else []


def selinux(context: Mapping[str, Any], around: Surroundings) -> list[str]:
    options = context.get("seLinuxOptions") or {}
    if not around.selinux:
        return []
    return [f"label={part}:{options[part]}" for part in ("user", "role", "type", "level") if options.get(part)]
