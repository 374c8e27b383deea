"""Validation as tables: rows of (path, rule) instead of code per field.

A rule takes a value (None when the field is absent) and its field path and gives the errors. `check` runs the rows of
a table over an object; a row whose path leads through an absent object does not apply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from api import quantities
from api.errors import invalid, not_supported, required, too_long, too_many
from api.validation import Errors, config_key, dns_label, dns_subdomain, shown

Rule = Callable[[Any, str], Errors]
Row = tuple[str, Rule]


def check(obj: Mapping[str, Any], at: str, rows: Iterable[Row]) -> Errors:
    """`at` is the path of `obj`, "" for the object itself."""
    errors: Errors = []
    at = f"{at}." if at else ""
    for path, rule in rows:
        if "." not in path:
            errors += rule(obj.get(path), f"{at}{path}")
            continue
        *parents, last = path.split(".")
        inner: Any = obj
        for step in parents:
            inner = (inner or {}).get(step)
        if inner is not None:
            errors += rule(inner.get(last), f"{at}{path}")
    return errors


# --- rules that are always asked ---------------------------------------------------------------------------


def needed(detail: str = "") -> Rule:
    return lambda value, at: [] if value else [required(at, detail)]


def needed_as(rule: Rule) -> Rule:
    """Required, and then as `rule` says."""
    return lambda value, at: rule(value, at) if value else [required(at)]


def needed_of(*allowed: str) -> Rule:
    return lambda value, at: [] if value in allowed else [not_supported(at, value, allowed) if value else required(at)]


# --- rules for what is given -------------------------------------------------------------------------------


def when(rule: Rule) -> Rule:
    """For a field where empty is as good as absent."""
    return lambda value, at: rule(value, at) if value else []


def given(rule: Rule) -> Rule:
    """For a field where empty is a value."""
    return lambda value, at: rule(value, at) if value is not None else []


def of(*allowed: str) -> Rule:
    return lambda value, at: [] if value is None or value in allowed else [not_supported(at, value, allowed)]


def within(low: int, high: int, detail: str = "") -> Rule:
    detail = detail or f"must be between {low} and {high}, inclusive"
    return lambda value, at: [] if value is None or low <= value <= high else [invalid(at, value, detail)]


def at_least(low: int, detail: str) -> Rule:
    return lambda value, at: [] if value is None or value >= low else [invalid(at, value, detail)]


NOT_NEGATIVE = at_least(0, "must be greater than or equal to 0")
POSITIVE = at_least(1, "must be greater than zero")
FILE_MODE = within(0, 0o777, "must be a number between 0 and 0777 (octal), both inclusive")


def each(rule: Rule) -> Rule:
    """For every item of a list."""
    return lambda value, at: [e for i, item in enumerate(value or ()) for e in rule(item, f"{at}[{i}]")]


def rows(*table: Row) -> Rule:
    """For an object: its own rows."""
    return lambda value, at: check(value, at, table) if value is not None else []


def at_most(limit: int) -> Rule:
    """For a list or a map."""

    return lambda value, at: [too_many(at, len(value), limit)] if len(value or ()) > limit else []


def shorter(limit: int) -> Rule:
    return lambda value, at: [too_long(at, limit)] if value and len(value.encode()) > limit else []


def alone(others: str) -> Rule:
    """For a list where `*` stands by itself."""

    def rule(values: Any, at: str) -> Errors:
        if len(values or ()) > 1 and "*" in values:
            return [invalid(at, shown(values), f"if '*' is present, must not specify other {others}")]
        return []

    return rule


# --- names and paths ---------------------------------------------------------------------------------------

SUBDOMAIN, LABEL, KEY = when(dns_subdomain), when(dns_label), when(config_key)


def no_backsteps(value: Any, at: str) -> Errors:
    return [invalid(at, value, "must not contain '..'")] if ".." in (value or "").split("/") else []


def descending_path(value: Any, at: str) -> Errors:
    value = value or ""
    errors = [invalid(at, value, "must be a relative path")] if value.startswith("/") else []
    return errors + no_backsteps(value, at)


def local_path(value: Any, at: str) -> Errors:
    """Below where it is mounted, and not named like the directories that writers swap in."""
    value = value or ""
    errors = descending_path(value, at)
    if value.startswith("..") and not value.startswith("../"):
        errors.append(invalid(at, value, "must not start with '..'"))
    return errors


# --- quantities --------------------------------------------------------------------------------------------


def quantity(value: Any, at: str) -> Errors:
    """Not negative."""
    try:
        negative = quantities.parse(value) < 0
    except ValueError as error:
        return [invalid(at, str(value), str(error))]
    return [invalid(at, quantities.canonical(value), "must be greater than or equal to 0")] if negative else []


def positive_quantity(value: Any, at: str) -> Errors:
    if not quantities.is_valid(value):
        return quantity(value, at)
    if quantities.parse(value) > 0:
        return []
    return [invalid(at, quantities.canonical(value), "must be greater than zero")]


def keyed(values: Mapping[str, Any] | None, at: str, rule: Rule) -> Errors:
    """`rule` for each value of a map, under `at[key]`."""
    return [e for key, value in (values or {}).items() for e in rule(value, f"{at}[{key}]")]
