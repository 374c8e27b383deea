"""What this server serves, in the order and with the kinds that discovery and OpenAPI tell of (pure).

Order as upstream's: groups by the priorities of its aggregator (pkg/controlplane/apiserver/aggregator.go), the
groups of custom resources after them by name; versions by priority, else as `version.CompareKubeAwareVersionStrings`
sorts them: v10 before v2, v1 before v1beta1 before v1alpha1.
"""

from __future__ import annotations

import re

from api.registry import Resource

Kind = tuple[str, str, str]  # group, version, kind

_ORDER = (
    "", "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io",
    "autoscaling", "batch", "certificates.k8s.io", "networking.k8s.io", "policy", "rbac.authorization.k8s.io",
    "storage.k8s.io", "admissionregistration.k8s.io", "apiextensions.k8s.io", "scheduling.k8s.io",
    "coordination.k8s.io", "node.k8s.io", "discovery.k8s.io", "flowcontrol.apiserver.k8s.io",
)  # fmt: skip
_RANK = {group: rank for rank, group in enumerate(_ORDER)}
_HIGHEST, _CUSTOM_PRIORITY = 18000, 1000
_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_STAGES = {"alpha": 0, "beta": 1, None: 2}

# What a subresource reads and writes when that is not its resource's own kind.
_KINDS: dict[str, Kind] = {
    "scale": ("autoscaling", "v1", "Scale"),
    "eviction": ("policy", "v1", "Eviction"),
    "binding": ("", "v1", "Binding"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
}
# Subresources that are a way through to something else, with the parameters they take.
CONNECTS: dict[str, dict[str, str]] = {
    "attach": dict.fromkeys(("container",), "string") | dict.fromkeys(("stderr", "stdin", "stdout", "tty"), "boolean"),
    "exec": dict.fromkeys(("command", "container"), "string")
    | dict.fromkeys(("stderr", "stdin", "stdout", "tty"), "boolean"),
    "portforward": {"ports": "integer"},
    "proxy": {"path": "string"},
}


def kind_of(row: Resource, subresource: str) -> Kind:
    """The kind that a subresource takes and answers."""
    if subresource in CONNECTS:
        word = "PortForward" if subresource == "portforward" else subresource.capitalize()
        return "", "v1", f"{row.kind}{word}Options"
    return _KINDS.get(subresource, (row.group, row.version, row.kind))


def version_order(version: str) -> tuple[object, ...]:
    """A sorting key: the newest stable version comes first."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (1, 0, 0, 0, version)
    major, stage, minor = match.groups()
    return (0, -_STAGES[stage], -int(major), -int(minor or 0), version)


def group_priority(group: str) -> int:
    """Groups of a higher priority come first. Custom groups have what upstream registers them with."""
    rank = _RANK.get(group)
    return _CUSTOM_PRIORITY if rank is None else _HIGHEST - 100 * rank
