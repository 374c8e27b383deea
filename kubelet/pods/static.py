"""Static pods: what a manifest on the node's disk means. Pure.

A static pod's uid names its manifest: the node, the file and what is in it. So another version is another pod, and a
restarted kubelet finds its containers again.

Rules: pkg/kubelet/config/common.go, HasAPIObjectReference of pkg/api/pod.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from hashlib import md5
from typing import Any

from api import documents, objects
from api.builtin import PODS
from api.documents import DocumentError
from api.errors import ApiError
from api.meta import Obj, rfc3339_micro
from kubelet.pods.critical import HASH, MIRROR, SOURCE
from kubelet.pods.environment import references
from kubelet.pods.model import every_container

SEEN = "kubernetes.io/config.seen"
_TOLERATION = {"effect": "NoExecute", "operator": "Exists"}


class ManifestError(ValueError):
    """There is no pod to be had from a manifest, and why."""


def read(text: bytes, file: str, node: str, now: datetime) -> tuple[Obj, list[str]]:
    """The pod that a manifest means on this node, and what is questionable in it. ManifestError."""
    try:
        given = documents.load(text)
    except DocumentError as error:
        raise ManifestError(f"couldn't parse as pod: {error}") from error
    if not isinstance(given, dict) or (given.get("apiVersion"), given.get("kind")) != ("v1", "Pod"):
        raise ManifestError("invalid pod: a manifest is one object of kind Pod, apiVersion v1")
    try:
        pod, warnings = objects.decode(PODS, given)
        uid = str(pod["metadata"].get("uid") or "") or _uid(pod, file, node)
        objects.begin(PODS, pod)
        _place(pod, uid, node, now)
        PODS.hooks.prepare(pod, None)
        objects.check(PODS, pod, None)
    except ApiError as error:
        raise ManifestError(f"invalid pod: {error.message}") from error
    if kind := next(api_references(pod), ""):
        raise ManifestError(f"static pods may not reference {kind}")
    return pod, warnings


def _uid(pod: Obj, file: str, node: str) -> str:
    whole = json.dumps([node, file, pod], sort_keys=True, default=str)
    return md5(whole.encode(), usedforsecurity=False).hexdigest()


def _place(pod: Obj, uid: str, node: str, now: datetime) -> None:
    meta, spec = pod["metadata"], pod["spec"]
    meta["name"] = f"{meta.get('name', '')}-{node.lower()}"
    meta["uid"] = uid
    meta.setdefault("namespace", "default")
    own = {HASH: uid, SOURCE: "file", SEEN: rfc3339_micro(now)}
    meta["annotations"] = {**(meta.get("annotations") or {}), **own}
    meta["annotations"].pop(MIRROR, None)
    spec["nodeName"] = node
    if _TOLERATION not in (spec.get("tolerations") or []):
        spec["tolerations"] = [*(spec.get("tolerations") or []), dict(_TOLERATION)]
    pod["status"] = {"phase": "Pending"}


def api_references(pod: Mapping[str, Any]) -> Iterator[str]:
    """What kinds of objects a pod needs the apiserver for, in upstream's words."""
    spec = pod["spec"]
    if spec.get("serviceAccountName") or spec.get("serviceAccount"):
        yield "serviceaccounts"
    volumes = spec.get("volumes") or []
    projected = [source for v in volumes for source in (v.get("projected") or {}).get("sources") or []]
    named = [references(container) for container in every_container(pod)]
    drivers = [source for v in volumes for source in v.values() if isinstance(source, dict)]
    if (
        spec.get("imagePullSecrets")
        or any(secrets for _, secrets in named)
        or any(field.lower().endswith(("secretref", "secretname")) for source in drivers for field in source)
        or any("secret" in each for each in (*volumes, *projected))
    ):
        yield "secrets"
    if any(maps for maps, _ in named) or any("configMap" in each for each in (*volumes, *projected)):
        yield "configmaps"
    if spec.get("resourceClaims"):
        yield "resourceclaims"
    for field, kind in _VOLUMES.items():
        if any(field in volume for volume in volumes):
            yield kind
    for field, kind in _PROJECTED.items():
        if any(field in source for source in projected):
            yield kind


_VOLUMES = {
    "csi": "csidrivers (via CSI volumes)",
    "glusterfs": "endpoints (via glusterFS volumes)",
    "persistentVolumeClaim": "persistentvolumeclaims",
    "ephemeral": "persistentvolumeclaims (via ephemeral volumes)",
}
_PROJECTED = {
    "serviceAccountToken": "serviceaccounts (via projected volumes)",
    "clusterTrustBundle": "clustertrustbundles",
    "podCertificate": "podcertificates",
}
