"""Reading what a server says it serves: aggregated discovery documents. Pure.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/#aggregated-discovery
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from api.meta import Obj
from api.registry import Resource

ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
PATHS = ("/api", "/apis")


def rows(documents: Iterable[Obj]) -> Iterator[Resource]:
    """Every resource of every version, in the server's order: a group's preferred version comes first."""
    for group, version in _versions(documents):
        for resource in version.get("resources") or []:
            kind: dict[str, Any] = resource.get("responseKind") or {}
            yield Resource(
                group,
                version["version"],
                str(kind.get("kind", "")),
                resource["resource"],
                resource.get("singularResource") or str(kind.get("kind", "")).lower(),
                resource.get("scope") == "Namespaced",
                short_names=tuple(resource.get("shortNames") or ()),
                categories=tuple(resource.get("categories") or ()),
                subresources=tuple(s["subresource"] for s in resource.get("subresources") or []),
                verbs=tuple(resource.get("verbs") or ()),
            )


def stale(documents: Iterable[Obj]) -> list[str]:
    """The versions (`metrics.k8s.io/v1beta1`) whose server could not be asked."""
    return [f"{group}/{v['version']}" for group, v in _versions(documents) if v.get("freshness") == "Stale"]


def preferred(found: Iterable[Resource]) -> list[Resource]:
    """One row per group and plural: its first version."""
    first: dict[tuple[str, str], Resource] = {}
    for row in found:
        first.setdefault((row.group, row.plural), row)
    return list(first.values())


def _versions(documents: Iterable[Obj]) -> Iterator[tuple[str, Obj]]:
    for document in documents:
        for group in document.get("items") or []:
            for version in group.get("versions") or []:
                yield (group.get("metadata") or {}).get("name") or "", version
