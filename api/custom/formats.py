"""The string formats that upstream checks (strfmt).

Other formats are documentation only, as upstream says:
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from api.validation import dns_label, dns_subdomain


class Format(NamedTuple):
    name: str
    matches: Callable[[str], object]


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def matches(text: str) -> bool:
        try:
            parse(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return matches


def _pattern(text: str) -> Callable[[str], object]:
    return re.compile(text).fullmatch


def _uri(text: str) -> bool:
    parts = urlsplit(text)
    if not (parts.scheme or text.startswith("/")):
        raise ValueError(text)
    return True


def _digits(text: str, sizes: tuple[int, ...]) -> bool:
    """An ISBN, by its check digit."""
    plain = text.replace("-", "").replace(" ", "")
    if len(plain) not in sizes or not re.fullmatch(r"\d{9}[\dX]|\d{13}", plain):
        return False
    if len(plain) == 10:
        return sum((10 - i) * (10 if c == "X" else int(c)) for i, c in enumerate(plain)) % 11 == 0
    return sum((1 if i % 2 == 0 else 3) * int(c) for i, c in enumerate(plain)) % 10 == 0


def _luhn(text: str) -> bool:
    digits = [int(c) for c in re.sub(r"[^0-9]", "", text)]
    doubled = [sum(divmod(2 * d, 10)) if i % 2 else d for i, d in enumerate(reversed(digits))]
    return 13 <= len(digits) <= 19 and sum(doubled) % 10 == 0


def _date_time(text: str) -> datetime:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}([.,]\d+)?([Zz]|[+-]\d{2}:?\d{2})", text):
        raise ValueError(text)
    return datetime.fromisoformat(re.sub(r"[.,]\d+", "", text).upper())


_HEX = "[0-9a-fA-F]"
_COLOR = r"\s*([01]?[0-9]?[0-9]|2[0-4][0-9]|25[0-5])\s*"


def _uuid(version: str = "") -> Callable[[str], object]:
    third = f"{version}{_HEX}{{3}}" if version else f"{_HEX}{{4}}"
    fourth = f"[89abAB]{_HEX}{{3}}" if version in ("4", "5") else f"{_HEX}{{4}}"
    return _pattern(f"{_HEX}{{8}}-?{_HEX}{{4}}-?{third}-?{fourth}-?{_HEX}{{12}}")


_FORMATS: dict[str, Callable[[str], object]] = {
    "bsonobjectid": _pattern(f"{_HEX}{{24}}"),
    "uri": _parses(_uri),
    "email": _pattern(r"(.+<)?[^@\s<>]+@[^@\s<>]+>?"),
    "hostname": _pattern(r"(?=.{1,253}$)([a-zA-Z0-9]|[a-zA-Z0-9][-a-zA-Z0-9]{0,61}[a-zA-Z0-9])"
                         r"(\.([a-zA-Z0-9]|[a-zA-Z0-9][-a-zA-Z0-9]{0,61}[a-zA-Z0-9]))*\.?"),
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": _parses(lambda text: ipaddress.ip_network(text, strict=False) if "/" in text else int("")),
    "mac": _pattern(f"{_HEX}{{2}}([:-]{_HEX}{{2}}){{5,7}}|({_HEX}{{4}}\\.){{2,3}}{_HEX}{{4}}"),
    "uuid": _uuid(),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4"),
    "uuid5": _uuid("5"),
    "isbn": lambda text: _digits(text, (10, 13)),
    "isbn10": lambda text: _digits(text, (10,)),
    "isbn13": lambda text: _digits(text, (13,)),
    "creditcard": _luhn,
    "ssn": _pattern(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _pattern(f"#?({_HEX}{{3}}|{_HEX}{{6}})"),
    "rgbcolor": _pattern(rf"rgb\({_COLOR},{_COLOR},{_COLOR}\)"),
    "byte": _parses(lambda text: base64.b64decode(text, validate=True)),
    "password": lambda _: True,
    "date": _parses(date.fromisoformat),
    "duration": _pattern(r"[-+]?(0|(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)"
                         r"((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*)|\d+ ?[a-z]+"),
    "datetime": _parses(_date_time),
    "k8sshortname": lambda text: not dns_label(text, ""),
    "k8slongname": lambda text: not dns_subdomain(text, ""),
}  # fmt: skip


@lru_cache(maxsize=256)
def known(name: str) -> Format | None:
    """None for a format that is not checked."""
    matches = _FORMATS.get(name.replace("-", ""))
    return Format(name, matches) if matches else None
