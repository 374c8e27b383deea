"""What a pod as a whole requests, and what it may use at most. Pure.

Containers add up; init containers run one after the other, beside the restartable ones before them. What is set for
the pod as a whole wins; the overhead of its runtime comes on top. While a container is being resized, the larger of
what is wished for, granted and in effect counts.
Rules: k8s.io/component-helpers/resource/helpers.go, KEP-753, KEP-1287, KEP-2837
"""

from __future__ import annotations

from collections.abc import Mapping

from api import quantities
from api.meta import Obj

Amounts = dict[str, str]
_COMPUTE = ("cpu", "memory")
_OF_POD = frozenset(_COMPUTE)


def requests(pod: Obj) -> Amounts:
    found = _total(pod, "requests")
    return added(found, (pod.get("spec") or {}).get("overhead") or {})


def limits(pod: Obj) -> Amounts:
    """Overhead counts where there is a limit at all."""
    found = _total(pod, "limits")
    overhead = (pod.get("spec") or {}).get("overhead") or {}
    return added(found, {name: amount for name, amount in overhead.items() if quantities.parse(found.get(name, "0"))})


def has_own(spec: Obj) -> bool:
    """Whether resources are set for the pod as a whole."""
    own = spec.get("resources") or {}
    return any(_is_of_pod(name) for kind in ("requests", "limits") for name in own.get(kind) or {})


def qos_class(spec: Obj) -> str:
    """BestEffort without any request or limit, Guaranteed when each limit is set and equals its request. What is set
    for the pod as a whole decides (KEP-2837)."""
    whole = has_own(spec)
    containers = [spec] if whole else [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    any_set, guaranteed = False, True
    for container in containers:
        resources = container.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        for name in _COMPUTE:
            limit, request = limits.get(name), requests.get(name, limits.get(name))
            try:
                has_limit = limit is not None and quantities.parse(limit) > 0
                has_request = request is not None and quantities.parse(request) > 0
                equal = has_limit and quantities.parse(request) == quantities.parse(limit)
            except ValueError:
                return "BestEffort"  # validation refuses the pod right after
            any_set = any_set or has_limit or has_request
            guaranteed = guaranteed and equal
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def added(one: Mapping[str, str], other: Mapping[str, str]) -> Amounts:
    result = dict(one)
    for name, amount in other.items():
        result[name] = quantities.add(result[name], amount) if name in result else amount
    return result


def largest(*found: Mapping[str, str]) -> Amounts:
    result: Amounts = {}
    for amounts in found:
        for name, amount in amounts.items():
            if name not in result or quantities.parse(amount) > quantities.parse(result[name]):
                result[name] = amount
    return result


def _total(pod: Obj, kind: str) -> Amounts:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    infeasible = any(
        c.get("type") == "PodResizePending" and c.get("reason") == "Infeasible" for c in status.get("conditions") or ()
    )
    statuses = {s.get("name"): s for field in _STATUSES for s in status.get(field) or ()}

    def of(container: Obj) -> Amounts:
        wanted: Amounts = (container.get("resources") or {}).get(kind) or {}
        running = statuses.get(container.get("name")) or {}
        if not running.get("resources"):
            return wanted
        actual = running["resources"].get(kind) or {}
        granted = (running.get("allocatedResources") or {}) if kind == "requests" else {}
        return largest(actual, granted) if infeasible else largest(wanted, actual, granted)

    total: Amounts = {}
    for container in spec.get("containers") or ():
        total = added(total, of(container))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            total, sidecars = added(total, of(container)), added(sidecars, of(container))
            peak = largest(peak, sidecars)
        else:
            peak = largest(peak, added(sidecars, (container.get("resources") or {}).get(kind) or {}))
    own = (spec.get("resources") or {}).get(kind) or {}
    return {**largest(total, peak), **{name: amount for name, amount in own.items() if _is_of_pod(name)}}


_STATUSES = ("containerStatuses", "initContainerStatuses")


def _is_of_pod(name: str) -> bool:
    return name in _OF_POD or name.startswith("hugepages-")
