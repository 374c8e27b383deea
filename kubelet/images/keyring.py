"""Which credentials may fetch an image: those in pull secrets and in the node's own config.json. Pure.

Keys of a Docker configuration may be hosts, hosts with a path, URLs, or globs of host names
(`*.registry.example`); longer ones are tried before shorter ones, and all that match are tried in turn.

Rules: pkg/credentialprovider/{keyring,config}.go;
https://kubernetes.io/docs/concepts/containers/images/#config-json
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

_KEYS = {"kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}
_HUB = ("docker.io", "index.docker.io")


@dataclass(frozen=True, slots=True)
class Secret:
    """Where credentials came from."""

    uid: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Credential:
    username: str
    password: str
    source: Secret | None = None
    """None for the node's own, which every pod on it may use."""

    @property
    def digest(self) -> str:
        """Names the credential without giving it away."""
        return sha256(json.dumps([self.username, self.password]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Keyring:
    entries: tuple[tuple[str, Credential], ...] = ()

    def lookup(self, repository: str) -> list[Credential]:
        """For a repository's full name; the most specific first."""
        ordered = sorted(self.entries, key=lambda entry: entry[0], reverse=True)
        found = [credential for key, credential in ordered if _matches(key, repository)]
        if not found and repository.split("/", 1)[0] in _HUB:
            found = [credential for key, credential in ordered if key == "index.docker.io"]
        return list(dict.fromkeys(found))


def of_secret(secret: Mapping[str, Any]) -> Keyring:
    """ValueError when it holds no Docker configuration though its type says so."""
    key, meta = _KEYS.get(str(secret.get("type"))), secret["metadata"]
    text = (secret.get("data") or {}).get(key) if key else None
    if not text:
        return Keyring()
    source = Secret(meta.get("uid", ""), meta["namespace"], meta["name"])
    return of_config(base64.b64decode(text), source, whole=key == ".dockerconfigjson")


def of_config(text: bytes, source: Secret | None, *, whole: bool = True) -> Keyring:
    """Of a Docker configuration; not `whole` is its older form, the `auths` alone. ValueError when it is neither."""
    document = json.loads(text)
    auths = document.get("auths") or {} if whole and isinstance(document, dict) else document
    if not isinstance(auths, dict) or not all(isinstance(auth, dict) for auth in auths.values()):
        raise ValueError("not a Docker configuration")
    return Keyring(tuple((_key(key), _credential(auth, source)) for key, auth in auths.items()))


def _credential(auth: Mapping[str, Any], source: Secret | None) -> Credential:
    username, password = str(auth.get("username") or ""), str(auth.get("password") or "")
    if auth.get("auth"):
        try:
            pair = base64.b64decode(str(auth["auth"])).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ValueError(f"unable to parse auth field: {error}") from error
        username, colon, password = pair.partition(":")
        if not colon:
            raise ValueError("unable to parse auth field, must be formatted as base64(username:password)")
        password = password.rstrip("\0")
    return Credential(username, password, source)


def _key(location: str) -> str:
    """Host and path; the `/v1/` and `/v2/` of a registry's interface are no path."""
    parts = urlsplit(location if "//" in location else f"//{location}")
    path = parts.path[3:] if parts.path.startswith(("/v1/", "/v2/")) else parts.path
    return parts.netloc + ("" if path == "/" else path)


def _matches(key: str, repository: str) -> bool:
    """Host by host label, each of which may be a glob; the port exactly; the path as a prefix."""
    host, slash, path = key.partition("/")
    wanted_host, wanted_slash, wanted_path = repository.partition("/")
    name, _, port = host.partition(":")
    wanted_name, _, wanted_port = wanted_host.partition(":")
    labels, wanted = name.split("."), wanted_name.split(".")
    return (
        port == wanted_port
        and len(labels) == len(wanted)
        and (wanted_slash + wanted_path).startswith(slash + path)
        and all(fnmatch.fnmatchcase(found, glob) for glob, found in zip(labels, wanted, strict=True))
    )
