"""projected: several sources in one directory, service account tokens among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubelet.volumes import config_map, downward_api, secret
from kubelet.volumes.base import Context, File, Payload, VolumeError

_TOKEN_SECONDS = 3600


async def payload(context: Context, source: Mapping[str, Any], default_mode: int) -> Payload:
    files: Payload = {}
    for part in source.get("sources") or []:
        if part.get("configMap"):
            files |= await config_map.payload(context, part["configMap"], default_mode)
        elif part.get("secret"):
            files |= await secret.payload(context, part["secret"], default_mode)
        elif part.get("downwardAPI"):
            files |= await downward_api.payload(context, part["downwardAPI"], default_mode)
        elif part.get("serviceAccountToken"):
            wanted = part["serviceAccountToken"]
            seconds = int(wanted.get("expirationSeconds") or _TOKEN_SECONDS)
            token = await context.lookup.token(context.pod, wanted.get("audience") or "", seconds)
            files[wanted["path"]] = File(token.encode(), default_mode)
        else:
            raise VolumeError(f"projected source {', '.join(part)} is not supported on this node")
    return files
