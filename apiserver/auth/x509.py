"""The identity in a verified client certificate: CN is the user, each O a group (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apiserver.auth.user import User, authenticated


def user_of(certificate: Mapping[str, Any] | None) -> User | None:
    """From `ssl.SSLObject.getpeercert()`, which holds only certificates that the client CA has signed."""
    if not certificate:
        return None
    name, groups = "", []
    for relative in certificate.get("subject", ()):
        for attribute, value in relative:
            if attribute == "commonName":
                name = value
            elif attribute == "organizationName":
                groups.append(value)
    return authenticated(User(name, tuple(groups))) if name else None
