"""Which apiserver, as whom: flags over kubeconfig over the pod's own service account over upstream's default."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from client.kubeconfig import KubeconfigError, RestConfig, default_paths, from_document, load, read
from kubectl.failures import CliError
from kubectl.flags import GlobalFlags

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_DEFAULT_SERVER = "http://localhost:8080"


def rest_config(given: GlobalFlags) -> RestConfig:
    """Flags over kubeconfig over the pod's own service account over upstream's default address."""
    try:
        config = _load(given)
    except KubeconfigError as error:
        raise CliError(str(error)) from error
    if given.server:
        config.server = (given.server if "://" in given.server else f"http://{given.server}").rstrip("/")
    for path, field in (
        (given.certificate_authority, "ca_data"),
        (given.client_certificate, "cert_data"),
        (given.client_key, "key_data"),
    ):
        if path:
            setattr(config, field, _bytes(path))
    if given.token:
        config.token, config.cert_data, config.key_data = given.token, None, None
    if given.tls_server_name:
        config.tls_server_name = given.tls_server_name
    config.insecure = config.insecure or given.insecure_skip_tls_verify
    return config


def _bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CliError(f"unable to read {path}: {error.strerror}") from error


def _load(given: GlobalFlags) -> RestConfig:
    paths = [Path(given.kubeconfig)] if given.kubeconfig else default_paths()
    if given.kubeconfig or any(p.exists() for p in paths):
        if not given.context and not _current_context(paths) and not given.kubeconfig:
            return _fallback()
        config = load(given.kubeconfig or None, given.context or None)
        if given.cluster or given.user:
            _override(config, paths, given)
        return config
    if given.context:
        raise CliError(f'context "{given.context}" does not exist')
    return _fallback()


def _current_context(paths: list[Path]) -> str:
    return next((c for c in (read(p).get("current-context") for p in paths) if c), "")


def _override(config: RestConfig, paths: list[Path], given: GlobalFlags) -> None:
    """--cluster and --user: take server or credentials from another entry of the same files."""
    for path in paths:
        document = read(path)
        contexts = [c["context"] for c in document.get("contexts") or []]
        for name, field in ((given.cluster, "cluster"), (given.user, "user")):
            if not name or not any(e["name"] == name for e in document.get(f"{field}s") or []):
                continue
            base: dict[str, Any] = contexts[0] if contexts else {}
            trial = {**document, "contexts": [{"name": "_", "context": {**base, field: name}}]}
            from_other = from_document(trial, "_")
            if field == "cluster":
                config.server, config.ca_data = from_other.server, from_other.ca_data
                config.insecure, config.tls_server_name = from_other.insecure, from_other.tls_server_name
            else:
                config.cert_data, config.key_data = from_other.cert_data, from_other.key_data
                config.token = from_other.token


def _fallback() -> RestConfig:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    token = _SERVICE_ACCOUNT / "token"
    if not host or not port or not token.is_file():
        return RestConfig(server=_DEFAULT_SERVER)
    namespace = _SERVICE_ACCOUNT / "namespace"
    return RestConfig(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        ca_data=_bytes(str(_SERVICE_ACCOUNT / "ca.crt")),
        token=token.read_text().strip(),
        namespace=namespace.read_text().strip() if namespace.is_file() else "default",
    )
