"""An APIService for every group version that is served here, as upstream's aggregator registers them.

https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from api import meta
from api.builtin import API_SERVICES
from api.errors import NotFound
from api.kinds.apiregistration import LOCAL
from api.meta import Obj
from api.registry import Registry
from apiserver.aggregation.trust import publish
from apiserver.context import Context
from apiserver.deletion import DeleteOptions
from apiserver.endpoints import SELF, ensure
from apiserver.follow import follow
from apiserver.routes.delete import delete
from apiserver.routes.update import change

_MANAGED = "kube-aggregator.kubernetes.io/automanaged"
_PERIOD = 300.0
# Group → its priority (k8s.io/kubernetes/pkg/controlplane/apiserver/aggregator.go). Groups of custom kinds have 1000.
_GROUPS = {
    "": 18000, "apps": 17800, "events.k8s.io": 17750, "authentication.k8s.io": 17700, "authorization.k8s.io": 17600,
    "autoscaling": 17500, "batch": 17400, "certificates.k8s.io": 17300, "networking.k8s.io": 17200, "policy": 17100,
    "rbac.authorization.k8s.io": 17000, "storage.k8s.io": 16800, "apiextensions.k8s.io": 16700,
    "admissionregistration.k8s.io": 16700, "scheduling.k8s.io": 16600, "coordination.k8s.io": 16500,
    "node.k8s.io": 16300, "discovery.k8s.io": 16200, "flowcontrol.apiserver.k8s.io": 16100,
}  # fmt: skip
_VERSIONS = {
    ("", "v1"): 1, ("autoscaling", "v2"): 30, ("flowcontrol.apiserver.k8s.io", "v1"): 21,
    ("admissionregistration.k8s.io", "v1beta1"): 12,
}  # fmt: skip


def wanted(registry: Registry) -> dict[str, Obj]:
    """By name, the APIServices of what `registry` serves."""
    found = {}
    for group, version in dict.fromkeys((row.group, row.version) for row in registry):
        if group == API_SERVICES.group:
            continue  # the aggregator's own
        priority, of_version = _GROUPS.get(group), _VERSIONS.get((group, version), 15)
        spec: Obj = {"version": version, "groupPriorityMinimum": priority or 1000}
        spec |= {"versionPriority": of_version if priority else 100} | ({"group": group} if group else {})
        name = f"{version}.{group}"
        labels = {_MANAGED: "onstart" if priority else "true"}
        found[name] = {"metadata": {"name": name, "labels": labels}, "spec": spec}
    return found


async def run(context: Context) -> None:
    """Until cancelled."""
    changed = asyncio.Event()
    context.registry.on_change(changed.set)

    async def look() -> float:
        await publish(context)
        await context.definitions.catch_up()
        ours = wanted(context.registry)
        there = {s.name: s.obj() for s in (await context.store.list(API_SERVICES, resource_version="0")).items}
        for name, obj in ours.items():
            if name not in there:
                await ensure(context, API_SERVICES, obj)
        for name, obj in there.items():
            managed = _MANAGED in meta.labels(obj)
            if managed and name not in ours:
                with suppress(NotFound):  # another server was faster
                    await delete(context, SELF, API_SERVICES, "", name, DeleteOptions())
            elif managed and obj.get("spec") != ours[name]["spec"]:
                await _change(context, name, {"spec": ours[name]["spec"]})
            elif (obj.get("spec") or {}).get("service") is None and not _is_local(obj):
                condition = {"lastTransitionTime": meta.rfc3339(context.now()), **LOCAL}
                await _change(context, name, {"status": {"conditions": [condition]}}, "status")
        return _PERIOD

    await follow(context.store, (API_SERVICES,), look, changed)


def _is_local(api_service: Obj) -> bool:
    return (meta.get_condition(api_service, "Available") or {}).get("reason") == LOCAL["reason"]


async def _change(context: Context, name: str, parts: Obj, subresource: str = "") -> None:
    await change(context, SELF, API_SERVICES, "", name, lambda obj: obj | parts, subresource=subresource)
