"""Acting as somebody else: who one is then, and what one must be allowed.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation ; the groups that are implied
are those of k8s.io/apiserver/pkg/endpoints/filters/impersonation
"""

from __future__ import annotations

from typing import Any

import pytest

from api.errors import BadRequest, Forbidden
from apiserver.auth.authorizer import Authorizer
from apiserver.auth.impersonation import effective_user
from apiserver.auth.user import User
from apiserver.request import Request, RequestInfo

ASKER = User("asker", ("system:authenticated",))


class Noting(Authorizer):
    """Allows all but what is named, and notes what it was asked."""

    def __init__(self, *refused: str) -> None:
        super().__init__([])
        self.refused, self.asked = refused, list[str]()

    def check(self, user: User, asked: RequestInfo) -> None:
        assert user is ASKER and asked.verb == "impersonate"
        resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
        what = f"{asked.group}:{resource} {asked.namespace}/{asked.name}"
        self.asked.append(what)
        if what in self.refused:
            raise Forbidden("no")


def request(*headers: tuple[str, str]) -> Request:
    scope: dict[str, Any] = {
        "method": "GET", "path": "/api", "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
    }  # fmt: skip

    async def receive() -> Any:
        return {}

    return Request(scope, receive)


USER, GROUP, UID = "Impersonate-User", "Impersonate-Group", "Impersonate-Uid"
EXTRA = "Impersonate-Extra-"
AUTHENTICATED, UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"
BOT = "system:serviceaccount:team:bot"


@pytest.mark.parametrize(
    ("headers", "expected", "asked"),
    [
        (((USER, "jane"),), User("jane", (AUTHENTICATED,)), [":users /jane"]),
        (
            ((USER, "jane"), (GROUP, "devs"), (GROUP, "ops")),
            User("jane", ("devs", "ops", AUTHENTICATED)),
            [":users /jane", ":groups /devs", ":groups /ops"],
        ),
        (((USER, "jane"), (GROUP, UNAUTHENTICATED)), User("jane", (UNAUTHENTICATED,)), None),
        (((USER, "jane"), (GROUP, AUTHENTICATED)), User("jane", (AUTHENTICATED,)), None),
        (((USER, "system:anonymous"),), User("system:anonymous", (UNAUTHENTICATED,)), [":users /system:anonymous"]),
        (((USER, "system:anonymous"), (GROUP, "g")), User("system:anonymous", ("g", UNAUTHENTICATED)), None),
        (
            ((USER, BOT),),
            User(BOT, ("system:serviceaccounts", "system:serviceaccounts:team", AUTHENTICATED)),
            [":serviceaccounts team/bot"],
        ),
        (((USER, BOT), (GROUP, "g")), User(BOT, ("g", AUTHENTICATED)), [":serviceaccounts team/bot", ":groups /g"]),
        (
            ((USER, "system:serviceaccount:team"),),
            User("system:serviceaccount:team", (AUTHENTICATED,)),
            [":users /system:serviceaccount:team"],
        ),
        (
            ((USER, "jane"), (UID, "u-1"), (f"{EXTRA}Scopes", "view"), (f"{EXTRA}acme.com%2Fproject", "x")),
            User("jane", (AUTHENTICATED,), "u-1", {"scopes": ["view"], "acme.com/project": ["x"]}),
            [
                ":users /jane", "authentication.k8s.io:uids /u-1", "authentication.k8s.io:userextras/scopes /view",
                "authentication.k8s.io:userextras/acme.com/project /x",
            ],
        ),
        (((USER, "jänö"),), User("jänö", (AUTHENTICATED,)), [":users /jänö"]),
        ((("X-Impersonate-User", "jane"),), ASKER, []),
        ((), ASKER, []),
    ],
)  # fmt: skip
def test_who_one_is_then(headers: tuple[tuple[str, str], ...], expected: User, asked: list[str] | None) -> None:
    authorizer = Noting()
    found = effective_user(request(*headers), ASKER, authorizer)
    assert (found, found.extra) == (expected, expected.extra)
    assert asked is None or authorizer.asked == asked


@pytest.mark.parametrize(
    "refused",
    [":users /jane", ":groups /devs", "authentication.k8s.io:uids /u-1", "authentication.k8s.io:userextras/scopes /b"],
)
def test_each_part_needs_a_right(refused: str) -> None:
    headers = ((USER, "jane"), (GROUP, "devs"), (UID, "u-1"), (f"{EXTRA}scopes", "a"), (f"{EXTRA}scopes", "b"))
    with pytest.raises(Forbidden):
        effective_user(request(*headers), ASKER, Noting(refused))


@pytest.mark.parametrize("header", [(GROUP, "devs"), (UID, "u-1"), (f"{EXTRA}scopes", "a")])
def test_nothing_without_a_user(header: tuple[str, str]) -> None:
    asking = request(header)
    assert asking.impersonates
    with pytest.raises(BadRequest, match="without impersonating a user"):
        effective_user(asking, ASKER, Noting())
