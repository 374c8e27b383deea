"""By what the server shows webhooks who it is: a kubeconfig whose users are called like the webhooks' addresses.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#authenticate-apiservers ;
which user is for whom as in k8s.io/apiserver/pkg/util/webhook/authentication.go. Credentials that are not understood
are refused when the server starts; values never stand in errors.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from api.meta import Obj
from apiserver import configfile
from apiserver.configfile import ConfigError, Kinds
from apiserver.webhooks import ANONYMOUS, Identity, show

_KINDS: Kinds = {
    ("apiserver.config.k8s.io/v1", "WebhookAdmissionConfiguration"): {
        "properties": {"kubeConfigFile": {"type": "string"}}, "required": ["kubeConfigFile"],
    },
}  # fmt: skip
_TEXT = {"type": "string"}
_FIELDS = ("token", "tokenFile", "username", "password", *(f"client-{what}{how}" for what in ("certificate", "key")
                                                            for how in ("", "-data")))  # fmt: skip
_USER = {
    "type": "object",
    "properties": {
        "name": _TEXT,
        "user": {"type": "object", "properties": dict.fromkeys(_FIELDS, _TEXT), "additionalProperties": False},
    },
    "required": ["name", "user"],
}
_OF_OTHERS = ("clusters", "contexts", "current-context", "preferences", "extensions")  # what kubeconfigs hold besides
_KUBECONFIG: Kinds = {
    ("v1", "Config"): {
        "properties": {"users": {"type": "array", "items": _USER}, **{name: {} for name in _OF_OTHERS}},
    },
}


class Credentials:
    """`configuration` is that of the plugin; without one nobody is told who calls. ConfigError."""

    def __init__(self, plugin: str, configuration: Obj | None) -> None:
        self._users: dict[str, Identity] = {}
        if configuration is None:
            return
        path = configfile.checked(configuration, _KINDS, plugin)["kubeConfigFile"]
        for user in configfile.read(path, _KUBECONFIG).get("users") or ():
            self._users[user["name"]] = _identity(user["user"], Path(path).parent, f"{path}: user {user['name']}")

    def of(self, client: Obj) -> Identity:
        """For a webhook's `clientConfig`."""
        return self._find(_target(client)) if self._users else ANONYMOUS

    def _find(self, target: str) -> Identity:
        """`host:port`, `*.` and the end of it, the same without the usual port, `*`."""
        host, _, port = target.rpartition(":")
        for name in (target, host) if port == "443" else (target,):
            steps = name.split(".")
            for known in (name, *(f"*.{'.'.join(steps[i:])}" for i in range(1, len(steps)))):
                if known in self._users:
                    return self._users[known]
        return self._users.get("*", ANONYMOUS)


def _target(client: Obj) -> str:
    service = client.get("service")
    if service is not None:
        return f"{service['name']}.{service['namespace']}.svc:{service.get('port') or 443}"
    address = urlsplit(client["url"]).netloc
    return address if urlsplit(client["url"]).port else f"{address}:443"


def _identity(user: Obj, directory: Path, where: str) -> Identity:
    """ConfigError."""
    certificate, key = (_material(user, f"client-{what}", directory, where) for what in ("certificate", "key"))
    if (certificate is None) != (key is None):
        raise ConfigError(f"{where}: a client certificate and its key must be given together")
    token = user.get("token") or ""
    if user.get("tokenFile"):
        token = _read(directory / user["tokenFile"], where).decode().strip()
    if token and "username" in user:
        raise ConfigError(f"{where}: a token and a username cannot both be given")
    authorization = f"Bearer {token}" if token else ""
    if "username" in user:
        pair = f"{user['username']}:{user.get('password', '')}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
    pem = None if certificate is None or key is None else certificate + b"\n" + key
    if pem is not None:
        try:
            show(ssl.create_default_context(), pem)
        except (ssl.SSLError, OSError):
            raise ConfigError(f"{where}: the client certificate and its key do not fit") from None
    return Identity(authorization, pem)


def _material(user: Obj, name: str, directory: Path, where: str) -> bytes | None:
    if data := user.get(f"{name}-data"):
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error:
            raise ConfigError(f"{where}: {name}-data is not base64") from None
    return _read(directory / user[name], where) if user.get(name) else None


def _read(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{where}: {path}: {error.strerror}") from error
