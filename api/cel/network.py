"""Quantities, addresses, versions and named formats: Kubernetes' own types in CEL.

Source: https://kubernetes.io/docs/reference/using-api/cel/ and k8s.io/apiserver/pkg/cel/library (quantity, ip,
cidr, semverlib, format).
"""

from __future__ import annotations

import base64
import ipaddress
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import total_ordering
from typing import Any, ClassVar

from api import quantities, validation
from api.cel import values as v
from api.cel.functions import define, scan
from api.cel.library import converts, parse_url
from api.cel.values import EvaluationError, Optional
from api.errors import FieldError, invalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Quantities


@dataclass(frozen=True, slots=True, order=True)
class Quantity:
    cel_type: ClassVar[str] = "kubernetes.Quantity"
    value: Decimal

    def to_int(self) -> int:
        if not self.is_int():
            raise EvaluationError("cannot convert value to integer")
        return int(self.value)

    def is_int(self) -> bool:
        return self.value == self.value.to_integral_value() and -(1 << 63) <= self.value < 1 << 63


def _quantity(text: str) -> Quantity:
    try:
        return Quantity(quantities.parse(text))
    except ValueError as error:
        raise EvaluationError(str(error)) from None


# Versions

_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?"
)


@dataclass(frozen=True, slots=True)
@total_ordering
class Semver:
    """https://semver.org, precedence by section 11."""

    cel_type: ClassVar[str] = "kubernetes.Semver"
    numbers: tuple[int, int, int]
    pre: tuple[tuple[bool, int, str], ...]

    def __lt__(self, other: Semver) -> bool:
        return (self.numbers, not self.pre, self.pre) < (other.numbers, not other.pre, other.pre)


def _semver(text: str, normalize: bool = False) -> Semver:
    if normalize:
        core, rest = re.fullmatch(r"v?([0-9.]*)([\s\S]*)", text).groups()  # type: ignore[union-attr]  # matches any
        parts = [p.lstrip("0") or "0" for p in core.split(".")]
        text = ".".join(parts + ["0"] * (3 - len(parts))) + rest
    match = _SEMVER.fullmatch(text)
    if match is None:
        raise EvaluationError(f"invalid semantic version: {text}")
    identifiers = match[4].split(".") if match[4] else []
    pre = tuple((not p.isdigit(), int(p) if p.isdigit() else 0, p) for p in identifiers)
    return Semver((int(match[1]), int(match[2]), int(match[3])), pre)


# Addresses


@dataclass(frozen=True, slots=True)
class Ip:
    cel_type: ClassVar[str] = "net.IP"
    address: Address

    def is_global(self) -> bool:
        a = self.address
        broadcast = str(a) == "255.255.255.255"
        return not (a.is_unspecified or a.is_loopback or a.is_multicast or a.is_link_local or broadcast)

    def is_link_local_multicast(self) -> bool:
        packed = self.address.packed
        if self.address.version == 4:
            return packed[:3] == b"\xe0\x00\x00"
        return packed[0] == 0xFF and packed[1] & 0x0F == 2


@dataclass(frozen=True, slots=True)
class Cidr:
    cel_type: ClassVar[str] = "net.CIDR"
    address: Address
    length: int

    @property
    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        return ipaddress.ip_network((self.address, self.length), strict=False)

    def holds(self, address: Address, length: int | None = None) -> bool:
        if address.version != self.address.version:
            return False
        return address in self.network and (length is None or length >= self.length)


def _ip(text: str) -> Ip:
    try:
        if "%" in text:
            raise ValueError("IPv6 zones are not allowed")
        address = ipaddress.ip_address(text)
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            raise ValueError("IPv4-mapped IPv6 address is not allowed")
    except ValueError as error:
        raise EvaluationError(f'IP Address "{text}" parse error during conversion from string: {error}') from None
    return Ip(address)


def _cidr(text: str) -> Cidr:
    address, slash, length = text.partition("/")
    if not slash or not re.fullmatch(r"0|[1-9]\d{0,2}", length):
        raise EvaluationError(f'network address parse error during conversion from string: "{text}"')
    ip = _ip(address).address
    if int(length) > ip.max_prefixlen:
        raise EvaluationError("network address parse error during conversion from string: prefix length out of range")
    return Cidr(ip, int(length))


# Named formats


@dataclass(frozen=True, slots=True)
class Format:
    cel_type: ClassVar[str] = "kubernetes.NamedFormat"
    name: str


def _reasons(check: Callable[[str, str], list[FieldError]]) -> Callable[[str], list[str]]:
    """The texts of a rule for fields, without the value in front."""
    return lambda value: [e.message.removeprefix(invalid("", value, "").message) for e in check(value, "")]


def _prefix(check: Callable[[str, str], list[FieldError]]) -> Callable[[str], list[str]]:
    reasons = _reasons(check)
    return lambda value: reasons(value[:-1] + "a" if value.endswith("-") else value)


def _accepts(parse: Callable[[str], Any], why: str) -> Callable[[str], list[str]]:
    def check(value: str) -> list[str]:
        try:
            parse(value)
        except (ValueError, EvaluationError):
            return [why]
        return []

    return check


_FORMATS: dict[str, Callable[[str], list[str]]] = {
    "dns1123Label": _reasons(validation.dns_label),
    "dns1123Subdomain": _reasons(validation.dns_subdomain),
    "dns1035Label": _reasons(validation.dns_1035_label),
    "dns1123LabelPrefix": _prefix(validation.dns_label),
    "dns1123SubdomainPrefix": _prefix(validation.dns_subdomain),
    "dns1035LabelPrefix": _prefix(validation.dns_1035_label),
    "qualifiedName": lambda value: [
        e.message.partition(": ")[2].partition(": ")[2] for e in validation.labels({value: ""}, "")
    ],
    "labelValue": lambda value: [
        e.message.removeprefix(invalid("", value, "").message) for e in validation.labels({"a": value}, "")
    ],
    "uri": _accepts(parse_url, "invalid URI"),
    "uuid": _accepts(uuid.UUID, "does not match the UUID format"),
    "byte": _accepts(lambda text: base64.b64decode(text, validate=True), "invalid base64"),
    "date": _accepts(date.fromisoformat, "invalid date"),
    "datetime": _accepts(v.parse_timestamp, "invalid datetime"),
}


def _validate(form: Format, value: str) -> Optional:
    reasons = _FORMATS[form.name](value)
    return Optional(reasons) if reasons else v.NONE


_QUANTITY, _VERSION, _IP, _CIDR, _FORMAT = (c.cel_type for c in (Quantity, Semver, Ip, Cidr, Format))


def _ordered(kind: str) -> Iterable[tuple[Any, ...]]:
    yield ".isLessThan", f"{kind}, {kind}", "bool", lambda a, b: a < b
    yield ".isGreaterThan", f"{kind}, {kind}", "bool", lambda a, b: a > b
    yield ".compareTo", f"{kind}, {kind}", "int", lambda a, b: (a > b) - (a < b)


define([
    *_ordered(_QUANTITY),
    *_ordered(_VERSION),
    ("quantity", "string", _QUANTITY, _quantity, scan),
    ("isQuantity", "string", "bool", lambda a: converts(_quantity, a), scan),
    (".sign", _QUANTITY, "int", lambda q: (q.value > 0) - (q.value < 0)),
    (".isInteger", _QUANTITY, "bool", Quantity.is_int),
    (".asInteger", _QUANTITY, "int", Quantity.to_int),
    (".asApproximateFloat", _QUANTITY, "double", lambda q: float(q.value)),
    (".add", f"{_QUANTITY}, {_QUANTITY}", _QUANTITY, lambda a, b: Quantity(a.value + b.value)),
    (".add", f"{_QUANTITY}, int", _QUANTITY, lambda a, b: Quantity(a.value + b)),
    (".sub", f"{_QUANTITY}, {_QUANTITY}", _QUANTITY, lambda a, b: Quantity(a.value - b.value)),
    (".sub", f"{_QUANTITY}, int", _QUANTITY, lambda a, b: Quantity(a.value - b)),
    ("semver", "string", _VERSION, _semver, scan),
    ("semver", "string, bool", _VERSION, _semver, scan),
    ("isSemver", "string", "bool", lambda a: converts(_semver, a), scan),
    ("isSemver", "string, bool", "bool", lambda a, b: converts(_semver, a, b), scan),
    (".major", _VERSION, "int", lambda a: a.numbers[0]),
    (".minor", _VERSION, "int", lambda a: a.numbers[1]),
    (".patch", _VERSION, "int", lambda a: a.numbers[2]),
    ("ip", "string", _IP, _ip, scan),
    ("isIP", "string", "bool", lambda a: converts(_ip, a), scan),
    ("ip.isCanonical", "string", "bool", lambda a: str(_ip(a).address) == a, scan),
    (".family", _IP, "int", lambda a: a.address.version),
    (".isUnspecified", _IP, "bool", lambda a: a.address.is_unspecified),
    (".isLoopback", _IP, "bool", lambda a: a.address.is_loopback),
    (".isLinkLocalMulticast", _IP, "bool", Ip.is_link_local_multicast),
    (".isLinkLocalUnicast", _IP, "bool", lambda a: a.address.is_link_local),
    (".isGlobalUnicast", _IP, "bool", Ip.is_global),
    ("string", _IP, "string", lambda a: str(a.address)),
    ("cidr", "string", _CIDR, _cidr, scan),
    ("isCIDR", "string", "bool", lambda a: converts(_cidr, a), scan),
    (".containsIP", f"{_CIDR}, {_IP}", "bool", lambda a, b: a.holds(b.address)),
    (".containsIP", f"{_CIDR}, string", "bool", lambda a, b: a.holds(_ip(b).address)),
    (".containsCIDR", f"{_CIDR}, {_CIDR}", "bool", lambda a, b: a.holds(b.address, b.length)),
    (".containsCIDR", f"{_CIDR}, string", "bool", lambda a, b: a.holds(_cidr(b).address, _cidr(b).length)),
    (".ip", _CIDR, _IP, lambda a: Ip(a.address)),
    (".masked", _CIDR, _CIDR, lambda a: Cidr(a.network.network_address, a.length)),
    (".prefixLength", _CIDR, "int", lambda a: a.length),
    ("string", _CIDR, "string", lambda a: f"{a.address}/{a.length}"),
    ("format.named", "string", f"optional({_FORMAT})",
     lambda name: Optional(Format(name)) if name in _FORMATS else v.NONE),
    *((f"format.{name}", "", _FORMAT, lambda name=name: Format(name)) for name in _FORMATS),
    (".validate", f"{_FORMAT}, string", "optional(list(string))", _validate, lambda _, size: scan(size)),
])  # fmt: skip
