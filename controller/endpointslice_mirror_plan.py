"""The EndpointSlices that mirror a hand-written Endpoints object of a service without selector. Pure.

https://kubernetes.io/docs/concepts/services-networking/service/#endpointslice-mirroring
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from api import meta
from api.meta import Obj
from controller import backends, endpoints_plan
from controller.backends import Port
from controller.slice_packing import MANAGED_BY, SERVICE_NAME, Desired, Header, Plan, identity, pack

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
MAX_PER_SUBSET = 1000


def is_mirrored(endpoints: Obj | None, service: Obj | None) -> bool:
    """Whether the object is somebody's own work for a service that we make no slices for."""
    if endpoints is None or service is None or backends.has_selector(service):
        return False
    labels = meta.labels(endpoints)
    ours = labels.get(endpoints_plan.MANAGED_BY) == endpoints_plan.MANAGER
    return not ours and labels.get(SKIP) != "true"


def plan(endpoints: Obj | None, existing: Sequence[Obj]) -> Plan:
    """`endpoints` None: nothing is to be mirrored (any more). `existing` are the mirror's slices."""
    result = Plan()
    live = [s for s in existing if not meta.is_deleting(s)]
    if endpoints is None:
        result.delete = live
        return result
    labels = {k: v for k, v in meta.labels(endpoints).items() if k != backends.HEADLESS}
    labels |= {SERVICE_NAME: meta.name(endpoints), MANAGED_BY: MANAGER}
    owner = meta.controller_reference(endpoints, "v1", "Endpoints")
    header = Header(meta.name(endpoints), meta.namespace(endpoints), labels, owner)
    for family in ("IPv4", "IPv6"):
        ours = [s for s in live if s.get("addressType") == family]
        pack(header, family, _desired(endpoints, family), ours, result, keep_one=False)
    return result


def _desired(endpoints: Obj, family: str) -> Desired:
    desired: Desired = {}
    for subset in endpoints.get("subsets") or []:
        ports = tuple(sorted(_port(p) for p in subset.get("ports") or []))
        listed = [(address, True) for address in subset.get("addresses") or []]
        listed += [(address, False) for address in subset.get("notReadyAddresses") or []]
        for address, ready in listed[:MAX_PER_SUBSET]:
            if f"IPv{ipaddress.ip_address(address['ip']).version}" == family:
                entry = _endpoint(address, ready)
                desired.setdefault(ports, {})[identity(entry)] = entry
    return desired


def _port(entry: Obj) -> Port:
    protocol = entry.get("protocol") or "TCP"
    return Port(entry.get("name") or "", int(entry["port"]), protocol, entry.get("appProtocol") or "")


def _endpoint(address: Obj, ready: bool) -> Obj:
    entry: Obj = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for field in ("hostname", "nodeName", "targetRef"):
        if address.get(field):
            entry[field] = address[field]
    return entry
