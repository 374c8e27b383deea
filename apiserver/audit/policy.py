"""Which requests are logged, and how much of them: a Policy of audit.k8s.io/v1, decided by the first rule that fits.

https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/#audit-policy. Pure but for the reading of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from api.meta import Obj
from apiserver.auth.user import User
from apiserver.configfile import ConfigError, read
from apiserver.request import RequestInfo

LEVELS = ("None", "Metadata", "Request", "RequestResponse")
NONE, METADATA, REQUEST, REQUEST_RESPONSE = range(4)
RECEIVED, STARTED, COMPLETE, PANIC = "RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"
_CACHED = 4096


class Decision(NamedTuple):
    level: int
    omitted: frozenset[str] = frozenset()  # stages
    lean: bool = False  # without managed fields


@dataclass(frozen=True, slots=True)
class _Resources:
    group: str
    resources: frozenset[str]
    names: frozenset[str]

    def fit(self, info: RequestInfo) -> bool:
        if info.group != self.group:
            return False
        if not self.resources:
            return True
        if self.names and info.name not in self.names:
            return False
        sub = info.subresource
        own = f"{info.resource}/{sub}" if sub else info.resource
        wild = {"*", own, f"{info.resource}/*"} | ({f"*/{sub}"} if sub else set())
        return not self.resources.isdisjoint(wild)


@dataclass(frozen=True, slots=True)
class _Rule:
    decision: Decision
    users: frozenset[str]
    groups: frozenset[str]
    verbs: frozenset[str]
    namespaces: frozenset[str]
    resources: tuple[_Resources, ...]
    paths: tuple[str, ...]

    def fits(self, user: User | None, info: RequestInfo) -> bool:
        if self.users and (user is None or user.name not in self.users):
            return False
        if self.groups and (user is None or self.groups.isdisjoint(user.groups)):
            return False
        if self.verbs and info.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            if not info.is_resource or (self.namespaces and info.namespace not in self.namespaces):
                return False
            return not self.resources or any(each.fit(info) for each in self.resources)
        if self.paths:
            return not info.is_resource and any(_leads(spec, info.path) for spec in self.paths)
        return True


class Policy:
    """Decisions are kept by all that rules look at, since the same few requests come over and over."""

    def __init__(self, rules: Sequence[_Rule], otherwise: Decision) -> None:
        self._rules = rules
        self._otherwise = otherwise
        self._of_names = any(each.names for rule in rules for each in rule.resources)
        self._kept: dict[tuple[object, ...], Decision] = {}

    def decide(self, user: User | None, info: RequestInfo) -> Decision:
        """user None: nobody is known to ask."""
        name, groups = (user.name, user.groups) if user is not None else (None, None)
        what = info.name if self._of_names else ""
        path = "" if info.is_resource else info.path
        key = (name, groups, info.verb, info.namespace, info.group, info.resource, info.subresource, what, path)
        found = self._kept.get(key)
        if found is None:
            if len(self._kept) >= _CACHED:
                self._kept.clear()
            found = next((rule.decision for rule in self._rules if rule.fits(user, info)), self._otherwise)
            self._kept[key] = found
        return found


def load(path: str) -> Policy:
    """ConfigError"""
    return parse(read(path, {("audit.k8s.io/v1", "Policy"): _SCHEMA}), path)


def parse(document: Obj, where: str) -> Policy:
    """A document that has the shape of a policy. ConfigError for what is wrong beyond that."""
    lean, omitted = bool(document.get("omitManagedFields")), frozenset(document.get("omitStages") or ())
    if not document.get("rules"):
        raise ConfigError(f"{where}: loaded illegal policy with 0 rules")
    rules = []
    for index, rule in enumerate(document["rules"]):
        for why, wrong in _WRONG.items():
            if wrong(rule):
                raise ConfigError(f"{where}: rules[{index}]: {why}")
        decision = Decision(
            LEVELS.index(rule["level"]),
            omitted | frozenset(rule.get("omitStages") or ()),
            rule["omitManagedFields"] if rule.get("omitManagedFields") is not None else lean,
        )
        listed = tuple(
            _Resources(each.get("group", ""), _set(each, "resources"), _set(each, "resourceNames"))
            for each in rule.get("resources") or ()
        )
        users, groups, verbs, spaces = (_set(rule, f) for f in ("users", "userGroups", "verbs", "namespaces"))
        rules.append(_Rule(decision, users, groups, verbs, spaces, listed, tuple(rule.get("nonResourceURLs") or ())))
    return Policy(rules, Decision(NONE, omitted, lean))


def _set(found: Mapping[str, Any], field: str) -> frozenset[str]:
    return frozenset(found.get(field) or ())


def _leads(spec: str, path: str) -> bool:
    return spec in ("*", path) or (spec.endswith("*") and path.startswith(spec.rstrip("*")))


def _paths(rule: Obj) -> list[str]:
    return [path for path in rule.get("nonResourceURLs") or () if path != "*"]


# pkg/apis/audit/validation of k8s.io/apiserver
_WRONG: dict[str, Callable[[Obj], bool]] = {
    "rules cannot apply to both regular resources and non-resource URLs": lambda rule: bool(
        rule.get("nonResourceURLs") and (rule.get("resources") or rule.get("namespaces"))
    ),
    "non-resource URL rules must begin with a '/' character": lambda rule: any(
        not path.startswith("/") for path in _paths(rule)
    ),
    "non-resource URL wildcards '*' must be the final character of the rule": lambda rule: any(
        "*" in path[:-1] for path in _paths(rule)
    ),
    "using resourceNames requires at least one resource": lambda rule: any(
        each.get("resourceNames") and not each.get("resources") for each in rule.get("resources") or ()
    ),
}

_STRINGS: Obj = {"type": ["array", "null"], "items": {"type": "string"}}
_STAGES: Obj = {"type": ["array", "null"], "items": {"enum": [RECEIVED, STARTED, COMPLETE, PANIC]}}
_FLAG: Obj = {"type": ["boolean", "null"]}
_GROUP: Obj = {
    "type": "object",
    "properties": {
        "group": {"type": "string", "pattern": "^[-a-z0-9.]*$"}, "resources": _STRINGS, "resourceNames": _STRINGS,
    },
    "additionalProperties": False,
}  # fmt: skip
_RULE: Obj = {
    "type": "object",
    "properties": {
        "level": {"enum": list(LEVELS)},
        "users": _STRINGS, "userGroups": _STRINGS, "verbs": _STRINGS, "namespaces": _STRINGS,
        "resources": {"type": ["array", "null"], "items": _GROUP},
        "nonResourceURLs": _STRINGS, "omitStages": _STAGES, "omitManagedFields": _FLAG,
    },
    "required": ["level"],
    "additionalProperties": False,
}  # fmt: skip
_SCHEMA: Obj = {
    "properties": {
        "metadata": {"type": "object"},
        "rules": {"type": "array", "items": _RULE}, "omitStages": _STAGES, "omitManagedFields": _FLAG,
    },
}  # fmt: skip
