"""What port-forward, proxy and cp make of their arguments. Source: kubectl's own help of each verb."""

from __future__ import annotations

import pytest

from api.meta import Obj
from kubectl.failures import CliError
from kubectl.verbs.cp import _place
from kubectl.verbs.port_forward import split
from kubectl.verbs.proxy import Filter

POD: Obj = {
    "metadata": {"name": "web"},
    "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]},
}
SERVICE: Obj = {
    "metadata": {"name": "web"},
    "spec": {
        "clusterIP": "10.96.0.9",
        "ports": [{"name": "web", "port": 80, "targetPort": "http"}, {"name": "raw", "port": 81, "targetPort": 9000}],
    },
}


@pytest.mark.parametrize(
    ("text", "service", "found"),
    [
        ("8080", None, (8080, 8080)),
        ("80:8080", None, (80, 8080)),
        (":8080", None, (0, 8080)),
        ("http", None, (8080, 8080)),
        ("5000:http", None, (5000, 8080)),
        ("80", SERVICE, (80, 8080)),
        ("8888:web", SERVICE, (8888, 8080)),
        (":81", SERVICE, (0, 9000)),
    ],
)
def test_ports_to_forward(text: str, service: Obj | None, found: tuple[int, int]) -> None:
    assert split(text, POD, service) == found


@pytest.mark.parametrize(
    ("text", "service", "why"),
    [
        ("grpc", None, "Pod 'web' does not have a named port 'grpc'"),
        ("82", SERVICE, "Service web does not have a service port 82"),
        ("x:80", None, "error parsing local port 'x'"),
    ],
)
def test_ports_that_are_none(text: str, service: Obj | None, why: str) -> None:
    with pytest.raises(CliError, match=why):
        split(text, POD, service)


@pytest.mark.parametrize(
    ("method", "path", "host", "allowed"),
    [
        ("GET", "/api/v1/pods", "localhost:8001", True),
        ("GET", "/api/v1/pods", "127.0.0.1:8001", True),
        ("GET", "/api/v1/pods", "[::1]:8001", True),
        ("GET", "/api/v1/pods", "evil.example:8001", False),
        ("POST", "/api/v1/namespaces/a/pods/b/exec", "localhost", False),
        ("GET", "/api/v1/namespaces/a/pods/b/attach", "localhost", False),
        ("DELETE", "/api/v1/namespaces/a/pods/b", "localhost", True),
    ],
)
def test_what_a_proxy_lets_through(method: str, path: str, host: str, allowed: bool) -> None:
    """The defaults: from this machine alone, and no shells."""
    rules = Filter(
        "^.*", "^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach", r"^localhost$,^127\.0\.0\.1$,^\[::1\]$", "^$"
    )
    assert rules.allows(method, path, host) is allowed


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("web:/tmp/x", ("web", "/tmp/x")),
        ("ns/web:x", ("ns/web", "x")),
        ("/tmp/a:b", ("", "/tmp/a:b")),
        ("./a:b", ("", "./a:b")),
        ("file", ("", "file")),
    ],
)
def test_where_a_file_is(text: str, place: tuple[str, str]) -> None:
    assert _place(text) == place
