"""Security contexts of pods and containers: who they run as, profiles, sysctls, and what an operating system forbids.

Rules: k8s.io/kubernetes/pkg/apis/core/validation, ValidateSecurityContext, validatePodSpecSecurityContext,
validateWindows and validateWindowsHostProcessPod.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from api import rules
from api.errors import duplicate, forbidden_field, invalid, not_supported, required
from api.meta import Obj
from api.rules import check, each, given, of, within
from api.validation import Errors, dns_subdomain, shown

_ID = within(0, 2**31 - 1)
_SYSCTL = re.compile(r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$")
_NAMESPACED = {"net": ("net.",), "ipc": ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")}


def _seccomp(profile: Any, at: str) -> Errors:
    if profile is None:
        return []
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    errors: Errors = []
    if not kind:
        errors.append(required(f"{at}.type", "type is required when seccompProfile is set"))
    else:
        errors += of("Localhost", "RuntimeDefault", "Unconfined")(kind, f"{at}.type")
    if kind == "Localhost":
        if not local:
            errors.append(required(f"{at}.localhostProfile", "must be set when seccomp type is Localhost"))
        else:
            errors += rules.descending_path(local, f"{at}.localhostProfile")
    elif local is not None:
        errors.append(invalid(f"{at}.localhostProfile", local, "can only be set when seccomp type is Localhost"))
    return errors


def _app_armor(profile: Any, at: str) -> Errors:
    if profile is None:
        return []
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    field = f"{at}.localhostProfile"
    if not kind:
        return [required(f"{at}.type", "type is required when appArmorProfile is set")]
    if kind == "Localhost":
        if not (local or "").strip():
            return [required(field, "must be set when AppArmor type is Localhost")]
        padded = local.strip() != local
        errors = [invalid(field, local, "must not be padded with whitespace")] if padded else []
        return errors + rules.shorter(4095)(local, field)
    if kind in ("RuntimeDefault", "Unconfined"):
        return [] if local is None else [invalid(field, local, "can only be set when AppArmor type is Localhost")]
    return [not_supported(f"{at}.type", kind, ("Localhost", "RuntimeDefault", "Unconfined"))]


def _windows(options: Any, at: str) -> Errors:
    if options is None:
        return []
    spec, user = options.get("gmsaCredentialSpec"), options.get("runAsUserName")
    errors = given(dns_subdomain)(options.get("gmsaCredentialSpecName"), f"{at}.gmsaCredentialSpecName")
    if spec is not None and not spec:
        errors.append(invalid(f"{at}.gmsaCredentialSpec", spec, "gmsaCredentialSpec cannot be an empty string"))
    elif spec is not None and len(spec) > 64 * 1024:
        errors.append(invalid(f"{at}.gmsaCredentialSpec", spec, "gmsaCredentialSpec size must be under 64 KiB"))
    if user is not None:
        errors += [invalid(f"{at}.runAsUserName", user, text) for text in _user_errors(user)]
    return errors


def _user_errors(value: str) -> list[str]:
    """What is wrong with `user` or `DOMAIN\\user`."""
    if not value:
        return ["runAsUserName cannot be an empty string"]
    if re.search(r"[\x00-\x1f\x7f]", value):
        return ["runAsUserName cannot contain control characters"]
    if value.count("\\") > 1:
        return ["runAsUserName cannot contain more than one backslash"]
    domain, slash, user = value.rpartition("\\")
    label = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    good = re.match(r'^[^\\/:\*\?"<>|\.][^\\/:\*\?"<>|]{0,14}$', domain) or re.match(
        rf"^{label}(?:\.{label})*$", domain
    )
    found = []
    if len(domain) >= 256:
        found.append("runAsUserName's Domain length must be under 256 characters")
    if slash and not good:
        found.append("runAsUserName's Domain doesn't match the NetBios nor the DNS format")
    if not user:
        found.append("runAsUserName's User cannot be empty")
    elif len(user) > 104:
        found.append("runAsUserName's User length must not be longer than 104 characters")
    if re.match(r"^[\. ]+$", user):
        found.append("runAsUserName's User cannot contain only periods or spaces")
    if re.search(r'["/\\:;|=,\+\*\?<>@\[\]]', user):
        found.append("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]")
    return found


_SHARED = (
    ("runAsUser", _ID),
    ("runAsGroup", _ID),
    ("seccompProfile", _seccomp),
    ("windowsOptions", _windows),
    ("appArmorProfile", _app_armor),
)
_POD = (
    ("fsGroup", _ID),
    ("supplementalGroups", each(_ID)),
    ("fsGroupChangePolicy", of("Always", "OnRootMismatch")),
    ("supplementalGroupsPolicy", of("Merge", "Strict")),
    ("seLinuxChangePolicy", of("MountOption", "Recursive")),
)


def container(context: Obj, at: str, *, host_users: bool = True) -> Errors:
    errors = check(context, at, _SHARED)
    mount, field = context.get("procMount"), f"{at}.procMount"
    errors += of("Default", "Unmasked")(mount, field)
    if mount == "Unmasked" and host_users:
        errors.append(invalid(field, mount, "`hostUsers` must be false to use `Unmasked`"))
    if context.get("allowPrivilegeEscalation") is False:
        also = ["`privileged` to true"] if context.get("privileged") else []
        also += [
            "`capabilities.Add` CAP_SYS_ADMIN"
            for name in (context.get("capabilities") or {}).get("add") or ()
            if name == "CAP_SYS_ADMIN"
        ]
        text = "cannot set `allowPrivilegeEscalation` to false and "
        errors += [invalid(at, shown(context), text + what) for what in also]
    return errors


def pod(spec: Obj, at: str) -> Errors:
    """The pod's own security context, and what follows from sharing the node's namespaces."""
    context, field = spec.get("securityContext") or {}, f"{at}.securityContext"
    errors = check(context, field, (*_SHARED, *_POD)) if context else []
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.append(invalid(f"{field}.shareProcessNamespace", True, text))
    names: set[str] = set()
    for index, sysctl in enumerate(context.get("sysctls") or ()):
        here, name = f"{field}.sysctls[{index}].name", sysctl.get("name") or ""
        if not name:
            errors.append(required(here))
        elif len(name) > 253 or not _SYSCTL.match(name):
            text = f"must have at most 253 characters and match regex {_SYSCTL.pattern}"
            errors.append(invalid(here, name, text))
        elif name in names:
            errors.append(duplicate(here, name))
        names.add(name)
        dotted = name.replace("/", ".")
        for host, kind in (("hostNetwork", "net"), ("hostIPC", "ipc")):
            if spec.get(host) and dotted.startswith(_NAMESPACED[kind]):
                errors.append(invalid(here, name, f"may not be specified when '{host}' is true"))
    if spec.get("hostUsers") is False:
        for host, shown_as in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
            if spec.get(host):
                errors.append(forbidden_field(f"{at}.{shown_as}", "when `hostUsers` is false"))
        for here, one in containers(spec, at):
            if one.get("volumeDevices"):
                errors.append(forbidden_field(f"{here}.volumeDevices", "when `hostUsers` is false"))
    return errors


def containers(spec: Obj, at: str) -> Iterable[tuple[str, Obj]]:
    """All containers with their paths, in upstream's order."""
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for index, one in enumerate(spec.get(kind) or ()):
            yield f"{at}.{kind}[{index}]", one


# --- the operating system ----------------------------------------------------------------------------------

_NOT_ON_WINDOWS = ("hostUsers", "hostPID", "hostIPC", "shareProcessNamespace", "resources")
_NOT_IN_WINDOWS_POD = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls", "runAsUser",
    "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy",
)  # fmt: skip
_NOT_IN_WINDOWS_CONTAINER = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged",
    "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup",
)  # fmt: skip


def operating_system(spec: Obj, at: str) -> Errors:
    system = spec.get("os")
    errors = _host_process(spec, at)
    if system is None:
        return errors
    name = system.get("name") or ""
    if not name:
        return [*errors, required(f"{at}.os.name")]
    if name not in ("linux", "windows"):
        return [*errors, not_supported(f"{at}.os", name, ("linux", "windows"))]
    contexts: list[tuple[str, Obj, tuple[str, ...]]] = [
        (f"{at}.securityContext", spec.get("securityContext") or {}, _NOT_IN_WINDOWS_POD)
    ]
    contexts += [
        (f"{here}.securityContext", one.get("securityContext") or {}, _NOT_IN_WINDOWS_CONTAINER)
        for here, one in containers(spec, at)
    ]
    if name == "linux":
        return errors + [
            forbidden_field(f"{here}.windowsOptions", "windows options cannot be set for a linux pod")
            for here, context, _ in contexts
            if context.get("windowsOptions") is not None
        ]
    found = [f"{at}.{field}" for field in _NOT_ON_WINDOWS if spec.get(field) not in (None, False)]
    found += [
        f"{here}.{field}" for here, context, fields in contexts for field in fields if context.get(field) is not None
    ]
    return errors + [
        forbidden_field(
            field,
            "may not be set for a windows pod" if field == f"{at}.resources" else "cannot be set for a windows pod",
        )
        for field in found
    ]


def _host_process(spec: Obj, at: str) -> Errors:
    def asked(context: Any) -> bool | None:
        value: bool | None = ((context or {}).get("windowsOptions") or {}).get("hostProcess")
        return value

    pod_value = asked(spec.get("securityContext"))
    errors: Errors = []
    count = total = 0
    for here, one in containers(spec, at):
        total += 1
        value = asked(one.get("securityContext"))
        if pod_value is not None and value is not None and value != pod_value:
            text = f"pod hostProcess value must be identical if both are specified, was {str(pod_value).lower()}"
            errors.append(invalid(f"{here}.securityContext.windowsOptions.hostProcess", value, text))
        count += bool(pod_value if value is None else value)
    if count and count != total:
        text = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
        errors.append(invalid(at, "", text))
    if count and not spec.get("hostNetwork"):
        text = "hostNetwork must be true if pod contains any hostProcess containers"
        errors.append(invalid(f"{at}.hostNetwork", False, text))
    return errors
