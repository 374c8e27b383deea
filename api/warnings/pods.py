"""What is questionable in a pod or the template of one, but taken. Pure.

k8s.io/kubernetes/pkg/api/pod, warningsForPodSpecAndMeta. A plain pod is looked at in a few microseconds: every pod that
is created is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from api import quantities
from api.meta import Obj
from api.pod_templates import KINDS
from api.selectors import is_label_value
from api.validation import LABEL_VALUE_TEXT
from api.warnings import addresses, paths

Warnings = list[str]

DEPRECATED_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
DEPRECATED_VOLUMES = {
    "photonPersistentDisk": "photonPersistentDisk: deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "scaleIO: deprecated in v1.16, non-functional in v1.22+",
    "flocker": "flocker: deprecated in v1.22, non-functional in v1.25+",
    "storageos": "storageOS: deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "quobyte: deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "glusterfs: deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "cephfs: deprecated in v1.28, non-functional in v1.31+",
    "rbd": "rbd: deprecated in v1.28, non-functional in v1.31+",
}
_NO_SELECTOR = "a null labelSelector results in matching no pod"


def of(pod: Obj, at: str = "") -> Warnings:
    """`at` is the path of a template; without it `pod` is a pod itself."""
    spec = pod.get("spec") or {}
    notes = (pod.get("metadata") or {}).get("annotations") or {}
    base = f"{at}." if at else ""
    where = f"{base}spec"
    containers = [(c, f"{where}.{kind}[{i}]") for kind in KINDS for i, c in enumerate(spec.get(kind) or ())]
    warnings = []
    if spec.get("nodeSelector"):
        warnings += _labels(spec["nodeSelector"], f"{where}.nodeSelector")
    affinity = spec.get("affinity")
    if affinity:
        warnings += _node_affinity(affinity.get("nodeAffinity") or {}, f"{where}.affinity.nodeAffinity")
    if spec.get("topologySpreadConstraints"):
        warnings += _spreading(spec["topologySpreadConstraints"], f"{where}.topologySpreadConstraints")
    if notes:
        warnings += [f"{base}metadata.annotations[{k}]: {text}" for k, text in _ANNOTATIONS.items() if k in notes]
    if spec.get("volumes"):
        warnings += _volumes(spec["volumes"], f"{where}.volumes")
    if "hostAliases" in spec or "imagePullSecrets" in spec:
        warnings += _duplicates(spec, where)
    if "overhead" in spec:
        warnings += fractional(spec["overhead"], f"{where}.overhead")
    if notes:
        warnings += _profiles(spec, notes, [c for c, _ in containers], base)
    for container, path in containers:
        if "env" in container:
            warnings += _variables(container["env"] or (), path)
        if resources := container.get("resources"):
            for kind in ("limits", "requests"):
                warnings += fractional(resources.get(kind), f"{path}.resources.{kind}")
    warnings += _ports(containers)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        why = "must be >= 0; negative values are invalid and will be treated as 1"
        warnings.append(f"{where}.terminationGracePeriodSeconds: {why}")
    if affinity:
        for kind in ("podAffinity", "podAntiAffinity"):
            warnings += _pod_affinity(affinity.get(kind) or {}, f"{where}.affinity.{kind}")
    if spec.get("dnsConfig"):
        for i, server in enumerate(spec["dnsConfig"].get("nameservers") or ()):
            warnings += addresses.ip(server, f"{where}.dnsConfig.nameservers[{i}]")
    for i, alias in enumerate(spec.get("hostAliases") or ()):
        warnings += addresses.ip(alias.get("ip"), f"{where}.hostAliases[{i}].ip")
    return warnings


def _labels(keys: Iterable[str], at: str) -> Warnings:
    return [f"{at}[{key}]: {DEPRECATED_LABELS[key]}" for key in keys if key in DEPRECATED_LABELS]


def node_term(term: Obj, at: str, *, values: bool = False) -> Warnings:
    """A node selector term; `values` that no label has are told of too."""
    warnings: Warnings = []
    for i, expression in enumerate(term.get("matchExpressions") or ()):
        here, key = f"{at}.matchExpressions[{i}]", expression.get("key")
        if key in DEPRECATED_LABELS:
            warnings.append(f"{here}.key: {key} is {DEPRECATED_LABELS[key]}")
        for j, value in enumerate((values and expression.get("values")) or ()):
            if not is_label_value(value):
                warnings.append(f"{here}.values[{j}]: {value} is invalid, {LABEL_VALUE_TEXT}")
    return warnings


def _node_affinity(affinity: Obj, at: str) -> Warnings:
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    here = f"{at}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
    terms = required.get("nodeSelectorTerms") or ()
    warnings = [w for i, term in enumerate(terms) for w in node_term(term, f"{here}[{i}]")]
    here = f"{at}.preferredDuringSchedulingIgnoredDuringExecution"
    for i, term in enumerate(affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        warnings += node_term(term.get("preference") or {}, f"{here}[{i}].preference", values=True)
    return warnings


def _spreading(constraints: Iterable[Obj], at: str) -> Warnings:
    warnings: Warnings = []
    for i, constraint in enumerate(constraints):
        key = constraint.get("topologyKey")
        if key in DEPRECATED_LABELS:
            warnings.append(f"{at}[{i}].topologyKey: {key} is {DEPRECATED_LABELS[key]}")
        if constraint.get("labelSelector") is None:
            warnings.append(f"{at}[{i}].labelSelector: {_NO_SELECTOR}")
    return warnings


def _pod_affinity(affinity: Obj, at: str) -> Warnings:
    hard, soft = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
    terms = [(term, f"{at}.{hard}[{i}]") for i, term in enumerate(affinity.get(hard) or ())]
    for i, weighted in enumerate(affinity.get(soft) or ()):
        terms.append((weighted.get("podAffinityTerm") or {}, f"{at}.{soft}[{i}].podAffinityTerm"))
    return [f"{here}.labelSelector: {_NO_SELECTOR}" for term, here in terms if term.get("labelSelector") is None]


def _volumes(volumes: list[Obj], at: str) -> Warnings:
    warnings: Warnings = []
    for i, volume in enumerate(volumes):
        warnings += deprecated_volume(volume, f"{at}[{i}]")
        if "ephemeral" in volume:
            template = (volume["ephemeral"] or {}).get("volumeClaimTemplate") or {}
            warnings += claim(template.get("spec") or {}, f"{at}[{i}].ephemeral.volumeClaimTemplate.spec")
    return warnings + paths.overlapping(volumes)


def deprecated_volume(source: Obj, at: str) -> Warnings:
    if DEPRECATED_VOLUMES.keys().isdisjoint(source):
        return []
    return [f"{at}.{DEPRECATED_VOLUMES[kind]}" for kind in source if kind in DEPRECATED_VOLUMES]


def claim(spec: Obj, at: str) -> Warnings:
    """The spec of a persistent volume claim."""
    resources = spec.get("resources") or {}
    lists = ("requests", "limits")
    return [w for kind in lists for w in fractional(resources.get(kind), f"{at}.resources.{kind}", ("storage",))]


def fractional(amounts: Obj | None, at: str, names: Iterable[str] = ("memory", "ephemeral-storage")) -> Warnings:
    if not amounts:
        return []
    return [
        f'{at}[{name}]: fractional byte value "{quantities.canonical(amounts[name])}" is invalid, must be an integer'
        for name in names
        if name in amounts and _is_fraction(amounts[name])
    ]


@lru_cache(maxsize=1024)
def _is_fraction(amount: quantities.Quantity) -> bool:
    return quantities.millis(amount) % 1000 != 0


def _duplicates(spec: Obj, at: str) -> Iterator[str]:
    for field, key, what in (("hostAliases", "ip", "ip"), ("imagePullSecrets", "name", "name")):
        seen: set[str] = set()
        for i, item in enumerate(spec.get(field) or ()):
            value = item.get(key) or ""
            if value in seen:
                yield f'{at}.{field}[{i}].{key}: duplicate {what} "{value}"'
            seen.add(value)
    for i, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if not secret.get("name"):
            yield f'{at}.imagePullSecrets[{i}].name: invalid empty name ""'


def _profiles(spec: Obj, notes: Mapping[str, str], containers: list[Obj], base: str) -> Iterator[str]:
    """Annotations in the place of fields."""

    def has(holder: Obj, field: str) -> bool:
        return (holder.get("securityContext") or {}).get(field) is not None

    at = f"{base}metadata.annotations"
    if _SECCOMP_POD in notes and not has(spec, "seccompProfile"):
        yield f"{at}[{_SECCOMP_POD}]: {_SECCOMP}"
    for container in containers:
        key = _SECCOMP_CONTAINER + container["name"]
        if key in notes and not has(container, "seccompProfile"):
            yield f"{at}[{key}]: {_SECCOMP}"
        key = _APP_ARMOR + container["name"]
        if key in notes and not has(container, "appArmorProfile") and not has(spec, "appArmorProfile"):
            yield f'{at}[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead'


def _variables(variables: Iterable[Obj], at: str) -> Warnings:
    warnings: Warnings = []
    seen: set[str] = set()
    for i, variable in enumerate(variables):
        name = variable.get("name", "")
        if name in seen and _hides(variable, f"$({name})"):
            why = f'hides previous definition of "{name}", which may be dropped when using apply'
            warnings.append(f"{at}.env[{i}]: {why}")
        seen.add(name)
    return warnings


def _hides(variable: Obj, reference: str) -> bool:
    """Whether the value says nothing of the one before it, which `reference` stands for."""
    value = variable.get("value") or ""
    return variable.get("valueFrom") is not None or value == reference or reference not in value


def _ports(containers: Iterable[tuple[Obj, str]]) -> Iterator[str]:
    """Ports of all containers: they share one network."""
    containers = [pair for pair in containers if pair[0].get("ports")]
    taken: dict[tuple[Any, Any], list[tuple[Obj, str]]] = {}
    named: dict[str, str] = {}
    same_name: list[str] = []
    for container, at in containers:
        for i, port in enumerate(container.get("ports") or ()):
            here, address, number = f"{at}.ports[{i}]", port.get("hostIP") or "", port.get("hostPort") or 0
            if address and not number:
                yield f"{here}: hostIP set without hostPort: {_shown(port)}"
            others = taken.setdefault((port.get("containerPort"), port.get("protocol", "TCP")), [])
            for other, there in others:
                if how := _clash((address, number), (other.get("hostIP") or "", other.get("hostPort") or 0)):
                    yield f"{here}: {how} port definition with {there}"
            others.append((port, here))
            name = port.get("name")
            if not name or (".initContainers[" in f".{at}" and container.get("restartPolicy") != "Always"):
                continue
            if (there := named.setdefault(name, here)) != here:
                same_name.append(
                    f'{here}: duplicate port name "{name}" with {there}, services and probes that select ports by '
                    f"name will use {there}"
                )
    yield from same_name


def _clash(one: tuple[str, int], other: tuple[str, int]) -> str:
    if one == other:
        return "duplicate"
    if not one[1] or not other[1]:
        return "overlapping"
    return "dangerously ambiguous" if one[1] == other[1] and bool(one[0]) != bool(other[0]) else ""


def _shown(port: Obj) -> str:
    """As Go prints the struct."""
    fields = {"Name": "", "HostPort": 0, "ContainerPort": 0, "Protocol": "TCP", "HostIP": ""}
    values = (f"{name}:{port.get(name[0].lower() + name[1:], empty)}" for name, empty in fields.items())
    return f"{{{' '.join(values)}}}"
