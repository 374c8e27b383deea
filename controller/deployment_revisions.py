"""Which replica set of a deployment is the new one, which revision it bears, and which old ones may go. Pure.

Revisions live in annotations: `deployment.kubernetes.io/revision` on the deployment and on each replica set,
`…/revision-history` on a replica set whose template is used again. `kubectl rollout history|undo` reads them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from api import meta
from api.meta import Obj
from controller import template_hash

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
HISTORY_LIMIT_IN_CHARS = 2000
NO_LIMIT = 2**31 - 1

_NOT_COPIED = {
    "kubectl.kubernetes.io/last-applied-configuration", "deprecated.deployment.rollback.to",
    REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS,
}  # fmt: skip


def age_order(rs: Mapping[str, Any]) -> tuple[str, str]:
    """Sort key: oldest first, names break ties."""
    return str(rs["metadata"].get("creationTimestamp") or ""), meta.name(rs)


def revision_of(rs: Mapping[str, Any]) -> int:
    text = meta.annotations(rs).get(REVISION, "")
    return int(text) if text.isdigit() else 0


def find_new(deployment: Obj, replica_sets: Iterable[Obj]) -> Obj | None:
    """The oldest replica set whose template is the deployment's."""
    wanted = deployment["spec"]["template"]
    matching = (
        rs for rs in sorted(replica_sets, key=age_order)
        if template_hash.equal_ignoring_hash(rs["spec"]["template"], wanted)
    )  # fmt: skip
    return next(matching, None)


def build(deployment: Obj, replicas: int, revision: int, max_replicas: int) -> Obj:
    """The replica set for the deployment's present template. Its name and labels carry the template's hash."""
    spec = deployment["spec"]
    hashed = template_hash.compute(spec["template"], (deployment.get("status") or {}).get("collisionCount"))
    template = copy.deepcopy(spec["template"])
    labels = template.setdefault("metadata", {}).setdefault("labels", {})
    labels[template_hash.LABEL] = hashed
    selector = copy.deepcopy(spec["selector"])
    selector.setdefault("matchLabels", {})[template_hash.LABEL] = hashed
    replica_set: Obj = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta.name(deployment)}-{hashed}",
            "namespace": meta.namespace(deployment),
            "labels": dict(labels),
            "ownerReferences": [meta.controller_reference(deployment, "apps/v1", "Deployment")],
        },
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    }
    if spec.get("minReadySeconds"):
        replica_set["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    annotations = annotations_for_new(deployment, replica_set, revision)
    annotations |= size_annotations(int(spec.get("replicas", 1)), max_replicas)
    replica_set["metadata"]["annotations"] = annotations
    return replica_set


def annotations_for_new(deployment: Obj, rs: Obj, revision: int) -> dict[str, str]:
    """All annotations the new replica set should have: the deployment's own, the revision and its history."""
    annotations = dict(meta.annotations(rs))
    annotations |= {k: v for k, v in meta.annotations(deployment).items() if k not in _NOT_COPIED}
    old_text = annotations.get(REVISION)
    if revision_of(rs) >= revision:
        return annotations
    annotations[REVISION] = str(revision)
    if old_text is not None:
        annotations[REVISION_HISTORY] = _extend_history(annotations.get(REVISION_HISTORY, ""), old_text)
    return annotations


def _extend_history(history: str, revision: str) -> str:
    revisions = [*history.split(","), revision] if history else [revision]
    while len(revisions) > 1 and len(",".join(revisions)) > HISTORY_LIMIT_IN_CHARS:
        revisions.pop(0)
    return ",".join(revisions)


def size_annotations(desired: int, max_replicas: int) -> dict[str, str]:
    return {DESIRED_REPLICAS: str(desired), MAX_REPLICAS: str(max_replicas)}


def next_revision(old: Iterable[Obj]) -> int:
    return max((revision_of(rs) for rs in old), default=0) + 1


def removable(deployment: Obj, old: Sequence[Obj]) -> list[Obj]:
    """Old replica sets beyond revisionHistoryLimit that hold no pod any more, lowest revision first."""
    limit = deployment["spec"].get("revisionHistoryLimit", 10)
    if limit is None or limit == NO_LIMIT:
        return []
    candidates = [rs for rs in old if not meta.is_deleting(rs)]
    excess = len(candidates) - int(limit)
    if excess <= 0:
        return []
    candidates.sort(key=lambda rs: (revision_of(rs), age_order(rs)))
    return [rs for rs in candidates[:excess] if _is_settled_at_zero(rs)]


def _is_settled_at_zero(rs: Obj) -> bool:
    status = rs.get("status") or {}
    observed = int(status.get("observedGeneration") or 0)
    return (
        not rs["spec"].get("replicas")
        and not status.get("replicas")
        and int(rs["metadata"].get("generation") or 0) <= observed
    )
