"""The table of grants, by identity: what each may and, more to the point, may not."""

from __future__ import annotations

import pytest

from api.errors import Forbidden
from apiserver.auth.authorizer import Authorizer
from apiserver.auth.user import ANONYMOUS, User, authenticated
from apiserver.request import RequestInfo, parse

ADMIN = authenticated(User("kubernetes-admin", ("system:masters",)))
NODE = authenticated(User("system:node:n1", ("system:nodes",)))
SCHEDULER = authenticated(User("system:kube-scheduler"))
CONTROLLER = authenticated(User("system:kube-controller-manager"))
PROXY = authenticated(User("system:kube-proxy"))
JANE = authenticated(User("jane", ("dev",)))

ALLOWED = [
    (ADMIN, "DELETE", "/api/v1/namespaces/kube-system/secrets/x"),
    (ADMIN, "GET", "/metrics"),
    (NODE, "GET", "/api/v1/pods"),
    (NODE, "GET", "/api/v1/namespaces/a/secrets/s"),
    (NODE, "POST", "/api/v1/nodes"),
    (NODE, "PATCH", "/api/v1/namespaces/a/pods/p/status"),
    (NODE, "PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1"),
    (NODE, "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews"),
    (NODE, "POST", "/api/v1/namespaces/a/events"),
    (SCHEDULER, "POST", "/api/v1/namespaces/a/pods/p/binding"),
    (SCHEDULER, "POST", "/api/v1/namespaces/a/bindings"),
    (SCHEDULER, "PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler"),
    (CONTROLLER, "POST", "/api/v1/namespaces/a/pods"),
    (CONTROLLER, "PUT", "/api/v1/namespaces/a/finalize"),
    (PROXY, "GET", "/apis/discovery.k8s.io/v1/endpointslices"),
    (JANE, "GET", "/api/v1"),
    (JANE, "GET", "/apis/apps/v1/"),
    (JANE, "GET", "/openapi/v3/api/v1"),
    (JANE, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
    (ANONYMOUS, "GET", "/healthz"),
    (ANONYMOUS, "GET", "/livez/ping"),
    (ANONYMOUS, "GET", "/readyz/"),
    (ANONYMOUS, "GET", "/version"),
]
REFUSED = [
    (NODE, "DELETE", "/api/v1/namespaces/a/services/s"),
    (NODE, "POST", "/api/v1/namespaces/a/secrets"),
    (NODE, "PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler"),
    (NODE, "POST", "/api/v1/namespaces/a/pods/p/exec"),
    (SCHEDULER, "GET", "/api/v1/namespaces/a/secrets/s"),
    (SCHEDULER, "POST", "/api/v1/namespaces/a/pods"),
    (SCHEDULER, "PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/kube-scheduler"),
    (PROXY, "GET", "/api/v1/namespaces/a/secrets/s"),
    (PROXY, "PATCH", "/api/v1/namespaces/a/services/s"),
    (CONTROLLER, "GET", "/metrics"),
    (JANE, "GET", "/api/v1/namespaces/a/pods"),
    (JANE, "GET", "/api/v1/namespaces/a"),
    (JANE, "GET", "/metrics"),
    (JANE, "GET", "/apisx"),
    (JANE, "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews"),
    (User("system:masters"), "GET", "/api/v1/pods"),
    (User("system:nodes"), "GET", "/api/v1/pods"),
    (ANONYMOUS, "GET", "/api"),
    (ANONYMOUS, "GET", "/healthzz"),
    (ANONYMOUS, "POST", "/healthz"),
    (ANONYMOUS, "GET", "/api/v1/pods"),
]


def _ids(cases: list[tuple[User, str, str]]) -> list[str]:
    return [f"{user.name} {method} {path}" for user, method, path in cases]


@pytest.mark.parametrize(("user", "method", "path"), ALLOWED, ids=_ids(ALLOWED))
def test_allowed(user: User, method: str, path: str) -> None:
    assert Authorizer().allows(user, parse(method, path))


@pytest.mark.parametrize(("user", "method", "path"), REFUSED, ids=_ids(REFUSED))
def test_refused(user: User, method: str, path: str) -> None:
    assert not Authorizer().allows(user, parse(method, path))


@pytest.mark.parametrize(
    ("method", "path", "text"),
    [
        ("GET", "/api/v1/namespaces/default/pods",
         'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"'),
        ("GET", "/apis/apps/v1/deployments",
         'deployments.apps is forbidden: User "jane" cannot list resource "deployments" in API group "apps" '
         "at the cluster scope"),
        ("GET", "/api/v1/namespaces/default/pods/web/log",
         'pods "web" is forbidden: User "jane" cannot get resource "pods/log" in API group "" '
         'in the namespace "default"'),
        ("GET", "/metrics", 'forbidden: User "jane" cannot get path "/metrics"'),
    ],
)  # fmt: skip
def test_the_refusal_is_worded_as_upstream(method: str, path: str, text: str) -> None:
    with pytest.raises(Forbidden) as caught:
        Authorizer().check(JANE, parse(method, path))
    assert caught.value.message == text


def test_a_review_without_a_group_asks_for_the_core_group() -> None:
    asked = RequestInfo("", "get", is_resource=True, resource="pods", namespace="a")
    assert Authorizer().allows(NODE, asked)
