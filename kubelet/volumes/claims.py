"""What is behind a volume of a pod: itself, or the persistent volume that its claim is bound to.

Texts: pkg/kubelet/volumemanager/populator/desired_state_of_world_populator.go
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from api.errors import ApiError
from api.meta import Obj, is_deleting

_OPTIONS = "volume.beta.kubernetes.io/mount-options"
_GROUP = "pv.beta.kubernetes.io/gid"
_NOT_SOURCES = frozenset((
    "accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy",
    "storageClassName", "volumeAttributesClassName", "volumeMode",
))  # fmt: skip


class Unprocessed(Exception):
    """There is no volume behind the claim yet."""


class Persistent(Protocol):
    async def claim(self, namespace: str, name: str) -> Obj | None: ...

    async def persistent_volume(self, name: str) -> Obj | None: ...


@dataclass(frozen=True, slots=True)
class Source:
    name: str
    """Of the persistent volume, else of the pod's volume."""
    kind: str
    spec: Mapping[str, Any]
    read_only: bool = False
    options: tuple[str, ...] = ()
    block: bool = False
    group: int | None = None
    """A group that the pod's processes need to be in."""


def claim_name(pod: Obj, volume: Mapping[str, Any]) -> str:
    """ "" when the volume is no claim."""
    if volume.get("ephemeral") is not None:
        return f"{pod['metadata']['name']}-{volume['name']}"
    return str((volume.get("persistentVolumeClaim") or {}).get("claimName", ""))


def own(volume: Mapping[str, Any]) -> Source:
    """A volume that is no claim."""
    kind = next((k for k in volume if k != "name"), "emptyDir")
    return Source(volume["name"], kind, volume.get(kind) or {})


async def resolve(pod: Obj, volume: Mapping[str, Any], persistent: Persistent) -> Source:
    """Unprocessed while the claim is not bound."""
    name = claim_name(pod, volume)
    if not name:
        return own(volume)
    try:
        claim = await _claim(pod, name, persistent)
        found = await _volume(claim, persistent)
    except Unprocessed as error:
        raise Unprocessed(f"error processing PVC {pod['metadata']['namespace']}/{name}: {error}") from error
    if volume.get("ephemeral") is not None:
        _check_owner(claim, pod)
    source = _behind(found, bool((volume.get("persistentVolumeClaim") or {}).get("readOnly")))
    _check_mode(pod, volume["name"], source)
    return source


async def _claim(pod: Obj, name: str, persistent: Persistent) -> Obj:
    try:
        claim = await persistent.claim(pod["metadata"]["namespace"], name)
    except ApiError as error:
        raise Unprocessed(f"failed to fetch PVC from API server: {error.message}") from error
    if claim is None:
        raise Unprocessed(f'failed to fetch PVC from API server: persistentvolumeclaims "{name}" not found')
    if is_deleting(claim):
        raise Unprocessed("PVC is being deleted")
    if (claim.get("status") or {}).get("phase") != "Bound":
        raise Unprocessed("PVC is not bound")
    if not claim["spec"].get("volumeName"):
        raise Unprocessed("PVC has empty pvc.Spec.VolumeName")
    return claim


async def _volume(claim: Obj, persistent: Persistent) -> Obj:
    name, uid = claim["spec"]["volumeName"], claim["metadata"]["uid"]
    try:
        found = await persistent.persistent_volume(name)
    except ApiError as error:
        raise Unprocessed(f"failed to fetch PV {name} from API server: {error.message}") from error
    if found is None:
        raise Unprocessed(f'failed to fetch PV {name} from API server: persistentvolumes "{name}" not found')
    reference = found["spec"].get("claimRef")
    if reference is None:
        raise Unprocessed(
            f"found PV object {name} but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim"
        )
    if reference.get("uid") != uid:
        raise Unprocessed(
            f"found PV object {name} but its pv.Spec.ClaimRef.UID {reference.get('uid', '')} "
            f"does not point to claim.UID {uid}"
        )
    return found


def _check_owner(claim: Obj, pod: Obj) -> None:
    """A claim of the name that a pod's ephemeral volume takes may be somebody else's."""
    owners = claim["metadata"].get("ownerReferences") or []
    if not any(o.get("controller") and o.get("uid") == pod["metadata"]["uid"] for o in owners):
        of_claim, of_pod = (f"{o['metadata']['namespace']}/{o['metadata']['name']}" for o in (claim, pod))
        raise Unprocessed(f"PVC {of_claim} was not created for pod {of_pod} (pod is not owner)")


def _behind(found: Obj, read_only: bool) -> Source:
    spec, notes = found["spec"], found["metadata"].get("annotations") or {}
    kind = next((k for k in spec if k not in _NOT_SOURCES), "")
    options = spec.get("mountOptions") or [o for o in notes.get(_OPTIONS, "").split(",") if o]
    group = notes.get(_GROUP, "")
    return Source(
        found["metadata"]["name"],
        kind,
        spec.get(kind) or {},
        read_only or bool((spec.get(kind) or {}).get("readOnly")),
        tuple(options),
        spec.get("volumeMode") == "Block",
        int(group) if group.isdigit() else None,
    )


def _check_mode(pod: Obj, name: str, source: Source) -> None:
    mounted, as_device = used(pod)
    wrong = "volumeMounts" if source.block and name in mounted else ""
    wrong = wrong or ("volumeDevices" if not source.block and name in as_device else "")
    if wrong:
        mode = "Block" if source.block else "Filesystem"
        raise Unprocessed(f"volume {name} has volumeMode {mode}, but is specified in {wrong}")


def used(pod: Obj) -> tuple[set[str], set[str]]:
    """Names of the volumes that containers of the pod mount, and of those that they have as devices."""
    spec = pod["spec"]
    kinds = ("initContainers", "containers", "ephemeralContainers")
    containers = [container for kind in kinds for container in spec.get(kind) or []]
    return (
        {mount["name"] for container in containers for mount in container.get("volumeMounts") or []},
        {device["name"] for container in containers for device in container.get("volumeDevices") or []},
    )
