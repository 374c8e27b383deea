"""The rules of one container: of a pod, of its init containers, of ephemeral ones.

Rules: k8s.io/kubernetes/pkg/apis/core/validation, validateContainerCommon and what it calls.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from api import quantities, rules
from api.errors import FieldError, duplicate, forbidden_field, invalid, not_found_field, not_supported, required
from api.kinds import pod_security, volumes
from api.meta import Obj
from api.rules import NOT_NEGATIVE, check, needed, needed_as, needed_of, of
from api.validation import (
    Errors,
    config_key,
    dns_label,
    dns_subdomain,
    port_name,
    port_number,
    port_or_name,
    qualified_name,
)

PROTOCOLS = ("SCTP", "TCP", "UDP")
_ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_HEADER = re.compile(r"^[-A-Za-z0-9]+$")
_COMPUTE = ("cpu", "memory")
_STANDARD = frozenset(("cpu", "memory", "ephemeral-storage", "storage", "pods", "resourcequotas", "services",
    "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims", "services.nodeports",
    "services.loadbalancers", "requests.cpu", "requests.memory", "requests.storage", "requests.ephemeral-storage",
    "limits.cpu", "limits.memory", "limits.ephemeral-storage"))  # fmt: skip
_HUGE = "hugepages-"


@dataclass(slots=True)
class Around:
    """What the rules of a container need of its pod."""

    spec: Obj
    volumes: dict[str, Obj] = field(default_factory=dict)
    pod: bool = False  # a pod, not a template


def validate(container: Obj, at: str, around: Around) -> Errors:
    """What all containers must be."""
    errors = check(container, at, _COMMON)
    if container.get("ports"):
        errors += _ports(container["ports"], f"{at}.ports")
    for index, variable in enumerate(container.get("env") or ()):
        errors += _variable(variable, f"{at}.env[{index}]", around)
    for index, source in enumerate(container.get("envFrom") or ()):
        errors += _variables(source, f"{at}.envFrom", index)
    if container.get("volumeMounts") or container.get("volumeDevices"):
        errors += _mounts(container, at, around.volumes) + _devices(container, at, around.volumes)
    claims = {c.get("name") for c in around.spec.get("resourceClaims") or ()}
    errors += resources(container.get("resources") or {}, f"{at}.resources", claims)
    if container.get("resizePolicy"):
        errors += _resize_policies(container["resizePolicy"], f"{at}.resizePolicy", around.spec.get("restartPolicy"))
    if container.get("securityContext"):
        hidden = around.spec.get("hostUsers") is False
        errors += pod_security.container(container["securityContext"], f"{at}.securityContext", host_users=not hidden)
    image = container.get("image") or ""
    if around.pod and image != image.strip():
        errors.append(invalid(f"{at}.image", image, "must not have leading or trailing whitespace"))
    return errors


_COMMON = (
    ("name", needed_as(dns_label)),
    ("image", needed()),
    ("terminationMessagePolicy", needed_of("File", "FallbackToLogsOnError")),
    ("imagePullPolicy", needed_of("Always", "IfNotPresent", "Never")),
)


def _ports(ports: list[Obj], field: str) -> Errors:
    errors: Errors = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        at, name = f"{field}[{index}]", port.get("name") or ""
        if name:
            wrong = port_name(name, f"{at}.name")
            errors += wrong or ([duplicate(f"{at}.name", name)] if name in names else [])
            names.add(name)
        errors += check(port, at, (("containerPort", needed_as(port_number)), ("hostPort", rules.when(port_number)),
                                   ("protocol", needed_of(*PROTOCOLS))))  # fmt: skip
    return errors


def host_ports(containers: Iterable[tuple[str, Obj]]) -> Errors:
    """No two containers that run together may want the same port of the node."""
    errors: Errors = []
    taken: set[str] = set()
    for at, container in containers:
        for index, port in enumerate(container.get("ports") or ()):
            if port.get("hostPort"):
                key = f"{port.get('protocol', '')}/{port.get('hostIP') or ''}/{port['hostPort']}"
                errors += [duplicate(f"{at}.ports[{index}].hostPort", key)] if key in taken else []
                taken.add(key)
    return errors


# --- environment -------------------------------------------------------------------------------------------


def _variable_name(value: str, at: str) -> Errors:
    if value.isascii() and value.isprintable() and "=" not in value:
        return []
    text = "a valid environment variable name must consist only of printable ASCII characters other than '='"
    return [invalid(at, value, f"{text} (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for "
                    "validation is '[ -<>-~]+')")]  # fmt: skip


def _key_reference(reference: Obj, at: str) -> Errors:
    return check(reference, at, (("name", lambda v, a: dns_subdomain(v or "", a)), ("key", needed_as(config_key))))


def _variable(variable: Obj, at: str, around: Around) -> Errors:
    errors = needed_as(_variable_name)(variable.get("name"), f"{at}.name")
    source = variable.get("valueFrom")
    if source is None:
        return errors
    at = f"{at}.valueFrom"
    kinds = [kind for kind in _SOURCES if source.get(kind) is not None]
    for kind in kinds:
        errors += _SOURCES[kind](source[kind], f"{at}.{kind}")
    if not kinds:
        errors.append(invalid(at, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, "
                              "`secretKeyRef` or `fileKeyRef`"))  # fmt: skip
    elif variable.get("value"):
        errors.append(invalid(at, "", "may not be specified when `value` is not empty"))
    elif len(kinds) > 1:
        errors.append(invalid(at, "", "may not have more than one field specified at a time"))
    if "fileKeyRef" in kinds:
        name = source["fileKeyRef"].get("volumeName") or ""
        volume = next((v for v in around.spec.get("volumes") or () if v.get("name") == name), None)
        if volume is None:
            errors.append(not_found_field(f"{at}.fileKeyRef.volumeName", name))
        elif volume.get("emptyDir") is None:
            text = "referenced volume must be of type emptyDir"
            errors.append(invalid(f"{at}.fileKeyRef.volumeName", name, text))
    return errors


_SOURCES: dict[str, rules.Rule] = {
    "fieldRef": lambda value, at: volumes.field_reference(value, _ENV_FIELDS, at),
    "resourceFieldRef": lambda value, at: volumes.resource_reference(value, at, volume=False),
    "configMapKeyRef": _key_reference,
    "secretKeyRef": _key_reference,
    "fileKeyRef": rules.rows(
        ("key", needed_as(_variable_name)), ("volumeName", needed_as(dns_label)),
        ("path", needed_as(rules.no_backsteps)),
    ),
}  # fmt: skip


def _variables(source: Obj, field: str, index: int) -> Errors:
    at = f"{field}[{index}]"
    errors = rules.when(_variable_name)(source.get("prefix"), f"{at}.prefix")
    kinds = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
    for kind in kinds:
        errors += needed_as(dns_subdomain)(source[kind].get("name"), f"{at}.{kind}.name")
    if not kinds:
        errors.append(invalid(field, "", "must specify one of: `configMapRef` or `secretRef`"))
    elif len(kinds) > 1:
        errors.append(invalid(field, "", "may not have more than one field specified at a time"))
    return errors


# --- mounts ------------------------------------------------------------------------------------------------


def _mounts(container: Obj, at: str, known: dict[str, Obj]) -> Errors:
    errors: Errors = []
    devices = {d.get("name"): d.get("devicePath") for d in container.get("volumeDevices") or ()}
    privileged = (container.get("securityContext") or {}).get("privileged") is True
    paths: set[str] = set()
    field = f"{at}.volumeMounts"
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        here, name, path = f"{field}[{index}]", mount.get("name") or "", mount.get("mountPath") or ""
        errors += needed()(name, f"{here}.name")
        if name not in known:
            errors.append(not_found_field(f"{here}.name", name))
        errors += needed()(path, f"{here}.mountPath")
        if path in paths:
            errors.append(invalid(f"{here}.mountPath", path, "must be unique"))
        paths.add(path)
        if name in devices:
            errors.append(invalid(f"{here}.name", name, "must not already exist in volumeDevices"))
        if path in devices.values():
            errors.append(invalid(f"{here}.mountPath", path, "must not already exist as a path in volumeDevices"))
        sub, expression = mount.get("subPath"), mount.get("subPathExpr")
        if expression and sub:
            errors.append(invalid(f"{here}.subPathExpr", expression, "subPathExpr and subPath are mutually exclusive"))
        errors += rules.descending_path(sub, f"{field}.subPath")
        errors += rules.descending_path(expression, f"{field}.subPathExpr")
        propagation = mount.get("mountPropagation")
        errors += of("Bidirectional", "HostToContainer", "None")(propagation, f"{field}.mountPropagation")
        if propagation == "Bidirectional" and not privileged:
            text = "Bidirectional mount propagation is available only to privileged containers"
            errors.append(forbidden_field(f"{field}.mountPropagation", text))
        errors += _recursive(mount, f"{field}.recursiveReadOnly")
    return errors


def _recursive(mount: Obj, at: str) -> Errors:
    value = mount.get("recursiveReadOnly")
    errors = of("Disabled", "Enabled", "IfPossible")(value, at)
    if value in ("Enabled", "IfPossible"):
        if not mount.get("readOnly"):
            errors.append(forbidden_field(at, "may only be specified when readOnly is true"))
        if mount.get("mountPropagation") not in (None, "None"):
            text = "may only be specified when mountPropagation is None or not specified"
            errors.append(forbidden_field(at, text))
    return errors


def _devices(container: Obj, at: str, known: dict[str, Obj]) -> Errors:
    errors: Errors = []
    mounts = {m.get("name"): m.get("mountPath") for m in container.get("volumeMounts") or ()}
    names: set[str] = set()
    paths: set[str] = set()
    for index, device in enumerate(container.get("volumeDevices") or ()):
        here, name, path = f"{at}.volumeDevices[{index}]", device.get("name") or "", device.get("devicePath") or ""
        errors += needed()(name, f"{here}.name")
        if name in names:
            errors.append(invalid(f"{here}.name", name, "must be unique"))
        volume = known.get(name)
        if volume is None:
            errors.append(not_found_field(f"{here}.name", name))
        elif volume.get("persistentVolumeClaim") is None and volume.get("ephemeral") is None:
            text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errors.append(invalid(f"{here}.name", name, text))
        errors += needed()(path, f"{here}.devicePath")
        if path in paths:
            errors.append(invalid(f"{here}.devicePath", path, "must be unique"))
        if rules.no_backsteps(path, here):
            errors.append(invalid(f"{here}.devicePath", path, "can not contain backsteps ('..')"))
        if name in mounts:
            errors.append(invalid(f"{here}.name", name, "must not already exist in volumeMounts"))
        if path in mounts.values():
            errors.append(invalid(f"{here}.devicePath", path, "must not already exist as a path in volumeMounts"))
        names.add(name)
        paths.add(path)
    return errors


# --- resources ---------------------------------------------------------------------------------------------


def resource_name(name: str, at: str) -> Errors:
    errors = qualified_name(name, at)
    if not errors and "/" not in name and name not in _STANDARD and not name.startswith(_HUGE):
        errors = [invalid(at, name, "must be a standard resource type or fully qualified")]
    return errors


def container_resource_name(name: str, at: str) -> Errors:
    errors = resource_name(name, at)
    if "/" not in name:
        if name not in ("cpu", "memory", "ephemeral-storage") and not name.startswith(_HUGE):
            errors.append(invalid(at, name, "must be a standard resource for containers"))
    elif not is_native(name) and (name.startswith("requests.") or qualified_name(f"requests.{name}", at)):
        errors.append(invalid(at, name, "doesn't follow extended resource name standard"))
    return errors


def pod_resource_name(name: str, at: str) -> Errors:
    errors = resource_name(name, at)
    if errors or name in _COMPUTE or name.startswith(_HUGE):
        return errors
    return [not_supported(at, name, ("cpu", _HUGE, "memory"))]


def is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def may_overcommit(name: str) -> bool:
    return is_native(name) and not name.startswith(_HUGE)


def resource_quantity(name: str, value: Any, at: str, whole: Iterable[str] = ()) -> Errors:
    """Not negative, and whole where the resource comes in pieces."""
    errors = rules.quantity(value, at)
    if (not is_native(name) or name in whole) and quantities.is_valid(value) and quantities.parse(value) % 1:
        errors.append(invalid(at, quantities.canonical(value), "must be an integer"))
    return errors


def _huge_pages(name: str, value: Any, at: str) -> Errors:
    size = name.removeprefix(_HUGE)
    if not quantities.is_valid(size) or not quantities.is_valid(value):
        return []
    amount, page = quantities.parse(value), quantities.parse(size)
    if page > 0 and amount >= 0 and amount % page == 0:
        return []
    return [
        invalid(
            at, quantities.canonical(value), f"{quantities.canonical(value)} is not positive integer multiple of {name}"
        )
    ]


def resources(wanted: Obj, at: str, claims: Iterable[Any] = (), name_rule: Any = container_resource_name) -> Errors:
    limits, requests = wanted.get("limits") or {}, wanted.get("requests") or {}
    errors: Errors = []
    for kind, amounts in (("limits", limits), ("requests", requests)):
        for name, value in amounts.items():
            field = f"{at}.{kind}[{name}]"
            if name not in _COMPUTE:
                errors += name_rule(name, field)
            errors += resource_quantity(name, value, field)
            if name.startswith(_HUGE):
                errors += _huge_pages(name, value, field)
    for name, value in requests.items():
        limit = limits.get(name)
        if limit is None:
            if not may_overcommit(name):
                errors.append(required(f"{at}.limits", "Limit must be set for non overcommitable resources"))
            continue
        if not quantities.is_valid(value) or not quantities.is_valid(limit):
            continue
        asked, allowed, shown_limit = quantities.parse(value), quantities.parse(limit), quantities.canonical(limit)
        if asked != allowed and not may_overcommit(name):
            text = f"must be equal to {name} limit of {shown_limit}"
            errors.append(invalid(f"{at}.requests", quantities.canonical(value), text))
        elif asked > allowed:
            text = f"must be less than or equal to {name} limit of {shown_limit}"
            errors.append(invalid(f"{at}.requests", quantities.canonical(value), text))
    names = {*limits, *requests}
    if any(n.startswith(_HUGE) for n in names) and not names & set(_COMPUTE):
        errors.append(forbidden_field(at, "HugePages require cpu or memory"))
    if wanted.get("claims"):
        errors += _claims(wanted["claims"], f"{at}.claims", {str(c) for c in claims if c})
    return errors


def _claims(claims: list[Obj], field: str, known: set[str]) -> Errors:
    errors: Errors = []
    seen: set[tuple[str, str]] = set()
    for index, claim in enumerate(claims):
        at, name, request = f"{field}[{index}]", claim.get("name") or "", claim.get("request") or ""
        if not name:
            errors.append(required(at))
            continue
        if request and (name, "") not in seen:
            errors += dns_label(request, f"{at}.request")
        if (name, "") in seen or (not request and any(n == name for n, _ in seen)):
            errors.append(duplicate(at, name))
        elif (name, request) in seen:
            errors.append(duplicate(at, f"{name}/{request}"))
        seen.add((name, request))
        if name not in known:
            which = ": " + ", ".join(sorted(known)) if known else " which is empty"
            text = f'Not found: "{name}": must be one of the names in pod.spec.resourceClaims{which}'
            errors.append(FieldError("FieldValueNotFound", at, text))
    return errors


def _resize_policies(policies: list[Obj], at: str, restart: Any) -> Errors:
    errors: Errors = []
    seen: set[Any] = set()
    for index, policy in enumerate(policies):
        if policy.get("resourceName") in seen:
            errors.append(duplicate(f"{at}[{index}]", policy.get("resourceName")))
        seen.add(policy.get("resourceName"))
        errors += needed_of(*_COMPUTE)(policy.get("resourceName"), at)
        errors += needed_of("NotRequired", "RestartContainer")(policy.get("restartPolicy"), at)
        if restart == "Never" and policy.get("restartPolicy") != "NotRequired":
            text = "must be 'NotRequired' when pod `restartPolicy` is 'Never'"
            errors.append(invalid(at, policy.get("restartPolicy") or "", text))
    return errors


# --- probes, hooks, restarts -------------------------------------------------------------------------------

_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_COUNTS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def running(container: Obj, at: str, around: Around) -> Errors:
    """What only containers have that stay: main ones and sidecars."""
    errors: Errors = []
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            errors += _probe(container[name], f"{at}.{name}", around, readiness=name == "readinessProbe")
    lifecycle = container.get("lifecycle") or {}
    for hook in ("postStart", "preStop"):
        if lifecycle.get(hook) is not None:
            errors += _handler(lifecycle[hook], f"{at}.lifecycle.{hook}", _HOOK_HANDLERS, around)
    return errors


def not_running(container: Obj, at: str) -> Errors:
    text = "may not be set for init containers without restartPolicy=Always"
    return [
        forbidden_field(f"{at}.{name}", text)
        for name in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
        if container.get(name) is not None
    ]


def restart_policy(container: Obj, at: str, *, init: bool) -> Errors:
    """A container's own restart policy and rules (KEP-5307)."""
    policy, found = container.get("restartPolicy"), container.get("restartPolicyRules") or []
    errors: Errors = []
    if policy is None:
        if found:
            errors.append(required(f"{at}.restartPolicy", "must specify restartPolicy when restart rules are used"))
        if init:
            return errors
    if init and policy == "Always":
        text = "restartPolicyRules are not allowed for init containers with restart policy Always"
        return [forbidden_field(f"{at}.restartPolicyRules", text)] if found else []
    errors += of("Always", "Never", "OnFailure")(policy, f"{at}.restartPolicy")
    errors += rules.at_most(20)(found, f"{at}.restartPolicyRules")
    for index, rule in enumerate(found):
        here = f"{at}.restartPolicyRules[{index}]"
        if rule.get("action") != "Restart":
            errors.append(not_supported(f"{here}.action", rule.get("action") or "", ("Restart",)))
        codes = rule.get("exitCodes")
        if codes is None:
            errors.append(required(f"{here}.exitCodes", "must be specified"))
            continue
        if codes.get("operator") not in ("In", "NotIn"):
            errors.append(not_supported(f"{here}.exitCodes.operator", codes.get("operator") or "", ("In", "NotIn")))
        errors += rules.at_most(255)(codes.get("values"), f"{here}.exitCodes.values")
    return errors


def _probe(probe: Obj, at: str, around: Around, *, readiness: bool) -> Errors:
    errors = _handler(probe, at, _PROBE_HANDLERS, around)
    errors += [e for name in _COUNTS for e in NOT_NEGATIVE(probe.get(name), f"{at}.{name}")]
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        errors.append(invalid(f"{at}.terminationGracePeriodSeconds", grace, "must be greater than 0"))
    if readiness and grace is not None:
        text = "must not be set for readinessProbes"
        errors.append(invalid(f"{at}.terminationGracePeriodSeconds", grace, text))
    if not readiness and probe.get("successThreshold", 1) != 1:
        errors.append(invalid(f"{at}.successThreshold", probe["successThreshold"], "must be 1"))
    return errors


def _handler(handler: Obj, at: str, kinds: tuple[str, ...], around: Around) -> Errors:
    found = [kind for kind in kinds if handler.get(kind) is not None]
    if not found:
        return [required(at, "must specify a handler type")]
    kind, action = found[0], handler[found[0]]
    errors = [forbidden_field(f"{at}.{k}", "may not specify more than 1 handler type") for k in found[1:]]
    if kind == "sleep":
        grace, seconds = around.spec.get("terminationGracePeriodSeconds"), action.get("seconds", 0)
        if grace is not None and not 0 <= seconds <= grace:
            text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
            errors.append(invalid(f"{at}.sleep", seconds, text))
        return errors
    return errors + check(action, f"{at}.{kind}", _ACTIONS[kind])


def _header_names(headers: Any, at: str) -> Errors:
    text = (
        "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
        "validation is '[-A-Za-z0-9]+')"
    )
    names = [h.get("name") or "" for h in headers or ()]
    return [invalid(at, name, text) for name in names if not _HEADER.match(name)]


_ACTIONS: dict[str, tuple[rules.Row, ...]] = {
    "exec": (("command", needed()),),
    "httpGet": (("path", needed()), ("port", lambda value, at: port_or_name(value or 0, at)),
                ("scheme", lambda value, at: of("HTTP", "HTTPS")(value or "", at)), ("httpHeaders", _header_names)),
    "tcpSocket": (("port", lambda value, at: port_or_name(value or 0, at)),),
    "grpc": (("port", lambda value, at: port_number(value or 0, at)),),
}  # fmt: skip
