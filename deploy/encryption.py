"""The key that Secrets are encrypted with in etcd, made once: who loses this file loses them.

Plain text is still read, so a cluster that was made before there was a key goes on, and the apiserver encrypts what it
finds. It takes changes of the file up by itself: how to change keys,
https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/#rotating-a-decryption-key tells.
"""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

import yaml

from client.files import write_atomically
from deploy.errors import Failure


def ensure(path: Path, *, needed: bool = False) -> None:
    """Never touches a file that is there: the administrator may have listed keys of his own. `needed`: there are
    Secrets that only it can read, so another would be of no use. Failure"""
    if path.exists():
        return
    if needed:
        raise Failure(
            f"{path} is gone, and with it the key of this cluster's Secrets",
            "put it back from your backup; without one, sampan reset and sampan up begin anew",
        )
    key = {"name": f"key-{secrets.token_hex(4)}", "secret": base64.b64encode(secrets.token_bytes(32)).decode()}
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": [{"aesgcm": {"keys": [key]}}, {"identity": {}}]}],
    }
    write_atomically(path, yaml.safe_dump(document, sort_keys=False).encode(), 0o600)
