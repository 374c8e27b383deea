"""Service: defaults, validation, what it claims of the cluster's addresses and ports, columns.

Allocation itself (choosing free addresses and ports) is the apiserver's. Rules: k8s.io/kubernetes/pkg/apis/core
(v1/defaults.go, validation) and pkg/registry/core/service/strategy.go.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Any

from api import meta, printing, selectors
from api.errors import duplicate, forbidden_field, invalid, required
from api.kinds.endpoints import endpoint_ip
from api.kinds.networking import cidr
from api.meta import Obj
from api.registry import Column, Hooks
from api.rules import check, given, needed_of, of, when
from api.validation import (
    Errors,
    dns_1035_label,
    dns_label,
    dns_subdomain,
    ip_address,
    labels,
    port_number,
    port_or_name,
    qualified_name,
    shown,
)

_EXPOSED = ("NodePort", "LoadBalancer")
_AFFINITY_TIMEOUT = 10800
_DAY = 86400
_ONLY_BALANCED = "may only be used when `type` is 'LoadBalancer'"
_FAMILIES = ("IPv4", "IPv6")
_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
_HINTS, _MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"


def default(service: Obj) -> None:
    spec = service.setdefault("spec", {})
    for name, value in (("sessionAffinity", "None"), ("type", "ClusterIP")):
        if not spec.get(name):
            spec[name] = value
    if spec["sessionAffinity"] == "ClientIP":
        client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        if client.get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": _AFFINITY_TIMEOUT}}
    elif spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    for port in spec.get("ports") or []:
        port.setdefault("protocol", "TCP")
        if port.get("targetPort") in (None, "", 0):
            port["targetPort"] = port.get("port")
    if is_exposed(spec):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
        default_status(service)
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")


def default_status(service: Obj) -> None:
    for ingress in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
        if ingress.get("ip"):
            ingress.setdefault("ipMode", "VIP")


def is_exposed(spec: Obj) -> bool:
    """Reached from outside the cluster."""
    return spec.get("type") in _EXPOSED or (spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs")))


def needs_health_check(spec: Obj) -> bool:
    """A load balancer that sends only to nodes with endpoints has to be told which those are."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def prepare(service: Obj, old: Obj | None) -> None:
    """Carry allocations over an update that leaves them out; drop those the new type has no use for."""
    spec = service["spec"]
    if old is None:
        service["status"] = {"loadBalancer": {}}
        return
    before = old["spec"]
    if spec.get("clusterIP") != before.get("clusterIP") and spec.get("clusterIPs") == before.get("clusterIPs"):
        # Who writes but the one does not know of the others.
        addresses = [spec.get("clusterIP"), *(spec.pop("clusterIPs", None) or ())[1:]]
        if addresses[0]:
            spec["clusterIPs"] = addresses
    if spec["type"] == "ExternalName":
        if before.get("type") != "ExternalName":
            for names in (("clusterIP", "clusterIPs"), ("ipFamilies",), ("ipFamilyPolicy",)):
                if all(spec.get(name) == before.get(name) for name in names):
                    for name in names:
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
    if needs_health_check(spec) and needs_health_check(before) and before.get("healthCheckNodePort"):
        spec.setdefault("healthCheckNodePort", before["healthCheckNodePort"])
    dropped = [] if is_exposed(spec) else ["externalTrafficPolicy"]
    dropped += [] if needs_health_check(spec) else ["healthCheckNodePort"]
    dropped += [] if spec["type"] == "LoadBalancer" else ["allocateLoadBalancerNodePorts", "loadBalancerClass"]
    for name in dropped:
        if name in spec and spec[name] == before.get(name):
            del spec[name]


def prepare_status(service: Obj, old: Obj | None) -> None:
    service.setdefault("status", {}).setdefault("loadBalancer", {})
    default_status(service)


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
    if spec.get("healthCheckNodePort"):
        held.add(f"nodeport/TCP/{spec['healthCheckNodePort']}")
    return held


# --- validation --------------------------------------------------------------------------------------------


def validate(service: Obj, old: Obj | None) -> Errors:
    spec, notes = service.get("spec") or {}, meta.annotations(service)
    kind, ports = spec.get("type"), spec.get("ports") or []
    errors: Errors = []
    if old is not None:
        errors += _address_changes(spec, old["spec"]) + _family_changes(spec, old["spec"])
        if kind == "LoadBalancer" == old["spec"].get("type"):
            now, was = spec.get("loadBalancerClass"), old["spec"].get("loadBalancerClass")
            errors += [] if now == was else [invalid("spec.loadBalancerClass", now, "may not change once set")]
        both = needs_health_check(spec) and needs_health_check(old["spec"])
        if both and spec.get("healthCheckNodePort") != old["spec"].get("healthCheckNodePort"):
            errors.append(forbidden_field("spec.healthCheckNodePort", "field is immutable"))
    if _MODE in notes and _HINTS in notes and notes[_MODE] != notes[_HINTS]:
        text = f"must match annotations[{_HINTS}] when both are specified"
        errors.append(invalid(f"metadata.annotations[{_MODE}]", notes[_MODE], text))
    if not ports and not _headless(spec) and kind != "ExternalName":
        errors.append(required("spec.ports"))
    if kind in _EXPOSED and _headless(spec):
        errors.append(invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services"))
    if kind == "ExternalName":
        errors += _external_name(spec)
    errors += _ports(ports, kind) + labels(spec.get("selector"), "spec.selector")
    errors += _affinity(spec) + ([] if kind == "ExternalName" else _addresses(spec))
    for index, address in enumerate(spec.get("externalIPs") or []):
        at = f"spec.externalIPs[{index}]"
        errors += ip_address(address, at) or endpoint_ip(address, at)
    errors += needed_of("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")(kind, "spec.type")
    return errors + _balanced(spec, notes) + _traffic(spec)


def _headless(spec: Obj) -> bool:
    return (spec.get("clusterIPs") or [spec.get("clusterIP")]) == ["None"]


def _external_name(spec: Obj) -> Errors:
    addresses = spec.get("clusterIPs") or spec.get("clusterIP")
    text = "may not be set for ExternalName services"
    fields = (("clusterIPs", addresses), ("ipFamilies", spec.get("ipFamilies")),
              ("ipFamilyPolicy", spec.get("ipFamilyPolicy")))  # fmt: skip
    errors = [forbidden_field(f"spec.{name}", text) for name, value in fields if value]
    name = (spec.get("externalName") or "").removesuffix(".")
    return errors + (dns_subdomain(name, "spec.externalName") if name else [required("spec.externalName")])


def _ports(ports: list[Obj], kind: Any) -> Errors:
    errors: Errors = []
    names: set[str] = set()
    seen: set[tuple[str, Any, Any]] = set()
    for index, port in enumerate(ports):
        at, name, protocol = f"spec.ports[{index}]", port.get("name") or "", port.get("protocol") or ""
        if not name and len(ports) > 1:
            errors.append(required(f"{at}.name"))
        elif name:
            errors += dns_label(name, f"{at}.name")  # unlike a container's port name it may be digits alone
            errors += [duplicate(f"{at}.name", name)] if name in names else []
            names.add(name)
        errors += port_number(port.get("port") or 0, f"{at}.port")
        errors += needed_of("SCTP", "TCP", "UDP")(protocol, f"{at}.protocol")
        errors += port_or_name(port.get("targetPort", 0), f"{at}.targetPort")
        errors += given(qualified_name)(port.get("appProtocol"), f"{at}.appProtocol")
        number = port.get("nodePort")
        if number and kind == "ClusterIP":
            errors.append(forbidden_field(f"{at}.nodePort", "may not be used when `type` is 'ClusterIP'"))
        if number and ("node", protocol, number) in seen:
            errors.append(duplicate(f"{at}.nodePort", number))
        if ("port", protocol, port.get("port")) in seen:
            same = {"Name": "", "Protocol": protocol, "AppProtocol": None, "Port": port.get("port"), "TargetPort": 0,
                    "NodePort": 0}  # fmt: skip
            errors.append(duplicate(at, shown(same)))
        seen |= {("node", protocol, number), ("port", protocol, port.get("port"))}
    return errors


def _affinity(spec: Obj) -> Errors:
    affinity = spec.get("sessionAffinity")
    config: Any = spec.get("sessionAffinityConfig")
    at = "spec.sessionAffinityConfig"
    errors = needed_of("ClientIP", "None")(affinity, "spec.sessionAffinity")
    if affinity == "None" and config is not None:
        return [*errors, forbidden_field(at, "must not be set when session affinity is None")]
    if affinity != "ClientIP":
        return errors
    why = "when session affinity type is ClientIP"
    for step in ("", "clientIP", "timeoutSeconds"):
        at, config = (f"{at}.{step}", (config or {}).get(step)) if step else (at, config)
        if config is None:
            return [*errors, required(at, why)]
    return (
        errors if 0 < config <= _DAY else [*errors, invalid(at, config, f"must be greater than 0 and less than {_DAY}")]
    )


def _addresses(spec: Obj) -> Errors:
    """clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy have to go together."""
    address, at = spec.get("clusterIP") or "", "spec.clusterIPs"
    addresses, families = spec.get("clusterIPs") or [], spec.get("ipFamilies") or []
    errors: Errors = []
    if address and not addresses:
        errors.append(required(at))
    elif address and addresses[0] != address:
        errors.append(invalid(at, shown(addresses), "first value must match `clusterIP`"))
    elif addresses and not address:
        errors.append(invalid(at, shown(addresses), "must be empty when `clusterIP` is not specified"))
    for index, family in enumerate(families):
        errors += of(*_FAMILIES)(family, f"spec.ipFamilies[{index}]")
        errors += [duplicate(f"spec.ipFamilies[{index}]", family)] if family in families[:index] else []
    policies = ("PreferDualStack", "RequireDualStack", "SingleStack")
    errors += of(*policies)(spec.get("ipFamilyPolicy"), "spec.ipFamilyPolicy")
    wrong: Errors = []
    if addresses[:1] == ["None"] and len(addresses) > 1:
        wrong.append(invalid(at, shown(addresses), "'None' must be the first and only value"))
    for index, one in enumerate(addresses):
        wrong += [] if index == 0 and one == "None" else ip_address(one, f"{at}[{index}]")
    errors += wrong
    if len(addresses) > 2:
        errors.append(invalid(at, shown(addresses), "may only hold up to 2 values"))
    if wrong or _headless(spec):
        return errors
    versions = [f"IPv{ipaddress.ip_address(one).version}" for one in addresses]
    if len(versions) > 1 and len(set(versions)) < 2:
        errors.append(invalid(at, shown(addresses), "may specify no more than one IP for each IP family"))
    for index, (one, version, family) in enumerate(zip(addresses, versions, families, strict=False)):
        if family in _FAMILIES and version != family:
            text = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            errors.append(invalid(f"{at}[{index}]", one, text))
    return errors


def _address_changes(spec: Obj, old: Obj) -> Errors:
    if "ExternalName" in (spec.get("type"), old.get("type")) or (_headless(spec) and _headless(old)):
        return []
    return _changes(spec, old, "clusterIPs", "clusterIP")


def _family_changes(spec: Obj, old: Obj) -> Errors:
    if "ExternalName" in (spec.get("type"), old.get("type")) or _headless(spec) or _headless(old):
        return []
    return _changes(spec, old, "ipFamilies", "ipFamily")


def _changes(spec: Obj, old: Obj, name: str, one: str) -> Errors:
    """The first stays; the second comes and goes with the family policy."""
    new, before, at = spec.get(name) or [], old.get(name) or [], f"spec.{name}"
    if not new and before:
        return [invalid(f"{at}[0]", shown(new), f"primary {one} can not be unset")]
    errors: Errors = []
    pairs = list(zip(new, before, strict=False))
    for index, (now, was) in enumerate(pairs if len(new) == len(before) else pairs[:1]):
        if now != was:
            errors.append(invalid(f"{at}[{index if one == 'clusterIP' else 0}]", shown(new), "may not change once set"))
    if len(before) > len(new) == 1 and spec.get("ipFamilyPolicy") != "SingleStack":
        text = f"must be set to 'SingleStack' when releasing the secondary {one}"
        errors.append(invalid("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), text))
    return errors


def _balanced(spec: Obj, notes: dict[str, str]) -> Errors:
    """What only a load balancer has."""
    balanced, ranges = spec.get("type") == "LoadBalancer", spec.get("loadBalancerSourceRanges") or []
    errors: Errors = []
    if ranges:
        at = "spec.LoadBalancerSourceRanges"
        errors += [] if balanced else [forbidden_field(at, _ONLY_BALANCED)]
        errors += [e for i, value in enumerate(ranges) for e in cidr(value.strip(), f"{at}[{i}]")]
    elif _RANGES in notes:
        at = f"metadata.annotations[{_RANGES}]"
        errors += [] if balanced else [forbidden_field(at, _ONLY_BALANCED)]
        errors += [e for value in notes[_RANGES].split(",") if value.strip() for e in cidr(value.strip(), at)]
    if spec.get("allocateLoadBalancerNodePorts") is not None and not balanced:
        errors.append(forbidden_field("spec.allocateLoadBalancerNodePorts", _ONLY_BALANCED))
    name = spec.get("loadBalancerClass")
    if name is not None:
        at = "spec.loadBalancerClass"
        errors += qualified_name(name, at) if balanced else [forbidden_field(at, _ONLY_BALANCED)]
    return errors


def _traffic(spec: Obj) -> Errors:
    policy, number = spec.get("externalTrafficPolicy"), spec.get("healthCheckNodePort")
    at, field = "spec.externalTrafficPolicy", "spec.healthCheckNodePort"
    errors: Errors = []
    if is_exposed(spec):
        errors += needed_of("Cluster", "Local")(policy, at)
    elif policy:
        errors.append(invalid(at, policy, "may only be set for externally-accessible services"))
    if needs_health_check(spec):
        errors += port_number(number, field) if number else [required(field)]
    elif number:
        text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.append(invalid(field, number, text))
    return errors + check(spec, "spec", (
        ("internalTrafficPolicy", of("Cluster", "Local")),
        ("trafficDistribution", of("PreferClose", "PreferSameZone", "PreferSameNode")),
    ))  # fmt: skip


def validate_status(service: Obj, old: Obj | None) -> Errors:
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    at = "status.loadBalancer.ingress"
    if ingress and service["spec"].get("type") != "LoadBalancer":
        return [forbidden_field(at, "may only be used when `spec.type` is 'LoadBalancer'")]
    errors: Errors = []
    for index, one in enumerate(ingress):
        here, ip, mode, name = f"{at}[{index}]", one.get("ip"), one.get("ipMode"), one.get("hostname") or ""
        errors += when(ip_address)(ip, f"{here}.ip")
        if mode is not None and not ip:
            errors.append(forbidden_field(f"{here}.ipMode", "may not be specified when `ip` is not set"))
        else:
            errors += of("Proxy", "VIP")(mode, f"{here}.ipMode")
        errors += when(dns_subdomain)(name, f"{here}.hostname")
        if name and not ip_address(name, here):
            errors.append(invalid(f"{here}.hostname", name, "must be a DNS name, not an IP address"))
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
    prepare_status=prepare_status,
    validate_status=validate_status,
    columns=COLUMNS,
    cells=cells,
    claims=claims,
    name_rule=dns_1035_label,
)
