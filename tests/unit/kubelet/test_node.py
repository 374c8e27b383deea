"""The Node object: what it has, what pods may request of it, its conditions and the events of their change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from api.builtin import NODES
from api.meta import get_condition
from client.clock import FakeClock
from client.informer import Informer
from kubelet.configuration import API_VERSION, KIND, parse
from kubelet.docker.images import Image
from kubelet.node import status
from kubelet.node.agent import NodeAgent
from kubelet.node.machine import Machine
from kubelet.node.oom import victim
from kubelet.node.registration import default_labels, new_node
from kubelet.node.resources import allocatable, capacity
from kubelet.pods.admission import admit
from kubelet.pods.facts import Facts
from tests.unit.kubelet.pods import pod

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def machine(**more: Any) -> Machine:
    facts: dict[str, Any] = {
        "cpus": 2, "memory": 8 << 30, "swap": 0, "huge_pages": {}, "disk": 100 << 30, "machine_id": "m",
        "system_uuid": "s", "boot_id": "b", "kernel": "6", "os_image": "Debian", "architecture": "amd64", **more,
    }  # fmt: skip
    return Machine(**facts)


def node(**more: Any) -> status.Node:
    return status.Node(**{"ip": "192.0.2.1", "hostname": "n", "port": 10250, "engine": "20.10.24", **more})


def built(known: status.Node, found: Machine | None = None, old: dict[str, Any] | None = None) -> dict[str, Any]:
    return status.build(old or {}, found or machine(), known, NOW)


def configuration(**fields: Any) -> Any:
    return parse({"apiVersion": API_VERSION, "kind": KIND, **fields})


RESOURCES = {
    "nothing reserved but the default thresholds": (
        {}, {},
        {"cpu": "2", "memory": "8Gi", "ephemeral-storage": "100Gi", "pods": "110"},
        {"cpu": "2", "memory": "8092Mi", "ephemeral-storage": "90Gi", "pods": "110"},
    ),
    "reserved for the system and for us": (
        {"kubeReserved": {"cpu": "100m", "memory": "1Gi"}, "systemReserved": {"memory": "1Gi", "pid": "100"},
         "evictionHard": {"memory.available": "0%"}}, {},
        {"cpu": "2", "memory": "8Gi", "ephemeral-storage": "100Gi", "pods": "110"},
        {"cpu": "1900m", "memory": "6Gi", "ephemeral-storage": "100Gi", "pods": "110"},
    ),
    "huge pages are no memory": (
        {"evictionHard": {}}, {"huge_pages": {2 << 20: 512 << 20, 1 << 30: 0}},
        {"cpu": "2", "hugepages-2Mi": "512Mi", "hugepages-1Gi": "0", "memory": "8Gi", "ephemeral-storage": "100Gi",
         "pods": "110"},
        {"cpu": "2", "hugepages-2Mi": "512Mi", "hugepages-1Gi": "0", "memory": "7680Mi", "ephemeral-storage": "100Gi",
         "pods": "110"},
    ),
    "more is reserved than there is": (
        {"kubeReserved": {"cpu": "3", "memory": "9Gi"}, "evictionHard": {}}, {},
        {"cpu": "2", "memory": "8Gi", "ephemeral-storage": "100Gi", "pods": "110"},
        {"cpu": "0", "memory": "0", "ephemeral-storage": "100Gi", "pods": "110"},
    ),
    "few pods for each core": (
        {"podsPerCore": 10, "evictionHard": {}}, {},
        {"cpu": "2", "memory": "8Gi", "ephemeral-storage": "100Gi", "pods": "20"},
        {"cpu": "2", "memory": "8Gi", "ephemeral-storage": "100Gi", "pods": "20"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "found", "has", "may"), RESOURCES.values(), ids=RESOURCES.keys())
def test_resources(fields: Any, found: Any, has: Any, may: Any) -> None:
    """allocatable = capacity − kubeReserved − systemReserved − hard thresholds (node_container_manager_linux.go)."""
    assert capacity(machine(**found), configuration(**fields)) == has
    assert allocatable(machine(**found), configuration(**fields)) == may


def test_a_disk_that_is_no_multiple_is_told_in_bytes() -> None:
    """As upstream's quantities are: 10% of it leaves no whole kibibytes."""
    found = machine(disk=1025 * 1024)
    assert capacity(found, configuration())["ephemeral-storage"] == "1025Ki"
    assert allocatable(found, configuration())["ephemeral-storage"] == str(1025 * 1024 - 104960)


def test_conditions() -> None:
    """Reasons and messages of setters.go."""
    good = {"status": built(node())}
    ready = get_condition(good, "Ready")
    assert ready is not None
    assert (ready["status"], ready["reason"]) == ("True", "KubeletReady")
    assert ready["message"] == "kubelet is posting ready status"
    bad = {"status": built(node(pressure={"MemoryPressure", "DiskPressure"}, not_ready="no network"))}
    reasons = {c["type"]: c["reason"] for c in bad["status"]["conditions"]}
    assert reasons == {
        "MemoryPressure": "KubeletHasInsufficientMemory", "DiskPressure": "KubeletHasDiskPressure",
        "PIDPressure": "KubeletHasSufficientPID", "Ready": "KubeletNotReady",
    }  # fmt: skip


def test_a_condition_keeps_the_moment_of_its_last_change() -> None:
    first = built(node())
    later = status.build(first, machine(), node(pressure={"PIDPressure"}), NOW + timedelta(seconds=9))
    moments = {c["type"]: c["lastTransitionTime"] for c in later["conditions"]}
    assert moments["PIDPressure"] != moments["Ready"] == "2026-01-02T03:04:05Z"


def test_pressure_stays_as_it_was_until_somebody_has_looked() -> None:
    """A kubelet that was killed under pressure does not say that all is well when it comes back."""
    before = built(node(pressure={"MemoryPressure"}))
    assert not status.differs(built(node(pressure=None), old=before), before)
    assert told(built(node(pressure=None)), {})[0] == "NodeHasSufficientMemory"


def test_heartbeats_alone_are_no_difference() -> None:
    one = built(node())
    conditions = [{**c, "lastHeartbeatTime": "later"} for c in one["conditions"]]
    assert not status.differs({**one, "conditions": conditions}, one)
    assert status.differs(built(node(not_ready="x")), one)


def test_what_others_say_of_the_node_stays() -> None:
    theirs = {"type": "Frozen", "status": "False"}
    one = built(node(), old={"conditions": [theirs], "volumesInUse": ["v"]})
    assert theirs in one["conditions"] and one["volumesInUse"] == ["v"]


@pytest.mark.parametrize(("most", "shown"), [(50, 2), (1, 1), (-1, 2), (0, 0)])
def test_the_largest_images_with_a_name_are_shown(most: int, shown: int) -> None:
    """nodeStatusMaxImages; at most five names each."""
    images = [
        Image("a", (), size=1, tags=("a:1",)),
        Image("b", (), size=3, tags=tuple(f"b:{i}" for i in range(9))),
        Image("c", (), size=9),
    ]
    told = built(node(images=images, configuration=configuration(nodeStatusMaxImages=most)))["images"]
    assert len(told) == shown
    assert not told or (told[0]["sizeBytes"], len(told[0]["names"])) == (3, 5)


def told(new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    return [reason for _, reason, _ in status.events(new, old, "n")]


def test_events() -> None:
    """kubelet_node_status.go recordNodeStatusEvent: what is new is told; readiness only when it changes."""
    unready, ready = built(node(not_ready="x")), built(node())
    assert told(unready, {}) == ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"]
    assert told(ready, unready) == ["NodeReady"]
    assert told(ready, ready) == []
    assert told(built(node(pressure={"DiskPressure"}, not_ready="x")), ready) == ["NodeHasDiskPressure", "NodeNotReady"]
    assert list(status.events(ready, unready, "n")) == [("Normal", "NodeReady", "Node n status is now: NodeReady")]


def test_a_reboot_is_told() -> None:
    after = built(node(), machine(boot_id="c"))
    assert list(status.events(after, built(node()), "n")) == [
        ("Warning", "Rebooted", "Node n has been rebooted, boot id: c")
    ]


def test_a_new_node_bears_what_it_was_given() -> None:
    """kubelet_node_status.go initialNode: taints and labels of the configuration, default labels on top."""
    taint = {"key": "k", "effect": "NoSchedule"}
    given = configuration(registerWithTaints=[taint], providerID="p://1")
    made = new_node("n", default_labels("n", "amd64"), {"zone": "a", "kubernetes.io/os": "plan9"}, {}, given)
    assert made["spec"] == {"taints": [taint], "providerID": "p://1"}
    labels = made["metadata"]["labels"]
    assert (labels["zone"], labels["kubernetes.io/os"], labels["kubernetes.io/hostname"]) == ("a", "linux", "n")


SYSTEM = (
    "6,1,2,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,"
    "task_memcg=/docker/abc,task=stress, too,pid=4711,uid=0"
)
IN_A_GROUP = (
    "6,1,2,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=abc,mems_allowed=0,"
    "oom_memcg=/docker/abc,task_memcg=/docker/abc,task=stress,pid=4711,uid=0"
)


@pytest.mark.parametrize(
    ("record", "killed"),
    [(SYSTEM, ("stress, too", 4711)), (IN_A_GROUP, None), ("6,1,2,-;eth0: link up", None)],
    ids=["the machine", "a container", "something else"],
)
def test_what_was_killed_for_the_machines_sake(record: str, killed: tuple[str, int] | None) -> None:
    """cadvisor utils/oomparser; a container that outgrew its own limit is told in its status."""
    assert victim(record) == killed


def test_pods_are_judged_by_the_node_as_it_will_be_where_none_is_stored(tmp_path: Path) -> None:
    """kubelet_getters.go getNodeAnyWay: static pods may come before the apiserver does."""
    none, clock = cast(Any, None), FakeClock()
    facts, settings = Facts("n1", "192.0.2.1", tmp_path, configuration()), configuration()
    nodes = Informer(none, NODES, clock=clock)
    agent = NodeAgent(none, none, none, none, nodes, facts, none, clock, port=10250, labels={"disk": "ssd"})
    refused = {
        "big": admit(pod(containers=[{"name": "a", "resources": {"requests": {"cpu": "9k"}}}]), agent.known(), [], settings),
        "elsewhere": admit(pod(nodeSelector={"disk": "tape"}), agent.known(), [], settings),
        "here": admit(pod(nodeSelector={"disk": "ssd"}), agent.known(), [], settings),
    }  # fmt: skip
    assert {name: no and no.reason for name, no in refused.items()} == {
        "big": "OutOfcpu", "elsewhere": "NodeAffinity", "here": None,
    }  # fmt: skip
    stored = {"metadata": {"name": "n1", "labels": {"disk": "tape"}}}
    nodes.store.put(stored)
    assert agent.known() is stored
