"""The CEL library that asks what somebody may do: `authorizer.group('apps').resource('deployments').check('get')`.

Pure: who decides is a callable that comes with the value. A check costs as much as a third of an expression may.
Source: https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-authorizer-library and
k8s.io/apiserver/pkg/cel/library/authz.go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from api import validation
from api.cel.functions import define
from api.cel.types import Field, Type, object_of
from api.cel.values import EvaluationError

_PACKAGE = "kubernetes.authorization"
_AUTHORIZER, _PATH, _GROUP, _RESOURCE, _DECISION = (
    f"{_PACKAGE}.{name}" for name in ("Authorizer", "PathCheck", "GroupCheck", "ResourceCheck", "Decision")
)
AUTHORIZER = object_of(_AUTHORIZER, {"requestResource": Field(Type(_RESOURCE), "requestResource")})
CHECK_COST = 350_000


@dataclass(frozen=True, slots=True)
class Question:
    """A path, or else a resource of a group, and what would be done to it."""

    verb: str = ""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    fields: str = ""
    labels: str = ""
    account: str = ""
    """The service account, `namespace/name`, that would do it; "" = whoever makes the request."""


class Decision(NamedTuple):
    allowed: bool
    reason: str = ""
    error: str = ""

    @property
    def cel_type(self) -> str:
        return _DECISION


Decide = Callable[[Question], Decision]


@dataclass(frozen=True, slots=True)
class _Check:
    """A question in the making."""

    cel_type: str
    decide: Decide
    question: Question
    own: Question | None = None

    def __getitem__(self, name: str) -> _Check:
        """`authorizer.requestResource`."""
        if self.own is None:
            raise KeyError(name)
        return _Check(_RESOURCE, self.decide, self.own)


def authorizer(decide: Decide, own: Question) -> Any:
    """The variable `authorizer`. `own` is what the request itself is about."""
    return _Check(_AUTHORIZER, decide, Question(), own)


def _asking(about: str, field: str, *, filled: bool = False) -> Callable[[_Check, str], _Check]:
    def ask(check: _Check, value: str) -> _Check:
        if filled and not value.strip():
            raise EvaluationError(f"{field} must not be empty")
        return _Check(about, check.decide, replace(check.question, **{field: value}))

    return ask


def _service_account(check: _Check, namespace: str, name: str) -> _Check:
    if validation.dns_subdomain(name, ""):
        raise EvaluationError("Invalid service account name")
    if validation.dns_label(namespace, ""):
        raise EvaluationError("Invalid service account namespace")
    return _Check(_AUTHORIZER, check.decide, Question(account=f"{namespace}/{name}"))


def _decided(check: _Check, verb: str) -> Decision:
    return check.decide(replace(check.question, verb=verb))


def _work(*_: float) -> float:
    return CHECK_COST


define([
    (".path", f"{_AUTHORIZER}, string", _PATH, _asking(_PATH, "path", filled=True)),
    (".group", f"{_AUTHORIZER}, string", _GROUP, _asking(_GROUP, "group")),
    (".serviceAccount", f"{_AUTHORIZER}, string, string", _AUTHORIZER, _service_account),
    (".resource", f"{_GROUP}, string", _RESOURCE, _asking(_RESOURCE, "resource", filled=True)),
    (".subresource", f"{_RESOURCE}, string", _RESOURCE, _asking(_RESOURCE, "subresource")),
    (".namespace", f"{_RESOURCE}, string", _RESOURCE, _asking(_RESOURCE, "namespace")),
    (".name", f"{_RESOURCE}, string", _RESOURCE, _asking(_RESOURCE, "name")),
    (".fieldSelector", f"{_RESOURCE}, string", _RESOURCE, _asking(_RESOURCE, "fields")),
    (".labelSelector", f"{_RESOURCE}, string", _RESOURCE, _asking(_RESOURCE, "labels")),
    (".check", f"{_PATH}, string", _DECISION, _decided, _work),
    (".check", f"{_RESOURCE}, string", _DECISION, _decided, _work),
    (".allowed", _DECISION, "bool", lambda d: d.allowed),
    (".reason", _DECISION, "string", lambda d: d.reason),
    (".errored", _DECISION, "bool", lambda d: bool(d.error)),
    (".error", _DECISION, "string", lambda d: d.error),
])  # fmt: skip
