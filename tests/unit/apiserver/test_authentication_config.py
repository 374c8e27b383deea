"""AuthenticationConfiguration: the documentation's example, what each of its rules refuses, and files that are wrong.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#using-authentication-configuration
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.meta import Obj
from apiserver import options
from apiserver.auth import configuration
from apiserver.auth.chain import Anonymous
from apiserver.auth.claims import Rules
from apiserver.configfile import ConfigError

DOCUMENTED: Obj = yaml.safe_load("""
issuer:
  url: https://example.com
  discoveryURL: https://discovery.example.com/.well-known/openid-configuration
  audiences: [my-app, my-other-app]
  audienceMatchPolicy: MatchAny
claimValidationRules:
- claim: hd
  requiredValue: example.com
- expression: 'claims.hd == "example.com"'
  message: the hd claim must be set to example.com
- expression: 'claims.exp - claims.nbf <= 86400'
  message: total token lifetime must not exceed 24 hours
claimMappings:
  username:
    expression: 'claims.username + ":external-user"'
  groups:
    expression: 'claims.roles.split(",")'
  uid:
    expression: 'claims.sub'
  extra:
  - key: 'example.com/tenant'
    valueExpression: 'claims.tenant'
userValidationRules:
- expression: "!user.username.startsWith('system:')"
  message: 'username cannot used reserved system: prefix'
- expression: "user.groups.all(group, !group.startsWith('system:'))"
  message: 'groups cannot used reserved system: prefix'
""")
CLAIMS = {
    "hd": "example.com", "exp": 1703232949, "nbf": 1703232049, "username": "foo", "roles": "user,admin",
    "sub": "auth", "tenant": "72f988bf-86f1-41af-91ab-2d7cd011db4a", "jti": "t",
}  # fmt: skip


def test_the_documented_example() -> None:
    found = Rules(DOCUMENTED, "jwt[0]").user_of(CLAIMS)
    assert found is not None
    assert (found.name, found.groups, found.uid) == (
        "foo:external-user", ("user", "admin", "system:authenticated"), "auth",
    )  # fmt: skip
    assert found.extra == {
        "example.com/tenant": [CLAIMS["tenant"]], "authentication.kubernetes.io/credential-id": ["JTI=t"],
    }  # fmt: skip


@pytest.mark.parametrize(
    "claims",
    [{"hd": "other.com"}, {"hd": None}, {"exp": 1803232949}, {"exp": "soon"}, {"username": "system:admin"},
     {"username": 7}, {"roles": "user,system:masters"}, {"roles": ["user"]}, {"sub": None}, {"tenant": 7}],
)  # fmt: skip
def test_claims_that_are_refused(claims: dict[str, Any]) -> None:
    changed = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    assert Rules(DOCUMENTED, "jwt[0]").user_of(changed) is None


@pytest.mark.parametrize(
    ("mappings", "claims", "name", "groups"),
    [
        ({"username": {"claim": "sub", "prefix": ""}}, {"sub": "jane"}, "jane", ()),
        ({"username": {"claim": "sub", "prefix": "p:"}}, {"sub": "jane"}, "p:jane", ()),
        ({"username": {"claim": "sub", "prefix": "p:"}}, {"sub": ""}, None, ()),
        ({"username": {"claim": "sub", "prefix": ""}}, {"sub": ["jane"]}, None, ()),
        ({"username": {"claim": "email", "prefix": ""}}, {"email": "a@b", "email_verified": False}, None, ()),
        ({"username": {"claim": "email", "prefix": ""}}, {"email": "a@b", "email_verified": True}, "a@b", ()),
        ({"username": {"claim": "sub", "prefix": ""}, "groups": {"claim": "g", "prefix": "p:"}},
         {"sub": "jane", "g": ["a", "b"]}, "jane", ("p:a", "p:b")),
        ({"username": {"claim": "sub", "prefix": ""}, "groups": {"claim": "g", "prefix": ""}},
         {"sub": "jane", "g": "a"}, "jane", ("a",)),
        ({"username": {"claim": "sub", "prefix": ""}, "groups": {"claim": "g", "prefix": ""}},
         {"sub": "jane", "g": [7]}, None, ()),
        ({"username": {"claim": "sub", "prefix": ""}, "groups": {"expression": "claims.?g.orValue([])"}},
         {"sub": "jane"}, "jane", ()),
        ({"username": {"expression": "claims.email_verified ? claims.email : ''"}},
         {"email": "a@b", "email_verified": False}, None, ()),
    ],
)  # fmt: skip
def test_mappings(mappings: Obj, claims: Obj, name: str | None, groups: tuple[str, ...]) -> None:
    found = Rules({"issuer": {}, "claimMappings": mappings}, "jwt[0]").user_of(claims)
    assert (found.name if found is not None else None) == name
    if found is not None:
        assert found.groups == (*groups, "system:authenticated")


def changed(path: str, value: Any) -> Obj:
    """The documented example with another value at `path`; None takes it out."""
    made = copy.deepcopy(DOCUMENTED)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    at: Any = made
    for part in parents:
        at = at[part]
    at[last] = value
    if value is None:
        del at[last]
    return made


WRONG = [
    (changed("issuer.url", "http://example.com"), "url: must be an https URL"),
    (changed("issuer.url", None), '"url" is a required property'),
    (changed("issuer.audiences", []), "audiences"),
    (changed("issuer.audienceMatchPolicy", None), "must be MatchAny for multiple audiences"),
    (changed("issuer.discoveryURL", "https://example.com"), "another discoveryURL"),
    (changed("issuer.port", 7), "port"),
    (changed("claimMappings.username", {}), "username: claim or expression is required"),
    (changed("claimMappings.username", {"claim": "sub"}), "username.prefix: must be set"),
    (changed("claimMappings.username", {"claim": "sub", "expression": "claims.sub"}), "can't both be set"),
    (changed("claimMappings.username", {"expression": "claims.sub +"}), "username.expression: "),
    (changed("claimMappings.username", {"expression": "1"}), "must give string, gives int"),
    (changed("claimMappings.username", {"expression": "claims.email"}), "claims.email_verified must be used"),
    (changed("claimMappings.uid", {"expression": "[claims.sub]"}), "uid.expression: must give string"),
    (changed("claimMappings.extra.0.key", "Example.com/tenant"), "must be a lower-case path"),
    (changed("claimValidationRules.0", {"claim": "hd", "expression": "true"}), "not both"),
    (changed("claimValidationRules.1", {"expression": "'a'"}), "must give bool"),
    (changed("userValidationRules.0.expression", "claims.sub == ''"), "undeclared reference to 'claims'"),
]


def load(directory: Path, document: Obj, *flags: str) -> configuration.Ways:
    file = directory / "authentication.yaml"
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}
    file.write_text(yaml.safe_dump({**head, **document}))
    common = (
        "--tls-cert-file",
        "x",
        "--tls-private-key-file",
        "x",
        "--etcd-servers",
        "x",
        "--bind-address",
        "127.0.0.1",
    )
    return configuration.load(options.parse([*common, "--authentication-config", str(file), *flags]))


@pytest.mark.parametrize(("jwt", "text"), WRONG)
def test_files_that_are_wrong(tmp_path: Path, jwt: Obj, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {"jwt": [jwt]})
    assert text in str(caught.value)


def test_what_excludes_each_other(tmp_path: Path) -> None:
    other = {**DOCUMENTED, "issuer": {**DOCUMENTED["issuer"], "url": "https://other.example"}}
    ours = {**DOCUMENTED, "issuer": {"url": "https://kubernetes.default.svc.cluster.local", "audiences": ["a"]}}
    for document, flags, text in (
        ({"jwt": [DOCUMENTED, DOCUMENTED]}, (), "two issuers have the same URL"),
        ({"jwt": [DOCUMENTED, other]}, (), "two issuers have the same URL"),
        ({"jwt": [ours]}, (), "must not be a --service-account-issuer"),
        ({}, ("--oidc-issuer-url", "https://x", "--oidc-client-id", "a"), "exclude each other"),
        ({"anonymous": {"enabled": True}}, ("--anonymous-auth", "true"), "exclude each other"),
        (
            {"anonymous": {"enabled": False, "conditions": [{"path": "/x"}]}},
            (),
            "must not be set when enabled is false",
        ),
    ):
        with pytest.raises(ConfigError, match=text):
            load(tmp_path, document, *flags)


def test_anonymity(tmp_path: Path) -> None:
    """authentication/#anonymous-authenticator-configuration"""
    conditions = [{"path": "/livez"}, {"path": "/readyz"}]
    anonymous = load(tmp_path, {"anonymous": {"enabled": True, "conditions": conditions}}).anonymous
    assert [anonymous.at(path) for path in ("/livez", "/livez/", "/livez/ping", "/healthz")] == [True, *[False] * 3]
    assert load(tmp_path, {}).anonymous == Anonymous()
    assert not load(tmp_path, {"anonymous": {"enabled": False}}).anonymous.at("/livez")
    assert not load(tmp_path, {}, "--anonymous-auth", "false").anonymous.at("/livez")


def test_what_a_provider_is_asked(tmp_path: Path) -> None:
    (provider,) = load(tmp_path, {"jwt": [DOCUMENTED]}).providers
    assert provider.discovery == DOCUMENTED["issuer"]["discoveryURL"]
    assert provider.audiences == {"my-app", "my-other-app"}
    assert replace(provider, discovery_url="").discovery == "https://example.com/.well-known/openid-configuration"
