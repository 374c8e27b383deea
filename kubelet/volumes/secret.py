"""secret: its keys as files, kept in memory and never on a disk."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from kubelet.volumes.base import Context, Payload, VolumeError, choose


async def payload(context: Context, source: Mapping[str, Any], default_mode: int) -> Payload:
    # A volume says secretName, a projected source says name.
    name, optional = source.get("secretName") or source.get("name") or "", bool(source.get("optional"))
    found = await context.objects.secret(context.namespace, name)
    if found is None:
        if optional:
            return {}
        raise VolumeError(f'secret "{name}" not found')
    data = {k: base64.b64decode(v) for k, v in (found.get("data") or {}).items()}
    return choose(data, source, default_mode, optional, "references non-existent secret key")
