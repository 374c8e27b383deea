"""The Endpoints object of a service. Pure.

Pods with the same ports share a subset; each is in `addresses` or, not ready, in `notReadyAddresses`.
Terminating pods are left out unless the service publishes addresses that are not ready.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from api import meta
from api.meta import Obj
from controller import backends, pod_state
from controller.backends import Port

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
MAX_ADDRESSES = 1000


def build(service: Obj, pods: Iterable[Obj]) -> Obj:
    """The whole wanted object for a service that has a selector. `pods` are those of its namespace."""
    subsets: dict[tuple[Port, ...], tuple[list[Obj], list[Obj]]] = {}
    family = backends.families(service)[0]
    terminating = bool(service["spec"].get("publishNotReadyAddresses"))
    for pod in backends.selected(service, pods):
        ips = backends.addresses(pod, family)
        if not ips or not backends.belongs(pod, include_terminating=terminating):
            continue
        ports = backends.ports(service, pod)
        if not ports and not backends.is_headless(service):
            continue
        ready, not_ready = subsets.setdefault(ports, ([], []))
        (ready if backends.is_published_ready(service, pod) else not_ready).append(_address(service, pod, ips[0]))
    shown, truncated = _truncate(subsets)
    metadata: Obj = {
        "name": meta.name(service),
        "namespace": meta.namespace(service),
        "labels": backends.service_labels(service) | {MANAGED_BY: MANAGER},
    }
    if truncated:
        metadata["annotations"] = {OVER_CAPACITY: "truncated"}
    endpoints: Obj = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata}
    if shown:
        endpoints["subsets"] = [_subset(ports, *shown[ports]) for ports in sorted(shown)]
    return endpoints


def _address(service: Obj, pod: Obj, ip: str) -> Obj:
    address: Obj = {"ip": ip}
    hostname = backends.hostname(service, pod)
    if hostname:
        address["hostname"] = hostname
    if pod_state.node_name(pod):
        address["nodeName"] = pod_state.node_name(pod)
    address["targetRef"] = backends.target_ref(pod)
    return address


def _subset(ports: tuple[Port, ...], ready: list[Obj], not_ready: list[Obj]) -> Obj:
    subset: Obj = {}
    for field, addresses in (("addresses", ready), ("notReadyAddresses", not_ready)):
        if addresses:
            subset[field] = sorted(addresses, key=lambda a: int(ipaddress.ip_address(a["ip"])))
    if ports:
        subset["ports"] = [_port(port) for port in ports]
    return subset


def _port(port: Port) -> Obj:
    obj = port.as_obj()
    if not port.name:
        del obj["name"]
    return obj


def _truncate(
    subsets: dict[tuple[Port, ...], tuple[list[Obj], list[Obj]]],
) -> tuple[dict[tuple[Port, ...], tuple[list[Obj], list[Obj]]], bool]:
    """At most MAX_ADDRESSES in all, ready ones first."""
    total = sum(len(ready) + len(not_ready) for ready, not_ready in subsets.values())
    if total <= MAX_ADDRESSES:
        return subsets, False
    left = MAX_ADDRESSES
    kept: dict[tuple[Port, ...], tuple[list[Obj], list[Obj]]] = {ports: ([], []) for ports in subsets}
    for index in (0, 1):
        for ports, lists in subsets.items():
            taken = lists[index][:left]
            kept[ports][index].extend(taken)
            left -= len(taken)
    return {ports: lists for ports, lists in kept.items() if lists[0] or lists[1]}, True


def same(old: Obj, new: Obj) -> bool:
    """Whether `old`, as stored, already says what `new` wants."""
    marked = meta.annotations(old).get(OVER_CAPACITY) == meta.annotations(new).get(OVER_CAPACITY)
    same_labels = meta.labels(old) == meta.labels(new)
    return marked and same_labels and (old.get("subsets") or []) == (new.get("subsets") or [])
