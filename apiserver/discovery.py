"""The documents of discovery (pure): aggregated (apidiscovery.k8s.io/v2) and those of older clients.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api, KEP-3352
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from api.meta import Obj
from api.registry import Resource
from apiserver.served import group_priority, kind_of, version_order

Subresources = Callable[[Resource], dict[str, tuple[str, ...]]]
_CUSTOM_VERSION_PRIORITY = 100


@dataclass(frozen=True, slots=True)
class Remote:
    """A version that another API server answers for (an APIService). `resources` are in the aggregated form; what
    the server said last when it does not answer now, and then `fresh` is False."""

    group: str
    version: str
    group_priority: int
    version_priority: int
    resources: list[Obj] = field(default_factory=list)
    fresh: bool = True


@dataclass(slots=True)
class Version:
    name: str
    rows: list[Resource] = field(default_factory=list)
    remote: Remote | None = None


@dataclass(slots=True)
class Group:
    name: str
    versions: list[Version]

    @property
    def preferred(self) -> Version:
        return self.versions[0]


def groups(rows: Iterable[Resource], remotes: Iterable[Remote] = ()) -> list[Group]:
    """In the order told of. A row of ours wins over a remote version of the same name."""
    found: dict[str, dict[str, Version]] = {}
    priorities: dict[str, int] = {}
    for row in rows:
        found.setdefault(row.group, {}).setdefault(row.version, Version(row.version)).rows.append(row)
        priorities[row.group] = group_priority(row.group)
    for remote in remotes:
        versions = found.setdefault(remote.group, {})
        if remote.version not in versions:
            versions[remote.version] = Version(remote.version, remote=remote)
            priorities[remote.group] = max(remote.group_priority, priorities.get(remote.group, 0))

    def version_key(version: Version) -> tuple[object, ...]:
        priority = version.remote.version_priority if version.remote else _CUSTOM_VERSION_PRIORITY
        return (-priority, version_order(version.name))

    for versions in found.values():
        for version in versions.values():
            version.rows.sort(key=lambda row: row.plural)
    return [
        Group(name, sorted(found[name].values(), key=version_key))
        for name in sorted(found, key=lambda name: (-priorities[name], name))
    ]


# --- aggregated ------------------------------------------------------------------------------------------


def aggregated(found: Iterable[Group], subresources: Subresources) -> Obj:
    """APIGroupDiscoveryList of the groups given."""
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [
            {
                "metadata": ({"name": group.name} if group.name else {}) | {"creationTimestamp": None},
                "versions": [_aggregated_version(version, subresources) for version in group.versions],
            }
            for group in found
        ],
    }


def _aggregated_version(version: Version, subresources: Subresources) -> Obj:
    if version.remote is not None:
        freshness = "Current" if version.remote.fresh else "Stale"
        return {"version": version.name, "resources": version.remote.resources, "freshness": freshness}
    resources = [_aggregated_resource(row, subresources(row)) for row in version.rows]
    return {"version": version.name, "resources": resources, "freshness": "Current"}


def _aggregated_resource(row: Resource, subresources: dict[str, tuple[str, ...]]) -> Obj:
    entry: Obj = {
        "resource": row.plural,
        "responseKind": {"group": row.group, "version": row.version, "kind": row.kind},
        "scope": "Namespaced" if row.namespaced else "Cluster",
        "singularResource": row.singular,
        "verbs": sorted(row.verbs),
    }
    if row.short_names:
        entry["shortNames"] = list(row.short_names)
    if row.categories:
        entry["categories"] = list(row.categories)
    below = []
    for name, verbs in sorted(subresources.items()):
        group, version, kind = kind_of(row, name)
        response_kind = {"group": group, "version": version, "kind": kind}
        below.append({"subresource": name, "responseKind": response_kind, "verbs": list(verbs)})
    if below:
        entry["subresources"] = below
    return entry


def from_resource_list(document: Obj) -> list[Obj]:
    """The aggregated form of an APIResourceList: what servers answer that know no aggregated discovery."""
    group, _, version = document.get("groupVersion", "").rpartition("/")
    found: dict[str, Obj] = {}
    for entry in sorted(document.get("resources", ()), key=lambda e: "/" in e["name"]):
        name, _, sub = entry["name"].partition("/")
        kind = {"group": entry.get("group") or group, "version": entry.get("version") or version,
                "kind": entry.get("kind", "")}  # fmt: skip
        if sub:
            owner = found.setdefault(name, {"resource": name})
            below = {"subresource": sub, "responseKind": kind, "verbs": entry.get("verbs") or []}
            owner.setdefault("subresources", []).append(below)
            continue
        found[name] = {
            "resource": name,
            "responseKind": kind,
            "scope": "Namespaced" if entry.get("namespaced") else "Cluster",
            "singularResource": entry.get("singularName", ""),
            "verbs": entry.get("verbs") or [],
        } | {key: entry[key] for key in ("shortNames", "categories") if entry.get(key)}
    return list(found.values())


# --- one document per group and version ------------------------------------------------------------------


def group_list(found: Iterable[Group]) -> Obj:
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(group) for group in found]}


def group_document(group: Group) -> Obj:
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(group)}


def _group(group: Group) -> Obj:
    listed = [{"groupVersion": f"{group.name}/{version.name}", "version": version.name} for version in group.versions]
    return {"name": group.name, "versions": listed, "preferredVersion": listed[0]}


def resource_list(group_version: str, rows: list[Resource], subresources: Subresources) -> Obj:
    entries: list[Obj] = []
    for row in rows:
        entry: Obj = {
            "name": row.plural,
            "singularName": row.singular,
            "namespaced": row.namespaced,
            "kind": row.kind,
            "verbs": sorted(row.verbs),
        }
        if row.short_names:
            entry["shortNames"] = list(row.short_names)
        if row.categories:
            entry["categories"] = list(row.categories)
        if "create" in row.verbs and "get" in row.verbs:
            entry["storageVersionHash"] = _storage_version_hash(row.stored_as or row)
        entries.append(entry)
        for name, verbs in sorted(subresources(row).items()):
            group, version, kind = kind_of(row, name)
            below: Obj = {
                "name": f"{row.plural}/{name}",
                "singularName": "",
                "namespaced": row.namespaced,
                "kind": kind,
                "verbs": list(verbs),
            }
            if (group, version) not in ((row.group, row.version), ("", "v1")):
                below |= {"group": group, "version": version}
            entries.append(below)
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": entries}


def _storage_version_hash(row: Resource) -> str:
    """Of the kind as it is stored, for clients that want to know when objects must be rewritten (KEP-2339)."""
    digest = hashlib.sha256(f"{row.group}/{row.version}/{row.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()
