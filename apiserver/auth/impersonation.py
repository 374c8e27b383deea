"""Acting as someone else, for those who may: the Impersonate-* headers.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
"""

from __future__ import annotations

from urllib.parse import unquote

from api.errors import BadRequest
from apiserver.auth.authorizer import Authorizer
from apiserver.auth.user import ANONYMOUS, UNAUTHENTICATED, User, authenticated
from apiserver.request import Request, RequestInfo

_USER, _GROUP, _UID, _EXTRA = b"impersonate-user", b"impersonate-group", b"impersonate-uid", b"impersonate-extra-"
_ACCOUNT = "system:serviceaccount:"
_AUTHENTICATION = "authentication.k8s.io"


def effective_user(request: Request, user: User, authorizer: Authorizer) -> User:
    """Whom `user` asks to be, else `user`. Forbidden without the right to be that user, group or uid."""
    name = request.header(_USER)
    groups = tuple(v.decode() for k, v in request.scope["headers"] if k == _GROUP)
    uid = request.header(_UID)
    extra: dict[str, list[str]] = {}
    for key, value in request.scope["headers"]:
        if key.startswith(_EXTRA):
            extra.setdefault(unquote(key.removeprefix(_EXTRA).decode()), []).append(value.decode())
    if not (name or groups or uid or extra):
        return user
    if not name:
        raise BadRequest("requested impersonation of a group, uid or extra without impersonating a user")
    if name.startswith(_ACCOUNT):
        namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
        _check(authorizer, user, "serviceaccounts", account, namespace=namespace)
        groups = groups or ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    else:
        _check(authorizer, user, "users", name)
    for group in groups:
        _check(authorizer, user, "groups", group)
    if uid:
        _check(authorizer, user, "uids", uid, group=_AUTHENTICATION)
    for key, values in extra.items():
        for value in values:
            _check(authorizer, user, "userextras", value, group=_AUTHENTICATION, subresource=key)
    wanted = User(name, groups, uid, extra)
    if name == ANONYMOUS.name:
        return User(name, groups or (UNAUTHENTICATED,), uid, extra)
    return authenticated(wanted)


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
