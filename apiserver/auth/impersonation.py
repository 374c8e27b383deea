"""Acting as someone else, for those who may: the Impersonate-* headers.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from api.errors import BadRequest
from apiserver.auth.authorizer import Authorizer
from apiserver.auth.user import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User
from apiserver.request import IMPERSONATION, Request, RequestInfo

_EXTRA = IMPERSONATION + b"extra-"
_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_ACCOUNT = re.compile(rf"system:serviceaccount:({_LABEL}):({_LABEL}(?:\.{_LABEL})*)", re.ASCII)
_AUTHENTICATION = "authentication.k8s.io"


def effective_user(request: Request, user: User, authorizer: Authorizer) -> User:
    """Whom `user` asks to be, else `user`. Forbidden without the right to be that user, group, uid and extra."""
    asked: dict[bytes, list[str]] = {}
    for header, value in request.scope["headers"]:
        if header.startswith(IMPERSONATION):
            asked.setdefault(header, []).append(_text(value))
    name, uid = (asked.get(IMPERSONATION + field, [""])[0] for field in (b"user", b"uid"))
    groups = tuple(asked.get(IMPERSONATION + b"group", ()))
    extra = {
        unquote(_text(header.removeprefix(_EXTRA))): values
        for header, values in asked.items()
        if header.startswith(_EXTRA)
    }
    if not (name or groups or uid or extra):
        return user
    if not name:
        raise BadRequest("requested impersonation of a group, uid or extra without impersonating a user")
    account = _ACCOUNT.fullmatch(name)
    if account is not None:
        _check(authorizer, user, "serviceaccounts", account[2], namespace=account[1])
    else:
        _check(authorizer, user, "users", name)
    for group in groups:
        _check(authorizer, user, "groups", group)
    if uid:
        _check(authorizer, user, "uids", uid, group=_AUTHENTICATION)
    for key, values in extra.items():
        for value in values:
            _check(authorizer, user, "userextras", value, group=_AUTHENTICATION, subresource=key)
    if account is not None and not groups:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{account[1]}")
    implied = UNAUTHENTICATED if name == ANONYMOUS.name else AUTHENTICATED
    if UNAUTHENTICATED not in groups and implied not in groups:
        groups = (*groups, implied)
    return User(name, groups, uid, extra)


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadRequest("an impersonation header is not UTF-8") from error


def _check(
    authorizer: Authorizer,
    user: User,
    resource: str,
    name: str,
    *,
    group: str = "",
    namespace: str = "",
    subresource: str = "",
) -> None:
    asked = RequestInfo(
        "", "impersonate", is_resource=True, group=group, resource=resource, subresource=subresource,
        namespace=namespace, name=name,
    )  # fmt: skip
    authorizer.check(user, asked)
