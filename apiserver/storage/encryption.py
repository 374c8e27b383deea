"""What is not to lie in etcd as plain text: an EncryptionConfiguration, and what it makes of values. No I/O but the
reading of that file.

https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/. A value is written by the first key of the first
provider and read with any that is listed, so keys are changed by listing a new one second, then first, then alone.
What lies under any but the first is *stale*: the next write of the object, even one that changes nothing, writes it
anew. Nothing is read under a key that is not listed, and plain text only where `identity` is listed. The key in etcd
is authenticated along with the value (aesgcm): a value that was moved to another object cannot be read.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from api.meta import Obj
from api.registry import Resource
from apiserver.configfile import ConfigError, read
from apiserver.storage import keys

MARK = b"k8s:enc:"
_KEY_SIZES = (16, 24, 32)
_NONCE, _BLOCK = 12, 16
_CORE_ALIASES = {"events.k8s.io"}  # upstream names these by their other group
_OURS = f"{keys.REGISTRY}."


class Unreadable(ValueError):
    """A value that no listed provider reads. Says why, and nothing of what it holds."""


class Provider(NamedTuple):
    """One key of a provider, or `identity`, whose prefix is empty. Both functions take (etcd key, data)."""

    prefix: bytes
    seal: Callable[[bytes, bytes], bytes]
    open: Callable[[bytes, bytes], bytes]


class Encryption:
    """`seal` before a value is written, `open` after it was read."""

    def __init__(self, rules: Iterable[tuple[tuple[str, ...], tuple[Provider, ...]]]) -> None:
        """(beginnings of etcd keys, the providers of these); the first rule that fits is that of a key."""
        self._rules = tuple(rules)
        self._all = tuple(prefix for prefixes, _ in self._rules for prefix in prefixes)

    def covers(self, key: str) -> bool:
        return key.startswith(self._all) and not key.startswith(_OURS)

    def seal(self, key: str, data: bytes) -> bytes:
        if not self.covers(key):
            return data
        first = self._providers(key)[0]
        return first.prefix + first.seal(key.encode(), data)

    def open(self, key: str, value: bytes) -> tuple[bytes, bool]:
        """(the data, whether they are stale). Unreadable."""
        if not self.covers(key):
            if value.startswith(MARK):
                raise Unreadable(f"encrypted, but no provider is listed for it ({_shown(value)})")
            return value, False
        sealed = value.startswith(MARK)
        for index, provider in enumerate(self._providers(key)):
            if value.startswith(provider.prefix) and sealed == bool(provider.prefix):
                return provider.open(key.encode(), value[len(provider.prefix) :]), index > 0
        raise Unreadable(f"no listed key reads it ({_shown(value) if sealed else 'plain text, without identity'})")

    def _providers(self, key: str) -> tuple[Provider, ...]:
        return next(providers for prefixes, providers in self._rules if key.startswith(prefixes))


NOTHING = Encryption(())


def load(path: str, registry: Iterable[Resource]) -> Encryption:
    """ConfigError"""
    return _parse(read(path, {("apiserver.config.k8s.io/v1", "EncryptionConfiguration"): _SCHEMA}), path, registry)


def _parse(document: Obj, where: str, registry: Iterable[Resource]) -> Encryption:
    stored = {(row.group, row.plural): f"{keys.REGISTRY}{keys.collection(row)}/" for row in registry}
    rules = []
    for index, entry in enumerate(document["resources"]):
        at = f"{where}: resources[{index}]"
        prefixes = tuple(_prefix(name, stored, f"{at}.resources") for name in entry["resources"])
        if any(a != b and a.startswith(b) for a in prefixes for b in prefixes) or len({*prefixes}) < len(prefixes):
            raise ConfigError(f"{at}.resources: a resource is named twice, or masked by a wildcard")
        listed = enumerate(entry["providers"])
        providers = tuple(each for n, item in listed for each in _providers_of(item, f"{at}.providers[{n}]"))
        rules.append((prefixes, providers))
    return Encryption(rules)


def _prefix(name: str, stored: dict[tuple[str, str], str], at: str) -> str:
    """The etcd keys of `secrets`, `deployments.apps`, `*.apps`, `*.` (core) or `*.*`."""
    plural, dot, group = name.partition(".")
    if name == "*" or (group == "*" and plural != "*") or name != name.lower() or not plural:
        raise ConfigError(f"{at}: {name} names no resource; wildcards are *.GROUP, *. (core) and *.*")
    if group in _CORE_ALIASES:
        raise ConfigError(f"{at}: objects of {group} are those of the core group, without .{group}")
    if plural == "*" and dot:
        return keys.REGISTRY if group == "*" else f"{keys.REGISTRY}{group or 'core'}/"
    return stored.get((group, plural), f"{keys.REGISTRY}{group or 'core'}/{plural}/")


def _providers_of(item: Obj, at: str) -> list[Provider]:
    ((kind, options),) = item.items()
    if kind == "identity":
        return [Provider(b"", lambda _, data: data, lambda _, data: data)]
    providers = []
    for index, entry in enumerate(options["keys"]):
        try:
            secret = base64.b64decode(entry["secret"], validate=True)
        except binascii.Error:
            raise ConfigError(f"{at}.{kind}.keys[{index}].secret: secrets must be base64 encoded") from None
        if len(secret) not in _KEY_SIZES:
            raise ConfigError(
                f"{at}.{kind}.keys[{index}].secret: secret is not of the expected length, "
                f"got {len(secret)}, expected one of {list(_KEY_SIZES)}"
            )
        prefix = f"{MARK.decode()}{kind}:v1:{entry['name']}:".encode()
        providers.append(Provider(prefix, *_CIPHERS[kind](secret)))
    return providers


_Ciphers = tuple[Callable[[bytes, bytes], bytes], Callable[[bytes, bytes], bytes]]


def _aesgcm(secret: bytes) -> _Ciphers:
    """nonce, then what AES-GCM makes of the data, with the etcd key as associated data (NIST SP 800-38D)."""
    cipher = AESGCM(secret)

    def seal(key: bytes, data: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + cipher.encrypt(nonce, data, key)

    def open_(key: bytes, value: bytes) -> bytes:
        try:
            return cipher.decrypt(value[:_NONCE], value[_NONCE:], key)
        except (InvalidTag, ValueError):
            raise Unreadable("its key does not fit it: damaged, moved, or another key of that name") from None

    return seal, open_


def _aescbc(secret: bytes) -> _Ciphers:
    """Initialization vector, then AES-CBC with PKCS #7 padding (RFC 5652, 6.3)."""

    def seal(_: bytes, data: bytes) -> bytes:
        vector, padder = os.urandom(_BLOCK), PKCS7(_BLOCK * 8).padder()
        encryptor = Cipher(AES(secret), CBC(vector)).encryptor()
        return vector + encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()

    def open_(_: bytes, value: bytes) -> bytes:
        try:
            decryptor, unpadder = Cipher(AES(secret), CBC(value[:_BLOCK])).decryptor(), PKCS7(_BLOCK * 8).unpadder()
            padded = decryptor.update(value[_BLOCK:]) + decryptor.finalize()
            return unpadder.update(padded) + unpadder.finalize()
        except ValueError:
            raise Unreadable("its key does not fit it: damaged, or another key of that name") from None

    return seal, open_


_CIPHERS: dict[str, Callable[[bytes], _Ciphers]] = {"aesgcm": _aesgcm, "aescbc": _aescbc}


def _shown(value: bytes) -> str:
    """The provider and name of a key, which an encrypted value begins with."""
    return b":".join(value[:100].split(b":", 5)[:5]).decode("ascii", "replace")


def _object(**properties: Any) -> Obj:
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
    }  # fmt: skip


def _some(items: Obj) -> Obj:
    return {"type": "array", "items": items, "minItems": 1}


_NAME: Obj = {"type": "string", "minLength": 1}
_KEYS = _object(keys=_some(_object(name=_NAME, secret=_NAME)))
_PROVIDER: Obj = {
    "type": "object",
    "properties": {"aesgcm": _KEYS, "aescbc": _KEYS, "identity": {"type": "object", "maxProperties": 0}},
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
}
_SCHEMA = _object(resources=_some(_object(resources=_some({"type": "string"}), providers=_some(_PROVIDER))))
