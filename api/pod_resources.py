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
_OF_POD = frozenset(("cpu", "memory"))


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
