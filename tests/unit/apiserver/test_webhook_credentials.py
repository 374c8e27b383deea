"""By what the server shows admission webhooks who it is.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#authenticate-apiservers
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from api.meta import Obj
from apiserver.admission.webhooks.credentials import Credentials
from apiserver.configfile import ConfigError
from apiserver.webhooks import ANONYMOUS
from deploy.certificates import Pair, Request, issue, new_authority

NOW = datetime.now(UTC)
NAME = "ValidatingAdmissionWebhook"


@pytest.fixture(scope="module")
def pair() -> Pair:
    return issue(new_authority("ca", NOW), Request("apiserver", client=True), NOW)


def credentials(path: Path, users: list[Obj]) -> Credentials:
    (path / "config").write_bytes(orjson.dumps({"apiVersion": "v1", "kind": "Config", "users": users}))
    configuration = {
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration",
        "kubeConfigFile": str(path / "config"),
    }  # fmt: skip
    return Credentials(NAME, configuration)


def service(name: str, namespace: str, port: int = 443) -> Obj:
    return {"service": {"name": name, "namespace": namespace, "port": port}}


def test_the_users_of_the_documentation(tmp_path: Path, pair: Pair) -> None:
    (tmp_path / "key").write_bytes(pair.key)
    certificate = base64.b64encode(pair.certificate).decode()
    known = credentials(
        tmp_path,
        [
            {"name": "webhook1.ns1.svc", "user": {"client-certificate-data": certificate, "client-key": "key"}},
            {"name": "*.webhook-company.org", "user": {"password": "pass", "username": "who"}},
            {"name": "webhook2.ns1.svc:8443", "user": {"token": "port"}},
            {"name": "*", "user": {"token": "any"}},
        ],
    )
    assert known.of(service("webhook1", "ns1")).certificate == pair.certificate + b"\n" + pair.key
    assert known.of(service("webhook1", "ns1", 8443)).authorization == "Bearer any"
    assert known.of(service("webhook2", "ns1", 8443)).authorization == "Bearer port"
    basic = base64.b64encode(b"who:pass").decode()
    assert known.of({"url": "https://a.webhook-company.org/x"}).authorization == f"Basic {basic}"
    assert known.of({"url": "https://webhook-company.org"}).authorization == "Bearer any"


def test_without_a_user_nobody_is_told_who_calls(tmp_path: Path) -> None:
    assert Credentials(NAME, None).of(service("a", "b")) is ANONYMOUS
    assert credentials(tmp_path, [{"name": "x.y.svc", "user": {"token": "t"}}]).of(service("a", "b")) is ANONYMOUS


@pytest.mark.parametrize(
    ("user", "why"),
    [
        ({"exec": {"command": "x"}}, "Additional properties are not allowed"),
        ({"client-certificate-data": "c2VjcmV0"}, "a client certificate and its key must be given together"),
        ({"client-certificate-data": "c2VjcmV0", "client-key-data": "c2VjcmV0"}, "do not fit"),
        ({"client-certificate-data": "*secret*", "client-key-data": "c2VjcmV0"}, "is not base64"),
        ({"client-certificate": "nowhere", "client-key": "nowhere"}, "No such file"),
        ({"token": "secret", "username": "secret"}, "cannot both be given"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, user: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        credentials(tmp_path, [{"name": "*", "user": user}])
    assert "secret" not in str(refused.value)
