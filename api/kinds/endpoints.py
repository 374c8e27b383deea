"""Endpoints and EndpointSlice: defaults, validation, columns."""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Any

from api import meta, printing
from api.errors import duplicate, invalid, required, too_many
from api.meta import Obj
from api.registry import Column, Hooks
from api.rules import Row, Rule, at_most, check, each, given, needed_of, when
from api.validation import (
    Errors,
    dns_label,
    dns_subdomain,
    immutable,
    ip_address,
    label_value,
    labels,
    port_number,
    qualified_name,
)

_SHOWN = 3
_PER_SLICE = 1000
_PORTS = 20000
_ADDRESSES_EACH = 100
_HINTS = 8


def default_endpoints(endpoints: Obj) -> None:
    for subset in endpoints.get("subsets") or []:
        for port in subset.get("ports") or []:
            port.setdefault("protocol", "TCP")


def validate_endpoints(endpoints: Obj, old: Obj | None) -> Errors:
    if old is not None and endpoints.get("subsets") == old.get("subsets"):
        return []  # what was good enough once stays
    errors: Errors = []
    for index, subset in enumerate(endpoints.get("subsets") or []):
        at, ports = f"subsets[{index}]", subset.get("ports") or []
        if not (subset.get("addresses") or subset.get("notReadyAddresses")):
            errors.append(required(at, "must specify `addresses` or `notReadyAddresses`"))
        for kind in ("addresses", "notReadyAddresses"):
            for place, address in enumerate(subset.get(kind) or []):
                errors += check(address, f"{at}.{kind}[{place}]", _ADDRESS)
        for place, port in enumerate(ports):
            here = f"{at}.ports[{place}]"
            if len(ports) > 1 and not port.get("name"):
                errors.append(required(f"{here}.name"))
            errors += check(port, here, _SUBSET_PORT)
    return errors


def _subset_ip(value: Any, field: str) -> Errors:
    return ip_address(value or "", field) or endpoint_ip(value, field)


_ADDRESS: tuple[Row, ...] = (("ip", _subset_ip), ("hostname", when(dns_label)), ("nodeName", given(dns_subdomain)))
_SUBSET_PORT: tuple[Row, ...] = (
    ("name", when(dns_label)),
    ("port", lambda value, field: port_number(value or 0, field)),
    ("protocol", needed_of("SCTP", "TCP", "UDP")),
    ("appProtocol", given(qualified_name)),
)


def default_slice(endpoint_slice: Obj) -> None:
    endpoint_slice.setdefault("endpoints", [])
    for port in endpoint_slice.get("ports") or []:
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


# Addresses that are of no use to others (k8s.io/kubernetes/pkg/apis/core/validation ValidateEndpointIP).
_NOT_FOR_ENDPOINTS = (
    ("is_unspecified", "may not be unspecified ({})"),
    ("is_loopback", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
    ("is_link_local", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
)
_LOCAL_MULTICAST = tuple(map(ipaddress.ip_network, ("224.0.0.0/24", "ff02::/16")))


def endpoint_ip(value: str, field: str) -> Errors:
    """`value` is an address; it is one that others can reach."""
    address = ipaddress.ip_address(value)
    errors = [invalid(field, value, why.format(value)) for kind, why in _NOT_FOR_ENDPOINTS if getattr(address, kind)]
    if any(address.version == n.version and address in n for n in _LOCAL_MULTICAST):
        why = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        errors.append(invalid(field, value, why))
    return errors


def _of_version(kind: str) -> Rule:
    def rule(value: str, field: str) -> Errors:
        try:
            good = f"IPv{ipaddress.ip_address(value).version}" == kind
        except ValueError:
            good = False
        return endpoint_ip(value, field) if good else [invalid(field, value, f"must be a valid {kind} address")]

    return rule


def _full_domain(value: str, field: str) -> Errors:
    if not value:
        return [required(field)]
    name = value.removesuffix(".")
    errors = dns_subdomain(name, field)
    if not errors and "." not in name:
        errors.append(invalid(field, value, "should be a domain with at least two segments separated by dots"))
    return errors


_ADDRESSES: dict[str, Rule] = {"IPv4": _of_version("IPv4"), "IPv6": _of_version("IPv6"), "FQDN": _full_domain}


def _hints(hints: list[Obj] | None, field: str) -> Errors:
    names = [hint.get("name", "") for hint in hints or []]
    if len(names) > _HINTS:
        return [too_many(field, len(names), _HINTS)]
    errors: Errors = []
    for index, name in enumerate(names):
        errors += [duplicate(f"{field}[{index}].name", name)] if name in names[:index] else []
        errors += label_value(name, f"{field}[{index}].name")
    return errors


_ENDPOINT: tuple[Row, ...] = (
    ("nodeName", given(dns_subdomain)),
    ("deprecatedTopology", at_most(16)),
    ("deprecatedTopology", labels),
    ("hostname", given(dns_label)),
    ("hints.forZones", _hints),
)


def _endpoint(endpoint: Obj, field: str, kind: str) -> Errors:
    addresses, at_addresses = endpoint.get("addresses") or [], f"{field}.addresses"
    errors: Errors = []
    if not addresses:
        errors.append(required(at_addresses, "must contain at least 1 address"))
    elif len(addresses) > _ADDRESSES_EACH:
        errors.append(too_many(at_addresses, len(addresses), _ADDRESSES_EACH))
    if kind in _ADDRESSES:
        errors += each(_ADDRESSES[kind])(addresses, at_addresses)
    return errors + check(endpoint, field, _ENDPOINT)


_PORT: tuple[Row, ...] = (
    ("name", when(dns_label)),
    ("protocol", needed_of("SCTP", "TCP", "UDP")),
    ("appProtocol", given(qualified_name)),
)


def validate_slice(endpoint_slice: Obj, old: Obj | None) -> Errors:
    """The rules of k8s.io/kubernetes/pkg/apis/discovery/validation."""
    kind = endpoint_slice.get("addressType") or ""
    endpoints, ports = endpoint_slice.get("endpoints") or [], endpoint_slice.get("ports") or []
    errors = needed_of("FQDN", "IPv4", "IPv6")(kind, "addressType")
    if len(endpoints) > _PER_SLICE:
        errors.append(too_many("endpoints", len(endpoints), _PER_SLICE))
    else:
        errors += each(lambda endpoint, field: _endpoint(endpoint, field, kind))(endpoints, "endpoints")
    if len(ports) > _PORTS:
        errors.append(too_many("ports", len(ports), _PORTS))
    else:
        errors += each(lambda port, field: check(port, field, _PORT))(ports, "ports")
        names = [p.get("name", "") for p in ports]
        errors += [duplicate(f"ports[{i}].name", n) for i, n in enumerate(names) if n in names[:i]]
    return errors if old is None else errors + immutable(kind, old.get("addressType"), "addressType")


def _prepare_slice(endpoint_slice: Obj, old: Obj | None) -> None:
    """Labels say whose endpoints these are, so that to change them is a new generation too."""
    if old is not None and meta.labels(endpoint_slice) != meta.labels(old):
        endpoint_slice["metadata"]["generation"] = int(old["metadata"].get("generation") or 0) + 1


def _limited(values: list[str]) -> str:
    if not values:
        return "<none>"
    more = f" + {len(values) - _SHOWN} more..." if len(values) > _SHOWN else ""
    return ",".join(values[:_SHOWN]) + more


def _joined(ip: str, port: Obj) -> str:
    return f"[{ip}]:{port['port']}" if ":" in ip else f"{ip}:{port['port']}"


def _endpoints_cells(endpoints: Obj, now: datetime) -> list[Any]:
    shown = [
        _joined(address["ip"], port) if port else address["ip"]
        for subset in endpoints.get("subsets") or []
        for port in subset.get("ports") or [None]
        for address in subset.get("addresses") or []
    ]
    return [meta.name(endpoints), _limited(shown), printing.age_of(endpoints, now)]


def _slice_cells(endpoint_slice: Obj, now: datetime) -> list[Any]:
    ports = [str(p.get("port") or p.get("name") or "*") for p in endpoint_slice.get("ports") or []]
    addresses = [a for e in endpoint_slice.get("endpoints") or [] for a in e.get("addresses") or []]
    return [
        meta.name(endpoint_slice),
        endpoint_slice.get("addressType", ""),
        _limited(ports) if ports else "<unset>",
        _limited(addresses) if addresses else "<unset>",
        printing.age_of(endpoint_slice, now),
    ]


ENDPOINTS = Hooks(
    default=default_endpoints,
    validate=validate_endpoints,
    columns=(Column("Name", format="name"), Column("Endpoints"), Column("Age")),
    cells=_endpoints_cells,
)
ENDPOINT_SLICE = Hooks(
    default=default_slice,
    prepare=_prepare_slice,
    validate=validate_slice,
    columns=(
        Column("Name", format="name"),
        Column("AddressType"),
        Column("Ports"),
        Column("Endpoints"),
        Column("Age"),
    ),
    cells=_slice_cells,
)
