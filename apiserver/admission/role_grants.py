"""Nobody grants what he does not hold: the rules of a role or of the role that is bound, unless he may `escalate` or
`bind` it.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping ;
texts as in k8s.io/kubernetes/pkg/registry/rbac
"""

from __future__ import annotations

from collections.abc import Sequence

from api.builtin import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from api.errors import not_found
from api.meta import Obj
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin
from apiserver.auth import rules
from apiserver.auth.authorizer import Authorizer
from apiserver.auth.rbac import CLUSTER_ROLE, ROLE, together
from apiserver.auth.rules import Rule
from apiserver.auth.user import MASTERS
from apiserver.request import RequestInfo

_ROLES, _BINDINGS = (ROLES, CLUSTER_ROLES), (ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS)
_EVERYTHING = (Rule(("*",), ("*",), (), (), ("*",)), Rule((), (), ("*",), (), ("*",)))
_COLLECTED = ("ownerReferences", "finalizers", "managedFields", "resourceVersion")


class RoleGrants(Plugin):
    """Judges when everything has been changed that others change: last of the steps that may."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return verb in ("create", "update") and res in (*_ROLES, *_BINDINGS)

    async def mutate(self, attempt: Attempt) -> None:
        new = attempt.new()
        if MASTERS in attempt.user.groups or (attempt.old is not None and _same(new, attempt.old)):
            return
        if attempt.res in _ROLES:
            self._check_role(attempt, new)
        else:
            self._check_binding(attempt, new)

    def _check_role(self, attempt: Attempt, role: Obj) -> None:
        name = attempt.name if attempt.verb == "update" else ""
        if self._may(attempt, "escalate", attempt.res.plural, name):
            return
        self._check_held(attempt, rules.read(role))
        collects = role.get("aggregationRule") or (attempt.old or {}).get("aggregationRule")
        if collects and rules.missing(self._authorizer.rules_of(attempt.user, "").rules, _EVERYTHING):
            raise attempt.forbidden("must have cluster-admin privileges to use the aggregationRule")

    def _check_binding(self, attempt: Attempt, binding: Obj) -> None:
        ref = binding.get("roleRef") or {}
        if ref.get("kind") not in (ROLE, CLUSTER_ROLE):
            return  # validation refuses it
        row, namespace = (ROLES, attempt.namespace) if ref["kind"] == ROLE else (CLUSTER_ROLES, "")
        if self._may(attempt, "bind", row.plural, ref.get("name", "")):
            return
        granted = self._authorizer.rbac.role(namespace, ref.get("name", ""))
        if granted is None:
            raise not_found(row.group, row.plural, ref.get("name", ""))
        self._check_held(attempt, granted)

    def _may(self, attempt: Attempt, verb: str, plural: str, name: str) -> bool:
        asked = RequestInfo(
            "", verb, is_resource=True, group=ROLES.group, version="*", resource=plural, namespace=attempt.namespace,
            name=name,
        )  # fmt: skip
        return self._authorizer.allows(attempt.user, asked)

    def _check_held(self, attempt: Attempt, granted: Sequence[Rule]) -> None:
        user = attempt.user
        held = self._authorizer.rules_of(user, attempt.namespace)
        if lacking := rules.missing(held.rules, granted):
            lines = "\n".join(sorted({str(rule) for rule in lacking}))
            if held.problems:
                gone = together(text.replace("role.rbac", "roles.rbac", 1) for text in held.problems)
                lines += f"; resolution errors: [{gone}]"
            raise attempt.forbidden(
                f'user "{user.name}" (groups={rules.quoted(user.groups)}) is attempting to grant RBAC permissions '
                f"not currently held:\n{lines}"
            )


def _same(new: Obj, old: Obj) -> bool:
    """But for what the garbage collector changes."""
    return _rest(new) == _rest(old)


def _rest(obj: Obj) -> Obj:
    return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k not in _COLLECTED}}
