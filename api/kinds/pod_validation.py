"""Which pod specs are refused (k8s.io/kubernetes/pkg/apis/core/validation, ValidatePodSpec).

Only rules that the schema cannot say. Field paths start at the given `at`, such as `spec` or `spec.template.spec`.
"""

from __future__ import annotations

import re
from typing import Any

from api import quantities, rules
from api.errors import duplicate, forbidden_field, invalid, not_found_field, required
from api.kinds import containers, pod_placement, pod_security, volumes
from api.kinds.containers import Around
from api.meta import Obj
from api.rules import LABEL, SUBDOMAIN, check, each, given, needed_of, rows, within
from api.validation import Errors, dns_label, dns_subdomain, ip_address, labels, qualified_name, shown
from api.validation import annotations as annotation_rules

_MAX_INT32 = 2**31 - 1
_SEARCH = re.compile(r"^[a-z0-9_]([-_a-z0-9]*[a-z0-9_])?(\.[a-z0-9_]([-_a-z0-9]*[a-z0-9_])?)*$")
MIRROR = "kubernetes.io/config.mirror"
_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def spec(spec: Obj, at: str, metadata: Obj | None = None) -> Errors:
    """`metadata` is a pod's own; None for a template."""
    name = None if metadata is None else str(metadata.get("name") or "")
    errors, known = volumes.validate(spec.get("volumes") or [], f"{at}.volumes", name)
    errors += _claims(spec.get("resourceClaims") or [], f"{at}.resourceClaims", metadata)
    errors += _containers(spec, at, Around(spec, known, pod=metadata is not None))
    if spec.get("resources") is not None:
        errors += _pod_resources(spec, f"{at}.resources")
    if spec.get("hostNetwork"):
        errors += _host_network(spec, at, pod=metadata is not None)
    errors += check(spec, at, _FIELDS)
    errors += labels(spec.get("nodeSelector"), f"{at}.nodeSelector")
    errors += pod_security.pod(spec, at)
    errors += pod_placement.affinity(spec.get("affinity"), f"{at}.affinity")
    errors += _dns(spec, f"{at}.dnsConfig")
    errors += _gates(spec.get("schedulingGates") or [], f"{at}.schedulingGates")
    errors += pod_placement.spread(spec.get("topologySpreadConstraints") or [], f"{at}.topologySpreadConstraints")
    errors += pod_placement.tolerations(spec.get("tolerations") or [], f"{at}.tolerations")
    if spec.get("hostnameOverride") is not None:
        errors += _hostname(spec, f"{at}.hostnameOverride")
    if spec.get("overhead"):
        errors += containers.resources({"limits": spec["overhead"]}, f"{at}.overhead")
    return errors + pod_security.operating_system(spec, at)


_FIELDS = (
    ("restartPolicy", needed_of("Always", "OnFailure", "Never")),
    ("dnsPolicy", needed_of("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")),
    ("readinessGates", each(rows(("conditionType", lambda value, at: qualified_name(value or "", at))))),
    ("serviceAccountName", SUBDOMAIN),
    ("nodeName", SUBDOMAIN),
    ("activeDeadlineSeconds", within(1, _MAX_INT32)),
    ("hostname", LABEL),
    ("subdomain", LABEL),
    ("hostAliases", each(rows(
        ("ip", lambda value, at: ip_address(value or "", at)), ("hostnames", each(dns_subdomain)),
    ))),
    ("priorityClassName", SUBDOMAIN),
    ("runtimeClassName", given(dns_subdomain)),
    ("preemptionPolicy", given(needed_of("PreemptLowerPriority", "Never"))),
)  # fmt: skip


def _containers(spec: Obj, at: str, around: Around) -> Errors:
    main, inits = spec.get("containers") or [], spec.get("initContainers") or []
    errors: Errors = [] if main else [required(f"{at}.containers")]
    names: set[str] = set()

    def unique(one: Obj, here: str) -> Errors:
        name = one.get("name") or ""
        taken = name in names
        if name:
            names.add(name)
        return [duplicate(f"{here}.name", name)] if taken else []

    for index, one in enumerate(main):
        here = f"{at}.containers[{index}]"
        errors += containers.validate(one, here, around) + unique(one, here)
        errors += containers.running(one, here, around) + containers.restart_policy(one, here, init=False)
    errors += containers.host_ports((f"{at}.containers[{i}]", one) for i, one in enumerate(main))
    for index, one in enumerate(inits):
        here, sidecar = f"{at}.initContainers[{index}]", one.get("restartPolicy") == "Always"
        errors += containers.validate(one, here, around)
        errors += containers.restart_policy(one, here, init=True) + unique(one, here)
        errors += containers.host_ports([(f"{at}.initContainers[0]", one)])
        errors += containers.running(one, here, around) if sidecar else containers.not_running(one, here)
    stay = set(names)
    for index, one in enumerate(spec.get("ephemeralContainers") or ()):
        here = f"{at}.ephemeralContainers[{index}]"
        errors += containers.validate(one, here, around) + unique(one, here)
        errors += _ephemeral(one, here, stay)
    return errors


_EPHEMERAL_MAY = frozenset((
    "name", "image", "command", "args", "workingDir", "envFrom", "env", "volumeMounts", "volumeDevices",
    "terminationMessagePath", "terminationMessagePolicy", "imagePullPolicy", "securityContext", "stdin", "stdinOnce",
    "tty", "targetContainerName",
))  # fmt: skip


def _ephemeral(one: Obj, at: str, stay: set[str]) -> Errors:
    target = one.get("targetContainerName")
    text = "cannot be set for an Ephemeral Container"
    fields = [name for name, value in one.items() if value and name not in _EPHEMERAL_MAY]
    fields += [
        f"volumeMounts[{i}].{name}"
        for i, mount in enumerate(one.get("volumeMounts") or ())
        for name in ("subPath", "subPathExpr")
        if mount.get(name)
    ]
    errors = [forbidden_field(f"{at}.{name}", text) for name in fields]
    if target and target not in stay:
        errors.append(not_found_field(f"{at}.targetContainerName", target))
    return errors


def _claims(claims: list[Obj], field: str, metadata: Obj | None) -> Errors:
    errors: Errors = []
    names: set[str] = set()
    if claims and metadata and MIRROR in (metadata.get("annotations") or {}):
        return [forbidden_field("", "static pods do not support resource claims")]
    for index, claim in enumerate(claims):
        at, name = f"{field}[{index}]", claim.get("name") or ""
        if not name:
            errors.append(required(f"{at}.name"))
        elif name in names:
            errors.append(duplicate(f"{at}.name", name))
        else:
            errors += dns_label(name, f"{at}.name")
        names.add(name)
        sources = [claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName")]
        if None not in sources:
            text = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            errors.append(invalid(at, shown(claim), text))
        elif sources == [None, None]:
            text = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            errors.append(invalid(at, shown(claim), text))
        errors += check(claim, at, (("resourceClaimName", given(dns_subdomain)),
                                    ("resourceClaimTemplateName", given(dns_subdomain))))  # fmt: skip
    return errors


def _pod_resources(spec: Obj, at: str) -> Errors:
    """Pod-level resources (KEP-2837) hold those of the containers."""
    if (spec.get("os") or {}).get("name") == "windows":
        return []  # refused with the other fields that windows has not
    resources = spec["resources"]
    errors: Errors = []
    if resources.get("claims") is not None:
        errors.append(forbidden_field(f"{at}.claims", "claims may not be set for Resources at pod-level"))
    errors += containers.resources(resources, at, name_rule=containers.pod_resource_name)
    if errors:
        return errors
    mine = [(one.get("resources") or {}) for one in spec.get("containers") or ()]
    for name, request in (resources.get("requests") or {}).items():
        total = sum(
            (quantities.parse(r["requests"][name]) for r in mine if name in (r.get("requests") or {})),
            quantities.parse(0),
        )
        if total > quantities.parse(request):
            shown_total = (
                quantities.format_millis(int(total * 1000)) if name == "cpu" else quantities.format_binary(total)
            )
            text = f"must be greater than or equal to aggregate container requests of {shown_total}"
            errors.append(invalid(f"{at}.requests[{name}]", quantities.canonical(request), text))
    for index, one in enumerate(mine):
        for name, limit in (one.get("limits") or {}).items():
            over = (resources.get("limits") or {}).get(name)
            if over is not None and quantities.parse(limit) > quantities.parse(over):
                text = f"must be less than or equal to pod limits of {quantities.canonical(over)}"
                here = f"{at}.containers[{index}][{name}].limits"
                errors.append(invalid(here, quantities.canonical(limit), text))
    return errors


def _host_network(spec: Obj, at: str, *, pod: bool) -> Errors:
    text = "must match `containerPort` when `hostNetwork` is true"
    return [
        invalid(f"{at}.containers[{i}].ports[{j}].hostPort", port.get("hostPort", 0), text)
        for i, one in enumerate(spec.get("containers") or ())
        for j, port in enumerate(one.get("ports") or ())
        if (pod or port.get("hostPort")) and port.get("hostPort", 0) != port.get("containerPort", 0)
    ]


def _dns(spec: Obj, at: str) -> Errors:
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            return [required(at, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not config.get("nameservers"):
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [required(f"{at}.nameservers", text)]
    if config is None:
        return []
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    errors: Errors = []
    if len(servers) > 3:
        errors.append(invalid(f"{at}.nameservers", shown(servers), "must not have more than 3 nameservers"))
    errors += [e for i, server in enumerate(servers) for e in ip_address(server, f"{at}.nameservers[{i}]")]
    if len(searches) > 32:
        errors.append(invalid(f"{at}.searches", shown(searches), "must not have more than 32 search paths"))
    if len(" ".join(searches)) > 2048:
        text = "must not have more than 2048 characters (including spaces) in the search list"
        errors.append(invalid(f"{at}.searches", shown(searches), text))
    for index, search in enumerate(searches):
        if search != "." and not _SEARCH.match(search.removesuffix(".")):
            errors.append(invalid(f"{at}.searches[{index}]", search.removesuffix("."), _SEARCH_TEXT))
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errors.append(required(f"{at}.options[{index}]", "must not be empty"))
    return errors


_SEARCH_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def _gates(gates: list[Obj], field: str) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        name = gate.get("name") or ""
        errors += qualified_name(name, f"{field}[{index}]")
        errors += [duplicate(f"{field}[{index}]", name)] if name in seen else []
        seen.add(name)
    return errors


def _hostname(spec: Obj, at: str) -> Errors:
    name = spec["hostnameOverride"]
    errors: Errors = []
    if spec.get("setHostnameAsFQDN"):
        errors.append(forbidden_field(at, "may not be specified when setHostnameAsFQDN is true"))
    if spec.get("hostNetwork"):
        errors.append(forbidden_field(at, "may not be specified when hostNetwork is true"))
    return errors + rules.shorter(64)(name, at) + dns_subdomain(name, at)


def metadata(annotations: dict[str, str], pod_spec: Obj, at: str) -> Errors:
    """The annotations that mean something, of pods and of templates."""
    errors: Errors = []
    if MIRROR in annotations and not pod_spec.get("nodeName"):
        text = "must set spec.nodeName if mirror pod annotation is set"
        errors.append(invalid(f"{at}[{MIRROR}]", annotations[MIRROR], text))
    cost = annotations.get(_DELETION_COST)
    if cost is not None and not (re.fullmatch(r"-?(0|[1-9]\d*)", cost) and -(2**31) <= int(cost) < 2**31):
        errors.append(invalid(f"{at}[{_DELETION_COST}]", cost, "must be a 32bit integer"))
    names = {one.get("name") for _, one in pod_security.containers(pod_spec, "")}
    for key, value in annotations.items():
        if key.startswith(_APP_ARMOR):
            name = key.removeprefix(_APP_ARMOR)
            if name not in names:
                errors.append(invalid(f"{at}[{key}]", name, "container not found"))
            if value not in ("", "runtime/default", "unconfined") and not value.startswith("localhost/"):
                errors.append(invalid(f"{at}[{key}]", value, f'invalid AppArmor profile name: "{value}"'))
    return errors


def template(value: Any, at: str) -> Errors:
    """A pod template: of a workload, of a job, or by itself."""
    if value is None:
        return [required(at)]
    found, pod = value.get("metadata") or {}, value.get("spec") or {}
    notes = found.get("annotations") or {}
    errors = labels(found.get("labels"), f"{at}.labels") + annotation_rules(notes, f"{at}.annotations")
    errors += metadata(notes, pod, f"{at}.annotations") + spec(pod, f"{at}.spec")
    if pod.get("ephemeralContainers"):
        text = "ephemeral containers not allowed in pod template"
        errors.append(forbidden_field(f"{at}.spec.ephemeralContainers", text))
    return errors
