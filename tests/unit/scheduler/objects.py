"""Nodes and pods as the apiserver would hand them over, in one line each."""

from __future__ import annotations

from typing import Any

from scheduler import pod as pods
from scheduler.cycle import Decision, schedule
from scheduler.pod import Pod
from scheduler.snapshot import Snapshot


def node(
    name: str,
    cpu: str = "4",
    memory: str = "8Gi",
    max_pods: int = 110,
    *,
    labels: dict[str, str] | None = None,
    taints: tuple[str, ...] = (),
    unschedulable: bool = False,
    images: dict[str, int] | None = None,
    extra: dict[str, str] | None = None,
) -> dict[str, Any]:
    """`taints` as `key=value:Effect`; `extra` are further resources."""
    spec: dict[str, Any] = {"taints": [_taint(t) for t in taints]}
    if unschedulable:
        spec["unschedulable"] = True
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": spec,
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory, "pods": str(max_pods), **(extra or {})},
            "images": [{"names": [n], "sizeBytes": size} for n, size in (images or {}).items()],
        },
    }


def _taint(text: str) -> dict[str, str]:
    rest, _, effect = text.partition(":")
    key, _, value = rest.partition("=")
    return {"key": key, "value": value, "effect": effect}


def pod_object(
    name: str, cpu: str = "", memory: str = "", *, owner: str = "", labels: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    requests = {k: v for k, v in (("cpu", cpu), ("memory", memory)) if v}
    metadata: dict[str, Any] = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "labels": labels or {}}
    if owner:
        metadata["ownerReferences"] = [
            {"kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True, "apiVersion": "apps/v1"}
        ]
    container = {"name": "c", "image": "web:1", "resources": {"requests": requests}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"schedulerName": "default-scheduler", "containers": [container], **spec},
    }


def pod(name: str = "p", cpu: str = "", memory: str = "", **fields: Any) -> Pod:
    return pods.read(pod_object(name, cpu, memory, **fields))


def cluster(*nodes: dict[str, Any]) -> Snapshot:
    snapshot = Snapshot(capacity=2)  # small, so that growing is always part of the test
    for each in nodes:
        snapshot.set_node(each)
    return snapshot


def run(snapshot: Snapshot, pods: list[Pod], start: int = 0) -> list[Decision]:
    """Schedule one after the other, assuming each where it went."""
    decisions = []
    for each in pods:
        decision = schedule(each, snapshot, start)
        start = decision.next_start
        if decision.node:
            snapshot.place(each, decision.node)
        decisions.append(decision)
    return decisions
