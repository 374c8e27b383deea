"""Who a connection stands for, what is told of whom, and what is registered for what is served."""

from __future__ import annotations

from typing import Any

import pytest

from api.builtin import BUILTIN
from api.kinds.flow_objects import LEVELS, SCHEMAS
from apiserver.aggregation.local import wanted
from apiserver.aggregation.remote import identity
from apiserver.auth.user import User
from apiserver.auth.x509 import FRONT_PROXY, REFUSED, Peers, told_by_proxy
from apiserver.flow.objects import dangling
from tests.harness.pki import Pki


def certificate(name: str, issuer: str, organization: str = "") -> dict[str, Any]:
    subject = [(("commonName", name),), *([(("organizationName", organization),)] if organization else [])]
    return {"subject": tuple(subject), "issuer": ((("commonName", issuer),),)}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.mark.parametrize(
    ("shown", "name"),
    [
        (certificate("jane", "sampan-ca", "devs"), "jane"),
        (certificate("front-proxy-client", "sampan-front-proxy-ca"), ""),
        (certificate("mallory", "sampan-front-proxy-ca", "system:masters"), None),
        (certificate("mallory", "another-ca", "system:masters"), None),
    ],
)
def test_a_certificate_stands_for_whom_its_authority_may_name(pki: Pki, shown: Any, name: str | None) -> None:
    peers = Peers(pki.file("ca.crt"), pki.file("front-proxy-ca.crt"), ("front-proxy-client",))
    user = peers.user(shown)
    assert user is not None
    assert (user is REFUSED) == (name is None)
    assert (user is FRONT_PROXY) == (name == "")
    assert user.name == (name or "")


def test_authorities_of_one_name_cannot_be_told_apart(pki: Pki) -> None:
    with pytest.raises(ValueError, match="hold authorities of the same name"):
        Peers(pki.file("ca.crt"), pki.file("ca.crt"), ())


def test_without_proxies_any_certificate_of_ours_is_a_clients(pki: Pki) -> None:
    user = Peers(pki.file("ca.crt"), "", ()).user(certificate("jane", "an-intermediate"))
    assert user is not None
    assert user.name == "jane"


def test_what_is_told_of_a_user_is_heard_as_it_was() -> None:
    """k8s.io/client-go/transport SetAuthProxyHeaders, k8s.io/apiserver/pkg/authentication/request/headerrequest"""
    user = User("änna", ("crew", "system:authenticated"), "7", {"example.com/boat name": ["a", "b"]})
    headers = identity(user)
    assert (b"x-remote-extra-example.com%2fboat%20name", b"a") in headers
    heard = told_by_proxy(headers)
    assert heard == user
    assert heard is not None
    assert heard.extra == user.extra
    assert told_by_proxy([(b"x-remote-group", b"system:masters")]) is None


def test_each_group_version_has_its_api_service() -> None:
    found = wanted(BUILTIN)
    assert found["v1."]["spec"] == {"version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1}
    assert found["v2.autoscaling"]["spec"]["versionPriority"] == 30
    assert found["v1.apps"]["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
    assert "v1.apiregistration.k8s.io" not in found


def test_every_flow_schema_of_ours_has_its_level() -> None:
    levels = {level["metadata"]["name"] for level in LEVELS}
    assert {dangling(schema, levels)["status"] for schema in SCHEMAS} == {"False"}
    missing = dangling(SCHEMAS[0], set())
    assert missing["message"] == (
        'This FlowSchema references the PriorityLevelConfiguration object named "exempt" but there is no such object'
    )
