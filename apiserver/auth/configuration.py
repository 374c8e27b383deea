"""Who may get in by which tokens, from the flags and an AuthenticationConfiguration (--authentication-config).

https://kubernetes.io/docs/reference/config-api/apiserver-config.v1/#apiserver-config-k8s-io-v1-AuthenticationConfiguration
The file is read once, when the server starts.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from api.meta import Obj
from apiserver import configfile
from apiserver.auth.chain import Anonymous
from apiserver.auth.claims import Rules
from apiserver.auth.oidc import ALGORITHMS, Provider
from apiserver.configfile import ConfigError, Kinds
from apiserver.options import Options

_TEXT, _LIST = {"type": "string"}, "array"


def _object(*required: str, **properties: Obj) -> Obj:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


_MAPPING = _object(claim=_TEXT, prefix=_TEXT, expression=_TEXT)
_RULE = _object("expression", expression={"type": "string", "minLength": 1}, message=_TEXT)
_JWT = _object(
    "issuer",
    "claimMappings",
    issuer=_object(
        "url",
        "audiences",
        url=_TEXT,
        discoveryURL=_TEXT,
        certificateAuthority=_TEXT,
        audiences={"type": _LIST, "items": {"type": "string", "minLength": 1}, "minItems": 1, "uniqueItems": True},
        audienceMatchPolicy={"enum": ["", "MatchAny"]},
    ),
    claimMappings=_object(
        "username",
        username=_MAPPING,
        groups=_MAPPING,
        uid=_object(claim=_TEXT, expression=_TEXT),
        extra={"type": _LIST, "items": _object("key", "valueExpression", key=_TEXT, valueExpression=_TEXT)},
    ),
    claimValidationRules={
        "type": _LIST,
        "items": _object(claim=_TEXT, requiredValue=_TEXT, expression=_TEXT, message=_TEXT),
    },
    userValidationRules={"type": _LIST, "items": _RULE},
)
_ANONYMOUS = _object(
    "enabled", enabled={"type": "boolean"}, conditions={"type": _LIST, "items": _object("path", path=_TEXT)}
)
_FILE: Obj = {"properties": {"jwt": {"type": _LIST, "items": _JWT, "maxItems": 64}, "anonymous": _ANONYMOUS}}
_KINDS: Kinds = {
    (f"apiserver.config.k8s.io/{version}", "AuthenticationConfiguration"): _FILE for version in ("v1", "v1beta1")
}


class Ways(NamedTuple):
    providers: list[Provider]
    anonymous: Anonymous


def load(options: Options) -> Ways:
    """ConfigError when the file cannot be used."""
    path = options.authentication_config
    if not path:
        providers = [options.oidc.provider()] if options.oidc is not None else []
        return Ways(providers, Anonymous(options.anonymous is not False))
    if options.oidc is not None:
        raise ConfigError(f"{path}: --authentication-config and --oidc-issuer-url exclude each other")
    document = configfile.read(path, _KINDS)
    providers = [_provider(jwt, f"{path}: jwt[{index}]") for index, jwt in enumerate(document.get("jwt") or [])]
    for found in ([p.issuer for p in providers], [p.discovery for p in providers]):
        if len(set(found)) < len(found):
            raise ConfigError(f"{path}: two issuers have the same URL")
    for issuer in {provider.issuer for provider in providers} & set(options.account_issuers):
        raise ConfigError(f"{path}: {issuer} must not be a --service-account-issuer, too")
    return Ways(providers, _anonymous(document.get("anonymous"), options, path))


def _provider(jwt: Obj, where: str) -> Provider:
    issuer = jwt["issuer"]
    for field in ("url", "discoveryURL"):
        if issuer.get(field, "https://") and not str(issuer.get(field, "https://")).startswith("https://"):
            raise ConfigError(f"{where}.issuer.{field}: must be an https URL")
    if not issuer["url"] or issuer.get("discoveryURL") == issuer["url"]:
        raise ConfigError(f"{where}.issuer: url is needed, and another discoveryURL, if any")
    audiences: Collection[str] = issuer["audiences"]
    if len(audiences) > 1 and not issuer.get("audienceMatchPolicy"):
        raise ConfigError(f"{where}.issuer.audienceMatchPolicy: must be MatchAny for multiple audiences")
    return Provider(
        issuer["url"],
        frozenset(audiences),
        Rules(jwt, where).user_of,
        issuer.get("discoveryURL") or "",
        ca_data=issuer.get("certificateAuthority") or "",
        algorithms=ALGORITHMS,
    )


def _anonymous(given: Obj | None, options: Options, path: str) -> Anonymous:
    if given is None:
        return Anonymous(options.anonymous is not False)
    if options.anonymous is not None:
        raise ConfigError(f"{path}: anonymous and --anonymous-auth exclude each other")
    conditions = given.get("conditions")
    if conditions and not given["enabled"]:
        raise ConfigError(f"{path}: anonymous.conditions: must not be set when enabled is false")
    return Anonymous(given["enabled"], frozenset(one["path"] for one in conditions) if conditions else None)
