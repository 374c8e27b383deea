"""How values in a configuration file are read: each takes what is there and returns it as it is used.

TypeError or ValueError, whose text goes on after the field's name, says why it does not fit. Pure.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from api import quantities
from api.meta import Obj
from client.daemon import duration
from kubelet.pods.kernel import allowed_sysctls


def seconds(value: Any) -> float:
    """A Go duration: `1m30s`."""
    if not isinstance(value, str):
        raise TypeError("must be a duration, for example 1m30s")
    try:
        return duration(value)
    except argparse.ArgumentTypeError as error:
        raise ValueError(str(error)) from error


def restart_delay(value: Any) -> float:
    found = seconds(value)
    if not 1 <= found <= 300:
        raise ValueError("must be between 1s and 300s")
    return found


def whole(least: int = 0, most: int = (1 << 31) - 1) -> Callable[[Any], int]:
    def read_value(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"must be a whole number between {least} and {most}")
        return value

    return read_value


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("must be true or false")
    return value


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("must be a string")
    return value


def size(value: Any) -> int:
    """Bytes."""
    found = quantities.units(text(value))
    if found <= 0:
        raise ValueError("must be positive")
    return found


def words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("must be a list of strings")
    return tuple(text(each) for each in value)


def sysctls(value: Any) -> tuple[str, ...]:
    return allowed_sysctls(words(value))


def texts(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise TypeError("must be a map of strings to strings")
    return dict(value)


def objects(*known: str) -> Callable[[Any], tuple[Obj, ...]]:
    """A list of objects that have no other fields than those `known`."""

    def read_value(value: Any) -> tuple[Obj, ...]:
        if not isinstance(value, list) or not all(isinstance(each, dict) and each.keys() <= {*known} for each in value):
            raise TypeError(f"must be a list of objects with the fields {', '.join(known)}")
        return tuple(value)

    return read_value


def reserved(value: Any) -> Mapping[str, str]:
    """Amounts of resources that pods do not get."""
    given = texts(value)
    for name, amount in given.items():
        if name not in ("cpu", "memory", "ephemeral-storage", "pid"):
            raise ValueError(f"{name} cannot be reserved: cpu, memory, ephemeral-storage and pid can")
        if quantities.parse(amount) < 0:
            raise ValueError(f"{name} must not be negative")
    return given


def enforcement(value: Any) -> bool:
    """Whether pods as a whole are held to what is allocatable. Reserves have no control groups to be enforced by."""
    names = words(value)
    if not set(names) <= {"pods"} and names != ("none",):
        raise ValueError("must be pods or none: nothing else can be enforced")
    return "pods" in names


def one_of(*known: str) -> Callable[[Any], str]:
    def read_value(value: Any) -> str:
        if value not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return str(value)

    return read_value
