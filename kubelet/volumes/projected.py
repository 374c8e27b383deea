"""projected: several sources in one directory, service account tokens among them.

https://kubernetes.io/docs/concepts/storage/projected-volumes/ ; who may read a token:
https://github.com/kubernetes/enhancements/tree/master/keps/sig-auth/1205-bound-service-account-tokens#file-permission
"""

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
            files[wanted["path"]] = File(token.encode(), *_guard(context.pod["spec"], default_mode))
        else:
            raise VolumeError(f"projected source {', '.join(part)} is not supported on this node")
    return files


def _guard(spec: Mapping[str, Any], mode: int) -> tuple[int, int | None]:
    """Mode and owner of a token: for the one user that all containers run as, or the pod's group, when there is one."""
    own, every = spec.get("securityContext") or {}, [*(spec.get("initContainers") or []), *spec["containers"]]
    users = {(c.get("securityContext") or {}).get("runAsUser", own.get("runAsUser")) for c in every}
    user = users.pop() if len(users) == 1 else None
    return (mode if user is None and own.get("fsGroup") is None else 0o600), user
