"""Pods go where their volumes are: k8s.io/kubernetes/pkg/scheduler/framework/plugins/{volumebinding,volumezone,
volumerestrictions}."""

from __future__ import annotations

from typing import Any

import pytest

from api import meta
from api.builtin import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from api.meta import Obj
from api.volume_binding import SELECTED_NODE
from scheduler.cycle import schedule
from scheduler.filters import volume_binding
from scheduler.pod import Pod
from scheduler.queue import Place
from scheduler.snapshot import Snapshot
from tests.unit.scheduler.objects import cluster, node, pod, pod_object
from tests.unit.scheduler.test_loop import World

NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"
OUT_OF_REACH = "node(s) didn't match PersistentVolume's node affinity"
NONE_TO_BIND = "node(s) didn't find available persistent volumes to bind"


def affinity(*nodes: str) -> Obj:
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": list(nodes)}
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}


def volume(name: str, *nodes: str, size: str = "1Gi", class_: str = "late", labels: Any = None, **spec: Any) -> Obj:
    own = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": class_, **spec}
    if nodes:
        own["nodeAffinity"] = affinity(*nodes)
    return {
        "kind": "PersistentVolume",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": own,
        "status": {"phase": "Available"},
    }


def claim(name: str, bound_to: str = "", *, size: str = "1Gi", class_: str = "late", **options: Any) -> Obj:
    """Options: modes, phase, owner, deleting, selected."""
    spec = {"accessModes": options.get("modes", ["ReadWriteOnce"]), "resources": {"requests": {"storage": size}}}
    metadata: Obj = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "annotations": {}}
    if bound_to:
        spec["volumeName"] = bound_to
        metadata["annotations"]["pv.kubernetes.io/bind-completed"] = "yes"
    if options.get("selected"):
        metadata["annotations"][SELECTED_NODE] = options["selected"]
    if options.get("deleting"):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    phase = {"phase": options.get("phase", "Bound" if bound_to else "Pending")}
    spec["storageClassName"] = class_
    return {"kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec, "status": phase}


def storage_class(name: str, mode: str = "WaitForFirstConsumer", provisioner: str = "", **more: Any) -> Obj:
    provisioner = provisioner or "kubernetes.io/no-provisioner"
    return {
        "kind": "StorageClass", "metadata": {"name": name}, "volumeBindingMode": mode, "provisioner": provisioner, **more
    }  # fmt: skip


def wants(*claims: str) -> list[Obj]:
    return [{"name": f"v{i}", "persistentVolumeClaim": {"claimName": c}} for i, c in enumerate(claims)]


def there(snapshot: Snapshot, *objects: Obj) -> Snapshot:
    known = {
        "PersistentVolume": snapshot.volumes.set_volume,
        "PersistentVolumeClaim": snapshot.volumes.set_claim,
        "StorageClass": snapshot.volumes.set_class,
    }
    for obj in objects:
        known[obj["kind"]](obj)
    return snapshot


LATE = storage_class("late")
EXTERNAL = storage_class("late", provisioner="example.com/disk")


@pytest.mark.parametrize(
    ("objects", "volumes", "expected"),
    [
        pytest.param([], wants("c"), 'persistentvolumeclaim "c" not found', id="missing"),
        pytest.param(
            [], [{"name": "scratch", "ephemeral": {}}],
            'waiting for ephemeral volume controller to create the persistentvolumeclaim "p-scratch"', id="not made yet",
        ),
        pytest.param(
            [claim("p-scratch")], [{"name": "scratch", "ephemeral": {}}],
            "PVC ns/p-scratch was not created for pod ns/p (pod is not owner)", id="another's",
        ),
        pytest.param(
            [claim("c", "gone", phase="Lost")], wants("c"),
            'persistentvolumeclaim "c" bound to non-existent persistentvolume "gone"', id="lost",
        ),
        pytest.param([claim("c", deleting=True)], wants("c"), 'persistentvolumeclaim "c" is being deleted', id="going"),
        pytest.param(
            [claim("c", class_="")], wants("c"), "pod has unbound immediate PersistentVolumeClaims", id="immediate"
        ),
    ],
)  # fmt: skip
def test_what_rules_a_pod_out(objects: list[Obj], volumes: list[Obj], expected: str) -> None:
    decision = schedule(pod("p", volumes=volumes), there(cluster(node("a"), node("b")), LATE, *objects))
    assert decision.message == (
        f"0/2 nodes are available: {expected}. preemption: 0/2 nodes are available: 2 {NOT_HELPFUL}."
    )
    assert decision.blockers == {"VolumeBinding"}


ZONES = (
    node("a", labels={"topology.kubernetes.io/zone": "z1"}),
    node("b", labels={"topology.kubernetes.io/zone": "z2"}),
)


@pytest.mark.parametrize(
    ("objects", "claims", "goes_to"),
    [
        pytest.param([claim("c", "v"), volume("v", "b")], ["c"], "b", id="where its volume is"),
        pytest.param([claim("c", "v"), volume("v", "x")], ["c"], OUT_OF_REACH, id="its volume is elsewhere"),
        pytest.param(
            [claim("c", "v"), volume("v", labels={"topology.kubernetes.io/zone": "z2__z3"})], ["c"], "b", id="zone"
        ),
        pytest.param(
            [claim("c", "v"), volume("v", labels={"failure-domain.beta.kubernetes.io/zone": "z9"})], ["c"],
            "node(s) had no available volume zone", id="no such zone",
        ),
        pytest.param(
            [claim("c", "v")], ["c"], "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
            id="no volume",
        ),
        pytest.param([LATE, claim("c"), volume("v", "b")], ["c"], "b", id="where it can have one"),
        pytest.param([LATE, claim("c", size="2Gi"), volume("v", "b")], ["c"], NONE_TO_BIND, id="too small"),
        pytest.param([LATE, claim("c"), volume("v", "b", class_="x")], ["c"], NONE_TO_BIND, id="another class"),
        pytest.param([LATE, claim("c"), claim("d"), volume("v")], ["c", "d"], NONE_TO_BIND, id="one for two"),
        pytest.param(
            [LATE, claim("c"), claim("d"), volume("v", "a"), volume("w", "b"), volume("x", "b")], ["c", "d"], "b",
            id="two for two",
        ),
        pytest.param(
            [LATE, claim("c", size="2Gi"), claim("d"), volume("v", "b", size="5Gi"), volume("w", "b")], ["c", "d"], "b",
            id="the small one leaves the large",
        ),
        pytest.param([EXTERNAL, claim("c", selected="b")], ["c"], "b", id="being made for a node"),
        pytest.param(
            [
                storage_class("late", provisioner="example.com/disk", allowedTopologies=[
                    {"matchLabelExpressions": [{"key": "topology.kubernetes.io/zone", "values": ["z2"]}]}
                ]),
                claim("c"),
            ],
            ["c"], "b", id="made where its class allows",
        ),
    ],
)  # fmt: skip
def test_where_it_goes(objects: list[Obj], claims: list[str], goes_to: str) -> None:
    decision = schedule(pod("p", volumes=wants(*claims)), there(cluster(*ZONES), *objects))
    if len(goes_to) == 1:
        assert decision.node == goes_to
    else:
        assert decision.message == (
            f"0/2 nodes are available: 2 {goes_to}. preemption: 0/2 nodes are available: 2 {NOT_HELPFUL}."
        )


def test_a_claim_for_one_pod_is_no_seconds() -> None:
    """KEP-2485."""
    snapshot = there(cluster(node("a"), node("b")), claim("c", "v", modes=["ReadWriteOncePod"]), volume("v"))
    first, second = (pod(name, volumes=wants("c")) for name in ("first", "second"))
    assert schedule(first, snapshot).node
    snapshot.place(first, "a")
    reason = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
    assert schedule(second, snapshot).message == (
        f"0/2 nodes are available: 2 {reason}. preemption: 0/2 nodes are available: 2 {NO_VICTIMS}."
    )
    snapshot.forget(first.uid)
    assert schedule(second, snapshot).node


def _place(each: Pod, snapshot: Snapshot) -> str:
    decision = schedule(each, snapshot)
    promise = volume_binding.promise(each, snapshot, decision.node) if decision.node else None
    if promise is not None:
        snapshot.volumes.promise(promise)
    return decision.node


def test_what_is_promised_is_nobody_elses_until_it_is_taken_back() -> None:
    snapshot = there(cluster(node("a"), node("b")), LATE, claim("c"), claim("d"), volume("v", "b"))
    one, other = pod("one", volumes=wants("c")), pod("other", volumes=wants("d"))
    promise = volume_binding.promise(one, snapshot, "b")
    assert promise is not None and [v["metadata"]["name"] for v in promise.volumes] == ["v"]
    snapshot.volumes.promise(promise)
    assert _place(other, snapshot) == "" and _place(one, snapshot) == "b"
    snapshot.volumes.take_back(promise)
    assert _place(other, snapshot) == "b"


class Storage(World):
    """Keeps what is written to claims and volumes, too."""

    def __init__(self) -> None:
        self.written: dict[str, Obj] = {}
        super().__init__()

    def _answer(self, request: Any) -> Any:
        answer = super()._answer(request)
        if request.method == "PUT":
            self.written[request.url.path.rsplit("/", 1)[1]] = answer.json()
        return answer

    def see(self, obj: Obj, type_: str = "MODIFIED") -> None:
        rows = {row.kind: row for row in (PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES)}
        if obj["kind"] not in rows:
            super().see(obj, type_)
            return
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        self.informers.of(rows[obj["kind"]]).apply(type_, obj)


async def test_a_pod_is_bound_after_its_claims() -> None:
    world = Storage()
    for obj in (LATE, claim("c"), volume("v", "a"), node("a"), pod_object("p", volumes=wants("c"))):
        world.see(obj)
    await world.pass_time()
    reference = world.written["v"]["spec"]["claimRef"]
    assert (reference["namespace"], reference["name"], reference["uid"]) == ("ns", "c", "uid-c")
    assert meta.annotations(world.written["v"]) == {"pv.kubernetes.io/bound-by-controller": "yes"}
    assert world.bound == {}
    world.see(world.written["v"])
    world.see(claim("c", "v"))
    await world.pass_time()
    assert world.bound == {"p": "a"}
    await world.end()


async def test_a_provisioner_is_told_the_node_and_may_give_it_up() -> None:
    """The pod is tried again then; so it is when the volume does not come within ten minutes."""
    world = Storage()
    for obj in (EXTERNAL, claim("c"), node("a"), pod_object("p", volumes=wants("c"))):
        world.see(obj)
    await world.pass_time()
    assert meta.annotations(world.written["c"]) == {"volume.kubernetes.io/selected-node": "a"}
    world.see(claim("c", selected="a"))
    await world.pass_time()
    assert world.bound == {}
    world.see(claim("c"))
    await world.pass_time()
    prefix = 'running PreBind plugin "VolumeBinding": binding volumes'
    assert ("FailedScheduling", f'{prefix}: provisioning failed for PVC "c"') in world.events
    assert world.scheduler.queue.place_of("uid-p") is Place.BACKOFF
    await world.pass_time(700)
    assert ("FailedScheduling", f"{prefix}: context deadline exceeded") in world.events
    await world.end()


async def test_a_pod_comes_when_its_claim_does() -> None:
    world = Storage()
    world.see(node("a"))
    world.see(pod_object("p", volumes=wants("c")))
    await world.pass_time()
    assert world.patched["p"]["message"].startswith('0/1 nodes are available: persistentvolumeclaim "c" not found.')
    world.see(volume("v"))
    world.see(claim("c", "v"))
    await world.pass_time(30)
    assert world.bound == {"p": "a"}
    await world.end()
