"""Which requests a webhook or a policy wants to see: its rules, its selectors and its matchPolicy.

    matcher = Matcher(match)                a MatchResources; a webhook's `rules` are its resourceRules
    row = matching.row(matcher, attempt)    the version in which it sees the request; None: it does not

What rules make of a kind of request is worked out once and looked up from then on. Semantics: MatchResources in
https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/validating-admission-policy-v1/ and
https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-rules
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from api import errors, meta, selectors
from api.builtin import NAMESPACES
from api.meta import Obj
from api.registry import Registry, Resource
from apiserver.admission.chain import Attempt
from apiserver.storage import keys
from apiserver.storage.store import Store

_EXEMPT = frozenset(
    (
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "validatingwebhookconfigurations",
    )
)


def is_exempt(res: Resource) -> bool:
    """Nothing that is configured may stand in the way of configuring it."""
    return res.group == "admissionregistration.k8s.io" and res.plural in _EXEMPT


class Hit(NamedTuple):
    """A rule that fits a kind of request: in which version, and for which names (none: all)."""

    row: Resource
    names: frozenset[str]


Request = tuple[str, str, str, str, str]
"""verb, group, version, plural, subresource"""


class Matcher:
    """What is configured. `anything`: without rules everything matches, as for the binding of a policy."""

    __slots__ = ("_excluded", "_known_at", "_labels", "_namespaces", "_rules", "_wider", "excludes", "hits")

    def __init__(self, match: Obj, *, anything: bool = True) -> None:
        self._rules: list[Obj] | None = match.get("resourceRules") or (None if anything else [])
        self._excluded: list[Obj] = match.get("excludeResourceRules") or []
        self._wider = match.get("matchPolicy", "Equivalent") == "Equivalent"
        self._namespaces = selectors.from_label_selector(match.get("namespaceSelector") or {})
        self._labels = selectors.from_label_selector(match.get("objectSelector") or {})
        self._known_at = -1
        self.hits: dict[Request, list[Hit]] = {}
        self.excludes: dict[Request, list[Hit]] = {}

    def wanted(self, attempt: Attempt, registry: Registry) -> Resource | None:
        """By the rules alone."""
        res = attempt.res
        key = (attempt.verb, res.group, res.version, res.plural, attempt.subresource)
        if self._known_at != registry.generation:
            self.hits, self.excludes, self._known_at = {}, {}, registry.generation
        hits = self.hits.get(key)
        if hits is None:
            hits = self.hits[key] = self._hits(self._rules, attempt, registry)
            self.excludes[key] = self._hits(self._excluded, attempt, registry) if hits else []
        if not hits or _first(self.excludes[key], attempt.name) is not None:
            return None
        return _first(hits, attempt.name)

    def _hits(self, rules: list[Obj] | None, attempt: Attempt, registry: Registry) -> list[Hit]:
        if rules is None:
            return [Hit(attempt.res, frozenset())]
        rows = [attempt.res]
        if self._wider:
            rows += equivalents(registry, attempt.res, attempt.subresource)
        own = [_hit(rule, row, attempt) for row in rows[:1] for rule in rules]
        others = [_hit(rule, row, attempt) for rule in rules for row in rows[1:]]  # the earlier rule counts
        return [hit for hit in (*own, *others) if hit is not None]

    def selects_object(self, attempt: Attempt) -> bool:
        """The new object or the old one."""
        if self._labels.is_everything:
            return True
        old = attempt.old if attempt.verb in ("update", "delete") else None
        return any(obj is not None and self._labels.matches(_labels(obj)) for obj in (attempt.obj, old))

    def selects_namespace(self, attempt: Attempt, store: Store) -> bool:
        """NotFound. Objects outside namespaces are always selected, except for the namespaces themselves."""
        if self._namespaces.is_everything:
            return True
        if attempt.res is NAMESPACES and not attempt.subresource and attempt.obj is not None:
            return self._namespaces.matches(_labels(attempt.obj))
        name = attempt.name if attempt.res is NAMESPACES else attempt.namespace
        if not name:
            return True
        found = store.peek(NAMESPACES, "", name)
        if found is None:
            raise errors.not_found("", "namespaces", name)
        return self._namespaces.matches(found.labels)


def _first(hits: list[Hit], name: str) -> Resource | None:
    return next((hit.row for hit in hits if not hit.names or name in hit.names), None)


def _labels(obj: Obj) -> Mapping[str, str]:
    """An object without metadata, as the options of a connection, has none."""
    return meta.labels(obj) if "metadata" in obj else {}


def _hit(rule: Obj, row: Resource, attempt: Attempt) -> Hit | None:
    if not (
        _in(attempt.verb.upper(), rule.get("operations"))
        and _in(row.group, rule.get("apiGroups"))
        and _in(row.version, rule.get("apiVersions"))
        and any(_names(text, row.plural, attempt.subresource) for text in rule.get("resources") or ())
        and rule.get("scope", "*") in ("*", "Namespaced" if row.namespaced else "Cluster")
    ):
        return None
    return Hit(row, frozenset(rule.get("resourceNames") or ()))


def _in(value: str, allowed: list[str] | None) -> bool:
    return value in (allowed or ()) or "*" in (allowed or ())


def _names(text: str, plural: str, subresource: str) -> bool:
    """`pods`, `pods/status`, `pods/*`, `*/scale`, `*`, `*/*`"""
    kind, _, part = text.partition("/")
    return kind in ("*", plural) and part in ("*", subresource)


def equivalents(registry: Registry, res: Resource, subresource: str) -> Iterator[Resource]:
    """The other rows that show the same objects: other versions, and groups that a kind has moved through."""
    collection = keys.collection(res)
    for row in registry:
        other = row.api_version != res.api_version and keys.collection(row) == collection
        if other and (not subresource or subresource in row.subresources):
            yield row


class Matching:
    """What matchers need to know of the cluster."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    def row(self, matcher: Matcher, attempt: Attempt) -> Resource | None:
        """The version in which the request is to be shown; None when it is none of theirs. ApiError when it is not
        known whether it is."""
        row = matcher.wanted(attempt, self._registry)
        if row is None or not matcher.selects_object(attempt):
            return None
        return row if matcher.selects_namespace(attempt, self._store) else None
