"""downwardAPI: fields of the pod and resources of its containers as files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubelet.pods.environment import ConfigError, Sources, pod_field, resource_field
from kubelet.pods.model import find_container
from kubelet.volumes.base import Context, File, Payload, VolumeError


async def payload(context: Context, source: Mapping[str, Any], default_mode: int) -> Payload:
    files: Payload = {}
    for item in source.get("items") or []:
        mode = item.get("mode")
        files[item["path"]] = File(_value(context, item).encode(), default_mode if mode is None else int(mode))
    return files


def _value(context: Context, item: Mapping[str, Any]) -> str:
    if item.get("fieldRef"):
        try:
            return pod_field(item["fieldRef"]["fieldPath"], Sources(context.pod, host_ip=context.host_ip))
        except ConfigError as error:
            raise VolumeError(str(error)) from error
    ref = item["resourceFieldRef"]
    container = find_container(context.pod, ref.get("containerName", "")) or {}
    return resource_field(ref["resource"], ref.get("divisor") or "0", container, context.node_allocatable)
