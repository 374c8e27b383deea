"""configMap: its keys as files."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from kubelet.volumes.base import Context, Payload, VolumeError, choose


async def payload(context: Context, source: Mapping[str, Any], default_mode: int) -> Payload:
    name, optional = source.get("name") or "", bool(source.get("optional"))
    found = await context.objects.config_map(context.namespace, name)
    if found is None:
        if optional:
            return {}
        raise VolumeError(f'configmap "{name}" not found')
    data = {k: v.encode() for k, v in (found.get("data") or {}).items()}
    data |= {k: base64.b64decode(v) for k, v in (found.get("binaryData") or {}).items()}
    return choose(data, source, default_mode, optional, "configmap references non-existent config key")
