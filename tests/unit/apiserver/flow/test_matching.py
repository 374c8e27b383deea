"""The default flow schemas put requests where upstream's documentation says.

https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#defaults
"""

from __future__ import annotations

from typing import Any

import pytest

from api.kinds.flow_objects import LEVELS, SCHEMAS
from apiserver.auth.user import User
from apiserver.flow import matching
from apiserver.request import parse

ORDERED = matching.ordered(SCHEMAS, {level["metadata"]["name"] for level in LEVELS})
IN = "system:authenticated"
NODE = User("system:node:a", ("system:nodes", IN))
SYSTEM_ACCOUNT = User("system:serviceaccount:kube-system:x", ("system:serviceaccounts", IN))
ACCOUNT = User("system:serviceaccount:shop:x", ("system:serviceaccounts", IN))
LEASE = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/x"
PODS = "/api/v1/namespaces/shop/pods"


@pytest.mark.parametrize(
    ("user", "method", "path", "schema"),
    [
        (User("admin", ("system:masters", IN)), "GET", PODS, "exempt"),
        (User("system:anonymous", ("system:unauthenticated",)), "GET", "/healthz", "probes"),
        (User("system:anonymous", ("system:unauthenticated",)), "GET", "/livez/etcd", "probes"),
        (User("jane", (IN,)), "GET", "/healthzz", "global-default"),
        (User("jane", (IN,)), "POST", "/readyz", "global-default"),
        (NODE, "PUT", LEASE.format("kube-node-lease"), "system-node-high"),
        (NODE, "PATCH", "/api/v1/nodes/a/status", "system-node-high"),
        (NODE, "GET", "/api/v1/nodes", "system-node-high"),
        (NODE, "GET", PODS, "system-nodes"),
        (NODE, "GET", "/api/v1/nodes/a/proxy", "system-nodes"),
        (User("system:kube-scheduler", (IN,)), "PUT", LEASE.format("kube-system"), "system-leader-election"),
        (User("system:kube-scheduler", (IN,)), "DELETE", LEASE.format("kube-system"), "kube-scheduler"),
        (User("system:kube-scheduler", (IN,)), "GET", PODS, "kube-scheduler"),
        (User("system:kube-controller-manager", (IN,)), "POST", PODS, "kube-controller-manager"),
        (SYSTEM_ACCOUNT, "PUT", LEASE.format("shop"), "system-leader-election"),
        (SYSTEM_ACCOUNT, "GET", "/api/v1/namespaces/kube-system/configmaps/x", "system-leader-election"),
        (SYSTEM_ACCOUNT, "GET", "/api/v1/namespaces/shop/configmaps/x", "workload-leader-election"),
        (SYSTEM_ACCOUNT, "GET", PODS, "kube-system-service-accounts"),
        (ACCOUNT, "PUT", LEASE.format("shop"), "service-accounts"),
        (ACCOUNT, "GET", PODS, "service-accounts"),
        (User("jane", (IN,)), "GET", PODS, "global-default"),
        (User("jane", (IN,)), "GET", "/version", "global-default"),
    ],
    ids=lambda value: value.name if isinstance(value, User) else None,
)
def test_the_defaults(user: User, method: str, path: str, schema: str) -> None:
    found = matching.match(ORDERED, user, parse(method, path))
    assert found is not None
    assert found["metadata"]["name"] == schema


def _schema(rule: dict[str, Any], precedence: int = 100, name: str = "mine", level: str = "exempt") -> dict[str, Any]:
    spec = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": [rule]}
    return {"metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize(
    ("rule", "path", "matches"),
    [
        ({"resources": ["pods"], "namespaces": ["shop"]}, PODS, True),
        ({"resources": ["pods"], "namespaces": ["other"]}, PODS, False),
        ({"resources": ["pods"], "clusterScope": True}, PODS, False),
        ({"resources": ["pods"], "clusterScope": True}, "/api/v1/pods", True),
        ({"resources": ["pods"], "namespaces": ["*"]}, "/api/v1/pods", False),
        ({"resources": ["pods"], "namespaces": ["*"]}, PODS + "/x/log", False),
        ({"resources": ["pods/log"], "namespaces": ["*"]}, PODS + "/x/log", True),
        ({"resources": ["*"], "namespaces": ["*"]}, PODS + "/x/log", True),
        ({"resources": ["*"], "namespaces": ["*"]}, LEASE.format("shop"), False),
        ({"resources": ["*"], "namespaces": ["*"], "verbs": ["create"]}, PODS, False),
    ],
)
def test_rules_of_resources(rule: dict[str, Any], path: str, matches: bool) -> None:
    """FlowSchema v1, ResourcePolicyRule."""
    subjects = [{"kind": "User", "user": {"name": "jane"}}]
    schema = _schema({"subjects": subjects, "resourceRules": [{"verbs": ["*"], "apiGroups": [""], **rule}]})
    assert (matching.match([schema], User("jane"), parse("GET", path)) is schema) == matches
    assert matching.match([schema], User("john"), parse("GET", path)) is None


@pytest.mark.parametrize(
    ("subject", "matches"),
    [
        ({"kind": "User", "user": {"name": "*"}}, True),
        ({"kind": "Group", "group": {"name": "*"}}, True),
        ({"kind": "Group", "group": {"name": "system:serviceaccounts"}}, True),
        ({"kind": "Group", "group": {"name": "system:nodes"}}, False),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "shop", "name": "x"}}, True),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "shop", "name": "*"}}, True),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "sho", "name": "*"}}, False),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "shop", "name": "y"}}, False),
    ],
)
def test_subjects(subject: dict[str, Any], matches: bool) -> None:
    """FlowSchema v1, Subject."""
    schema = _schema({"subjects": [subject], "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]})
    assert (matching.match([schema], ACCOUNT, parse("GET", "/version")) is schema) == matches


def test_lower_precedence_is_asked_first_then_the_name_and_none_without_its_level() -> None:
    """matchingPrecedence: "matches are chosen with the numerically lowest"; equal ones by name."""
    rule = {"subjects": [], "resourceRules": []}
    schemas = [_schema(rule, 7, "c"), _schema(rule, 7, "b"), _schema(rule, 3, "d"), _schema(rule, 1, "a", "gone")]
    assert [s["metadata"]["name"] for s in matching.ordered(schemas, ["exempt"])] == ["d", "b", "c"]


def test_what_tells_flows_apart() -> None:
    """distinguisherMethod: ByUser, ByNamespace, or none."""
    asked = parse("GET", PODS)
    for by, told in (("ByUser", ACCOUNT.name), ("ByNamespace", "shop"), ("", "")):
        schema = _schema({})
        if by:
            schema["spec"]["distinguisherMethod"] = {"type": by}
        assert matching.distinguisher(schema, ACCOUNT, asked) == told
