"""How API servers behind this one know who asks: the ConfigMap that they read it from.

https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/
"""

from __future__ import annotations

import json
from pathlib import Path

from api.builtin import CONFIG_MAPS
from api.meta import Obj
from apiserver.context import Context
from apiserver.endpoints import ensure
from apiserver.options import Options


async def publish(context: Context) -> None:
    wanted = data(context.options)

    def transform(obj: Obj) -> Obj:
        return obj | {"data": {**(obj.get("data") or {}), **wanted}}

    metadata = {"name": "extension-apiserver-authentication", "namespace": "kube-system"}
    await ensure(context, CONFIG_MAPS, {"metadata": metadata, "data": wanted}, transform)


def data(options: Options) -> dict[str, str]:
    found = {}
    if options.client_ca_file:
        found["client-ca-file"] = Path(options.client_ca_file).read_text()
    if options.requestheader_client_ca_file:
        found["requestheader-client-ca-file"] = Path(options.requestheader_client_ca_file).read_text()
        found["requestheader-allowed-names"] = json.dumps(options.requestheader_allowed_names)
        found["requestheader-username-headers"] = '["X-Remote-User"]'
        found["requestheader-uid-headers"] = '["X-Remote-Uid"]'
        found["requestheader-group-headers"] = '["X-Remote-Group"]'
        found["requestheader-extra-headers-prefix"] = '["X-Remote-Extra-"]'
    return found
