"""Rules of roles, and whether some cover others (pure).

https://kubernetes.io/docs/reference/access-authn-authz/rbac/ ; k8s.io/component-helpers/auth/rbac/validation
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

from api.meta import Obj

_FIELDS = ("apiGroups", "resources", "nonResourceURLs", "resourceNames", "verbs")


class Rule(NamedTuple):
    groups: tuple[str, ...]
    resources: tuple[str, ...]  # plural, plural/subresource, */subresource or *
    urls: tuple[str, ...]
    names: tuple[str, ...]
    verbs: tuple[str, ...]

    def as_json(self) -> Obj:
        return {field: list(values) for field, values in zip(_FIELDS, self, strict=True) if values}

    def covers(self, one: Rule) -> bool:
        """Everything that `one`, a rule of one verb on one thing, allows."""
        return (
            _has(self.verbs, one.verbs)
            and _has(self.groups, one.groups)
            and all(covers_resource(self.resources, resource) for resource in one.resources)
            and all(covers_path(self.urls, url) for url in one.urls)
            and (not self.names or (bool(one.names) and set(one.names) <= set(self.names)))
        )

    def __str__(self) -> str:
        """As upstream prints a rule that is missing."""
        shown = (f"{field[0].upper()}{field[1:]}:{quoted(values)}" for field, values in zip(_FIELDS, self, strict=True)
                 if values)  # fmt: skip
        return ("{" + ", ".join(shown) + "}").replace("ApiGroups:", "APIGroups:")


def read(role: Obj | None) -> tuple[Rule, ...]:
    """The rules of a role."""
    rules = (role or {}).get("rules") or []
    return tuple(Rule(*(tuple(rule.get(field) or ()) for field in _FIELDS)) for rule in rules)


def quoted(values: Iterable[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"


def _has(held: Sequence[str], wanted: Sequence[str]) -> bool:
    return "*" in held or set(wanted) <= set(held)


def covers_resource(held: Sequence[str], resource: str) -> bool:
    """`resource` may name a subresource."""
    _, slash, subresource = resource.partition("/")
    return "*" in held or resource in held or bool(slash and f"*/{subresource}" in held)


def covers_path(held: Sequence[str], path: str) -> bool:
    return any(url in ("*", path) or (url.endswith("*") and path.startswith(url.rstrip("*"))) for url in held)


def missing(held: Sequence[Rule], wanted: Sequence[Rule]) -> list[Rule]:
    """What of `wanted` no rule that is held covers, put together by resource where that is simple."""
    return compacted([one for rule in wanted for one in _single(rule) if not any(has.covers(one) for has in held)])


def _single(rule: Rule) -> Iterator[Rule]:
    for verb in rule.verbs:
        for group, resource, name in product(rule.groups, rule.resources, rule.names or (None,)):
            yield Rule((group,), (resource,), (), () if name is None else (name,), (verb,))
        for url in rule.urls:
            yield Rule((), (), (url,), (), (verb,))


def compacted(single: Iterable[Rule]) -> list[Rule]:
    """Rules that differ in their verb alone become one."""
    found: dict[Rule, dict[str, None]] = {}
    for rule in single:
        if rule.urls:
            found.setdefault(rule, dict.fromkeys(rule.verbs))
        else:
            found.setdefault(rule._replace(verbs=()), {}).update(dict.fromkeys(rule.verbs))
    return [rule._replace(verbs=tuple(verbs)) for rule, verbs in found.items()]
