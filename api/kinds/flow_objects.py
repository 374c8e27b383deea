"""The priority levels and flow schemas that every cluster has.

They are those of k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap: the mandatory ones, then the suggested ones.
"""

from __future__ import annotations

from collections.abc import Iterable

from api.meta import Obj

AUTO_UPDATE = "apf.kubernetes.io/autoupdate-spec"


def _made(name: str, spec: Obj) -> Obj:
    return {"metadata": {"name": name, "annotations": {AUTO_UPDATE: "true"}}, "spec": spec}


def _level(name: str, shares: int, lendable: int, queues: int = 0, hand: int = 0) -> Obj:
    queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": 50}
    response: Obj = {"type": "Queue", "queuing": queuing} if queues else {"type": "Reject"}
    limited = {"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response}
    return _made(name, {"type": "Limited", "limited": limited})


def _subjects(kind: str, names: Iterable[str]) -> list[Obj]:
    place = {"namespace": "kube-system"} if kind == "ServiceAccount" else {}
    key = kind[0].lower() + kind[1:]
    return [{"kind": kind, key: {"name": name, **place}} for name in names]


def _resources(verbs: Iterable[str], group: str, resources: Iterable[str], where: str = "*", *, cluster: bool) -> Obj:
    rule: Obj = {"verbs": [*verbs], "apiGroups": [group], "resources": [*resources], "namespaces": [where]}
    return {**rule, "clusterScope": True} if cluster else rule


_ALL_RESOURCES = _resources("*", "*", "*", cluster=True)
_ELECTION = ("get", "create", "update")
_EVERYONE = _subjects("Group", ("system:unauthenticated", "system:authenticated"))
_SYSTEM_ACCOUNTS = _subjects("ServiceAccount", "*")
_LEASES = _resources(_ELECTION, "coordination.k8s.io", ["leases"], cluster=False)


def _schema(
    name: str,
    level: str,
    precedence: int,
    by: str,
    subjects: list[Obj],
    resources: Iterable[Obj] = (_ALL_RESOURCES,),
    urls: Obj | None = None,
) -> Obj:
    rule: Obj = {"subjects": subjects}
    if resources:
        rule["resourceRules"] = [*resources]
    if urls is not None or tuple(resources) == (_ALL_RESOURCES,):
        rule["nonResourceRules"] = [urls or {"verbs": ["*"], "nonResourceURLs": ["*"]}]
    spec: Obj = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": [rule]}
    if by:
        spec["distinguisherMethod"] = {"type": by}
    return _made(name, spec)


def _legacy_locks(where: str) -> Obj:
    return _resources(_ELECTION, "", ["endpoints", "configmaps"], where, cluster=False)


_NODES = _subjects("Group", ["system:nodes"])
_MANAGER, _SCHEDULER = "system:kube-controller-manager", "system:kube-scheduler"
_NODE_RULES = (
    _resources("*", "", ["nodes", "nodes/status"], cluster=True),
    _resources("*", "coordination.k8s.io", ["leases"], cluster=False),
)
_PROBES = {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}

_EXEMPT = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}
MANDATORY_LEVELS = (_made("exempt", _EXEMPT), _level("catch-all", 5, 0))
MANDATORY_SCHEMAS = (
    _schema("exempt", "exempt", 1, "", _subjects("Group", ["system:masters"])),
    _schema("catch-all", "catch-all", 10000, "ByUser", _EVERYONE),
)
LEVELS = (
    *MANDATORY_LEVELS,
    _level("system", 30, 33, 64, 6),
    _level("node-high", 40, 25, 64, 6),
    _level("leader-election", 10, 0, 16, 4),
    _level("workload-high", 40, 50, 128, 6),
    _level("workload-low", 100, 90, 128, 6),
    _level("global-default", 20, 50, 128, 6),
)
SCHEMAS = (
    *MANDATORY_SCHEMAS,
    _schema("system-nodes", "system", 500, "ByUser", _NODES),
    _schema("system-node-high", "node-high", 400, "ByUser", _NODES, _NODE_RULES),
    _schema("probes", "exempt", 2, "", _EVERYONE, (), _PROBES),
    _schema(
        "system-leader-election", "leader-election", 100, "ByUser",
        _subjects("User", [_MANAGER, _SCHEDULER]) + _SYSTEM_ACCOUNTS, (_legacy_locks("kube-system"), _LEASES),
    ),
    _schema(
        "workload-leader-election", "leader-election", 200, "ByUser", _SYSTEM_ACCOUNTS, (_legacy_locks("*"), _LEASES),
    ),
    _schema("kube-controller-manager", "workload-high", 800, "ByNamespace", _subjects("User", [_MANAGER])),
    _schema("kube-scheduler", "workload-high", 800, "ByNamespace", _subjects("User", [_SCHEDULER])),
    _schema("kube-system-service-accounts", "workload-high", 900, "ByNamespace", _SYSTEM_ACCOUNTS),
    _schema("service-accounts", "workload-low", 9000, "ByUser", _subjects("Group", ["system:serviceaccounts"])),
    _schema("global-default", "global-default", 9900, "ByUser", _EVERYONE),
)  # fmt: skip
