"""RBAC: who is bound to which role, as an index that the cache keeps (pure).

    a subject → the namespaces it has bindings in ("" = everywhere) → a Table of what they allow

A change of a role or binding drops the tables it has a part in; the next question makes them anew, from that
subject's bindings alone. A decision is then a few look-ups by group, resource, verb and name, however many roles
there are. https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from api.meta import Obj
from apiserver.auth import rules
from apiserver.auth.rules import Rule
from apiserver.auth.user import User
from apiserver.request import RequestInfo

CLUSTER_ROLE, ROLE = "ClusterRole", "Role"
_RoleKey = tuple[str, str]  # namespace ("" = a ClusterRole), name
_Names = dict[str | None, str]  # a name, or None for any → the reason


class Binding(NamedTuple):
    namespace: str
    name: str
    role: _RoleKey
    subjects: dict[str, str]  # as subjects_of makes them → how a reason calls them

    def reason(self, subject: str) -> str:
        kind = ROLE if self.role[0] else CLUSTER_ROLE
        own = f'RoleBinding "{self.name}/{self.namespace}"' if self.namespace else f'ClusterRoleBinding "{self.name}"'
        return f'RBAC: allowed by {own} of {kind} "{self.role[1]}" to {self.subjects[subject]}'


class Table:
    """What one subject's bindings in one namespace allow."""

    __slots__ = ("missing", "paths", "prefixes", "resources")

    def __init__(self) -> None:
        self.resources: dict[tuple[str, str], dict[str, _Names]] = {}  # group, resource → verb → name → reason
        self.paths: dict[tuple[str, str], str] = {}  # verb, path → reason
        self.prefixes: dict[str, dict[str, str]] = {}  # verb → beginning → reason
        self.missing: list[str] = []

    def add(self, rule: Rule, reason: str) -> None:
        names = rule.names or (None,)
        for key in product(rule.groups, rule.resources):
            verbs = self.resources.setdefault(key, {})
            for verb, name in product(rule.verbs, names):
                verbs.setdefault(verb, {}).setdefault(name, reason)
        for verb, url in product(rule.verbs, rule.urls):
            self.paths.setdefault((verb, url), reason)
            if url.endswith("*"):
                self.prefixes.setdefault(verb, {}).setdefault(url.rstrip("*"), reason)

    def reason(self, keys: list[tuple[str, str]], verb: str, name: str) -> str:
        for key in keys:
            verbs = self.resources.get(key)
            if verbs is None:
                continue
            for names in (verbs.get(verb), verbs.get("*")):
                if names is not None and (found := names.get(None) or names.get(name)):
                    return found
        return ""

    def path_reason(self, verb: str, path: str) -> str:
        for one in (verb, "*"):
            if found := self.paths.get((one, path)):
                return found
            for prefix, reason in self.prefixes.get(one, {}).items():
                if path.startswith(prefix):
                    return reason
        return ""


class Rbac:
    """`on_role` and `on_binding` take changes in; the rest answers."""

    def __init__(self) -> None:
        self._roles: dict[_RoleKey, tuple[Rule, ...]] = {}
        self._bindings: dict[_RoleKey, Binding] = {}
        self._bound: dict[str, dict[str, set[_RoleKey]]] = {}  # subject → namespace → keys of bindings
        self._users: dict[_RoleKey, set[_RoleKey]] = {}  # role → keys of its bindings
        self._tables: dict[tuple[str, str], Table] = {}

    # ---- staying current

    def on_role(self, namespace: str, name: str, role: Obj | None) -> None:
        """A Role, or with no namespace a ClusterRole, is now `role`; None = gone."""
        key = (namespace, name)
        if role is None:
            self._roles.pop(key, None)
        else:
            self._roles[key] = rules.read(role)
        for user in self._users.get(key, ()):
            self._drop(self._bindings[user])

    def on_binding(self, namespace: str, name: str, binding: Obj | None) -> None:
        key = (namespace, name)
        if (old := self._bindings.pop(key, None)) is not None:
            self._drop(old)
            self._users[old.role].discard(key)
            for subject in old.subjects:
                self._bound[subject][namespace].discard(key)
                if not self._bound[subject][namespace]:
                    del self._bound[subject][namespace]
                if not self._bound[subject]:
                    del self._bound[subject]
        if binding is None:
            return
        ref = binding["roleRef"]
        role = (namespace if ref["kind"] == ROLE else "", ref["name"])
        new = self._bindings[key] = Binding(namespace, name, role, _subjects(binding, namespace))
        self._users.setdefault(role, set()).add(key)
        for subject in new.subjects:
            self._bound.setdefault(subject, {}).setdefault(namespace, set()).add(key)
        self._drop(new)

    def _drop(self, binding: Binding) -> None:
        for subject in binding.subjects:
            self._tables.pop((subject, binding.namespace), None)

    def _table(self, subject: str, namespace: str) -> Table:
        table = self._tables[(subject, namespace)] = Table()
        for key in sorted(self._bound[subject][namespace]):
            binding = self._bindings[key]
            found = self._roles.get(binding.role)
            if found is None:
                table.missing.append(_not_found(binding.role))
                continue
            reason = binding.reason(subject)
            for rule in found:
                table.add(rule, reason)
        return table

    # ---- answering

    def decide(self, user: User, asked: RequestInfo) -> tuple[bool, str]:
        """(allowed, why), in upstream's words."""
        tables = self._tables_of(user, asked.namespace)
        if asked.is_resource:
            keys = _keys(asked.group, asked.resource, asked.subresource)
            for table in tables:
                if reason := table.reason(keys, asked.verb, asked.name):
                    return True, reason
        else:
            for table in tables:
                if reason := table.path_reason(asked.verb, asked.path):
                    return True, reason
        gone = [text for table in tables for text in table.missing]
        return False, f"RBAC: {together(gone)}" if gone else ""

    def _tables_of(self, user: User, namespace: str) -> list[Table]:
        tables = []
        for where in ("", namespace) if namespace else ("",):
            for subject in subjects_of(user.name, user.groups):
                bound = self._bound.get(subject)
                if bound is not None and where in bound:
                    tables.append(self._tables.get((subject, where)) or self._table(subject, where))
        return tables

    def rules_of(self, user: User, namespace: str) -> tuple[list[Rule], list[str]]:
        """All that `user` may do in the namespace, or with "" everywhere, and which roles are not there."""
        found: dict[Rule, None] = {}
        gone: list[str] = []
        for where in ("", namespace) if namespace else ("",):
            bound = (self._bound.get(subject, {}).get(where, ()) for subject in subjects_of(user.name, user.groups))
            for key in sorted({key for keys in bound for key in keys}):
                role = self._bindings[key].role
                if role in self._roles:
                    found.update(dict.fromkeys(self._roles[role]))
                else:
                    gone.append(_not_found(role))
        return list(found), gone

    def role(self, namespace: str, name: str) -> tuple[Rule, ...] | None:
        return self._roles.get((namespace, name))


def together(errors: Iterable[str]) -> str:
    """As Go prints an aggregate of errors."""
    once = list(dict.fromkeys(errors))
    return once[0] if len(once) == 1 else f"[{', '.join(once)}]"


def _not_found(role: _RoleKey) -> str:
    return f'{"role" if role[0] else "clusterrole"}.rbac.authorization.k8s.io "{role[1]}" not found'


@lru_cache(maxsize=4096)
def subjects_of(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    return (f"User {name}", *(f"Group {group}" for group in groups))


@lru_cache(maxsize=4096)
def _keys(group: str, resource: str, subresource: str) -> list[tuple[str, str]]:
    wanted = [f"{resource}/{subresource}", f"*/{subresource}", "*"] if subresource else [resource, "*"]
    return [(group, one) for one in wanted] + [("*", one) for one in wanted]


def _subjects(binding: Obj, namespace: str) -> dict[str, str]:
    return dict(_each_subject(binding.get("subjects") or [], namespace))


def _each_subject(subjects: list[Obj], namespace: str) -> Iterator[tuple[str, str]]:
    for subject in subjects:
        kind, name = subject["kind"], subject["name"]
        if kind != "ServiceAccount":
            yield f"{kind} {name}", f'{kind} "{name}"'
        elif where := subject.get("namespace") or namespace:
            yield f"User system:serviceaccount:{where}:{name}", f'{kind} "{name}/{where}"'
