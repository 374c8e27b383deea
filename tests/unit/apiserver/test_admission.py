"""Each admission step on its own, with a store that knows two namespaces."""

from __future__ import annotations

from typing import Any, cast

import orjson
import pytest

from api.builtin import CONFIG_MAPS, INGRESSES, NAMESPACES, NODES, PODS, PRIORITY_CLASSES
from api.errors import Forbidden, NotFound, not_found
from api.meta import Obj
from api.registry import Resource
from apiserver.admission.chain import Admission, Attempt
from apiserver.admission.default_class import DefaultIngressClass
from apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from apiserver.admission.node_taint import TaintNodesByCondition
from apiserver.admission.priority import Priority
from apiserver.admission.runtime_class import RuntimeClass
from apiserver.admission.toleration_seconds import DefaultTolerationSeconds
from apiserver.auth.user import User
from apiserver.storage.store import Store
from apiserver.storage.stored import Page, Stored

ADMIN = User("admin", ("system:masters",))
OBJECTS = {
    ("namespaces", "a"): {"metadata": {"name": "a"}, "status": {"phase": "Active"}},
    ("namespaces", "dying"): {"metadata": {"name": "dying"}, "status": {"phase": "Terminating"}},
    ("priorityclasses", "system-node-critical"): {"metadata": {"name": "system-node-critical"}, "value": 2_000_001_000},
    ("runtimeclasses", "box"): {
        "metadata": {"name": "box"},
        "handler": "box",
        "overhead": {"podFixed": {"cpu": "10m"}},
        "scheduling": {"nodeSelector": {"box": "yes"}, "tolerations": [{"key": "box", "operator": "Exists"}]},
    },
    ("ingressclasses", "front"): {
        "metadata": {"name": "front", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}
    },
}


class Objects:
    def changed_at(self, res: Resource) -> int:
        return 1

    async def list(self, res: Resource, *, resource_version: str = "") -> Page:
        found = [(name, obj) for (plural, name), obj in OBJECTS.items() if plural == res.plural]
        return Page([Stored("", name, 1, orjson.dumps(obj), {}, {}) for name, obj in found], 1)

    async def get(self, res: Resource, namespace: str, name: str, *, resource_version: str = "") -> Stored:
        obj: Obj | None = OBJECTS.get((res.plural, name))
        if obj is None:
            raise not_found(res.group, res.plural, name)
        return Stored(namespace, name, 1, orjson.dumps(obj), {}, res.field_values(obj))


STORE = cast(Store, Objects())


def attempt(res: Resource, obj: Obj | None = None, old: Obj | None = None, **more: Any) -> Attempt:
    values: dict[str, Any] = {"user": ADMIN, "verb": "create", "subresource": "", "namespace": "a", "name": "x", **more}
    return Attempt(res=res, obj=obj, old=old, **values)


async def admit(step: Any, tried: Attempt) -> Obj:
    chain = Admission([step])
    await chain.mutate(tried)
    await chain.validate(tried)
    return tried.obj or {}


async def test_nothing_is_made_in_a_namespace_that_is_not_there() -> None:
    await admit(NamespaceLifecycle(STORE), attempt(CONFIG_MAPS, {}))
    with pytest.raises(NotFound, match='namespaces "nope" not found'):
        await admit(NamespaceLifecycle(STORE), attempt(CONFIG_MAPS, {}, namespace="nope"))


async def test_nothing_is_made_in_a_namespace_that_ends() -> None:
    with pytest.raises(
        Forbidden, match="unable to create new content in namespace dying because it is being"
    ) as caught:
        await admit(NamespaceLifecycle(STORE), attempt(CONFIG_MAPS, {}, namespace="dying"))
    assert caught.value.details["causes"][0]["reason"] == "NamespaceTerminating"


async def test_namespaces_of_the_cluster_stay() -> None:
    gone = attempt(NAMESPACES, verb="delete", namespace="", name="kube-system")
    with pytest.raises(Forbidden, match='namespaces "kube-system" is forbidden: this namespace may not be deleted'):
        await admit(NamespaceLifecycle(STORE), gone)


async def test_a_pod_tolerates_a_lost_node_for_five_minutes() -> None:
    pod = await admit(DefaultTolerationSeconds(), attempt(PODS, {"spec": {}}))
    assert [(t["key"], t["tolerationSeconds"]) for t in pod["spec"]["tolerations"]] == [
        ("node.kubernetes.io/not-ready", 300), ("node.kubernetes.io/unreachable", 300),
    ]  # fmt: skip
    own = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
    pod = await admit(DefaultTolerationSeconds(), attempt(PODS, {"spec": {"tolerations": [own]}}))
    assert [t["tolerationSeconds"] for t in pod["spec"]["tolerations"]] == [5, 300]
    pod = await admit(DefaultTolerationSeconds(), attempt(PODS, {"spec": {"tolerations": [{"operator": "Exists"}]}}))
    assert len(pod["spec"]["tolerations"]) == 1


@pytest.mark.parametrize(("name", "priority"), [("", 0), ("system-node-critical", 2_000_001_000)])
async def test_a_priority_class_is_a_number(name: str, priority: int) -> None:
    pod = await admit(Priority(STORE), attempt(PODS, {"spec": {"priorityClassName": name}}))
    assert pod["spec"]["priority"] == priority
    assert pod["spec"]["preemptionPolicy"] == "PreemptLowerPriority"


@pytest.mark.parametrize(
    ("spec", "text"),
    [({"priorityClassName": "vip"}, "no PriorityClass with name vip was found"),
     ({"priority": 5}, r"the integer value of priority \(5\) must not be provided in pod spec")],
)  # fmt: skip
async def test_a_pod_does_not_choose_its_number(spec: Obj, text: str) -> None:
    with pytest.raises(Forbidden, match=text):
        await admit(Priority(STORE), attempt(PODS, {"spec": spec}))


async def test_the_system_keeps_its_classes() -> None:
    """pkg/registry/scheduling/priorityclass/storage."""
    removal = Attempt(ADMIN, "delete", PRIORITY_CLASSES, "", "", "system-node-critical", None, None)
    with pytest.raises(Forbidden, match=r"this is a system priority class and cannot be deleted"):
        await Priority(STORE).validate(removal)
    removal.name = "mine"
    await Priority(STORE).validate(removal)


async def test_a_new_node_takes_no_pods() -> None:
    node = await admit(TaintNodesByCondition(), attempt(NODES, {"metadata": {}}))
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


async def test_a_pod_takes_over_what_its_runtime_class_says() -> None:
    """https://kubernetes.io/docs/concepts/containers/runtime-class/"""
    pod = await admit(RuntimeClass(STORE), attempt(PODS, {"spec": {"runtimeClassName": "box"}}))
    assert pod["spec"]["overhead"] == {"cpu": "10m"}
    assert pod["spec"]["nodeSelector"] == {"box": "yes"}
    assert pod["spec"]["tolerations"] == [{"key": "box", "operator": "Exists"}]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"runtimeClassName": "nope"}, 'pod rejected: RuntimeClass "nope" not found'),
        ({"overhead": {"cpu": "1"}}, "Pod Overhead set without corresponding RuntimeClass defined Overhead"),
        ({"runtimeClassName": "box", "overhead": {"cpu": "1"}}, "Pod's Overhead doesn't match RuntimeClass's"),
        ({"runtimeClassName": "box", "nodeSelector": {"box": "no"}}, "conflict: runtimeClass.scheduling.nodeSelector"),
    ],
)
async def test_a_pod_that_its_runtime_class_does_not_fit_is_refused(spec: Obj, why: str) -> None:
    with pytest.raises(Forbidden, match=why):
        await admit(RuntimeClass(STORE), attempt(PODS, {"spec": spec}))


@pytest.mark.parametrize(
    ("ingress", "chosen"),
    [
        ({"metadata": {}}, "front"),
        ({"metadata": {}, "spec": {"ingressClassName": "back"}}, "back"),
        ({"metadata": {"annotations": {"kubernetes.io/ingress.class": "old"}}}, None),
    ],
)
async def test_an_ingress_without_a_class_gets_the_default(ingress: Obj, chosen: str | None) -> None:
    """https://kubernetes.io/docs/concepts/services-networking/ingress/#default-ingress-class"""
    admitted = await admit(DefaultIngressClass(STORE), attempt(INGRESSES, ingress))
    assert admitted["spec"].get("ingressClassName") == chosen
