"""Who may do what: administrators everything, nodes what is theirs, everybody what they are bound to.

The authorizers of --authorization-mode are asked in turn; the first that allows decides. What they know is kept by
the cache itself, so a decision needs no waiting and follows every change at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from api.builtin import (
    BUILTIN,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    PODS,
    ROLE_BINDINGS,
    ROLES,
)
from api.errors import Forbidden
from api.meta import Obj
from apiserver.auth import default_roles
from apiserver.auth.node import Nodes
from apiserver.auth.rbac import Rbac
from apiserver.auth.rules import Rule
from apiserver.auth.user import MASTERS, User
from apiserver.request import RequestInfo
from apiserver.storage.keys import split_local
from apiserver.storage.store import Store, Stored

MODES = ("Node", "RBAC", "AlwaysAllow")


class Held(NamedTuple):
    rules: list[Rule]
    problems: list[str]
    complete: bool


class Authorizer:
    """`rbac` and `nodes` are fed by `follow`; without it they know nothing and allow nothing."""

    def __init__(self, modes: Sequence[str] = ("Node", "RBAC")) -> None:
        self.rbac = Rbac()
        self.nodes = Nodes(default_roles.node_rules(), lambda *_: None)
        deciders = {"Node": self.nodes.decide, "RBAC": self.rbac.decide, "AlwaysAllow": lambda *_: (True, "")}
        self._deciders = [deciders[mode] for mode in modes]
        self._knows_nodes = "Node" in modes

    def follow(self, store: Store) -> None:
        """Before the store is started."""

        def peek(plural: str, namespace: str, name: str) -> Obj | None:
            row = BUILTIN.by_plural("storage.k8s.io" if plural == "volumeattachments" else "", "v1", plural)
            found = store.peek(row, namespace, name) if row is not None else None
            return found.obj() if found is not None else None

        def on_pod(key: str, pod: Stored | None) -> None:
            self.nodes.on_pod(*split_local(key), pod.fields.get("spec.nodeName", "") if pod else "", pod)

        def on_role(key: str, role: Stored | None) -> None:
            self.rbac.on_role(*split_local(key), role.obj() if role is not None else None)

        def on_binding(key: str, binding: Stored | None) -> None:
            self.rbac.on_binding(*split_local(key), binding.obj() if binding is not None else None)

        self.nodes.peek = peek
        store.listen(PODS, on_pod)
        for row in (ROLES, CLUSTER_ROLES):
            store.listen(row, on_role)
        for row in (ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS):
            store.listen(row, on_binding)

    def decide(self, user: User, asked: RequestInfo) -> tuple[bool, str]:
        """(allowed, why)"""
        if MASTERS in user.groups:
            return True, ""
        reasons = []
        for decider in self._deciders:
            allowed, why = decider(user, asked)
            if allowed:
                return True, why
            if why:
                reasons.append(why)
        return False, "\n".join(reasons)

    def allows(self, user: User, asked: RequestInfo) -> bool:
        return self.decide(user, asked)[0]

    def check(self, user: User, asked: RequestInfo) -> None:
        """Forbidden, in upstream's words."""
        allowed, why = self.decide(user, asked)
        if not allowed:
            raise forbidden(user, asked, why)

    def rules_of(self, user: User, namespace: str) -> Held:
        """What `user` may do there, as far as rules can say it."""
        found, problems = self.rbac.rules_of(user, namespace)
        if self._knows_nodes and user.node:
            return Held(found, ["node authorizer does not support user rule resolution", *problems], False)
        return Held(found, problems, True)


def forbidden(user: User, asked: RequestInfo, why: str = "") -> Forbidden:
    """`pods "web" is forbidden: User "x" cannot get resource "pods" in API group "" in the namespace "default"`."""
    if not asked.resource:
        text = f'forbidden: User "{user.name}" cannot {asked.verb} path "{asked.path}"'
        return Forbidden(text + (f": {why}" if why else ""), {})
    qualified = f"{asked.resource}.{asked.group}" if asked.group else asked.resource
    wanted = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    subject = f'{qualified} "{asked.name}"' if asked.name else qualified
    text = (
        f'{subject} is forbidden: User "{user.name}" cannot {asked.verb} resource "{wanted}" '
        f'in API group "{asked.group}" {where}'
    )
    details = {"name": asked.name, "group": asked.group, "kind": asked.resource}
    return Forbidden(text + (f": {why}" if why else ""), {k: v for k, v in details.items() if v})
