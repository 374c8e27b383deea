"""NetworkPolicy, IPAddress, ServiceCIDR: defaults, validation, columns.

Rules and wording follow k8s.io/kubernetes/pkg/apis/networking/validation.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from api import meta, selectors
from api.columns import AGE, Cell, joined, tabled
from api.errors import forbidden_field, invalid, required
from api.meta import Obj
from api.registry import Hooks
from api.rules import SUBDOMAIN, Row, check, each, given, needed_as, of, rows, when
from api.validation import (
    Errors,
    immutable,
    label_selector,
    path_segment,
    port_number,
    port_or_name,
    shown,
)
from api.validation import ip_address as an_address


def cidr(value: str, field: str) -> Errors:
    if _network(value) is None:
        return [invalid(field, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")]
    return []


def _network(value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(value, strict=False) if "/" in value else None
    except ValueError:
        return None


# --- NetworkPolicy -----------------------------------------------------------------------------------------


def _default_policy(policy: Obj) -> None:
    spec = policy.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    for rule in (spec.get("ingress") or []) + (spec.get("egress") or []):
        for port in rule.get("ports") or []:
            port.setdefault("protocol", "TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]


def _policy_port(port: Obj, field: str) -> Errors:
    errors = of("TCP", "UDP", "SCTP")(port.get("protocol"), f"{field}.protocol")
    number, end = port.get("port"), port.get("endPort")
    if number is not None:
        errors += port_or_name(number, f"{field}.port")
    if end is None:
        return errors
    if not isinstance(number, int):
        why = "is not specified" if number is None else "is non-numeric"
        return [*errors, invalid(f"{field}.endPort", end, f"may not be specified when `port` {why}")]
    if end < number:
        errors.append(invalid(f"{field}.endPort", number, "must be greater than or equal to `port`"))
    return errors + port_number(end, f"{field}.endPort")


def _block(block: Obj, field: str) -> Errors:
    whole = block.get("cidr")
    if not whole:
        return [required(f"{field}.cidr")]
    errors, outer = cidr(whole, f"{field}.cidr"), _network(whole)
    for index, text in enumerate(block.get("except") or []):
        inner, at_except = _network(text), f"{field}.except[{index}]"
        if inner is None or outer is None:
            errors += cidr(text, at_except) if outer is not None else []
        elif inner.version != outer.version or not (
            inner.network_address in outer and inner.prefixlen > outer.prefixlen
        ):
            errors.append(invalid(at_except, text, "must be a strict subset of `cidr`"))
    return errors


def _peer(peer: Obj, field: str) -> Errors:
    errors = check(
        peer,
        field,
        (
            ("podSelector", given(label_selector)),
            ("namespaceSelector", given(label_selector)),
            ("ipBlock", given(_block)),
        ),
    )
    kinds = [k for k in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(k) is not None]
    if not kinds:
        errors.append(required(field, "must specify a peer"))
    elif len(kinds) > 1 and "ipBlock" in kinds:
        errors.append(forbidden_field(field, "may not specify both ipBlock and another peer"))
    return errors


_POLICY: tuple[Row, ...] = (
    ("podSelector", label_selector),
    ("ingress", each(rows(("ports", each(_policy_port)), ("from", each(_peer))))),
    ("egress", each(rows(("ports", each(_policy_port)), ("to", each(_peer))))),
)


def _validate_policy(policy: Obj, _: Obj | None) -> Errors:
    spec = policy["spec"]
    errors, types = check(spec, "spec", _POLICY), spec["policyTypes"]
    if len(types) > 2:
        return [*errors, invalid("spec.policyTypes", shown(types), "may not specify more than two policyTypes")]
    return errors + each(of("Ingress", "Egress"))(types, "spec.policyTypes")


def _pods(policy: Obj) -> str:
    selector = (policy.get("spec") or {}).get("podSelector") or {}
    return str(selectors.from_label_selector(selector)) or "<none>"


NETWORK_POLICY = tabled(Hooks(default=_default_policy, validate=_validate_policy), Cell("Pod-Selector", _pods), AGE)

# --- IPAddress and ServiceCIDR -----------------------------------------------------------------------------


def _address_name(value: str, field: str) -> Errors:
    errors = an_address(value, field)
    canonical = value if errors else str(ipaddress.ip_address(value))
    return errors if canonical == value else [invalid(field, value, f'must be in canonical form ("{canonical}")')]


_PARENT: tuple[Row, ...] = (
    ("group", SUBDOMAIN),
    ("resource", needed_as(path_segment)),
    ("name", needed_as(path_segment)),
    ("namespace", when(path_segment)),
)


def _address_claims(address: Obj) -> set[str]:
    """What holds an address and is no Service holds it itself; a Service's is claimed with the Service."""
    parent = (address.get("spec") or {}).get("parentRef") or {}
    if parent.get("resource") == "services" and not parent.get("group"):
        return set()
    return {f"clusterip/{meta.name(address)}"}


def _validate_address(address: Obj, old: Obj | None) -> Errors:
    parent = (address.get("spec") or {}).get("parentRef")
    if old is not None:
        return immutable(parent, (old.get("spec") or {}).get("parentRef"), "spec.parentRef")
    return check(parent, "spec.parentRef", _PARENT) if parent is not None else [required("spec.parentRef")]


def _validate_service_cidr(service_cidr: Obj, old: Obj | None) -> Errors:
    spec, field = service_cidr.get("spec") or {}, "spec.cidrs"
    cidrs = spec.get("cidrs") or []
    if old is not None:
        return immutable(cidrs, (old.get("spec") or {}).get("cidrs") or [], field)
    held: Any = shown({"CIDRs": cidrs})
    if not cidrs:
        return [required(field, "at least one CIDR required")]
    if len(cidrs) > 2:
        return [invalid(field, held, "may only hold up to 2 values")]
    if len(cidrs) == 2 and {n.version for n in map(_network, cidrs) if n} != {4, 6}:
        why = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        return [invalid(field, held, why)]
    return each(_strict_cidr)(cidrs, field)


def _strict_cidr(value: str, field: str) -> Errors:
    network = _network(value)
    if network is None or str(network) == value:
        return cidr(value, field)
    if ipaddress.ip_interface(value).ip != network.network_address:
        return [invalid(field, value, "must not have bits set beyond the prefix length")]
    return [invalid(field, value, f'must be in canonical form ("{network}")')]


def _parent(address: Obj) -> str:
    parent = (address.get("spec") or {}).get("parentRef")
    if not parent:
        return "<none>"
    group = f".{parent['group']}" if parent.get("group") else ""
    resource = f"{parent.get('resource', '')}{group}".lower()
    return "/".join(part for part in (resource, parent.get("namespace"), parent.get("name")) if part)


IP_ADDRESS = tabled(
    Hooks(validate=_validate_address, name_rule=_address_name, claims=_address_claims), Cell("ParentRef", _parent)
)
SERVICE_CIDR = tabled(Hooks(validate=_validate_service_cidr), Cell("CIDRs", joined("spec", "cidrs", absent="")), AGE)
