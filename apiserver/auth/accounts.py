"""Tokens of ServiceAccounts: signed JWTs that end with what they are bound to.

Claims and checks follow
https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from api.builtin import NODES, PODS, SECRETS, SERVICE_ACCOUNTS
from api.errors import NotFound, ServiceUnavailable
from api.meta import Obj
from api.registry import Resource
from apiserver.auth.user import AUTHENTICATED, User
from apiserver.storage.store import Store

_ALGORITHMS = ["RS256", "ES256", "ES384", "ES512"]
_CLAIM = "kubernetes.io"
_BOUND: dict[str, Resource] = {"pod": PODS, "secret": SECRETS, "node": NODES}
_PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
_PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class Accounts:
    """Makes and checks ServiceAccount tokens."""

    def __init__(
        self,
        store: Store,
        *,
        key_files: Sequence[str],
        signing_key_file: str,
        issuer: str,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._now = now
        self.issuer = issuer
        self.audiences = [issuer]
        self._signing = _private_key(signing_key_file) if signing_key_file else None
        keys = [_public_key(path) for path in key_files]
        if self._signing is not None:
            keys.append(self._signing.public_key())
        self._keys = {key_id(key): key for key in keys}

    def public_keys(self) -> list[dict[str, Any]]:
        """As JSON Web Keys (RFC 7517)."""
        found = []
        for name, key in self._keys.items():
            kind: Any = RSAAlgorithm if isinstance(key, rsa.RSAPublicKey) else ECAlgorithm
            jwk = {field: v for field, v in kind.to_jwk(key, as_dict=True).items() if field not in ("key_ops", "kid")}
            found.append({"use": "sig", "kid": name, "alg": _algorithm(key), **jwk})
        return found

    async def authenticate(self, token: str) -> User | None:
        """The account of a token that is valid now and here; None otherwise."""
        claims = self.claims(token, self.audiences)
        return await self._bound_user(claims) if claims is not None else None

    def claims(self, token: str, audiences: Sequence[str]) -> dict[str, Any] | None:
        """The claims of a token with a good signature, issuer, audience and time."""
        try:
            header = jwt.get_unverified_header(token)
            key = self._keys.get(str(header.get("kid", "")))
            if key is None:
                return None
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                audience=list(audiences),
                issuer=self.issuer,
                options={"require": ["exp", "iat", "sub", "aud", "iss"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            return None
        return claims

    async def _bound_user(self, claims: dict[str, Any]) -> User | None:
        bound = claims.get(_CLAIM)
        if not isinstance(bound, dict):
            return None
        namespace = str(bound.get("namespace", ""))
        account = bound.get("serviceaccount") or {}
        name, uid = str(account.get("name", "")), str(account.get("uid", ""))
        if not namespace or not name or claims["sub"] != username(namespace, name):
            return None
        if not await self._alive(SERVICE_ACCOUNTS, namespace, name, uid):
            return None
        extra: dict[str, list[str]] = {}
        if claims.get("jti"):
            extra["authentication.kubernetes.io/credential-id"] = [f"JTI={claims['jti']}"]
        for kind, res in _BOUND.items():
            to = bound.get(kind)
            if to is None:
                continue
            is_pod_node = kind == "node" and "pod" in bound
            if not is_pod_node and not await self._alive(
                res, namespace if res.namespaced else "", str(to.get("name", "")), str(to.get("uid", ""))
            ):
                return None
            extra[f"authentication.kubernetes.io/{kind}-name"] = [str(to.get("name", ""))]
            extra[f"authentication.kubernetes.io/{kind}-uid"] = [str(to.get("uid", ""))]
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
        return User(username(namespace, name), groups, uid, extra)

    async def _alive(self, res: Resource, namespace: str, name: str, uid: str) -> bool:
        """From the cache: a token must not cost a read of etcd."""
        try:
            found = await self._store.get(res, namespace, name, resource_version="0")
        except NotFound:
            return False
        return bool(found.obj()["metadata"].get("uid") == uid)

    def issue(
        self, account: Obj, audiences: Sequence[str], seconds: int, bound: tuple[str, Obj] | None
    ) -> tuple[str, int]:
        """(token, its expiry in seconds since 1970). `bound` is ("pod", the pod) and the like."""
        if self._signing is None:
            raise ServiceUnavailable("the server has no key to sign tokens (--service-account-signing-key-file)")
        metadata = account["metadata"]
        issued = int(self._now().timestamp())
        private: dict[str, Any] = {
            "namespace": metadata["namespace"],
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        if bound is not None:
            kind, obj = bound
            private[kind] = {"name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}
        claims = {
            "aud": list(audiences) or self.audiences,
            "exp": issued + seconds,
            "iat": issued,
            "iss": self.issuer,
            "jti": str(uuid.uuid4()),
            _CLAIM: private,
            "nbf": issued,
            "sub": username(metadata["namespace"], metadata["name"]),
        }
        key = self._signing
        token = jwt.encode(claims, key, algorithm=_algorithm(key), headers={"kid": key_id(key.public_key())})
        return token, issued + seconds


def username(namespace: str, name: str) -> str:
    return f"system:serviceaccount:{namespace}:{name}"


def key_id(key: _PublicKey) -> str:
    """Upstream's: URL-safe base64 of the SHA-256 of the DER form."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return jwt.utils.base64url_encode(hashlib.sha256(der).digest()).decode()


def _algorithm(key: _PrivateKey | _PublicKey) -> str:
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return "RS256"
    return {256: "ES256", 384: "ES384", 521: "ES512"}[key.curve.key_size]


def _private_key(path: str) -> _PrivateKey:
    key = serialization.load_pem_private_key(Path(path).read_bytes(), None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path}: the key that signs tokens must be RSA or ECDSA")
    return key


def _public_key(path: str) -> _PublicKey:
    """From a public key or, as upstream allows, a private one."""
    pem = Path(path).read_bytes()
    key = (
        serialization.load_pem_private_key(pem, None).public_key()
        if b"PRIVATE KEY" in pem
        else serialization.load_pem_public_key(pem)
    )
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise ValueError(f"{path}: a key that verifies tokens must be RSA or ECDSA")
    return key
