"""Endpoints and EndpointSlice: defaults, validation, columns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api import meta, printing
from api.errors import FieldError, invalid, required
from api.meta import Obj
from api.registry import Column, Hooks
from api.validation import Errors, immutable, ip_address, one_of, port_number

_SHOWN = 3
_PER_SLICE = 1000
_PORTS = 100


def default_endpoints(endpoints: Obj) -> None:
    for subset in endpoints.get("subsets") or []:
        for port in subset.get("ports") or []:
            port.setdefault("protocol", "TCP")


def validate_endpoints(endpoints: Obj, old: Obj | None) -> Errors:
    errors: Errors = []
    for index, subset in enumerate(endpoints.get("subsets") or []):
        at = f"subsets[{index}]"
        if not (subset.get("addresses") or subset.get("notReadyAddresses")):
            errors.append(required(at, "must specify `addresses` or `notReadyAddresses`"))
        for kind in ("addresses", "notReadyAddresses"):
            for place, address in enumerate(subset.get(kind) or []):
                errors += ip_address(address.get("ip") or "", f"{at}.{kind}[{place}].ip")
        for place, port in enumerate(subset.get("ports") or []):
            errors += port_number(port.get("port") or 0, f"{at}.ports[{place}].port")
            if len(subset["ports"]) > 1 and not port.get("name"):
                errors.append(required(f"{at}.ports[{place}].name"))
    return errors


def default_slice(endpoint_slice: Obj) -> None:
    for port in endpoint_slice.get("ports") or []:
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def validate_slice(endpoint_slice: Obj, old: Obj | None) -> Errors:
    errors = one_of(endpoint_slice.get("addressType"), ("FQDN", "IPv4", "IPv6"), "addressType")
    endpoints, ports = endpoint_slice.get("endpoints") or [], endpoint_slice.get("ports") or []
    for field, values, limit in (("endpoints", endpoints, _PER_SLICE), ("ports", ports, _PORTS)):
        if len(values) > limit:
            errors.append(
                FieldError("FieldValueTooMany", field, f"Too many: {len(values)}: must have at most {limit} items")
            )
    for index, endpoint in enumerate(endpoints):
        addresses = endpoint.get("addresses") or []
        if not addresses:
            errors.append(required(f"endpoints[{index}].addresses", "must contain at least 1 address"))
        if endpoint_slice.get("addressType") != "FQDN":
            for place, address in enumerate(addresses):
                errors += ip_address(address, f"endpoints[{index}].addresses[{place}]")
    names = [p.get("name") for p in ports]
    for index, name in enumerate(names):
        if name in names[:index]:
            errors.append(invalid(f"ports[{index}].name", name, "must be unique"))
    if old is not None:
        errors += immutable(endpoint_slice.get("addressType"), old.get("addressType"), "addressType")
    return errors


def _limited(values: list[str]) -> str:
    if not values:
        return "<none>"
    more = f" + {len(values) - _SHOWN} more..." if len(values) > _SHOWN else ""
    return ",".join(values[:_SHOWN]) + more


def _endpoints_cells(endpoints: Obj, now: datetime) -> list[Any]:
    shown = [
        f"{address['ip']}:{port['port']}" if port else address["ip"]
        for subset in endpoints.get("subsets") or []
        for port in subset.get("ports") or [None]
        for address in subset.get("addresses") or []
    ]
    return [meta.name(endpoints), _limited(shown), printing.age_of(endpoints, now)]


def _slice_cells(endpoint_slice: Obj, now: datetime) -> list[Any]:
    ports = [str(p["port"]) if p.get("port") else "*" for p in endpoint_slice.get("ports") or []]
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
