"""Who may write policies and bindings with parameters: k8s.io/kubernetes/pkg/registry/admissionregistration/*/authz.go,
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#parameter-resources ("authors of
policies and bindings must be able to read the parameters")."""

from __future__ import annotations

from typing import Any

import pytest

from api.builtin import (
    BUILTIN,
    MUTATING_ADMISSION_POLICIES,
    MUTATING_ADMISSION_POLICY_BINDINGS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
)
from api.errors import Invalid
from api.meta import Obj
from api.registry import Registry, Resource
from apiserver.admission.policies.references import ParamReferences
from apiserver.auth.authorizer import Authorizer
from apiserver.auth.user import User
from tests.unit.apiserver.admitting import ADMIN, Objects, admit

JANE, JOE, ANN = User("jane"), User("joe"), User("ann")
KIND = {"apiVersion": "v1", "kind": "ConfigMap"}
UNKNOWN = {"apiVersion": "x.example.com/v1", "kind": "X"}
READS = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]


def authorizer() -> Authorizer:
    """Jane reads all config maps, Joe those of namespace a, Ann everything."""
    made = Authorizer(("RBAC",))
    made.rbac.on_role("", "reader", {"rules": READS})
    made.rbac.on_role("", "all", {"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]})
    for namespace, name, role in (("", "jane", "reader"), ("a", "joe", "reader"), ("", "ann", "all")):
        subjects = [{"kind": "User", "name": name}]
        made.rbac.on_binding(namespace, name, {"roleRef": {"kind": "ClusterRole", "name": role}, "subjects": subjects})
    return made


def policy(kind: Obj | None) -> Obj:
    return {"metadata": {"name": "p"}, "spec": {"paramKind": kind} if kind else {}}


def binding(**reference: str) -> Obj:
    return {
        "metadata": {"name": "b"},
        "spec": {"policyName": "p", "paramRef": reference} if reference else {"policyName": "p"},
    }


async def refusal(row: Resource, obj: Obj, user: User, old: Obj | None = None, kind: Obj = KIND) -> str:
    store = Objects(*((row, policy(kind)) for row in (MUTATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICIES)))
    step: Any = ParamReferences(store.store, Registry(BUILTIN), authorizer())
    try:
        await admit(step, row, obj, old, user=user)
    except Invalid as error:
        return error.message
    return ""


@pytest.mark.parametrize("row", [MUTATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICIES])
async def test_policies(row: Resource) -> None:
    assert await refusal(row, policy(None), JOE) == ""
    for user, kind in ((ADMIN, UNKNOWN), (ANN, UNKNOWN), (JANE, KIND)):
        assert await refusal(row, policy(kind), user) == ""
    for user, kind in ((JOE, KIND), (JANE, UNKNOWN)):
        said = await refusal(row, policy(kind), user)
        assert (
            f'{row.kind}.admissionregistration.k8s.io "p" is invalid: spec.paramKind: Forbidden: user {user.name} must'
            in said
        )
    assert "(kind=ConfigMap, apiVersion=v1)" in await refusal(row, policy(KIND), JOE)
    assert await refusal(row, policy(KIND), JOE, policy(KIND)) == "", "what stood there is not asked again"


@pytest.mark.parametrize("row", [MUTATING_ADMISSION_POLICY_BINDINGS, VALIDATING_ADMISSION_POLICY_BINDINGS])
async def test_bindings(row: Resource) -> None:
    inside, anywhere = binding(name="x", namespace="a"), binding(name="x")
    for user, obj in ((JOE, binding()), (JOE, inside), (JANE, inside), (JANE, anywhere), (ADMIN, anywhere)):
        assert await refusal(row, obj, user) == ""
    assert 'spec.paramRef: Forbidden: user joe does not have "get" permission on the object' in await refusal(
        row, anywhere, JOE
    )
    assert await refusal(row, anywhere, JOE, anywhere) == ""
    assert await refusal(row, anywhere, JOE, inside)
    assert await refusal(row, inside, JOE, kind=UNKNOWN)
    assert await refusal(row, inside, ANN, kind=UNKNOWN) == ""
