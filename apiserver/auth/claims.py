"""From the claims of a token to a user, as an AuthenticationConfiguration says: claims by name, or CEL expressions.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#using-authentication-configuration ; an
expression that fails, or gives what it must not, makes the token one of nobody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from api.cel.program import CompileError, CostExceeded, EvaluationError, Program, compile
from api.cel.types import BOOL, DYN, STRING, Type, list_of
from api.meta import Obj
from apiserver.auth.user import User, authenticated
from apiserver.configfile import ConfigError

Claims = Mapping[str, Any]
_CREDENTIAL = "authentication.kubernetes.io/credential-id"
_EMAIL, _VERIFIED = re.compile(r"\bclaims\.email\b"), "claims.email_verified"


class Refused(Exception):
    """The claims are not as they must be."""


class Rules:
    """One entry of `jwt`. `user_of` says who it is. ConfigError, beginning with `where`, when the entry is wrong."""

    def __init__(self, jwt: Obj, where: str) -> None:
        mappings = jwt["claimMappings"]
        self._username = _Mapped(mappings["username"], f"{where}.claimMappings.username", (STRING,))
        self._groups = _Mapped(mappings.get("groups") or {}, f"{where}.claimMappings.groups", (STRING, list_of(STRING)))
        self._uid = _Mapped(mappings.get("uid") or {}, f"{where}.claimMappings.uid", (STRING,), prefixed=False)
        self._extra: dict[str, Program] = {}
        for index, extra in enumerate(mappings.get("extra") or []):
            at = f"{where}.claimMappings.extra[{index}]"
            if extra["key"] in self._extra or extra["key"] != extra["key"].lower() or "/" not in extra["key"]:
                raise ConfigError(f"{at}.key: must be a lower-case path with a domain, and given once")
            self._extra[extra["key"]] = _compiled(
                extra["valueExpression"], "claims", f"{at}.valueExpression", (STRING, list_of(STRING))
            )
        self._required: list[tuple[str, str]] = []
        self._claim_rules: list[Program] = []
        for index, rule in enumerate(jwt.get("claimValidationRules") or []):
            at = f"{where}.claimValidationRules[{index}]"
            if bool(rule.get("claim")) == bool(rule.get("expression")):
                raise ConfigError(f"{at}: claim or expression is needed, and not both")
            if rule.get("claim"):
                self._required.append((rule["claim"], rule.get("requiredValue") or ""))
            else:
                self._claim_rules.append(_compiled(rule["expression"], "claims", f"{at}.expression", (BOOL,)))
        self._user_rules = [
            _compiled(rule["expression"], "user", f"{where}.userValidationRules[{index}].expression", (BOOL,))
            for index, rule in enumerate(jwt.get("userValidationRules") or [])
        ]
        self._check_email(where)

    def _check_email(self, where: str) -> None:
        """Whoever goes by an address must make sure that it is the user's own."""
        source = self._username.source
        if not _EMAIL.search(source):
            return
        others = (program.source for program in (*self._extra.values(), *self._claim_rules))
        if not any(_VERIFIED in text for text in (source, *others)):
            raise ConfigError(f"{where}.claimMappings.username.expression: {_VERIFIED} must be used in it, in "
                              "extra[*].valueExpression or in claimValidationRules[*].expression")  # fmt: skip

    def user_of(self, claims: Claims) -> User | None:
        try:
            return self._user_of(claims)
        except (Refused, EvaluationError, CostExceeded):
            return None

    def _user_of(self, claims: Claims) -> User:
        if any(claims.get(claim) != value for claim, value in self._required):
            raise Refused
        if not all(rule.evaluate({"claims": claims}) is True for rule in self._claim_rules):
            raise Refused
        name = self._username.text(claims)
        if not name:
            raise Refused
        if self._username.claim == "email" and claims.get("email_verified", True) is not True:
            raise Refused
        groups = [group for group in self._groups.texts(claims) if group]
        extra = {key: [text for text in _texts(rule.evaluate({"claims": claims})) if text]
                 for key, rule in self._extra.items()}  # fmt: skip
        if isinstance(token_id := claims.get("jti"), str) and token_id:
            extra[_CREDENTIAL] = [f"JTI={token_id}"]
        found = User(
            name, tuple(groups), self._uid.text(claims), {key: values for key, values in extra.items() if values}
        )
        shown = {"username": found.name, "uid": found.uid, "groups": groups, "extra": found.extra}
        if not all(rule.evaluate({"user": shown}) is True for rule in self._user_rules):
            raise Refused
        return authenticated(found)


class _Mapped:
    """A claim with a prefix, or an expression; nothing when neither is given."""

    def __init__(self, mapping: Obj, where: str, results: tuple[Type, ...], *, prefixed: bool = True) -> None:
        self.claim, self.source = str(mapping.get("claim") or ""), str(mapping.get("expression") or "")
        self._prefix = mapping.get("prefix")
        if self.claim and self.source:
            raise ConfigError(f"{where}: claim and expression can't both be set")
        if self.source and self._prefix is not None:
            raise ConfigError(f"{where}.prefix: can't be set when expression is set")
        if self.claim and prefixed and self._prefix is None:
            raise ConfigError(f"{where}.prefix: must be set with claim; it can be an empty string")
        if not self.claim and not self.source and where.endswith("username"):
            raise ConfigError(f"{where}: claim or expression is required")
        self._program = _compiled(self.source, "claims", f"{where}.expression", results) if self.source else None

    def texts(self, claims: Claims) -> list[str]:
        return [f"{self._prefix or ''}{text}" for text in _texts(self._value(claims))]

    def text(self, claims: Claims) -> str:
        """Of what must be one; "" when it is not there or empty."""
        value = self._value(claims)
        if value is not None and not isinstance(value, str):
            raise Refused
        return f"{self._prefix or ''}{value}" if value else ""

    def _value(self, claims: Claims) -> Any:
        if self._program is not None:
            return self._program.evaluate({"claims": claims})
        return claims.get(self.claim) if self.claim else None


def _texts(value: Any) -> list[str]:
    """Of a string or a list of them."""
    if value is None:
        return []
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
        raise Refused
    return values


def _compiled(text: str, variable: str, where: str, results: tuple[Type, ...]) -> Program:
    try:
        program = compile(text, {variable: DYN})
    except CompileError as error:
        raise ConfigError(f"{where}: {error}") from error
    if not any(program.type in (DYN, result) or program.type.name == "list" == result.name for result in results):
        wanted = " or ".join(str(result) for result in results)
        raise ConfigError(f"{where}: must give {wanted}, gives {program.type}")
    return program
