"""Objects for the tests of storage."""

from __future__ import annotations

import orjson

from api.builtin import BUILTIN
from apiserver.storage.decode import decode
from apiserver.storage.stored import Stored


def stored(
    name: str, revision: int, namespace: str = "default", labels: dict[str, str] | None = None, node: str = ""
) -> Stored:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": labels or {}},
        "spec": {"nodeName": node},
    }
    return decode(BUILTIN, f"{namespace}/{name}", orjson.dumps(pod), revision)
