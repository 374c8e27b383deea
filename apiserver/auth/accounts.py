"""Tokens of ServiceAccounts: signed JWTs that end with what they are bound to.

Claims and checks follow
https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens ,
those of long-lived tokens in Secrets #manually-create-an-api-token-for-a-serviceaccount there.

A signature is checked once. From then on a token is a Ticket, known by its SHA-256, and a request costs a look at the
cache for each object that the ticket ends with: nothing is believed for a while, as upstream does for ten seconds.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from api import signing
from api.builtin import NODES, PODS, SECRETS, SERVICE_ACCOUNTS
from api.errors import NotFound, ServiceUnavailable, Timeout
from api.meta import Obj, parse_time
from api.registry import Resource
from api.signing import LEGACY, LEGACY_ISSUER, username
from apiserver.auth.user import AUTHENTICATED, User
from apiserver.storage.store import Store, Stored

_CLAIM = "kubernetes.io"
_INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
_BOUND: dict[str, Resource] = {"pod": PODS, "secret": SECRETS, "node": NODES}
_LEEWAY = 60.0  # upstream's, for clocks that differ
_TICKETS = 10_000
_FOREVER = float("inf")
_OURS_ALONE = "authentication.kubernetes.io/"


class Owner(NamedTuple):
    """Whose token it is, for which audiences, and what the audit log should know of it."""

    user: User
    audiences: list[str]
    notes: Mapping[str, str] = MappingProxyType({})


class Named(NamedTuple):
    """An object that a token is bound to, or knows of."""

    name: str
    uid: str


class Tie:
    """An object that must be there. What it said is remembered until the cache has another revision of it."""

    __slots__ = ("_ends", "_name", "_namespace", "_seen", "_token", "_uid", "res")

    def __init__(self, res: Resource, namespace: str, named: Named, token: bytes = b"") -> None:
        self.res = res
        self._namespace, self._name, self._uid = namespace if res.namespaced else "", named.name, named.uid
        self._token = token  # which the Secret must hold
        self._seen: Stored | None = None
        self._ends = 0.0

    def holds(self, store: Store, now: float) -> bool:
        found = store.peek(self.res, self._namespace, self._name)
        return self._holds(found, now)

    async def surely_holds(self, store: Store, now: float) -> bool:
        """Also when the cache had yet to hear of it. What cannot be found out does not hold."""
        try:
            return self._holds(await store.get(self.res, self._namespace, self._name), now)
        except (NotFound, ServiceUnavailable, Timeout):
            return False

    def _holds(self, found: Stored | None, now: float) -> bool:
        if found is None:
            return False
        if found is not self._seen:
            self._seen, self._ends = found, self._end(found.obj())
        return now < self._ends

    def _end(self, obj: Obj) -> float:
        metadata = obj["metadata"]
        if self._token:
            held = b64decode((obj.get("data") or {}).get("token") or "")
            if _INVALID_SINCE in (metadata.get("labels") or {}) or not hmac.compare_digest(held, self._token):
                return 0
        elif metadata.get("uid") != self._uid:
            return 0
        deleted = metadata.get("deletionTimestamp")
        if deleted is None:
            return _FOREVER
        return 0 if self._token else parse_time(deleted).timestamp() + _LEEWAY


class Ticket(NamedTuple):
    """A token whose signature is good."""

    user: User
    audiences: frozenset[str]
    begins: float
    ends: float
    ties: tuple[Tie, ...]
    legacy: bool = False
    warn_after: float = _FOREVER

    def notes(self, now: float) -> Mapping[str, str]:
        """https://kubernetes.io/docs/reference/labels-annotations-taints/audit-annotations/"""
        if self.legacy:
            return {"authentication.k8s.io/legacy-token": self.user.name}
        late = f"subject: {self.user.name}, seconds after warning threshold: {int(now - self.warn_after)}"
        return {"authentication.k8s.io/stale-token": late}


class Accounts:
    """Makes and checks ServiceAccount tokens."""

    def __init__(
        self,
        store: Store,
        *,
        key_files: Sequence[str],
        signing_key_file: str,
        issuers: Sequence[str],  # the first signs
        audiences: Sequence[str] = (),  # the server's own; without, its issuers
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._now = now
        self.issuers = list(issuers)
        self.audiences = list(audiences) or self.issuers
        self._signing = signing.private_key(Path(signing_key_file).read_bytes()) if signing_key_file else None
        keys = [key for file in key_files for key in signing.public_keys(Path(file).read_bytes())]
        if self._signing is not None:
            keys.append(self._signing.public_key())
        self._keys = {signing.key_id(key): key for key in keys}
        self._tickets: dict[bytes, Ticket] = {}

    @property
    def issuer(self) -> str:
        return self.issuers[0]

    def public_keys(self) -> list[dict[str, Any]]:
        """As JSON Web Keys (RFC 7517)."""
        found = []
        for name, key in self._keys.items():
            kind: Any = RSAAlgorithm if isinstance(key, rsa.RSAPublicKey) else ECAlgorithm
            jwk = {field: v for field, v in kind.to_jwk(key, as_dict=True).items() if field not in ("key_ops", "kid")}
            found.append({"use": "sig", "kid": name, "alg": signing.algorithm(key), **jwk})
        return found

    # ---- checking

    async def authenticate(self, token: str, audiences: Sequence[str] = ()) -> Owner | None:
        """The account of a token that is valid now and here, and for which of the audiences (without, the server's)."""
        digest = hashlib.sha256(token.encode()).digest()
        ticket = self._tickets.get(digest) or self._read(token, digest)
        if ticket is None:
            return None
        now = self._now().timestamp()
        shared = [audience for audience in audiences or self.audiences if audience in ticket.audiences]
        if not shared or not ticket.begins - _LEEWAY <= now < ticket.ends + _LEEWAY:
            return None
        for tie in ticket.ties:
            if not tie.holds(self._store, now) and not await tie.surely_holds(self._store, now):
                return None
        if ticket.legacy or now > ticket.warn_after:
            return Owner(ticket.user, shared, ticket.notes(now))
        return Owner(ticket.user, shared)

    def _read(self, token: str, digest: bytes) -> Ticket | None:
        claims = self._claims(token)
        if claims is None:
            return None
        try:
            legacy = claims["iss"] == LEGACY_ISSUER
            ticket = _legacy(claims, token, self.audiences) if legacy else _bound(claims)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None  # signed by one of our keys, and yet no token of ours
        if ticket is not None:
            if len(self._tickets) >= _TICKETS:
                self._tickets.clear()
            self._tickets[digest] = ticket
        return ticket

    def _claims(self, token: str) -> dict[str, Any] | None:
        """Those of a token that one of our keys has signed in the name of one of our issuers."""
        try:
            kid = jwt.get_unverified_header(token).get("kid")
        except (jwt.PyJWTError, ValueError):
            return None
        keys = self._keys.values() if not kid else [self._keys[kid]] if kid in self._keys else []
        for key in keys:
            try:
                claims: dict[str, Any] = jwt.decode(token, key, [signing.algorithm(key)], options=_SIGNATURE_ALONE)
            except (jwt.PyJWTError, ValueError, TypeError):
                continue
            return claims if claims.get("iss") in (LEGACY_ISSUER, *self.issuers) else None
        return None

    # ---- making

    def issue(
        self, account: Obj, audiences: Sequence[str], seconds: int, bound: Mapping[str, Named], warn_after: int = 0
    ) -> tuple[str, str]:
        """(A token of `account`, its id); `bound` is by kind: pod, secret, node. With `warn_after` it was asked for to
        last that long alone."""
        if self._signing is None:
            raise ServiceUnavailable("the server has no key to sign tokens (--service-account-signing-key-file)")
        metadata = account["metadata"]
        issued, token_id = int(self._now().timestamp()), str(uuid.uuid4())
        private: dict[str, Any] = {
            "namespace": metadata["namespace"],
            **{kind: {k: v for k, v in named._asdict().items() if v} for kind, named in bound.items()},
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        if warn_after:
            private["warnafter"] = issued + warn_after
        claims = {
            "aud": list(audiences),
            "exp": issued + seconds,
            "iat": issued,
            "iss": self.issuer,
            "jti": token_id,
            _CLAIM: private,
            "nbf": issued,
            "sub": username(metadata["namespace"], metadata["name"]),
        }
        return signing.signed(claims, self._signing), token_id


_SIGNATURE_ALONE: Any = {
    "verify_signature": True,
    **dict.fromkeys(("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss", "verify_sub"), False),
}


def _account(claims: Mapping[str, Any], namespace: str, named: Named, extra: dict[str, list[str]]) -> User | None:
    if not namespace or not named.name or not named.uid or claims["sub"] != username(namespace, named.name):
        return None
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(username(namespace, named.name), groups, named.uid, extra)


def _bound(claims: Mapping[str, Any]) -> Ticket | None:
    private = claims[_CLAIM]
    namespace, account = private["namespace"], _named(private["serviceaccount"])
    extra: dict[str, list[str]] = {}
    if claims.get("jti"):
        extra[f"{_OURS_ALONE}credential-id"] = [f"JTI={claims['jti']}"]
    ties = [Tie(SERVICE_ACCOUNTS, namespace, account)]
    for kind, res in _BOUND.items():
        if (to := private.get(kind)) is None:
            continue
        named = _named(to)
        if kind != "node" or "pod" not in private:  # else it tells where the pod is, no more
            ties.append(Tie(res, namespace, named))
        if kind != "secret":
            extra[f"{_OURS_ALONE}{kind}-name"] = [named.name]
            extra |= {f"{_OURS_ALONE}{kind}-uid": [named.uid]} if named.uid else {}
    user = _account(claims, namespace, account, extra)
    audiences = [claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"]
    begins = max(float(claims["nbf"]), float(claims["iat"]))
    if user is None:
        return None
    warn_after = float(private.get("warnafter") or _FOREVER)
    return Ticket(user, frozenset(audiences), begins, float(claims["exp"]), tuple(ties), warn_after=warn_after)


def _legacy(claims: Mapping[str, Any], token: str, audiences: Sequence[str]) -> Ticket | None:
    namespace, secret = claims[f"{LEGACY}namespace"], claims[f"{LEGACY}secret.name"]
    account = Named(claims[f"{LEGACY}service-account.name"], claims[f"{LEGACY}service-account.uid"])
    user = _account(claims, namespace, account, {})
    ties = (Tie(SERVICE_ACCOUNTS, namespace, account), Tie(SECRETS, namespace, Named(secret, ""), token.encode()))
    return Ticket(user, frozenset(audiences), 0, _FOREVER, ties, legacy=True) if user else None


def _named(reference: Mapping[str, str]) -> Named:
    return Named(reference["name"], reference.get("uid", ""))
