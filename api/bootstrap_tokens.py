"""Bootstrap tokens as they lie in Secrets (pure).

https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/#bootstrap-token-secret-format
"""

from __future__ import annotations

import re
from base64 import b64decode
from datetime import datetime
from typing import NamedTuple

from api import meta
from api.meta import Obj

NAMESPACE, PREFIX, TYPE = "kube-system", "bootstrap-token-", "bootstrap.kubernetes.io/token"
AUTHENTICATION, SIGNING = "usage-bootstrap-authentication", "usage-bootstrap-signing"
GROUP, USER = "system:bootstrappers", "system:bootstrap:"
SHAPE = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})", re.ASCII)
_GROUP_NAME = re.compile(rf"{GROUP}:[a-z0-9:-]{{0,255}}[a-z0-9]", re.ASCII)


class BootstrapToken(NamedTuple):
    id: str
    secret: str
    expires: datetime | None
    usages: frozenset[str]
    groups: tuple[str, ...] | None  # None: they are not such as a token may give

    def serves(self, usage: str, now: datetime) -> bool:
        return usage in self.usages and (self.expires is None or now < self.expires)


def read(secret: Obj) -> BootstrapToken | None:
    """None when it is none, or on its way out."""
    if secret.get("type") != TYPE or meta.is_deleting(secret):
        return None
    try:
        data = {key: b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
        expires = meta.parse_time(data["expiration"]) if data.get("expiration") else None
    except ValueError:
        return None
    if expires is not None and expires.tzinfo is None:
        return None
    token = BootstrapToken(
        data.get("token-id", ""),
        data.get("token-secret", ""),
        expires,
        frozenset(key for key, value in data.items() if key.startswith("usage-") and value == "true"),
        _groups(data.get("auth-extra-groups", "")),
    )
    named = meta.name(secret) == PREFIX + token.id
    return token if named and SHAPE.fullmatch(f"{token.id}.{token.secret}") else None


def _groups(text: str) -> tuple[str, ...] | None:
    extra = {group for group in text.split(",") if group}
    if not all(_GROUP_NAME.fullmatch(group) for group in extra):
        return None
    return tuple(sorted({GROUP, *extra}))
