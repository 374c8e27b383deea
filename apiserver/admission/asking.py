"""The variable `authorizer` of admission expressions: the server's own authorizer, asked about a request's user."""

from __future__ import annotations

from typing import Any

from api.cel.authorization import Decision, Question, authorizer
from apiserver.admission.chain import Attempt
from apiserver.admission.review import namespace_of
from apiserver.auth.authorizer import Authorizer
from apiserver.auth.user import User
from apiserver.request import RequestInfo, selected_name


def variable(decider: Authorizer, attempt: Attempt) -> Any:
    """`authorizer` as the expressions for this attempt see it."""
    res = attempt.res
    own = Question(
        group=res.group, resource=res.plural, subresource=attempt.subresource, namespace=namespace_of(attempt),
        name=attempt.name,
    )  # fmt: skip

    def decide(question: Question) -> Decision:
        user = _account(question.account) if question.account else attempt.user
        return Decision(*decider.decide(user, _info(question)))

    return authorizer(decide, own)


def _account(account: str) -> User:
    namespace, _, name = account.partition("/")
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return User(f"system:serviceaccount:{namespace}:{name}", groups)


def _info(asked: Question) -> RequestInfo:
    if asked.path:
        return RequestInfo(asked.path, asked.verb)
    return RequestInfo(
        "", asked.verb, is_resource=True, group=asked.group, version="*", resource=asked.resource,
        namespace=asked.namespace, name=asked.name or selected_name(asked.fields), subresource=asked.subresource,
        fields=asked.fields,
    )  # fmt: skip
