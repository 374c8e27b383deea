"""Addresses and blocks that are taken, but written in a way that some read otherwise. Pure.

https://kep.k8s.io/4858 ; k8s.io/apimachinery/pkg/util/validation, GetWarningsForIP and GetWarningsForCIDR.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

Warnings = list[str]

_PLAIN = re.compile(r"(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3}\Z", re.ASCII)
_ZEROS = re.compile(r"(?<![\d:.a-fA-F])0+(?=\d)|(?<=\.)0+(?=\d)")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_SOON = "will be considered invalid in a future Kubernetes release"


def _sloppy(text: str) -> tuple[_Address, bool]:
    """(the address, whether it is written as the standard says). ValueError when it is none."""
    without = text if ":" in text else _ZEROS.sub("", text)
    address = ipaddress.ip_address(without)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address, mapped is None and without == text


def ip(value: Any, at: str) -> Warnings:
    if not isinstance(value, str) or _PLAIN.match(value):
        return []
    try:
        address, standard = _sloppy(value)
    except ValueError:
        return []  # what is no address is refused, not warned of
    if not standard:
        return [f'{at}: non-standard IP address "{value}" {_SOON}: use "{address}"']
    if address.version == 6 and str(address) != value:
        return [f'{at}: IPv6 address "{value}" should be in RFC 5952 canonical format ("{address}")']
    return []


def cidr(value: Any, at: str) -> Warnings:
    text, _, bits = str(value).partition("/")
    try:
        address, standard = _sloppy(text)
        length = int(bits) - (0 if address.version == 6 or ":" not in text else 96)
        network = ipaddress.ip_network(f"{address}/{length}", strict=False)
    except ValueError:
        return []
    warnings = []
    if address != network.network_address:
        alone = f"{address}/{network.max_prefixlen}"
        warnings.append(
            f'{at}: CIDR value "{value}" is ambiguous in this context (should be "{network}" or "{alone}"?)'
        )
    if not standard or bits != str(int(bits)):
        warnings.append(f'{at}: non-standard CIDR value "{value}" {_SOON}: use "{network}"')
    if not warnings and address.version == 6 and str(network) != value:
        warnings.append(f'{at}: IPv6 CIDR value "{value}" should be in RFC 5952 canonical format ("{network}")')
    return warnings
