"""What an object uses of a ResourceQuota, and which objects a quota counts. Pure.

Every namespaced kind is counted as `count/<plural>.<group>`; pods, services and claims use more than that.
https://kubernetes.io/docs/concepts/policy/resource-quotas/ ; rules: k8s.io/kubernetes/pkg/quota/v1/evaluator/core,
k8s.io/apiserver/pkg/quota/v1
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from api import meta, pod_resources, quantities
from api.meta import Obj
from api.pod_resources import Amounts, qos_class

Scope = Mapping[str, object]
"""scopeName, operator, values: one of scopeSelector.matchExpressions."""


def _no_scope(scope: Scope, obj: Obj) -> bool:
    return False


def _nothing_missing(obj: Obj, names: Iterable[str]) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Measure:
    """How objects of one kind are counted.

    usage    what an object uses, at a time
    tracks   whether a resource name is one of those that objects of this kind use
    in_scope whether an object is in a scope
    missing  what an object must say of itself where these names are limited; "" = nothing is missing
    grows    (subresource of an update: "" = none) that may use more than before
    """

    usage: Callable[[Obj, datetime], Amounts]
    tracks: Callable[[str], bool]
    in_scope: Callable[[Scope, Obj], bool] = _no_scope
    missing: Callable[[Obj, Iterable[str]], str] = _nothing_missing
    grows: tuple[str, ...] = ()

    def counts(self, spec: Obj, obj: Obj) -> bool:
        """Whether `obj` is in all the scopes of the quota."""
        return all(self.in_scope(scope, obj) for scope in scopes(spec))


def scopes(spec: Obj) -> Iterator[Scope]:
    for name in spec.get("scopes") or ():
        yield {"scopeName": name, "operator": "Exists"}
    yield from (spec.get("scopeSelector") or {}).get("matchExpressions") or ()


@lru_cache(maxsize=4096)
def measure(group: str, plural: str) -> Measure | None:
    """None: objects of this kind are not counted."""
    if plural == "events" and group in ("", "events.k8s.io"):
        return None
    if not group and plural in _SPECIAL:
        return _SPECIAL[plural]
    names = {f"count/{plural}.{group}" if group else f"count/{plural}"}
    if not group and plural in _ALIASED:
        names.add(plural)
    amounts = dict.fromkeys(names, "1")
    return Measure(lambda obj, now: amounts, names.__contains__)


def masked(amounts: Mapping[str, str], names: Iterable[str]) -> Amounts:
    return {name: amounts[name] for name in names if name in amounts}


def growth(new: Amounts, old: Amounts) -> Amounts:
    """What `new` has more than `old`; where it has less, nothing."""
    return {name: quantities.subtract(amount, old.get(name, "0")) for name, amount in new.items()}


_ALIASED = frozenset(("configmaps", "resourcequotas", "replicationcontrollers", "secrets"))


def _selects(scope: Scope, names: set[str]) -> bool:
    """Whether one of `names` is what the scope asks for; without any, whether it asks for none."""
    operator, values = scope.get("operator"), scope.get("values")
    wanted = set(values) if isinstance(values, list) else set()
    if operator == "Exists":
        return bool(names)
    if operator == "In":
        return not wanted.isdisjoint(names)
    if operator == "NotIn":
        return not names or bool(names - wanted)
    return operator == "DoesNotExist" and not names


# --- pods --------------------------------------------------------------------------------------------------

_KINDS = ("cpu", "memory", "ephemeral-storage")
_REQUIRED = frozenset(name for kind in _KINDS[:2] for name in (kind, f"requests.{kind}", f"limits.{kind}"))
_OF_PODS = frozenset(
    ("pods", "count/pods", *(name for kind in _KINDS for name in (kind, f"requests.{kind}", f"limits.{kind}")))
)


def _tracks_pods(name: str) -> bool:
    extended = name.startswith("requests.") and "/" in name and "kubernetes.io/" not in name
    return name in _OF_PODS or extended or name.startswith(("hugepages-", "requests.hugepages-"))


def _computes(requests: Mapping[str, str], limits: Mapping[str, str]) -> Amounts:
    found: Amounts = {"pods": "1"}
    for name, amount in requests.items():
        if name in _KINDS or name.startswith("hugepages-"):
            found[name] = found[f"requests.{name}"] = amount
        elif "/" in name and "kubernetes.io/" not in name:
            found[f"requests.{name}"] = amount
    return found | {f"limits.{name}": limits[name] for name in _KINDS if name in limits}


def _pod_usage(pod: Obj, now: datetime) -> Amounts:
    """Every pod is an object; one that has ended, or should have, uses nothing else."""
    if pod_is_over(pod, now):
        return {"count/pods": "1"}
    return {"count/pods": "1", **_computes(pod_resources.requests(pod), pod_resources.limits(pod))}


def pod_is_over(pod: Obj, now: datetime) -> bool:
    ends = pod_ends(pod)
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed") or (ends is not None and now > ends)


def pod_ends(pod: Obj) -> datetime | None:
    """When a pod that is being deleted should be gone, as far as that is known."""
    deleted, grace = pod["metadata"].get("deletionTimestamp"), pod["metadata"].get("deletionGracePeriodSeconds")
    return meta.parse_time(deleted) + timedelta(seconds=grace) if deleted and grace is not None else None


def _pod_in_scope(scope: Scope, pod: Obj) -> bool:
    spec = pod.get("spec") or {}
    match scope.get("scopeName"):
        case "Terminating":
            return _is_terminating(spec)
        case "NotTerminating":
            return not _is_terminating(spec)
        case "BestEffort":
            return qos_class(spec) == "BestEffort"
        case "NotBestEffort":
            return qos_class(spec) != "BestEffort"
        case "PriorityClass":
            return _selects(scope, {spec["priorityClassName"]} if spec.get("priorityClassName") else set())
        case "CrossNamespacePodAffinity":
            return _crosses_namespaces(spec.get("affinity") or {})
    return False


def _is_terminating(spec: Obj) -> bool:
    return spec.get("activeDeadlineSeconds") is not None


def _crosses_namespaces(affinity: Obj) -> bool:
    for kind in ("podAffinity", "podAntiAffinity"):
        found = affinity.get(kind) or {}
        terms = list(found.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        preferred = found.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [weighted.get("podAffinityTerm") or {} for weighted in preferred]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False


def _pod_missing(pod: Obj, names: Iterable[str]) -> str:
    """Where cpu and memory are limited, each container must say how much it takes, or the pod as a whole."""
    spec = pod.get("spec") or {}
    if pod_resources.has_own(spec):
        return ""
    required, lacking = _REQUIRED.intersection(names), dict[str, set[str]]()
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        resources = container.get("resources") or {}
        given = _computes(resources.get("requests") or {}, resources.get("limits") or {})
        for name in required - given.keys():
            lacking.setdefault(name, set()).add(container["name"])
    told = "; ".join(f"{name} for: {','.join(sorted(lacking[name]))}" for name in sorted(lacking))
    return f"must specify {told}" if told else ""


# --- services ----------------------------------------------------------------------------------------------


def _service_usage(service: Obj, now: datetime) -> Amounts:
    """Node ports are not chosen yet: those that will be count as well."""
    spec = service.get("spec") or {}
    ports, kind, nodeports = spec.get("ports") or [], spec.get("type"), 0
    if kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False):
        nodeports = len(ports)
    elif kind == "LoadBalancer":
        nodeports = sum(1 for port in ports if port.get("nodePort"))
    balancers = "1" if kind == "LoadBalancer" else "0"
    return {
        "count/services": "1", "services": "1", "services.loadbalancers": balancers,
        "services.nodeports": str(nodeports),
    }  # fmt: skip


_OF_SERVICES = frozenset(("count/services", "services", "services.loadbalancers", "services.nodeports"))

# --- claims ------------------------------------------------------------------------------------------------

_OF_CLAIMS = ("persistentvolumeclaims", "requests.storage")
_BY_CLASS = ".storageclass.storage.k8s.io/"
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


def _tracks_claims(name: str) -> bool:
    return (
        name == "count/persistentvolumeclaims"
        or name in _OF_CLAIMS
        or name.endswith(tuple(_BY_CLASS + own for own in _OF_CLAIMS))
    )


def _claim_usage(claim: Obj, now: datetime) -> Amounts:
    spec, granted = claim.get("spec") or {}, (claim.get("status") or {}).get("allocatedResources") or {}
    used: Amounts = {"persistentvolumeclaims": "1"}
    wanted = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if wanted is not None:
        most = pod_resources.largest({"storage": wanted}, granted)["storage"]
        used["requests.storage"] = str(quantities.units(most)) if _has_fraction(most) else most
    name = meta.annotations(claim).get(_CLASS_ANNOTATION, spec.get("storageClassName"))
    by_class = {f"{name}{_BY_CLASS}{own}": amount for own, amount in used.items()} if name else {}
    return {"count/persistentvolumeclaims": "1", **used, **by_class}


def _has_fraction(amount: str) -> bool:
    value = quantities.parse(amount)
    return value != value.to_integral_value()


def _claim_in_scope(scope: Scope, claim: Obj) -> bool:
    spec, status = claim.get("spec") or {}, claim.get("status") or {}
    names = {
        spec.get("volumeAttributesClassName"), status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    }  # fmt: skip
    return scope.get("scopeName") == "VolumeAttributesClass" and _selects(scope, {name for name in names if name})


_SPECIAL = {
    "pods": Measure(_pod_usage, _tracks_pods, _pod_in_scope, _pod_missing, ("resize",)),
    "services": Measure(_service_usage, _OF_SERVICES.__contains__, grows=("",)),
    "persistentvolumeclaims": Measure(_claim_usage, _tracks_claims, _claim_in_scope, grows=("", "status")),
}
