"""A deployment's status and conditions, worded as `kubectl rollout status` and people expect. Pure.

Rules: k8s.io/kubernetes/pkg/controller/deployment/{progress,sync}.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from api import meta
from api.meta import Obj
from controller import deployment_scaling as scaling

NO_DEADLINE = 2**31 - 1


class Conditions:
    """A deployment's conditions being edited. `changed` tells whether anything but a timestamp did."""

    def __init__(self, deployment: Obj, now: datetime) -> None:
        self._now = now
        self._by_type = {c["type"]: dict(c) for c in (deployment.get("status") or {}).get("conditions") or []}

    def get(self, type_: str) -> Obj | None:
        return self._by_type.get(type_)

    def reason(self, type_: str) -> str:
        return str((self.get(type_) or {}).get("reason") or "")

    def set(self, type_: str, status: str, reason: str, message: str, *, refresh: bool = False) -> None:
        """Replace a condition unless status and reason are as before. `refresh` moves lastUpdateTime anyway."""
        stamp = meta.rfc3339(self._now)
        old = self._by_type.get(type_)
        if old and old.get("status") == status and old.get("reason") == reason and not refresh:
            return
        kept = old.get("lastTransitionTime") if old and old.get("status") == status else None
        self._by_type[type_] = {
            "type": type_, "status": status, "reason": reason, "message": message,
            "lastUpdateTime": stamp, "lastTransitionTime": kept or stamp,
        }  # fmt: skip

    def remove(self, type_: str) -> None:
        self._by_type.pop(type_, None)

    def list(self) -> list[Obj]:
        return list(self._by_type.values())


def has_deadline(deployment: Obj) -> bool:
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return seconds is not None and seconds != NO_DEADLINE


def note_pause(deployment: Obj, conditions: Conditions) -> None:
    """Stop or restart the progress clock when the deployment is paused or resumed."""
    if not has_deadline(deployment) or conditions.reason("Progressing") == "ProgressDeadlineExceeded":
        return
    noted = conditions.reason("Progressing") == "DeploymentPaused"
    if deployment["spec"].get("paused") and not noted:
        conditions.set("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
    elif not deployment["spec"].get("paused") and noted:
        conditions.set("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed")


def note_new_replica_set(deployment: Obj, name: str, conditions: Conditions, *, created: bool) -> None:
    if not has_deadline(deployment):
        return
    if created:
        conditions.set("Progressing", "True", "NewReplicaSetCreated", f'Created new replica set "{name}"')
    elif conditions.get("Progressing") is None:
        conditions.set("Progressing", "True", "FoundNewReplicaSet", f'Found new replica set "{name}"')


def note_create_failure(deployment: Obj, name: str, error: str, conditions: Conditions) -> None:
    if has_deadline(deployment):
        message = f'Failed to create new replica set "{name}": {error}'
        conditions.set("Progressing", "False", "ReplicaSetCreateError", message)


def counts(deployment: Obj, new: Obj | None, old: Sequence[Obj]) -> dict[str, int]:
    """The numbers of a status, zeros included."""

    def total(field: str) -> int:
        return sum(int((rs.get("status") or {}).get(field) or 0) for rs in everything)

    everything = [*old, *([new] if new else [])]
    available = total("availableReplicas")
    return {
        "replicas": total("replicas"),
        "updatedReplicas": int(((new or {}).get("status") or {}).get("replicas") or 0),
        "readyReplicas": total("readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, sum(scaling.size(rs) for rs in everything) - available),
        "terminatingReplicas": total("terminatingReplicas"),
    }


def is_complete(deployment: Obj, numbers: dict[str, int]) -> bool:
    """All replicas are of the new template and available, and no old one is left."""
    wanted = scaling.desired(deployment)
    return all(numbers[field] == wanted for field in ("updatedReplicas", "replicas", "availableReplicas"))


def _has_moved(deployment: Obj, numbers: dict[str, int]) -> bool:
    before: dict[str, Any] = deployment.get("status") or {}

    def was(field: str) -> int:
        return int(before.get(field) or 0)

    return (
        numbers["updatedReplicas"] > was("updatedReplicas")
        or numbers["replicas"] - numbers["updatedReplicas"] < was("replicas") - was("updatedReplicas")
        or numbers["readyReplicas"] > was("readyReplicas")
        or numbers["availableReplicas"] > was("availableReplicas")
    )


def _deadline_at(deployment: Obj, condition: Obj) -> datetime:
    since = meta.parse_time(condition.get("lastUpdateTime") or condition["lastTransitionTime"])
    return since + timedelta(seconds=int(deployment["spec"]["progressDeadlineSeconds"]))


def _has_timed_out(deployment: Obj, conditions: Conditions, now: datetime) -> bool:
    condition = conditions.get("Progressing")
    if condition is None or condition.get("reason") == "NewReplicaSetAvailable":
        return False
    return condition.get("reason") == "ProgressDeadlineExceeded" or _deadline_at(deployment, condition) < now


def note_progress(
    deployment: Obj, new: Obj | None, numbers: dict[str, int], conditions: Conditions, now: datetime
) -> None:
    if not has_deadline(deployment):
        conditions.remove("Progressing")
        return
    settled = (
        numbers["replicas"] == numbers["updatedReplicas"]
        and conditions.reason("Progressing") == "NewReplicaSetAvailable"
    )
    if settled:
        return
    subject = f'ReplicaSet "{meta.name(new)}"' if new else f'Deployment "{meta.name(deployment)}"'
    if is_complete(deployment, numbers):
        message = f"{subject} has successfully progressed."
        conditions.set("Progressing", "True", "NewReplicaSetAvailable", message)
    elif _has_moved(deployment, numbers):
        conditions.set("Progressing", "True", "ReplicaSetUpdated", f"{subject} is progressing.", refresh=True)
    elif _has_timed_out(deployment, conditions, now):
        message = f"{subject} has timed out progressing."
        conditions.set("Progressing", "False", "ProgressDeadlineExceeded", message)


def note_availability(deployment: Obj, numbers: dict[str, int], conditions: Conditions) -> None:
    enough = scaling.desired(deployment) - scaling.max_unavailable(deployment)
    if numbers["availableReplicas"] >= enough:
        message = "Deployment has minimum availability."
        conditions.set("Available", "True", "MinimumReplicasAvailable", message)
    else:
        message = "Deployment does not have minimum availability."
        conditions.set("Available", "False", "MinimumReplicasUnavailable", message)


def note_failures(new: Obj | None, old: Sequence[Obj], conditions: Conditions) -> None:
    """Pass on why pods could not be made: the new replica set's word, or else an old one's."""
    for rs in [new] if new else old:
        failure = meta.get_condition(rs, "ReplicaFailure")
        if failure is not None:
            conditions.set("ReplicaFailure", failure["status"], failure.get("reason", ""), failure.get("message", ""))
            return
    conditions.remove("ReplicaFailure")


def build(
    deployment: Obj, new: Obj | None, old: Sequence[Obj], conditions: Conditions, now: datetime,
    *, progress: bool,
) -> Obj:  # fmt: skip
    """The whole status. `progress` is False for a deployment that is paused, being resized, or deleted."""
    numbers = counts(deployment, new, old)
    note_availability(deployment, numbers, conditions)
    if progress:
        note_progress(deployment, new, numbers, conditions, now)
        note_failures(new, old, conditions)
    status: Obj = {"observedGeneration": int(deployment["metadata"].get("generation") or 0)}
    status |= {field: number for field, number in numbers.items() if number or field == "terminatingReplicas"}
    collisions = (deployment.get("status") or {}).get("collisionCount")
    if collisions is not None:
        status["collisionCount"] = collisions
    status["conditions"] = conditions.list()
    return status


def stuck_in(deployment: Obj, status: Obj, now: datetime) -> float | None:
    """Seconds until the progress deadline has to be looked at again, if a rollout is under way."""
    if not has_deadline(deployment) or deployment["spec"].get("paused"):
        return None
    condition = meta.get_condition({"status": status}, "Progressing")
    if condition is None or condition.get("reason") in ("NewReplicaSetAvailable", "ProgressDeadlineExceeded"):
        return None
    return max(0.0, (_deadline_at(deployment, condition) - now).total_seconds()) + 1
