"""The identity behind a connection: that of its client certificate, or that of a proxy which says who asks (pure).

CN is the user, each O a group, and the fingerprint is told, too (k8s.io/apiserver/pkg/authentication/request/x509).
With --requestheader-client-ca-file there is a second authority whose certificates are proxies': they stand for nobody,
and the X-Remote-* headers of their requests are believed. The authority that issued a certificate is known by its name,
so the two must have different names, and issue the certificates themselves.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#authenticating-proxy
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from apiserver.auth.user import User, authenticated

FRONT_PROXY, REFUSED = User(""), User("")
_EXTRA = b"x-remote-extra-"
_UID = "1.3.6.1.4.1.57683.2"


def user_of(certificate: Mapping[str, Any], fingerprint: str = "") -> User | None:
    """From `ssl.SSLObject.getpeercert()` of a certificate that an authority of ours has signed. None when it names
    nobody."""
    name, groups, uids = "", [], []
    for relative in certificate.get("subject", ()):
        for attribute, value in relative:
            if attribute == "commonName":
                name = value
            elif attribute == "organizationName":
                groups.append(value)
            elif attribute == _UID:
                uids.append(value)
    if not name:
        return None
    if len(uids) > 1 or "" in uids:
        return REFUSED
    extra = {"authentication.kubernetes.io/credential-id": [f"X509SHA256={fingerprint}"]} if fingerprint else {}
    return authenticated(User(name, tuple(groups), "".join(uids), extra))


class Peer(NamedTuple):
    """Whom a connection stands for until then (seconds since 1970): nobody, a user, FRONT_PROXY; or REFUSED, as from
    then on. One who is refused may still show a token."""

    user: User | None = None
    until: float = float("inf")

    def at(self, now: float) -> User | None:
        return self.user if now < self.until else REFUSED


NOBODY = Peer()


class Peers:
    """ValueError when the authorities cannot be told apart."""

    def __init__(self, client_ca: str, proxy_ca: str, allowed: Collection[str]) -> None:
        self._proxies = _subjects(proxy_ca)
        self._clients = _subjects(client_ca) if proxy_ca else frozenset()
        self._allowed = allowed
        if self._clients & self._proxies:
            raise ValueError("--client-ca-file and --requestheader-client-ca-file hold authorities of the same name")

    def peer(self, certificate: Mapping[str, Any], der: bytes) -> Peer:
        """Of a connection with a certificate that is good."""
        until = ssl.cert_time_to_seconds(certificate["notAfter"])
        return Peer(self.user(certificate, hashlib.sha256(der).hexdigest()), until)

    def user(self, certificate: Mapping[str, Any], fingerprint: str = "") -> User | None:
        user = user_of(certificate, fingerprint)
        if user is None or not self._proxies:
            return user
        issuer = certificate.get("issuer")
        if issuer in self._proxies:
            return FRONT_PROXY if not self._allowed or user.name in self._allowed else REFUSED
        return user if issuer in self._clients else REFUSED


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
