"""Nobody has a policy read for him what he may not read himself: who writes a policy with a paramKind may get all such
objects, who writes a binding with a paramRef the one that it names.

Rules and wording follow k8s.io/kubernetes/pkg/registry/admissionregistration/validatingadmissionpolicy*/authz.go.
"""

from __future__ import annotations

from collections.abc import Mapping

from api.builtin import (
    MUTATING_ADMISSION_POLICIES,
    MUTATING_ADMISSION_POLICY_BINDINGS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
)
from api.errors import forbidden_field, invalid_object
from api.meta import Obj
from api.registry import Registry, Resource
from apiserver.admission.chain import Attempt, Plugin
from apiserver.auth.authorizer import Authorizer
from apiserver.request import RequestInfo
from apiserver.storage.store import Store

_POLICIES = (MUTATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICIES)
_POLICIES_OF = {
    MUTATING_ADMISSION_POLICY_BINDINGS.plural: MUTATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS.plural: VALIDATING_ADMISSION_POLICIES,
}
_ROWS = (*_POLICIES, MUTATING_ADMISSION_POLICY_BINDINGS, VALIDATING_ADMISSION_POLICY_BINDINGS)


class ParamReferences(Plugin):
    def __init__(self, store: Store, registry: Registry, authorizer: Authorizer) -> None:
        self._store = store
        self._registry = registry
        self._authorizer = authorizer

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return res in _ROWS and verb in ("create", "update") and not subresource

    async def validate(self, attempt: Attempt) -> None:
        new = attempt.new().get("spec") or {}
        old = (attempt.old or {}).get("spec") or {}
        if attempt.res in _POLICIES:
            self._check_kind(attempt, new.get("paramKind"), old.get("paramKind"))
        elif new.get("paramRef") and any(new.get(part) != old.get(part) for part in ("paramRef", "policyName")):
            self._check_reference(attempt, new)

    def _check_kind(self, attempt: Attempt, kind: Obj | None, before: Obj | None) -> None:
        if not kind or kind == before:
            return
        if not self._allows(attempt, kind, name="*", namespace="*"):
            why = "permission on all objects of the referenced paramKind"
            shown = f"kind={kind.get('kind', '')}, apiVersion={kind.get('apiVersion', '')}"
            raise _refusal(attempt, "spec.paramKind", f'user {attempt.user.name} must have "get" {why} ({shown})')

    def _check_reference(self, attempt: Attempt, spec: Obj) -> None:
        policy = self._store.peek(_POLICIES_OF[attempt.res.plural], "", str(spec.get("policyName", "")))
        kind = (policy.obj()["spec"].get("paramKind") if policy is not None else None) or {}
        reference = spec["paramRef"]
        name, namespace = reference.get("name", ""), reference.get("namespace", "")
        if not self._allows(attempt, kind, name=name, namespace=namespace):
            why = f'user {attempt.user.name} does not have "get" permission on the object referenced by paramRef'
            raise _refusal(attempt, "spec.paramRef", why)

    def _allows(self, attempt: Attempt, kind: Mapping[str, str], *, name: str, namespace: str) -> bool:
        """What is not known of the kind, has to be allowed of all kinds."""
        group, _, version = kind.get("apiVersion", "*/*").rpartition("/")
        row = self._registry.by_kind(group, version, kind.get("kind", ""))
        resource = row.plural if row is not None else "*"
        asked = RequestInfo(
            "", "get", is_resource=True, group=group, version=version, resource=resource, namespace=namespace, name=name
        )
        return self._authorizer.allows(attempt.user, asked)


def _refusal(attempt: Attempt, field: str, why: str) -> Exception:
    res = attempt.res
    return invalid_object(res.group, res.kind, attempt.shown_name, [forbidden_field(field, why)])
