"""Which ReplicaSet belongs to which revision of a Deployment. Pure; the rule is the deployment controller's."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from api.meta import Obj

REVISION = "deployment.kubernetes.io/revision"
CHANGE_CAUSE = "kubernetes.io/change-cause"
_HASH = "pod-template-hash"


def without_hash(template: Obj) -> Obj:
    """The pod template as the Deployment has it: without the label its controller adds."""
    bare = copy.deepcopy(template)
    metadata = bare.get("metadata") or {}
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != _HASH}
    metadata.pop("creationTimestamp", None)
    if labels:
        metadata["labels"] = labels
    else:
        metadata.pop("labels", None)
    bare["metadata"] = metadata
    return bare


def new_replica_set(deployment: Obj, replica_sets: Iterable[Obj]) -> Obj | None:
    """The oldest one whose template is the Deployment's."""
    wanted = without_hash(deployment["spec"]["template"])
    ordered = sorted(replica_sets, key=lambda rs: str(rs["metadata"].get("creationTimestamp", "")))
    return next((rs for rs in ordered if without_hash(rs["spec"]["template"]) == wanted), None)


def revision(obj: Obj) -> int:
    """0 when it has none."""
    text = (obj["metadata"].get("annotations") or {}).get(REVISION, "")
    return int(text) if text.isdigit() else 0


def by_revision(replica_sets: Iterable[Obj]) -> dict[int, Obj]:
    return {revision(rs): rs for rs in sorted(replica_sets, key=revision) if revision(rs)}


def change_cause(obj: Obj) -> str:
    return str((obj["metadata"].get("annotations") or {}).get(CHANGE_CAUSE) or "<none>")
