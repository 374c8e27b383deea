"""Paths taken apart as upstream's RequestInfo does (k8s.io/apiserver/pkg/endpoints/request/requestinfo_test.go)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.request import parse

# method, path, verb, group, version, namespace, resource, subresource, name
CASES = [
    ("GET", "/api/v1/namespaces", "list", "", "v1", "", "namespaces", "", ""),
    ("GET", "/api/v1/namespaces/other", "get", "", "v1", "other", "namespaces", "", "other"),
    ("GET", "/api/v1/namespaces/other/pods", "list", "", "v1", "other", "pods", "", ""),
    ("GET", "/api/v1/namespaces/other/pods/foo", "get", "", "v1", "other", "pods", "", "foo"),
    ("HEAD", "/api/v1/namespaces/other/pods/foo", "get", "", "v1", "other", "pods", "", "foo"),
    ("GET", "/api/v1/pods", "list", "", "v1", "", "pods", "", ""),
    ("GET", "/api/v1/pods/", "list", "", "v1", "", "pods", "", ""),
    ("GET", "/api/v1/nodes/n1", "get", "", "v1", "", "nodes", "", "n1"),
    ("GET", "/api/v1/watch/pods", "watch", "", "v1", "", "pods", "", ""),
    ("GET", "/api/v1/watch/namespaces/other/pods", "watch", "", "v1", "other", "pods", "", ""),
    ("GET", "/api/v1/watch/namespaces/other/pods/foo", "watch", "", "v1", "other", "pods", "", "foo"),
    ("GET", "/api/v1/namespaces/other/pods/foo/log", "get", "", "v1", "other", "pods", "log", "foo"),
    ("POST", "/api/v1/namespaces/other/pods/foo/binding", "create", "", "v1", "other", "pods", "binding", "foo"),
    ("PUT", "/api/v1/namespaces/other/finalize", "update", "", "v1", "other", "namespaces", "finalize", "other"),
    ("PATCH", "/api/v1/namespaces/other/status", "patch", "", "v1", "other", "namespaces", "status", "other"),
    ("POST", "/api/v1/namespaces/other/pods", "create", "", "v1", "other", "pods", "", ""),
    ("DELETE", "/api/v1/namespaces/other/pods/foo", "delete", "", "v1", "other", "pods", "", "foo"),
    ("DELETE", "/api/v1/namespaces/other/pods", "deletecollection", "", "v1", "other", "pods", "", ""),
    ("GET", "/apis/apps/v1/namespaces/other/deployments/d/scale", "get", "apps", "v1", "other", "deployments",
     "scale", "d"),
    ("PUT", "/apis/apps/v1/namespaces/other/deployments/d", "update", "apps", "v1", "other", "deployments", "", "d"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", *"vgVnrsN"), CASES, ids=[f"{c[0]} {c[1]}" for c in CASES])
def test_resource_paths(method: str, path: str, v: str, g: str, V: str, n: str, r: str, s: str, N: str) -> None:
    info = parse(method, path)
    assert info.is_resource
    assert (info.verb, info.group, info.version) == (v, g, V)
    assert (info.namespace, info.resource, info.subresource, info.name) == (n, r, s, N)


@pytest.mark.parametrize(
    "path", ["/", "/version", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1/", "/healthz/etcd"]
)
def test_other_paths_name_no_resource(path: str) -> None:
    info = parse("GET", path)
    assert not info.is_resource
    assert info.verb == "get"
    assert info.path == path


@pytest.mark.parametrize(
    ("query", "verb"),
    [("watch=true", "watch"), ("watch=1", "watch"), ("watch", "watch"), ("watch=false", "list"), ("watch=0", "list"),
     ("labelSelector=watch%3Dtrue", "list")],
)  # fmt: skip
def test_the_query_makes_a_list_a_watch(query: str, verb: str) -> None:
    assert parse("GET", "/api/v1/pods", query).verb == verb


def test_a_get_of_one_object_is_never_a_watch() -> None:
    assert parse("GET", "/api/v1/namespaces/a/pods/b", "watch=true").verb == "get"


@given(st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "BREW"]), st.text(max_size=60), st.text(max_size=30))
def test_every_path_has_a_reading(method: str, path: str, query: str) -> None:
    parse(method, "/" + path, query)
    parse(method, "/api/v1/" + path, query)


@pytest.mark.parametrize(
    ("method", "query", "verb", "name"),
    [
        ("GET", "fieldSelector=metadata.name%3Dfoo", "list", "foo"),
        ("GET", "watch=1&fieldSelector=metadata.name==foo,spec.nodeName=n", "watch", "foo"),
        ("DELETE", "fieldSelector=metadata.name=foo", "deletecollection", "foo"),
        ("GET", "fieldSelector=metadata.name!=foo", "list", ""),
        ("GET", "fieldSelector=metadata.name=a/b", "list", ""),
        ("GET", "fieldSelector=spec.nodeName=n&labelSelector=metadata.name=foo", "list", ""),
        ("GET", "fieldSelector=&fieldSelector=metadata.name=foo", "list", ""),
        ("GET", "fieldSelector=metadata.namespace!=a%5C,metadata.name=foo", "list", ""),
    ],
)
def test_a_selected_name_counts_as_named(method: str, query: str, verb: str, name: str) -> None:
    """So that a grant on one object (RBAC resourceNames) lets its holder list and watch just that one:
    https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-resources"""
    info = parse(method, "/api/v1/namespaces/other/pods", query)
    assert (info.verb, info.name) == (verb, name)
