"""Service: defaults, validation, what it claims of the cluster's addresses and ports, columns.

Allocation itself (choosing free addresses and ports) is the apiserver's.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api import meta, printing, selectors
from api.errors import duplicate, forbidden_field, invalid, required
from api.meta import Obj
from api.registry import Column, Hooks
from api.validation import (
    Errors,
    dns_1035_label,
    dns_label,
    dns_subdomain,
    ip_address,
    labels,
    one_of,
    port_number,
    port_or_name,
)

_EXPOSED = ("NodePort", "LoadBalancer")
_AFFINITY_TIMEOUT = 10800


def default(service: Obj) -> None:
    spec = service.setdefault("spec", {})
    spec.setdefault("sessionAffinity", "None")
    spec.setdefault("type", "ClusterIP")
    if spec["sessionAffinity"] == "ClientIP":
        client = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        client.setdefault("timeoutSeconds", _AFFINITY_TIMEOUT)
    elif spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    for port in spec.get("ports") or []:
        port.setdefault("protocol", "TCP")
        if port.get("targetPort") in (None, "", 0):
            port["targetPort"] = port.get("port")
    if spec["type"] in _EXPOSED:
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")


def prepare(service: Obj, old: Obj | None) -> None:
    """Carry allocations over an update that leaves them out; drop those the new type has no use for."""
    spec = service["spec"]
    if old is None:
        service["status"] = {"loadBalancer": {}}
        return
    before = old["spec"]
    if spec["type"] == "ExternalName":
        if before.get("type") != "ExternalName" and spec.get("clusterIP") == before.get("clusterIP"):
            for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                spec.pop(name, None)
    elif before.get("type") != "ExternalName":
        if not spec.get("clusterIP"):
            spec["clusterIP"] = before.get("clusterIP")
        for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if name in before:
                spec.setdefault(name, before[name])
    if spec["type"] in _EXPOSED:
        held = {
            (p.get("protocol"), p.get("port")): p["nodePort"] for p in before.get("ports") or [] if p.get("nodePort")
        }
        taken = {p.get("nodePort") for p in spec.get("ports") or []}
        for port in spec.get("ports") or []:
            number = held.get((port.get("protocol"), port.get("port")))
            if not port.get("nodePort") and number and number not in taken:
                port["nodePort"] = number
    elif before.get("type") in _EXPOSED:
        same = {p.get("nodePort") for p in before.get("ports") or []}
        for port in spec.get("ports") or []:
            if port.get("nodePort") in same:
                port.pop("nodePort", None)
        if spec.get("externalTrafficPolicy") == before.get("externalTrafficPolicy"):
            spec.pop("externalTrafficPolicy", None)


def is_headless(service: Obj) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def claims(service: Obj) -> set[str]:
    spec = service.get("spec") or {}
    held: set[str] = set()
    if spec.get("type") != "ExternalName":
        addresses = spec.get("clusterIPs") or [spec.get("clusterIP")]
        held |= {f"clusterip/{ip}" for ip in addresses if ip and ip != "None"}
    for port in spec.get("ports") or []:
        if port.get("nodePort"):
            held.add(f"nodeport/{port.get('protocol', 'TCP')}/{port['nodePort']}")
    return held


def validate(service: Obj, old: Obj | None) -> Errors:
    spec = service.get("spec") or {}
    errors = one_of(spec.get("type"), ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"), "spec.type")
    kind, headless = spec.get("type"), spec.get("clusterIP") == "None"
    ports = spec.get("ports") or []
    if not ports and not headless and kind != "ExternalName":
        errors.append(required("spec.ports"))
    if kind in _EXPOSED and headless:
        errors.append(invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services"))
    if kind == "ExternalName":
        name = (spec.get("externalName") or "").rstrip(".")
        errors += dns_subdomain(name, "spec.externalName") if name else [required("spec.externalName")]
        if spec.get("clusterIP") and not headless:
            errors.append(forbidden_field("spec.clusterIPs", "may not be set for ExternalName services"))
    elif spec.get("clusterIP") and not headless:
        errors += ip_address(spec["clusterIP"], "spec.clusterIP")
    errors += one_of(spec.get("sessionAffinity"), ("ClientIP", "None"), "spec.sessionAffinity")
    errors += labels(spec.get("selector"), "spec.selector")
    errors += _ports(ports, kind)
    for index, address in enumerate(spec.get("externalIPs") or []):
        errors += ip_address(address, f"spec.externalIPs[{index}]")
    for name in ("internalTrafficPolicy", "externalTrafficPolicy"):
        if spec.get(name):
            errors += one_of(spec[name], ("Cluster", "Local"), f"spec.{name}")
    if spec.get("externalTrafficPolicy") and kind not in _EXPOSED and not spec.get("externalIPs"):
        errors.append(
            invalid(
                "spec.externalTrafficPolicy",
                spec["externalTrafficPolicy"],
                "may only be set for externally-accessible services",
            )
        )
    if old is not None:
        before = old["spec"].get("clusterIP")
        stays = kind != "ExternalName" and old["spec"].get("type") != "ExternalName"
        if stays and before and spec.get("clusterIP") != before:
            errors.append(invalid("spec.clusterIPs[0]", spec.get("clusterIP"), "may not change once set"))
    return errors


def _ports(ports: list[Obj], kind: Any) -> Errors:
    errors: Errors = []
    names: set[str] = set()
    numbers: set[tuple[Any, Any]] = set()
    node_ports: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        at, name = f"spec.ports[{index}]", port.get("name") or ""
        if not name and len(ports) > 1:
            errors.append(required(f"{at}.name"))
        elif name:
            errors += dns_label(name, f"{at}.name")  # unlike a container's port name it may be digits alone
            if name in names:
                errors.append(duplicate(f"{at}.name", name))
            names.add(name)
        errors += port_number(port.get("port") or 0, f"{at}.port")
        errors += one_of(port.get("protocol"), ("SCTP", "TCP", "UDP"), f"{at}.protocol")
        if kind != "ExternalName":
            errors += port_or_name(port.get("targetPort", 0), f"{at}.targetPort")
        if (port.get("protocol"), port.get("port")) in numbers:
            errors.append(duplicate(at, f"{port.get('protocol')}/{port.get('port')}"))
        numbers.add((port.get("protocol"), port.get("port")))
        number = port.get("nodePort")
        if number:
            if kind not in _EXPOSED:
                errors.append(forbidden_field(f"{at}.nodePort", f"may not be used when `type` is '{kind}'"))
            if (port.get("protocol"), number) in node_ports:
                errors.append(duplicate(f"{at}.nodePort", number))
            node_ports.add((port.get("protocol"), number))
    return errors


COLUMNS = (
    Column("Name", format="name"),
    Column("Type"),
    Column("Cluster-IP"),
    Column("External-IP"),
    Column("Port(s)"),
    Column("Age"),
    Column("Selector", priority=1),
)


def cells(service: Obj, now: datetime) -> list[Any]:
    spec = service["spec"]
    ports = [
        f"{p['port']}:{p['nodePort']}/{p['protocol']}" if p.get("nodePort") else f"{p['port']}/{p['protocol']}"
        for p in spec.get("ports") or []
    ]
    return [
        meta.name(service),
        spec["type"],
        spec.get("clusterIP") or "<none>",
        _external(service),
        printing.join(ports),
        printing.age_of(service, now),
        str(selectors.from_match_labels(spec.get("selector"))) or "<none>",
    ]


def _external(service: Obj) -> str:
    spec = service["spec"]
    if spec["type"] == "ExternalName":
        return str(spec.get("externalName") or "")
    addresses = list(spec.get("externalIPs") or [])
    if spec["type"] == "LoadBalancer":
        ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        addresses = [i.get("ip") or i.get("hostname") or "" for i in ingress] + addresses
        return ",".join(addresses) or "<pending>"
    return printing.join(addresses)


HOOKS = Hooks(
    default=default,
    prepare=prepare,
    validate=validate,
    columns=COLUMNS,
    cells=cells,
    claims=claims,
    name_rule=dns_1035_label,
)
