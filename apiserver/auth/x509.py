"""The identity behind a connection: that of its client certificate, or that of a proxy which says who asks (pure).

CN is the user, each O a group. With --requestheader-client-ca-file there is a second authority whose certificates are
proxies': they stand for nobody, and the X-Remote-* headers of their requests are believed. The authority that issued a
certificate is known by its name, so the two must have different names, and issue the certificates themselves.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#authenticating-proxy
"""

from __future__ import annotations

import ssl
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from apiserver.auth.user import User, authenticated

FRONT_PROXY = User("")
_EXTRA = b"x-remote-extra-"


def user_of(certificate: Mapping[str, Any] | None) -> User | None:
    """From `ssl.SSLObject.getpeercert()`, which holds only certificates that an authority of ours has signed."""
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


class Peers:
    """`user(certificate)` is whom a connection stands for; FRONT_PROXY for a proxy. ValueError when the authorities
    cannot be told apart."""

    def __init__(self, client_ca: str, proxy_ca: str, allowed: Collection[str]) -> None:
        self._proxies = _subjects(proxy_ca)
        self._clients = _subjects(client_ca) if proxy_ca else frozenset()
        self._allowed = allowed
        if self._clients & self._proxies:
            raise ValueError("--client-ca-file and --requestheader-client-ca-file hold authorities of the same name")

    def user(self, certificate: Mapping[str, Any] | None) -> User | None:
        user = user_of(certificate)
        if user is None or certificate is None or not self._proxies:
            return user
        issuer = certificate.get("issuer")
        if issuer in self._proxies:
            return FRONT_PROXY if not self._allowed or user.name in self._allowed else None
        return user if issuer in self._clients else None


def _subjects(file: str) -> frozenset[Any]:
    if not file:
        return frozenset()
    authorities = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authorities.load_verify_locations(file)
    return frozenset(certificate["subject"] for certificate in authorities.get_ca_certs())


def told_by_proxy(headers: Iterable[tuple[bytes, bytes]]) -> User | None:
    """Whom a proxy says the request is from; None when it says nothing."""
    name, uid, groups = "", "", []
    extra: dict[str, list[str]] = {}
    for key, raw in headers:
        value = raw.decode("utf-8", "replace")
        if key == b"x-remote-user":
            name = name or value
        elif key == b"x-remote-uid":
            uid = uid or value
        elif key == b"x-remote-group":
            groups.append(value)
        elif key.startswith(_EXTRA):
            extra.setdefault(unquote(key.removeprefix(_EXTRA).decode("latin-1")), []).append(value)
    return authenticated(User(name, tuple(groups), uid, extra)) if name else None
