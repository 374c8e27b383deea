"""What to do next about one deployment: the composition of scaling, revisions and status. Pure.

`decide` looks at the deployment, the replica sets it controls and whether old pods still run, and returns one
`Plan`. Carrying it out makes new watch events, which lead to the next decision; a plan is never resumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from api import meta
from api.meta import Obj
from controller import deployment_revisions as revisions
from controller import deployment_scaling as scaling
from controller import deployment_status as status_of
from controller.deployment_scaling import Sizes


@dataclass(slots=True)
class Plan:
    create: Obj | None = None  # a new replica set
    update: list[Obj] = field(default_factory=list)  # replica sets, whole, with their new sizes and annotations
    delete: list[Obj] = field(default_factory=list)  # old replica sets past the history limit
    revision: str = ""  # what the deployment's revision annotation should say; "" = leave it
    status: Obj = field(default_factory=dict)
    requeue_after: float | None = None


def decide(deployment: Obj, replica_sets: Sequence[Obj], now: datetime, *, old_pods_run: bool = False) -> Plan:
    """`replica_sets` are those it controls, being deleted or not; `old_pods_run` matters to Recreate only."""
    plan = Plan()
    conditions = status_of.Conditions(deployment, now)
    new = revisions.find_new(deployment, replica_sets)
    old = [rs for rs in replica_sets if new is None or meta.uid(rs) != meta.uid(new)]
    if meta.is_deleting(deployment):
        plan.status = status_of.build(deployment, new, old, conditions, now, progress=False)
        return plan

    status_of.note_pause(deployment, conditions)
    paused = bool(deployment["spec"].get("paused"))
    annotated: dict[str, Obj] = {}
    if new is not None:
        found = _refresh_new(deployment, new, old)
        if found is not None:
            annotated[meta.name(new)] = found
        plan.revision = meta.annotations(found or new).get(revisions.REVISION, "")
        status_of.note_new_replica_set(deployment, meta.name(new), conditions, created=False)

    resizing = paused or scaling.is_scaling(deployment, replica_sets)
    if resizing:
        sizes = scaling.resize(deployment, new, old)
        if paused:
            plan.delete = revisions.removable(deployment, old)
    else:
        sizes = _step(deployment, new, old, replica_sets, conditions, plan, old_pods_run)
    plan.update = _updates(deployment, replica_sets, sizes, annotated, mark_all=resizing)
    plan.status = status_of.build(deployment, new, old, conditions, now, progress=not resizing)
    plan.requeue_after = status_of.stuck_in(deployment, plan.status, now)
    return plan


def _step(
    deployment: Obj, new: Obj | None, old: Sequence[Obj], replica_sets: Sequence[Obj],
    conditions: status_of.Conditions, plan: Plan, old_pods_run: bool,
) -> Sizes:  # fmt: skip
    """One step of the rollout: the sizes to set, and in `plan` what to create and delete."""
    if not scaling.is_rolling(deployment):
        sizes = scaling.empty(old)
        if sizes or old_pods_run:
            return sizes
    if new is None:
        _create(deployment, old, replica_sets, conditions, plan)
        return {}
    sizes = (
        scaling.roll(deployment, new, old)
        if scaling.is_rolling(deployment)
        else {meta.name(new): scaling.desired(deployment)}
        if scaling.size(new) != scaling.desired(deployment)
        else {}
    )
    if not sizes and status_of.is_complete(deployment, status_of.counts(deployment, new, old)):
        plan.delete = revisions.removable(deployment, old)
    return sizes


def _create(
    deployment: Obj, old: Sequence[Obj], replica_sets: Sequence[Obj],
    conditions: status_of.Conditions, plan: Plan,
) -> None:  # fmt: skip
    replicas = scaling.new_size(deployment, replica_sets, 0)
    revision = revisions.next_revision(old)
    plan.create = revisions.build(deployment, replicas, revision, scaling.max_total(deployment))
    plan.revision = str(revision)
    status_of.note_new_replica_set(deployment, meta.name(plan.create), conditions, created=True)


def _refresh_new(deployment: Obj, new: Obj, old: Sequence[Obj]) -> Obj | None:
    """The new replica set with the annotations and minReadySeconds it should have, or None if it has them."""
    annotations = revisions.annotations_for_new(deployment, new, revisions.next_revision(old))
    ready = int(deployment["spec"].get("minReadySeconds") or 0)
    if annotations == meta.annotations(new) and ready == int(new["spec"].get("minReadySeconds") or 0):
        return None
    return {
        **new,
        "metadata": {**new["metadata"], "annotations": annotations},
        "spec": {**new["spec"], "minReadySeconds": ready},
    }


def _updates(
    deployment: Obj, replica_sets: Sequence[Obj], sizes: Sizes, changed: dict[str, Obj], *, mark_all: bool
) -> list[Obj]:
    """Whole replica sets to write. A resized one, and with `mark_all` every active one, notes the new total."""
    marks = revisions.size_annotations(scaling.desired(deployment), scaling.max_total(deployment))
    updates = []
    for rs in replica_sets:
        wanted = changed.get(meta.name(rs), rs)
        replicas = sizes.get(meta.name(rs), scaling.size(rs))
        if meta.name(rs) in sizes or (mark_all and replicas > 0):
            annotations = meta.annotations(wanted)
            if marks.items() - annotations.items() or replicas != scaling.size(rs):
                wanted = {
                    **wanted,
                    "metadata": {**wanted["metadata"], "annotations": annotations | marks},
                    "spec": {**wanted["spec"], "replicas": replicas},
                }
        if wanted is not rs:
            updates.append(wanted)
    return updates
