"""Roles and bindings as they come and go, and what may be granted.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/ ; the cases of covering rules follow
k8s.io/component-helpers/auth/rbac/validation/policy_comparator_test.go.
"""

from __future__ import annotations

from typing import Any

import pytest

from api.builtin import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from api.errors import ApiError
from api.meta import Obj
from api.registry import Resource
from apiserver import roles
from apiserver.admission.chain import Attempt
from apiserver.admission.role_grants import RoleGrants
from apiserver.auth import rules
from apiserver.auth.authorizer import Authorizer
from apiserver.auth.rbac import Rbac
from apiserver.auth.user import User, authenticated
from apiserver.request import RequestInfo, parse

JANE = authenticated(User("jane", ("dev",)))
PODS = parse("GET", "/api/v1/namespaces/a/pods/web")
READ = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
LOGS = {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}


def role(*given: Obj, **more: Any) -> Obj:
    return {"metadata": {"name": "r"}, "rules": list(given), **more}


def binding(kind: str = "Role", name: str = "r", subject: str = "User jane", **more: str) -> Obj:
    subject_kind, _, subject_name = subject.partition(" ")
    subjects = [{"kind": subject_kind, "name": subject_name, **more}] if subject else []
    return {"metadata": {"name": "b"}, "roleRef": {"kind": kind, "name": name}, "subjects": subjects}


def allowed(rbac: Rbac, asked: RequestInfo = PODS, user: User = JANE) -> bool:
    return rbac.decide(user, asked)[0]


def test_every_change_counts_at_once() -> None:
    rbac = Rbac()
    rbac.on_binding("a", "b", binding())
    assert rbac.decide(JANE, PODS) == (False, 'RBAC: role.rbac.authorization.k8s.io "r" not found')
    rbac.on_role("a", "r", role(LOGS))
    assert rbac.decide(JANE, PODS) == (False, "")
    rbac.on_role("a", "r", role(READ))
    assert allowed(rbac)
    rbac.on_role("a", "r", None)
    assert not allowed(rbac)
    rbac.on_role("a", "r", role(READ))
    rbac.on_binding("a", "b", binding(subject="User joe"))
    assert not allowed(rbac)
    rbac.on_binding("a", "b", binding(subject="Group dev"))
    assert allowed(rbac)
    rbac.on_binding("a", "b", None)
    assert not allowed(rbac)
    rbac.on_binding("a", "b", binding(subject=""))
    assert not allowed(rbac)


def test_several_missing_roles_are_told_together() -> None:
    rbac = Rbac()
    rbac.on_binding("", "x", binding("ClusterRole", "foo"))
    rbac.on_binding("", "z", binding("ClusterRole", "foo", "Group dev"))
    rbac.on_binding("a", "y", binding("Role", "bar"))
    why = '[clusterrole.rbac.authorization.k8s.io "foo" not found, role.rbac.authorization.k8s.io "bar" not found]'
    assert rbac.decide(JANE, PODS) == (False, f"RBAC: {why}")


def test_a_role_binding_to_a_cluster_role_stays_in_its_namespace() -> None:
    rbac = Rbac()
    rbac.on_role("", "r", role(READ))
    rbac.on_role("a", "r", role(LOGS))
    rbac.on_binding("a", "b", binding("ClusterRole"))
    assert allowed(rbac) and not allowed(rbac, parse("GET", "/api/v1/namespaces/c/pods/web"))
    assert not allowed(rbac, parse("GET", "/api/v1/pods"))


def test_an_account_without_a_namespace_is_of_the_bindings() -> None:
    rbac = Rbac()
    rbac.on_role("a", "r", role(READ))
    rbac.on_binding("a", "b", binding(subject="ServiceAccount bot"))
    assert allowed(rbac, user=User("system:serviceaccount:a:bot"))
    assert not allowed(rbac, user=User("system:serviceaccount:c:bot")) and not allowed(rbac, user=User("bot"))
    rbac.on_role("", "r", role(READ))
    rbac.on_binding("", "b", binding("ClusterRole", subject="ServiceAccount bot"))
    assert not allowed(rbac, user=User("system:serviceaccount::bot"))
    rbac.on_binding("", "b", binding("ClusterRole", subject="ServiceAccount bot", namespace="c"))
    assert allowed(rbac, user=User("system:serviceaccount:c:bot"))


@pytest.mark.parametrize(
    ("rule", "path", "expected"),
    [
        ({"resources": ["*"]}, "pods", True),
        ({"resources": ["*"]}, "pods/web/exec", True),
        ({"resources": ["pods"]}, "pods/web/exec", False),
        ({"resources": ["pods/exec"]}, "pods/web/exec", True),
        ({"resources": ["pods/exec"]}, "pods/web", False),
        ({"resources": ["*/exec"]}, "pods/web/exec", True),
        ({"resources": ["*/scale"]}, "pods/web/exec", False),
        ({"resources": ["pods"], "verbs": ["*"]}, "pods", True),
        ({"resources": ["pods"], "verbs": ["list"]}, "pods/web", False),
        ({"resources": ["pods"], "apiGroups": ["*"]}, "pods", True),
        ({"resources": ["pods"], "apiGroups": ["apps"]}, "pods", False),
        ({"resources": ["pods"], "resourceNames": ["web"]}, "pods/web", True),
        ({"resources": ["pods"], "resourceNames": ["web"]}, "pods/other", False),
        ({"resources": ["pods"], "resourceNames": ["web"]}, "pods", False),
        ({"resources": ["pods"], "resourceNames": ["web"]}, "pods?fieldSelector=metadata.name%3Dweb", True),
        ({"resources": ["pods"], "resourceNames": [""]}, "pods/web", False),
    ],
)
def test_what_a_rule_allows(rule: Obj, path: str, expected: bool) -> None:
    rbac = Rbac()
    rbac.on_role("a", "r", role({"apiGroups": [""], "verbs": ["get", "list"], **rule}))
    rbac.on_binding("a", "b", binding())
    where, _, query = path.partition("?")
    assert allowed(rbac, parse("GET", f"/api/v1/namespaces/a/{where}", query)) is expected


@pytest.mark.parametrize(
    ("url", "path", "expected"),
    [
        ("/metrics", "/metrics", True), ("/metrics", "/metrics/x", False), ("/metrics*", "/metrics/x", True),
        ("/metrics/*", "/metrics", False), ("/metrics/*", "/metrics/x/y", True), ("*", "/anything", True),
    ],
)  # fmt: skip
def test_what_a_path_allows(url: str, path: str, expected: bool) -> None:
    rbac = Rbac()
    rbac.on_role("", "r", role({"nonResourceURLs": [url], "verbs": ["get"]}))
    rbac.on_binding("", "b", binding("ClusterRole"))
    assert allowed(rbac, parse("GET", path)) is expected
    assert not allowed(rbac, parse("POST", path))


# ---- granting


def attempt(res: Resource, obj: Obj, old: Obj | None = None, user: User = JANE) -> Attempt:
    namespace = "a" if res.namespaced else ""
    return Attempt(user, "update" if old else "create", res, "", namespace, obj["metadata"]["name"], obj, old)


def grants() -> RoleGrants:
    """Jane may do in `a` what her role says; `strong` is a role she does not hold."""
    authorizer = Authorizer()
    rbac = authorizer.rbac
    rbac.on_role("a", "mine", role(READ, {"apiGroups": ["apps"], "resources": ["*"], "verbs": ["*"]}))
    rbac.on_binding("a", "mine", binding(name="mine"))
    rbac.on_role("a", "strong", role({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}))
    rbac.on_role("", "bindable", role({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}))
    bind = {
        "apiGroups": ["rbac.authorization.k8s.io"],
        "resources": ["clusterroles"],
        "resourceNames": ["bindable"],
        "verbs": ["bind"],
    }
    rbac.on_role("a", "binds", role(bind))
    rbac.on_binding("a", "binds", binding(name="binds"))
    rbac.on_role("", "escalates", role({**bind, "resourceNames": [], "verbs": ["escalate"]}))
    rbac.on_binding("", "escalates", binding("ClusterRole", "escalates", "User boss"))
    return RoleGrants(authorizer)


WHO = 'user "jane" (groups=["dev" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:'
SECRETS = '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}'


@pytest.mark.parametrize(
    ("given", "lacking"),
    [
        ([READ], ""),
        ([{"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"]}], ""),
        ([{**READ, "resourceNames": ["web"]}], ""),
        ([READ, {**READ, "resources": ["secrets"]}], SECRETS),
        ([{**READ, "resources": ["services", "secrets"], "verbs": ["get"]}],
         '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}\n'
         '{APIGroups:[""], Resources:["services"], Verbs:["get"]}'),
        ([{**READ, "verbs": ["*"]}], '{APIGroups:[""], Resources:["pods"], Verbs:["*"]}'),
        ([{**READ, "resources": ["secrets"], "resourceNames": ["s"]}],
         '{APIGroups:[""], Resources:["secrets"], ResourceNames:["s"], Verbs:["get" "list"]}'),
        ([{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}], '{NonResourceURLs:["/metrics"], Verbs:["get"]}'),
    ],
)  # fmt: skip
async def test_a_role_grants_what_its_maker_holds(given: list[Obj], lacking: str) -> None:
    if not lacking:
        await grants().mutate(attempt(ROLES, role(*given)))
        return
    with pytest.raises(ApiError) as caught:
        await grants().mutate(attempt(ROLES, role(*given)))
    assert caught.value.code == 403
    assert caught.value.message == f'roles.rbac.authorization.k8s.io "r" is forbidden: {WHO}\n{lacking}'


async def test_metadata_may_change_only_for_the_garbage_collector() -> None:
    strong = role({**READ, "resources": ["secrets"]})
    finalized = {**strong, "metadata": {"name": "r", "finalizers": ["x"], "resourceVersion": "2"}}
    await grants().mutate(attempt(ROLES, finalized, strong))
    with pytest.raises(ApiError, match="attempting to grant"):
        await grants().mutate(attempt(ROLES, {**strong, "metadata": {"name": "r", "labels": {"a": "b"}}}, strong))


async def test_whoever_may_escalate_may_grant_anything() -> None:
    boss = authenticated(User("boss"))
    everything = role({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})
    await grants().mutate(attempt(CLUSTER_ROLES, everything, user=boss))
    with pytest.raises(ApiError, match="attempting to grant"):
        await grants().mutate(attempt(ROLES, everything, user=boss))


async def test_aggregation_is_for_cluster_admins() -> None:
    collects = role(aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]})
    with pytest.raises(ApiError) as caught:
        await grants().mutate(attempt(CLUSTER_ROLES, collects))
    why = 'clusterroles.rbac.authorization.k8s.io "r" is forbidden: must have cluster-admin privileges to use the aggregationRule'
    assert caught.value.message == why
    await grants().mutate(attempt(CLUSTER_ROLES, collects, user=User("root", ("system:masters",))))


async def test_a_binding_grants_what_its_maker_holds_or_may_bind() -> None:
    await grants().mutate(attempt(ROLE_BINDINGS, binding(name="mine")))
    await grants().mutate(attempt(ROLE_BINDINGS, binding("ClusterRole", "bindable")))
    with pytest.raises(ApiError) as caught:
        await grants().mutate(attempt(CLUSTER_ROLE_BINDINGS, binding("ClusterRole", "bindable")))
    assert 'clusterrolebindings.rbac.authorization.k8s.io "b" is forbidden: user "jane"' in caught.value.message
    with pytest.raises(ApiError) as caught:
        await grants().mutate(attempt(ROLE_BINDINGS, binding(name="strong")))
    assert caught.value.message == f'rolebindings.rbac.authorization.k8s.io "b" is forbidden: {WHO}\n{SECRETS}'
    with pytest.raises(ApiError) as caught:
        await grants().mutate(attempt(ROLE_BINDINGS, binding(name="nowhere")))
    assert (caught.value.code, caught.value.message) == (404, 'roles.rbac.authorization.k8s.io "nowhere" not found')


# ---- the defaults


def test_what_is_lacking_is_added_and_what_is_more_stays() -> None:
    wanted = role(READ, LOGS)
    wanted["metadata"] |= {"labels": {"d": "1"}, "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}}
    found = role({**READ, "verbs": ["get"]}, {**READ, "resources": ["secrets"]})
    found["metadata"]["labels"] = {"own": "1"}
    made = roles.completed(found, wanted)
    assert made["rules"] == [*found["rules"], {**READ, "verbs": ["list"]}, LOGS]
    assert made["metadata"]["labels"] == {"d": "1", "own": "1"}
    assert roles.completed(made, wanted) == made
    found["metadata"]["annotations"] = {"rbac.authorization.kubernetes.io/autoupdate": "false"}
    assert roles.completed(found, wanted) == found


def test_a_role_collects_each_rule_once_and_not_its_own() -> None:
    picks = {
        "clusterRoleSelectors": [
            {"matchLabels": {"a": "1"}},
            {"matchExpressions": [{"key": "b", "operator": "Exists"}]},
        ]
    }
    labels = {"a": "1", "b": ""}
    one = {"metadata": {"name": "one", "labels": labels}, "rules": [READ]}
    two = {"metadata": {"name": "two", "labels": {"b": "x"}}, "rules": [LOGS, READ]}
    self = {
        "metadata": {"name": "self", "labels": labels},
        "aggregationRule": picks,
        "rules": [{**READ, "verbs": ["*"]}],
    }
    assert [rule.as_json() for rule in roles.collected(self, [one, self, two])] == [READ, LOGS]


def test_rules_of_a_user_are_told_once() -> None:
    authorizer = Authorizer()
    rbac = authorizer.rbac
    rbac.on_role("a", "r", role(READ))
    rbac.on_role("", "r", role(READ, LOGS))
    rbac.on_binding("a", "b", binding())
    rbac.on_binding("", "b", binding("ClusterRole", subject="Group dev"))
    assert authorizer.rules_of(JANE, "a") == ([*rules.read(role(READ, LOGS))], [], True)
    node = User("system:node:n1", ("system:nodes",))
    assert authorizer.rules_of(node, "a") == ([], ["node authorizer does not support user rule resolution"], False)
