"""ID tokens of an OpenID Connect provider, and the other flags of authentication, on a server of their own.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#openid-connect-tokens
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.harness.apiserver import ApiServer
from tests.harness.etcd import EtcdServer
from tests.harness.eventually import eventually_sync
from tests.harness.provider import Provider
from tests.harness.raw import Raw
from tests.integration.test_credentials import who

ISSUER = "https://tokens.example"


@pytest.fixture(scope="module")
def provider(etcd_server: EtcdServer) -> Iterator[Provider]:
    made = Provider(etcd_server.pki)
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(
    etcd_server: EtcdServer, provider: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApiServer]:
    made = ApiServer(
        tmp_path_factory.mktemp("oidc"), etcd_server,
        "--oidc-issuer-url", provider.url, "--oidc-client-id", "sampan",
        "--oidc-ca-file", etcd_server.pki.file("ca.crt"), "--oidc-username-claim", "sub",
        "--oidc-groups-claim", "groups", "--oidc-groups-prefix", "oidc:", "--oidc-required-claim", "hd=example.com",
        "--service-account-issuer", ISSUER, "--service-account-issuer", "https://kubernetes.default.svc.cluster.local",
        "--service-account-jwks-uri", "https://tokens.example/keys", "--api-audiences", "sampan-api",
        "--service-account-max-token-expiration", "2h",
    )  # fmt: skip
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_id_tokens(server: ApiServer, provider: Provider) -> None:
    """The flags: claims, prefixes, required claims. What a token may lack, and what it may not."""
    good = provider.token(hd="example.com", jti="t-1")
    told = eventually_sync(lambda: who(server, good), "the keys are known")
    assert told == {
        "username": f"{provider.url}#jane", "groups": ["oidc:dev", "system:authenticated"],
        "extra": {"authentication.kubernetes.io/credential-id": ["JTI=t-1"]},
    }  # fmt: skip
    for changes, groups in (
        ({"groups": None}, ["system:authenticated"]),
        ({"groups": "ops"}, ["oidc:ops", "system:authenticated"]),
        ({"aud": ["other", "sampan"]}, ["oidc:dev", "system:authenticated"]),
    ):
        told = who(server, provider.token(hd="example.com", **changes))
        assert told is not None and told["groups"] == groups
    now = int(time.time())
    stranger = rsa.generate_private_key(65537, 2048)
    claims = provider.claims(hd="example.com")
    wrong = {
        "expired": provider.token(hd="example.com", exp=now - 1),
        "not yet valid": provider.token(hd="example.com", nbf=now + 400),
        "for another client": provider.token(hd="example.com", aud="other"),
        "for nobody": provider.token(hd="example.com", aud=None),
        "of another issuer": provider.token(hd="example.com", iss="https://other.example"),
        "without expiry": provider.token(hd="example.com", exp=None),
        "without the required claim": provider.token(),
        "of a wrong required claim": provider.token(hd="other.com"),
        "without a user": provider.token(hd="example.com", sub=None),
        "of an empty user": provider.token(hd="example.com", sub=""),
        "of groups that are none": provider.token(hd="example.com", groups={"a": 1}),
        "of a group that is none": provider.token(hd="example.com", groups=["a", 1]),
        "of another key": provider.token(hd="example.com", key=stranger),
        "of an unknown key": jwt.encode(claims, stranger, "RS256", headers={"kid": "two"}),
        "unsigned": jwt.encode(claims, None, "none", headers={"kid": "one"}),
        "of an algorithm that is not among the flags": jwt.encode(
            claims, provider.keys["one"], "RS512", {"kid": "one"}
        ),
    }
    assert [name for name, token in wrong.items() if who(server, token) is not None] == []
    assert who(server, good) is not None
    assert good not in (server.directory / "apiserver.log").read_text()


def test_keys_that_change(server: ApiServer, provider: Provider) -> None:
    """A token that names a new key is reason to look at the provider's keys again; what an old one signed ends."""
    old = provider.token(hd="example.com")
    eventually_sync(lambda: who(server, old), "the keys are known")
    provider.keys = {"next": rsa.generate_private_key(65537, 2048)}
    new = provider.token("next", hd="example.com")
    eventually_sync(lambda: who(server, new), "the new key is known")
    assert who(server, old) is None


def test_the_flags_of_accounts(server: ApiServer, apiserver: ApiServer, namespace: str) -> None:
    """service-accounts-admin/ and the kube-apiserver reference: issuers, audiences, the limit of a token's life. A
    token that another issuer of ours has made is good here."""
    raw = Raw(server.admin())
    document = raw.get("/.well-known/openid-configuration").json()
    assert (document["issuer"], document["jwks_uri"]) == (ISSUER, "https://tokens.example/keys")
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 86400}}
    made = raw.send("POST", path, body)
    raw.close()
    assert made.status_code == 201
    assert "requested expiration of 86400 seconds shortened to 7200 seconds" in made.headers["Warning"]
    assert made.json()["spec"] == {"audiences": ["sampan-api"], "expirationSeconds": 7200}
    token = made.json()["status"]["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["iss"], claims["exp"] - claims["iat"]) == (ISSUER, 7200)
    assert who(server, token) is not None
    assert who(apiserver, token) is None, "made in the name of an issuer that this server does not know"
    there = Raw(apiserver.admin())
    body["spec"] = {"audiences": ["sampan-api"]}
    elsewhere = there.send("POST", path, body).json()["status"]["token"]
    there.close()
    assert who(server, elsewhere) is not None


def test_an_authentication_configuration(
    etcd_server: EtcdServer, provider: Provider, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """authentication/#using-authentication-configuration, and #anonymous-authenticator-configuration"""
    directory = tmp_path_factory.mktemp("configured")
    file = directory / "authentication.yaml"
    file.write_text(json.dumps({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
        "jwt": [{
            "issuer": {"url": provider.url, "audiences": ["sampan", "other"], "audienceMatchPolicy": "MatchAny",
                       "certificateAuthority": Path(etcd_server.pki.file("ca.crt")).read_text()},
            "claimMappings": {"username": {"expression": "'p:' + claims.sub"},
                              "groups": {"expression": "claims.groups.map(g, 'p:' + g)"},
                              "extra": [{"key": "example.com/tenant", "valueExpression": "claims.tenant"}]},
            "userValidationRules": [{"expression": "user.username != 'p:root'"}],
        }],
        "anonymous": {"enabled": True, "conditions": [{"path": "/readyz"}]},
    }))  # fmt: skip
    server = ApiServer(directory, etcd_server, "--authentication-config", str(file))
    try:
        server.start()
        kid = next(iter(provider.keys))
        good = provider.token(kid, tenant="t", aud="other")
        told = eventually_sync(lambda: who(server, good), "the keys are known")
        assert told == {"username": "p:jane", "groups": ["p:dev", "system:authenticated"],
                        "extra": {"example.com/tenant": ["t"]}}  # fmt: skip
        for changes in ({"tenant": None}, {"sub": "root"}, {"aud": "else"}, {"groups": None}):
            assert who(server, provider.token(kid, **{"tenant": "t", **changes})) is None, changes
        nobody = Raw(server.anonymous())
        assert [nobody.get(path).status_code for path in ("/readyz", "/livez", "/version", "/api")] == [
            200,
            401,
            401,
            401,
        ]
        nobody.close()
    finally:
        server.stop()
