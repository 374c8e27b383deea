"""The static token file: CSV lines `token,user,uid` with an optional fourth column of groups (pure).

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#static-token-file
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping

from apiserver.auth.user import User, authenticated


class Tokens:
    """Known by their SHA-256, so that the time of a lookup tells nothing of the token."""

    def __init__(self, users: Mapping[bytes, User]) -> None:
        self._users = users

    def find(self, token: str) -> User | None:
        return self._users.get(_digest(token))


def parse(text: str) -> Tokens:
    """ValueError, with the line number and never the token, when a line is malformed."""
    users: dict[bytes, User] = {}
    for number, columns in enumerate(csv.reader(io.StringIO(text), skipinitialspace=True), 1):
        if not columns or columns[0].startswith("#"):
            continue
        if len(columns) < 3:
            raise ValueError(f"line {number}: expected at least token,user,uid and found {len(columns)} columns")
        token, name, uid = (column.strip() for column in columns[:3])
        if not token or not name:
            raise ValueError(f"line {number}: the token and the user must not be empty")
        groups = columns[3] if len(columns) > 3 else ""
        names = tuple(g.strip() for g in groups.split(",") if g.strip())
        users[_digest(token)] = authenticated(User(name, names, uid))
    return Tokens(users)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
