"""Which pod goes first when the node is short of something, and what it is told. Pure.

Source: pkg/kubelet/eviction/helpers.go (rankMemoryPressure, rankDiskPressureFunc, rankPIDPressure, evictionMessage).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from api import pod_resources, quantities
from api.meta import Obj
from kubelet.eviction.pressure import Observations
from kubelet.eviction.thresholds import SIGNALS, Threshold
from kubelet.pods.critical import priority
from kubelet.pods.model import spec_containers, spec_init_containers

_IN_BYTES = ("memory", "ephemeral-storage")


@dataclass(frozen=True, slots=True)
class Use:
    """What a pod uses, by resource: memory and ephemeral-storage in bytes, inodes, pids."""

    total: Mapping[str, int]
    containers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def ranked(pods: Iterable[Obj], resource: str, use: Mapping[str, Use]) -> list[Obj]:
    """The first is to go first: one of which nothing is known, then those that use more than they requested, then by
    priority, then by how much more. Processes nobody requests: priority decides, then their number."""

    def order(pod: Obj) -> tuple[bool, bool, int, int]:
        used = use.get(pod["metadata"]["uid"])
        if used is None:
            return False, False, 0, 0
        requested = 0 if resource == "pids" else _requested(pod, resource)
        over = used.total.get(resource, 0) - requested
        return True, resource != "pids" and over <= 0, priority(pod), -over

    return sorted(pods, key=order)


def _requested(pod: Obj, resource: str) -> int:
    amount = pod_resources.requests(pod).get(resource)
    return 0 if amount is None else quantities.units(amount)


def written(resource: str, amount: int) -> str:
    return quantities.format_binary(amount) if resource in _IN_BYTES else quantities.canonical(amount)


def explained(
    pod: Obj, resource: str, acting: Iterable[Threshold], observations: Observations, use: Use | None
) -> tuple[str, dict[str, str]]:
    """Why it is evicted, and the annotations of the event that tells so."""
    message = f"The node was low on resource: {resource}. "
    threshold = next((t for t in acting if SIGNALS[t.signal].resource == resource), None)
    if threshold is not None:
        seen = observations[threshold.signal]
        wanted, left = threshold.amount.of(seen.capacity), seen.available
        message += f"Threshold quantity: {written(resource, wanted)}, available: {written(resource, left)}. "
    if use is None:
        return message, {}
    annotations: dict[str, str] = {}
    own = ((pod["spec"].get("resources") or {}).get("requests") or {}).get("memory")
    if resource == "memory" and own is not None:
        name, used = pod["metadata"]["name"], written(resource, use.total.get(resource, 0))
        message += f"Pod {name} was using {used}, request is {own}, has larger consumption of {resource}. "
        annotations |= {"offending_pod": name, "offending_pod_usage": used}
    guilty = {}
    for container in (*spec_containers(pod), *spec_init_containers(pod)):
        name, requests = container["name"], (container.get("resources") or {}).get("requests") or {}
        amount, requested = use.containers.get(name, {}).get(resource), requests.get(resource, "0")
        if amount is not None and amount > quantities.units(requested):
            guilty[name] = written(resource, amount)
            message += (
                f"Container {name} was using {guilty[name]}, request is {requested}, "
                f"has larger consumption of {resource}. "
            )
    return message, {
        **annotations,
        "offending_containers": ",".join(guilty),
        "offending_containers_usage": ",".join(guilty.values()),
        "starved_resource": resource,
    }
