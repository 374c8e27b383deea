"""projected: several sources in one directory, service account tokens among them.

https://kubernetes.io/docs/concepts/storage/projected-volumes/ ; who may read a token:
https://github.com/kubernetes/enhancements/tree/master/keps/sig-auth/1205-bound-service-account-tokens#file-permission
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.errors import ApiError
from kubelet.volumes import config_map, downward_api, secret
from kubelet.volumes.base import Context, File, Payload, VolumeError, aggregate

_TOKEN_SECONDS = 3600
_PARTS = {"configMap": config_map.payload, "secret": secret.payload, "downwardAPI": downward_api.payload}


async def payload(context: Context, source: Mapping[str, Any], default_mode: int) -> Payload:
    """VolumeError says what is wrong with all of them at once."""
    files: Payload = {}
    errors = []
    for part in source.get("sources") or []:
        try:
            files |= await _part(context, part, default_mode)
        except VolumeError as error:
            errors.append(str(error))
        except ApiError as error:
            errors.append(error.message)
    if errors:
        raise VolumeError(aggregate(errors))
    return files


async def _part(context: Context, part: Mapping[str, Any], default_mode: int) -> Payload:
    for kind, of_kind in _PARTS.items():
        if part.get(kind) is not None:
            return await of_kind(context, part[kind], default_mode)
    wanted = part.get("serviceAccountToken")
    if wanted is None:
        raise VolumeError(f"projected sources of kind {', '.join(part)} are not supported on this node")
    seconds = int(wanted.get("expirationSeconds") or _TOKEN_SECONDS)
    token = await context.objects.token(context.pod, wanted.get("audience") or "", seconds)
    return {wanted["path"]: File(token.encode(), *_guard(context.pod["spec"], default_mode))}


def _guard(spec: Mapping[str, Any], mode: int) -> tuple[int, int | None]:
    """Mode and owner of a token: for the one user that all containers run as, or the pod's group, when there is one."""
    own, every = spec.get("securityContext") or {}, [*(spec.get("initContainers") or []), *spec["containers"]]
    users = {(c.get("securityContext") or {}).get("runAsUser", own.get("runAsUser")) for c in every}
    user = users.pop() if len(users) == 1 else None
    return (mode if user is None and own.get("fsGroup") is None else 0o600), user
