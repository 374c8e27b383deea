"""kubeconfig files: from one to a RestConfig, and editing one without disturbing what else is in it.

Format: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
Files are found as kubectl finds them: the path given, else $KUBECONFIG (several, the first to name a thing
wins), else ~/.kube/config. Paths inside a kubeconfig are relative to it. Exec and auth-provider plugins are
not run: a user that has nothing else is an error.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SECTIONS = ("clusters", "users", "contexts")


class KubeconfigError(Exception):
    """The kubeconfig cannot be read or does not say enough; the message names the file or entry."""


@dataclass(slots=True)
class RestConfig:
    """Where an apiserver is and who we are to it. Certificates and keys are PEM bytes, never paths."""

    server: str
    ca_data: bytes | None = None
    cert_data: bytes | None = None
    key_data: bytes | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    insecure: bool = False
    namespace: str = "default"
    tls_server_name: str = ""
    context: str = ""

    def ssl_context(self) -> ssl.SSLContext | None:
        """None when the server is plain http. Reads no system certificates when a CA is given."""
        if not self.server.startswith("https"):
            return None
        if self.insecure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            context = ssl.create_default_context(cadata=self.ca_data.decode() if self.ca_data else None)
        if self.cert_data and self.key_data:
            # OpenSSL's loader takes a path only; the file is 0600 and gone before we return.
            with tempfile.NamedTemporaryFile(suffix=".pem") as pem:
                pem.write(self.cert_data.rstrip() + b"\n" + self.key_data)
                pem.flush()
                context.load_cert_chain(pem.name)
        return context


def default_paths() -> list[Path]:
    listed = [p for p in os.environ.get("KUBECONFIG", "").split(os.pathsep) if p]
    return [Path(p) for p in listed] or [Path.home() / ".kube" / "config"]


def load(path: str | os.PathLike[str] | None = None, context: str | None = None) -> RestConfig:
    """The RestConfig of `context`, by default the current one. KubeconfigError when there is none."""
    if path:
        document = read(Path(path), must_exist=True)
    else:
        document = _empty()
        for each in default_paths():
            _fold(document, read(each))
    return from_document(document, context)


def read(path: Path, *, must_exist: bool = False) -> dict[str, Any]:
    """The document at `path` with its relative paths made absolute; an empty one when there is no file."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        if must_exist:
            raise KubeconfigError(f"stat {path}: no such file or directory") from None
        return _empty()
    except OSError as error:
        raise KubeconfigError(f"open {path}: {error.strerror}") from error
    try:
        document = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise KubeconfigError(f"error loading config file {str(path)!r}: {error}") from error
    if document is None:
        return _empty()
    if not isinstance(document, dict):
        raise KubeconfigError(f"error loading config file {str(path)!r}: it is not a mapping")
    for section in _SECTIONS:
        for entry in document.get(section) or []:
            body = entry.get(section[:-1]) or {}
            for name in ("certificate-authority", "client-certificate", "client-key", "tokenFile"):
                if body.get(name):
                    body[name] = str(path.absolute().parent / body[name])
    return document


def _empty() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": [],
            "current-context": ""}  # fmt: skip


def _fold(into: dict[str, Any], other: dict[str, Any]) -> None:
    for section in _SECTIONS:
        have = {entry["name"] for entry in into[section]}
        into[section] += [entry for entry in other.get(section) or [] if entry["name"] not in have]
    into["current-context"] = into["current-context"] or other.get("current-context") or ""


def from_document(document: dict[str, Any], context: str | None = None) -> RestConfig:
    name = context or document.get("current-context") or ""
    if not name:
        raise KubeconfigError("no current context is set: give --context or --kubeconfig")
    chosen = _entry(document, "contexts", name)
    if chosen is None:
        raise KubeconfigError(f'context "{name}" does not exist')
    cluster = _entry(document, "clusters", chosen.get("cluster") or "")
    if cluster is None or not cluster.get("server"):
        raise KubeconfigError(f'cluster "{chosen.get("cluster")}" of context "{name}" does not exist')
    user = _entry(document, "users", chosen.get("user") or "") or {}
    config = RestConfig(
        server=str(cluster["server"]).rstrip("/"),
        ca_data=_pem(cluster, "certificate-authority"),
        cert_data=_pem(user, "client-certificate"),
        key_data=_pem(user, "client-key"),
        token=_token(user),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        namespace=str(chosen.get("namespace") or "default"),
        tls_server_name=str(cluster.get("tls-server-name") or ""),
        context=name,
    )
    if ("exec" in user or "auth-provider" in user) and not (config.token or config.cert_data):
        raise KubeconfigError(f'user "{chosen.get("user")}": credential plugins are not supported')
    return config


def _entry(document: dict[str, Any], section: str, name: str) -> dict[str, Any] | None:
    for entry in document.get(section) or []:
        if entry.get("name") == name:
            body: dict[str, Any] = entry.get(section[:-1]) or {}
            return body
    return None


def _pem(body: dict[str, Any], name: str) -> bytes | None:
    inline = body.get(f"{name}-data")
    if inline:
        try:
            return base64.b64decode(inline, validate=True)
        except (binascii.Error, ValueError) as error:
            raise KubeconfigError(f"{name}-data is not base64: {error}") from error
    return _bytes(body[name], name) if body.get(name) else None


def _bytes(path: str, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise KubeconfigError(f"unable to read {what} {path}: {error.strerror}") from error


def _token(user: dict[str, Any]) -> str | None:
    if user.get("token"):
        return str(user["token"])
    return _bytes(user["tokenFile"], "tokenFile").decode().strip() if user.get("tokenFile") else None


def document_for(config: RestConfig, name: str, user: str = "") -> dict[str, Any]:
    """A kubeconfig document with one cluster, one user and one context, all inline."""
    user = user or name
    cluster: dict[str, Any] = {"server": config.server}
    if config.ca_data:
        cluster["certificate-authority-data"] = base64.b64encode(config.ca_data).decode()
    if config.insecure:
        cluster["insecure-skip-tls-verify"] = True
    if config.tls_server_name:
        cluster["tls-server-name"] = config.tls_server_name
    who: dict[str, Any] = {}
    if config.cert_data and config.key_data:
        who["client-certificate-data"] = base64.b64encode(config.cert_data).decode()
        who["client-key-data"] = base64.b64encode(config.key_data).decode()
    if config.token:
        who["token"] = config.token
    context: dict[str, Any] = {"cluster": name, "user": user}
    if config.namespace != "default":
        context["namespace"] = config.namespace
    return {
        **_empty(),
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": user, "user": who}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }


def write(path: Path, document: dict[str, Any]) -> None:
    """Atomically, mode 0600; an existing file keeps its owner. Unchanged content is not rewritten."""
    text = yaml.safe_dump(document, sort_keys=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.read_text() == text and path.stat().st_mode & 0o777 == 0o600:
        return
    path = path.resolve()  # a symlink stays one
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".kubeconfig-")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        owner = path.stat() if path.exists() else path.parent.stat()
        if os.geteuid() == 0:
            os.chown(temporary, owner.st_uid, owner.st_gid)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def merge_context(path: Path, config: RestConfig, name: str, *, make_current: bool = True) -> None:
    """Put context, cluster and user `name` into the file at `path`; every other entry stays as it is."""
    document = _raw(path)
    for section, entries in document_for(config, name).items():
        if section in _SECTIONS:
            kept = [e for e in document.get(section) or [] if e.get("name") != name]
            document[section] = kept + entries
    if make_current or not document.get("current-context"):
        document["current-context"] = name
    write(path, document)


def remove_context(path: Path, name: str) -> None:
    """Take context, cluster and user `name` out again; the file itself stays."""
    if not path.is_file():
        return
    document = _raw(path)
    for section in _SECTIONS:
        document[section] = [e for e in document.get(section) or [] if e.get("name") != name]
    if document.get("current-context") == name:
        document["current-context"] = ""
    write(path, document)


def _raw(path: Path) -> dict[str, Any]:
    """For editing: paths inside stay as written."""
    if not path.is_file():
        return _empty()
    document = yaml.load(path.read_text(), Loader=_Loader)
    if document is None:
        return _empty()
    if not isinstance(document, dict):
        raise KubeconfigError(f"{path} is not a kubeconfig file: it is not a mapping")
    return document
