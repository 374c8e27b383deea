"""Stand-ins for pods that the apiserver does not have: what runs of them is to be ended."""

from __future__ import annotations

from api.meta import Obj, rfc3339
from client.clock import Clock
from kubelet.pods.model import Container


def as_deleted(pod: Obj, clock: Clock) -> Obj:
    """The pod as if it had been deleted with its own grace period."""
    meta = dict(pod["metadata"])
    meta.setdefault("deletionTimestamp", rfc3339(clock.now()))
    return {**pod, "metadata": meta}


def orphan(containers: list[Container], clock: Clock) -> Obj:
    """For containers that no pod claims: all that their labels tell."""
    any_of_it = containers[0]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": any_of_it.pod_name,
            "namespace": any_of_it.pod_namespace,
            "uid": any_of_it.pod_uid,
            "deletionTimestamp": rfc3339(clock.now()),
            "deletionGracePeriodSeconds": max(c.grace for c in containers),
        },
        "spec": {"containers": []},
        "status": {},
    }
