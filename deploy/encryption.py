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

from deploy.files import write_atomically


def ensure(path: Path) -> None:
    """Never touches a file that is there: the administrator may have listed keys of his own."""
    if path.exists():
        return
    key = {"name": f"key-{secrets.token_hex(4)}", "secret": base64.b64encode(secrets.token_bytes(32)).decode()}
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": [{"aesgcm": {"keys": [key]}}, {"identity": {}}]}],
    }
    write_atomically(path, yaml.safe_dump(document, sort_keys=False).encode(), 0o600)
