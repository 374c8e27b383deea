"""Resource quantities: `100m`, `1.5`, `128Mi`, `2e3`.

Exact arithmetic on decimals; the canonical form follows k8s.io/apimachinery/pkg/api/resource: the suffix
family of the input is kept, the number has no fraction, and the suffix is the largest that allows that.
"""

from __future__ import annotations

import re
from decimal import MAX_EMAX, MIN_EMIN, ROUND_CEILING, ROUND_UP, Context, Decimal, localcontext
from functools import lru_cache

_BINARY = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_OF_POWER = {power: suffix for suffix, power in _DECIMAL.items()}
_FORM = re.compile(
    r"^(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))"
    r"(?P<suffix>[eE][+-]?\d+|Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|)$"
)
_NANO = Decimal("1e-9")
_EXACT = Context(prec=60, rounding=ROUND_UP, Emax=MAX_EMAX, Emin=MIN_EMIN)
_CAP, _MOST = Decimal((1 << 63) - 1), Decimal("1e36")
_SHORT = 18  # decimal numbers of so many digits may be greater than the cap
_MAX_EXPONENT = 1_000_000

Quantity = str | int | float


@lru_cache(maxsize=8192)
def parse(quantity: Quantity) -> Decimal:
    """The exact value. Fractions below 1e-9 round away from zero and what is too large is capped, as upstream.
    ValueError when malformed.
    """
    match = _FORM.match(str(quantity))
    if match is None:
        raise ValueError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    number, suffix = Decimal(match["number"]), match["suffix"]
    with localcontext(_EXACT):
        if suffix in _BINARY:
            value = number * _BINARY[suffix]
        elif suffix in _DECIMAL:
            value = number.scaleb(_DECIMAL[suffix])
        else:
            value = number.scaleb(max(-_MAX_EXPONENT, min(_MAX_EXPONENT, int(suffix[1:]))))
        short = suffix not in _BINARY and sum(map(str.isdigit, match["number"])) <= _SHORT
        if abs(value) > (_MOST if short else _CAP):
            value = _CAP.copy_sign(value)
        return value.quantize(_NANO).normalize()


def is_valid(quantity: Quantity) -> bool:
    try:
        parse(quantity)
    except ValueError:
        return False
    return True


def millis(quantity: Quantity) -> int:
    """In thousandths, rounded up: cpu quantities become millicores."""
    return int((parse(quantity) * 1000).to_integral_value(rounding=ROUND_CEILING))


def units(quantity: Quantity) -> int:
    """In whole units, rounded up: memory quantities become bytes."""
    return int(parse(quantity).to_integral_value(rounding=ROUND_CEILING))


@lru_cache(maxsize=8192)
def canonical(quantity: Quantity) -> str:
    """The form upstream stores and prints: `0.5` → `500m`, `1024Ki` → `1Mi`, `1000m` → `1`."""
    return _written_like(quantity, parse(quantity))


def add(one: Quantity, other: Quantity) -> str:
    """Their sum, written as `one` is; as `other` is when `one` is nothing."""
    value = parse(one)
    return _written_like(one if value else other, _EXACT.add(value, parse(other)))


def subtract(one: Quantity, other: Quantity) -> str:
    """What of `one` is more than `other`, written as `one` is; never less than nothing."""
    return _written_like(one, max(_EXACT.subtract(parse(one), parse(other)), Decimal(0)))


@lru_cache(maxsize=8192)
def _suffix(quantity: Quantity) -> str:
    match = _FORM.match(str(quantity))
    return match["suffix"] if match else ""


def _written_like(quantity: Quantity, value: Decimal) -> str:
    suffix = _suffix(quantity)
    if suffix in _BINARY and abs(value) >= 1024:
        return format_binary(value)
    if suffix[:1] in ("e", "E") and len(suffix) > 1:
        return _format_decimal(value, exponent=True)
    return _format_decimal(value)


def format_binary(value: Decimal | int) -> str:
    """Bytes as the largest binary suffix that leaves a whole number."""
    value = Decimal(value)
    if value != value.to_integral_value():
        return _format_decimal(value)
    whole, best = int(value), ""
    for suffix, factor in _BINARY.items():
        if whole % factor == 0 and whole:
            best = suffix
    return f"{whole // _BINARY[best]}{best}" if best else str(whole)


def format_millis(value: int) -> str:
    """Thousandths as a decimal quantity: 1500 → `1500m`, 2000 → `2`."""
    return _format_decimal(Decimal(value) / 1000)


def _format_decimal(value: Decimal, exponent: bool = False) -> str:
    if not value:
        return "0"
    nanos = int(_EXACT.scaleb(value, 9))
    power = -9
    while nanos % 1000 == 0 and (exponent or power < 18):
        nanos //= 1000
        power += 3
    if exponent:
        return f"{nanos}e{power}" if power else str(nanos)
    return f"{nanos}{_OF_POWER[power]}"
