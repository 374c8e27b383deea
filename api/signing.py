"""Keys that sign tokens, and the tokens of Secrets that live as long as these (pure).

The apiserver and the controller that fills Secrets of type kubernetes.io/service-account-token must agree on both.
https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#token-controller ; the claims are
those of k8s.io/kubernetes/pkg/serviceaccount/legacy.go
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from api.meta import Obj

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

LEGACY_ISSUER = "kubernetes/serviceaccount"
LEGACY = "kubernetes.io/serviceaccount/"
"""What claims begin with: namespace, secret.name, service-account.name, service-account.uid."""


def username(namespace: str, name: str) -> str:
    return f"system:serviceaccount:{namespace}:{name}"


def legacy_claims(account: Obj, secret_name: str) -> dict[str, Any]:
    metadata = account["metadata"]
    return {
        "iss": LEGACY_ISSUER,
        f"{LEGACY}namespace": metadata["namespace"],
        f"{LEGACY}secret.name": secret_name,
        f"{LEGACY}service-account.name": metadata["name"],
        f"{LEGACY}service-account.uid": metadata["uid"],
        "sub": username(metadata["namespace"], metadata["name"]),
    }


def signed(claims: dict[str, Any], key: PrivateKey) -> str:
    """A JWT that names its key."""
    return jwt.encode(claims, key, algorithm=algorithm(key), headers={"kid": key_id(key.public_key())})


def key_id(key: PublicKey) -> str:
    """Upstream's: URL-safe base64 of the SHA-256 of the DER form."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return jwt.utils.base64url_encode(hashlib.sha256(der).digest()).decode()


def algorithm(key: PrivateKey | PublicKey) -> str:
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return "RS256"
    return {256: "ES256", 384: "ES384", 521: "ES512"}[key.curve.key_size]


def private_key(pem: bytes) -> PrivateKey:
    """ValueError."""
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ValueError("the key that signs tokens must be RSA or ECDSA")
    return key


def public_keys(pem: bytes) -> list[PublicKey]:
    """All keys in a file, public ones or, as upstream allows, private ones. ValueError."""
    found = []
    for block in _blocks(pem):
        key = (
            serialization.load_pem_private_key(block, None).public_key()
            if b"PRIVATE KEY" in block
            else serialization.load_pem_public_key(block)
        )
        if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            raise ValueError("a key that verifies tokens must be RSA or ECDSA")
        found.append(key)
    if not found:
        raise ValueError("there is no key in it")
    return found


def _blocks(pem: bytes) -> list[bytes]:
    end = b"-----END "
    parts = pem.split(end)
    return [
        part[part.index(b"-----BEGIN ") :] + end + following.split(b"\n", 1)[0] + b"\n"
        for part, following in pairwise(parts)
    ]
