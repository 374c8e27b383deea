"""Deployments and ReplicaSets."""

from __future__ import annotations

from datetime import datetime

from api.meta import Obj
from api.selectors import from_label_selector
from kubectl.describe.events import events_block
from kubectl.describe.pods import selector_text, template_block
from kubectl.describe.sheet import Sheet, controlled_by, rfc1123z, status


def deployment(obj: Obj, old: list[Obj], new: list[Obj], events: list[Obj] | None, now: datetime) -> str:
    """`old` and `new` are its ReplicaSets."""
    sheet = Sheet(now)
    metadata, spec, state = obj["metadata"], obj["spec"], status(obj)
    sheet.line(0, f"Name:\t{metadata['name']}")
    sheet.line(0, f"Namespace:\t{metadata.get('namespace', '')}")
    sheet.line(0, f"CreationTimestamp:\t{rfc1123z(metadata.get('creationTimestamp'))}")
    sheet.labels("Labels", metadata.get("labels"))
    sheet.annotations(metadata.get("annotations"))
    sheet.line(0, f"Selector:\t{from_label_selector(spec.get('selector'))}")
    sheet.line(0, f"Replicas:\t{spec.get('replicas', 1)} desired | {state.get('updatedReplicas', 0)} updated | "
                  f"{state.get('replicas', 0)} total | {state.get('availableReplicas', 0)} available | "
                  f"{state.get('unavailableReplicas', 0)} unavailable")  # fmt: skip
    strategy = spec.get("strategy") or {}
    sheet.line(0, f"StrategyType:\t{strategy.get('type', '')}")
    sheet.line(0, f"MinReadySeconds:\t{spec.get('minReadySeconds', 0)}")
    rolling = strategy.get("rollingUpdate")
    if rolling:
        sheet.line(0, f"RollingUpdateStrategy:\t{rolling.get('maxUnavailable')} max unavailable, "
                      f"{rolling.get('maxSurge')} max surge")  # fmt: skip
    template_block(sheet, spec.get("template"))
    conditions_block(sheet, state.get("conditions"))
    if old or new:
        sheet.line(0, f"OldReplicaSets:\t{_created(old)}")
        sheet.line(0, f"NewReplicaSet:\t{_created(new)}")
    events_block(sheet, events)
    return sheet.text()


def conditions_block(sheet: Sheet, conditions: list[Obj] | None) -> None:
    if conditions:
        sheet.line(0, "Conditions:")
        sheet.line(1, "Type\tStatus\tReason")
        sheet.line(1, "----\t------\t------")
    for condition in conditions or []:
        sheet.line(1, f"{condition['type']} \t{condition['status']}\t{condition.get('reason', '')}")


def _created(replica_sets: list[Obj]) -> str:
    return ", ".join(
        f"{rs['metadata']['name']} ({status(rs).get('replicas', 0)}/{rs['spec'].get('replicas', 1)} "
        "replicas created)"
        for rs in replica_sets
    ) or "<none>"  # fmt: skip


def replica_set(obj: Obj, pods: list[Obj], events: list[Obj] | None, now: datetime) -> str:
    """`pods` are those its selector matches; only its own are counted."""
    sheet = Sheet(now)
    metadata, spec, state = obj["metadata"], obj["spec"], status(obj)
    sheet.line(0, f"Name:\t{metadata['name']}")
    sheet.line(0, f"Namespace:\t{metadata.get('namespace', '')}")
    sheet.line(0, f"Selector:\t{selector_text(spec.get('selector'))}")
    sheet.labels("Labels", metadata.get("labels"))
    sheet.annotations(metadata.get("annotations"))
    owner = controlled_by(obj)
    if owner:
        sheet.line(0, f"Controlled By:\t{owner}")
    sheet.line(0, f"Replicas:\t{state.get('replicas', 0)} current / {spec.get('replicas', 1)} desired")
    sheet.line(0, f"Pods Status:\t{pods_status(pods, metadata.get('uid', ''))}")
    template_block(sheet, spec.get("template"))
    conditions_block(sheet, state.get("conditions"))
    events_block(sheet, events)
    return sheet.text()


def pods_status(pods: list[Obj], owner_uid: str) -> str:
    phases = [
        status(pod).get("phase")
        for pod in pods
        if any(r.get("controller") and r.get("uid") == owner_uid for r in pod["metadata"].get("ownerReferences") or [])
    ]
    counts = [phases.count(phase) for phase in ("Running", "Pending", "Succeeded", "Failed")]
    return "{} Running / {} Waiting / {} Succeeded / {} Failed".format(*counts)
