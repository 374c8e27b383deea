"""What scheduling needs to know of a pod, read from its object once. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from api import meta, pod_resources, quantities, volume_binding
from api.meta import Obj
from api.selectors import NOTHING, Requirement, Selector, from_label_selector

# A container that asks for nothing still weighs something when nodes are compared.
DEFAULT_MILLICPU, DEFAULT_MEMORY = 100, 200 << 20

SCHEDULER_NAME = "default-scheduler"

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True, slots=True)
class Toleration:
    key: str
    operator: str
    value: str
    effect: str

    def tolerates(self, taint: Taint) -> bool:
        """https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/"""
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        return self.operator == "Exists" or (self.key != "" and self.value == taint.value)


@dataclass(frozen=True, slots=True)
class Taint:
    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class NodeTerm:
    """One nodeSelectorTerm: all of its requirements. With none it matches no node."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True)
class PodTerm:
    """Other pods, and the topology (a node label key) in which to be with or apart from them."""

    topology: str
    selector: Selector
    namespaces: tuple[str, ...]
    namespace_selector: Selector = NOTHING  # namespaces with these labels, too


@dataclass(frozen=True, slots=True)
class Spread:
    """One topologySpreadConstraint: pods per value of the label `topology` differ by at most `skew`."""

    topology: str
    skew: int
    hard: bool
    selector: Selector
    min_domains: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False


@dataclass(frozen=True, slots=True)
class HostPort:
    ip: str
    protocol: str
    port: int

    def collides(self, ip: str) -> bool:
        return self.ip == ip or "0.0.0.0" in (self.ip, ip)


@dataclass(slots=True)
class Pod:
    key: str
    namespace: str
    name: str
    uid: str
    node: str
    labels: Mapping[str, str]
    priority: int
    requests: dict[str, int]
    """Per resource: cpu in thousandths, all others in whole units. Only what is above zero."""
    weight: tuple[int, int]
    """(cpu, memory) with the defaults for containers that ask for none: for scoring only."""
    tolerations: tuple[Toleration, ...] = ()
    selector: tuple[Requirement, ...] = ()
    affinity: tuple[NodeTerm, ...] | None = None
    preferred: tuple[tuple[int, NodeTerm], ...] = ()
    near: tuple[PodTerm, ...] = ()
    apart: tuple[PodTerm, ...] = ()
    company: tuple[tuple[int, PodTerm], ...] = ()
    """Preferred pod affinity, and anti-affinity with a negative weight."""
    spread: tuple[Spread, ...] = ()
    ports: tuple[HostPort, ...] = ()
    owner: str = ""
    images: tuple[str, ...] = ()
    gated: bool = False
    claims: tuple[tuple[str, bool], ...] = ()
    """Keys of the claims that it needs, and whether each is one made for it."""
    obj: Obj = field(default_factory=dict, repr=False)


def read(obj: Obj) -> Pod:
    spec = obj["spec"]
    requests, weight = _requests(spec)
    if resizes(obj):
        amounts = ((name, _amount(name, quantity)) for name, quantity in pod_resources.requests(obj).items())
        requests = {name: amount for name, amount in amounts if amount > 0}
    affinity = spec.get("affinity") or {}
    node_affinity, with_pods, without_pods = (
        affinity.get(kind) or {} for kind in ("nodeAffinity", "podAffinity", "podAntiAffinity")
    )
    required = node_affinity.get(_REQUIRED)
    owner = meta.controller_of(obj)
    return Pod(
        key=meta.key(obj),
        namespace=meta.namespace(obj),
        name=meta.name(obj),
        uid=meta.uid(obj),
        node=spec.get("nodeName") or "",
        labels=meta.labels(obj),
        priority=int(spec.get("priority") or 0),
        requests=requests,
        weight=weight,
        tolerations=tuple(
            Toleration(t.get("key") or "", t.get("operator") or "Equal", t.get("value") or "", t.get("effect") or "")
            for t in spec.get("tolerations") or ()
        ),
        selector=tuple(Requirement(k, "In", (v,)) for k, v in (spec.get("nodeSelector") or {}).items()),
        affinity=None if required is None else node_terms(required),
        preferred=tuple(
            (int(p["weight"]), node_term(p["preference"]))
            for p in node_affinity.get(_PREFERRED) or ()
        ),
        near=tuple(_pod_term(t, obj) for t in with_pods.get(_REQUIRED) or ()),
        apart=tuple(_pod_term(t, obj) for t in without_pods.get(_REQUIRED) or ()),
        company=tuple(
            (sign * int(p["weight"]), _pod_term(p["podAffinityTerm"], obj))
            for sign, kind in ((1, with_pods), (-1, without_pods))
            for p in kind.get(_PREFERRED) or ()
        ),
        spread=tuple(_spread(c, obj) for c in spec.get("topologySpreadConstraints") or ()),
        ports=tuple(_ports(spec)),
        owner=str(owner["uid"]) if owner else "",
        images=tuple(c.get("image") or "" for c in _containers(spec)),
        gated=bool(spec.get("schedulingGates")),
        claims=tuple((f"{meta.namespace(obj)}/{name}", made) for name, made in volume_binding.claims_of(obj)),
        obj=obj,
    )  # fmt: skip


def resizes(obj: Obj) -> tuple[tuple[str, str], ...]:
    """How far a resize of a running pod has come (KEP-1287): meanwhile the node may hold more or less for it than its
    spec says."""
    told = (obj.get("status") or {}).get("conditions") or ()
    return tuple((c["type"], c.get("reason") or "") for c in told if c["type"].startswith("PodResize"))


def _containers(spec: Mapping[str, Any]) -> list[Obj]:
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def node_terms(selector: Mapping[str, Any]) -> tuple[NodeTerm, ...]:
    """Of a core/v1 NodeSelector: any of them will do."""
    return tuple(node_term(t) for t in selector.get("nodeSelectorTerms") or ())


def node_term(term: Mapping[str, Any]) -> NodeTerm:
    def requirements(expressions: list[Obj] | None) -> tuple[Requirement, ...]:
        return tuple(Requirement(e["key"], e["operator"], tuple(e.get("values") or ())) for e in expressions or ())

    return NodeTerm(requirements(term.get("matchExpressions")), requirements(term.get("matchFields")))


def _pod_term(term: Mapping[str, Any], obj: Obj) -> PodTerm:
    namespaces = term.get("namespaces") or ()
    elsewhere = term.get("namespaceSelector")
    if not namespaces and elsewhere is None:
        namespaces = [meta.namespace(obj)]
    return PodTerm(term["topologyKey"], _selector(term, obj), tuple(sorted(namespaces)), from_label_selector(elsewhere))


def _spread(constraint: Mapping[str, Any], obj: Obj) -> Spread:
    return Spread(
        constraint["topologyKey"],
        int(constraint["maxSkew"]),
        constraint.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule",
        _selector(constraint, obj),
        int(constraint.get("minDomains") or 1),
        constraint.get("nodeAffinityPolicy", "Honor") == "Honor",
        constraint.get("nodeTaintsPolicy", "Ignore") == "Honor",
    )


def _selector(holder: Mapping[str, Any], obj: Obj) -> Selector:
    """labelSelector, narrowed to pods that have this pod's values of matchLabelKeys."""
    selector = from_label_selector(holder.get("labelSelector"))
    own = meta.labels(obj)
    keys = [("In", k) for k in holder.get("matchLabelKeys") or () if k in own]
    keys += [("NotIn", k) for k in holder.get("mismatchLabelKeys") or () if k in own]
    if not keys or selector.nothing:
        return selector
    return Selector((*selector.requirements, *(Requirement(k, op, (own[k],)) for op, k in keys)))


def _ports(spec: Mapping[str, Any]) -> list[HostPort]:
    running = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    return [
        HostPort(p.get("hostIP") or "0.0.0.0", p.get("protocol") or "TCP", int(p["hostPort"]))
        for c in [*running, *(spec.get("containers") or ())]
        for p in c.get("ports") or ()
        if p.get("hostPort")
    ]


def _amount(resource: str, quantity: quantities.Quantity) -> int:
    return quantities.millis(quantity) if resource == "cpu" else quantities.units(quantity)


def _requests(spec: Mapping[str, Any]) -> tuple[dict[str, int], tuple[int, int]]:
    """Containers add up; init containers run one after the other, beside the restartable ones before them.

    The rule of k8s.io/component-helpers/resource: max(sum of containers and sidecars, each init step), plus
    overhead; requests of the pod as a whole win over both.
    """
    plain = _sum(spec, {})
    weighed = _sum(spec, {"cpu": DEFAULT_MILLICPU, "memory": DEFAULT_MEMORY})
    whole = (spec.get("resources") or {}).get("requests") or {}
    for totals in (plain, weighed):
        for resource, quantity in whole.items():
            totals[resource] = _amount(resource, quantity)
        for resource, quantity in (spec.get("overhead") or {}).items():
            totals[resource] = totals.get(resource, 0) + _amount(resource, quantity)
    return {r: v for r, v in plain.items() if v > 0}, (weighed.get("cpu", 0), weighed.get("memory", 0))


def _sum(spec: Mapping[str, Any], absent: Mapping[str, int]) -> dict[str, int]:
    def of(container: Mapping[str, Any]) -> dict[str, int]:
        requests = (container.get("resources") or {}).get("requests") or {}
        return {**absent, **{r: _amount(r, q) for r, q in requests.items()}}

    total: dict[str, int] = {}
    for container in spec.get("containers") or ():
        _add(total, of(container))
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        step = of(container)
        if container.get("restartPolicy") == "Always":
            _add(total, step)
            _add(sidecars, step)
            step = dict(sidecars)
        else:
            _add(step, sidecars)
        for resource, amount in step.items():
            peak[resource] = max(peak.get(resource, 0), amount)
    for resource, amount in peak.items():
        total[resource] = max(total.get(resource, 0), amount)
    return total


def _add(into: dict[str, int], amounts: Mapping[str, int]) -> None:
    for resource, amount in amounts.items():
        into[resource] = into.get(resource, 0) + amount
