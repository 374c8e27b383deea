"""The EndpointSlices of a service: what to create, update and delete so that they list its pods. Pure.

Pods with the same resolved ports share slices. A service without any endpoint has one empty slice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from api import meta
from api.meta import Obj
from controller import backends, pod_state
from controller.slice_packing import MANAGED_BY, MAX_ENDPOINTS, SERVICE_NAME, Desired, Header, Plan, pack

MANAGER = "endpointslice-controller.k8s.io"


def plan(
    service: Obj, pods: Iterable[Obj], zones: Mapping[str, str], existing: Sequence[Obj], limit: int = MAX_ENDPOINTS
) -> Plan:
    """`pods` of the service's namespace; `zones` by node name; `existing` slices that are ours, in any order;
    `limit` endpoints in each."""
    result = Plan()
    selected = backends.selected(service, pods)
    live = [s for s in existing if not meta.is_deleting(s)]
    labels = backends.service_labels(service) | {SERVICE_NAME: meta.name(service), MANAGED_BY: MANAGER}
    owner = meta.controller_reference(service, "v1", "Service")
    header = Header(meta.name(service), meta.namespace(service), labels, owner)
    wanted_families = backends.families(service)
    result.delete += [s for s in live if s.get("addressType") not in wanted_families]
    for family in wanted_families:
        ours = [s for s in live if s.get("addressType") == family]
        pack(header, family, _desired(service, family, selected, zones), ours, result, limit=limit)
    return result


def _desired(service: Obj, family: str, pods: Iterable[Obj], zones: Mapping[str, str]) -> Desired:
    desired: Desired = {}
    for pod in pods:
        ips = backends.addresses(pod, family)
        if ips and backends.belongs(pod, include_terminating=True):
            entry = endpoint(service, pod, ips, zones)
            desired.setdefault(backends.ports(service, pod), {})[meta.uid(pod)] = entry
    return desired


def endpoint(service: Obj, pod: Obj, ips: list[str], zones: Mapping[str, str]) -> Obj:
    node = pod_state.node_name(pod)
    result: Obj = {
        "addresses": ips,
        "conditions": {
            "ready": backends.is_published_ready(service, pod),
            "serving": pod_state.is_ready(pod),
            "terminating": meta.is_deleting(pod),
        },
    }
    hostname = backends.hostname(service, pod)
    if hostname:
        result["hostname"] = hostname
    if node:
        result["nodeName"] = node
    if zones.get(node):
        result["zone"] = zones[node]
    result["targetRef"] = backends.target_ref(pod)
    return result
