"""Node-pressure eviction: thresholds, pressure over time, who goes first and what he is told, local limits."""

from __future__ import annotations

from typing import Any

import pytest

from api.meta import Obj
from kubelet.configuration import API_VERSION, KIND, ConfigurationError, parse
from kubelet.eviction import local_storage
from kubelet.eviction.admitting import refused
from kubelet.eviction.pressure import Observation, Pressure, State, step
from kubelet.eviction.ranking import Use, explained, ranked
from kubelet.eviction.thresholds import HARD_DEFAULTS, Amount, Threshold, amounts, thresholds
from kubelet.pods.critical import is_critical
from kubelet.stats.model import DiskUsage
from kubelet.volumes.usage import Usage

Mi = 1 << 20
HARD = Threshold("memory.available", Amount(100))
SOFT = Threshold("nodefs.available", Amount(100), grace=30.0)


def configured(**fields: Any) -> tuple[Threshold, ...]:
    return parse({"apiVersion": API_VERSION, "kind": KIND, **fields}).thresholds()


def test_the_default_thresholds() -> None:
    """https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#hard-eviction-thresholds."""
    found = {t.signal: t.amount for t in configured()}
    assert found == {
        "memory.available": Amount(100 * Mi),
        "nodefs.available": Amount(part=0.1),
        "nodefs.inodesFree": Amount(part=0.05),
        "imagefs.available": Amount(part=0.15),
        "imagefs.inodesFree": Amount(part=0.05),
    }
    assert all(t.hard for t in configured())


def test_what_is_given_replaces_all_defaults_unless_they_are_merged() -> None:
    assert [t.signal for t in configured(evictionHard={"pid.available": "5"})] == ["pid.available"]
    merged = configured(
        evictionHard={"pid.available": "5", "memory.available": "0%"}, mergeDefaultEvictionSettings=True
    )
    assert {t.signal for t in merged} == {*HARD_DEFAULTS, "pid.available"} - {"memory.available"}


def test_soft_thresholds_have_their_grace_and_all_their_reclaim() -> None:
    found = configured(
        evictionHard={"memory.available": "1"}, evictionSoft={"memory.available": "2"},
        evictionSoftGracePeriod={"memory.available": "1m30s"}, evictionMinimumReclaim={"memory.available": "5%"},
    )  # fmt: skip
    assert found == (
        Threshold("memory.available", Amount(1), 0.0, Amount(part=0.05)),
        Threshold("memory.available", Amount(2), 90.0, Amount(part=0.05)),
    )


REFUSED = {
    "a signal that nobody knows": ({"evictionHard": {"memory": "1"}}, "evictionHard has memory"),
    "not a quantity": ({"evictionHard": {"memory.available": "lots"}}, "evictionHard quantities must match"),
    "more than all": ({"evictionHard": {"memory.available": "101%"}}, "between 0% and 100%"),
    "nothing": ({"evictionHard": {"memory.available": "0"}}, "memory.available must be positive"),
    "soft without grace": ({"evictionSoft": {"memory.available": "1"}}, "evictionSoftGracePeriod has nothing for"),
}


@pytest.mark.parametrize(("fields", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(fields: Any, why: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        configured(**fields)
    assert why in str(refused.value)


def test_a_percentage_is_of_the_capacity() -> None:
    assert amounts({"nodefs.available": "15%"})["nodefs.available"].of(200) == 30


def seen(memory: int = 1000, disk: int = 1000) -> dict[str, Observation]:
    return {"memory.available": Observation(memory, 1000), "nodefs.available": Observation(disk, 1000)}


def walk(*looks: tuple[float, dict[str, Observation]], of: tuple[Threshold, ...] = (HARD, SOFT)) -> list[Pressure]:
    state, found = State(), []
    for now, observations in looks:
        state, pressure = step(of, observations, state, 60.0, now)
        found.append(pressure)
    return found


def test_a_hard_threshold_is_acted_upon_at_once() -> None:
    before, after = walk((0, seen()), (10, seen(memory=99)))
    assert (before.conditions, before.acting) == (frozenset(), ())
    assert (after.conditions, after.acting) == ({"MemoryPressure"}, (HARD,))


def test_a_soft_threshold_is_told_at_once_and_acted_upon_after_its_grace() -> None:
    looks = walk((0, seen(disk=1)), (20, seen(disk=1)), (30, seen(disk=1)))
    assert [look.conditions for look in looks] == [{"DiskPressure"}] * 3
    assert [look.acting for look in looks] == [(), (), (SOFT,)]


def test_the_grace_begins_anew_when_a_soft_threshold_was_not_met_in_between() -> None:
    looks = walk((0, seen(disk=1)), (20, seen()), (30, seen(disk=1)), (59, seen(disk=1)), (60, seen(disk=1)))
    assert [bool(look.acting) for look in looks] == [False, False, False, False, True]


def test_a_condition_stays_for_the_transition_period() -> None:
    """Nodes would otherwise swing around a threshold."""
    looks = walk((0, seen(memory=1)), (30, seen()), (59, seen()), (60, seen()))
    assert [bool(look.conditions) for look in looks] == [True, True, True, False]
    assert [bool(look.acting) for look in looks] == [True, False, False, False]


def test_eviction_goes_on_until_the_minimum_is_reclaimed() -> None:
    wanted = Threshold("memory.available", Amount(100), reclaim=Amount(50))
    looks = walk((0, seen(memory=99)), (10, seen(memory=149)), (20, seen(memory=150)), of=(wanted,))
    assert [bool(look.acting) for look in looks] == [True, True, False]


def test_memory_is_the_most_urgent() -> None:
    disk = Threshold("nodefs.available", Amount(100))
    assert walk((0, seen(memory=1, disk=1)), of=(disk, HARD))[0].acting == (HARD, disk)


def pod(name: str, *, memory: str = "", priority: int | None = None, **spec: Any) -> Obj:
    resources: Obj = {"requests": {"memory": memory}} if memory else {}
    return {
        "metadata": {"name": name, "uid": name},
        "spec": {"containers": [{"name": "c", "resources": resources}], "priority": priority, **spec},
    }


def names(pods: list[Obj]) -> list[str]:
    return [p["metadata"]["name"] for p in pods]


def test_the_order_under_memory_pressure() -> None:
    """First those above their requests, then by priority, then by how much above (rankMemoryPressure)."""
    pods = [
        pod("within", memory="900"), pod("important", priority=9), pod("little"), pod("much"), pod("unseen"),
        pod("above", memory="100"), pod("within-important", memory="900", priority=1),
    ]  # fmt: skip
    use = {p["metadata"]["uid"]: Use({"memory": 500}) for p in pods} | {"much": Use({"memory": 800})}
    del use["unseen"]
    assert names(ranked(pods, "memory", use)) == [
        "unseen", "much", "little", "above", "important", "within", "within-important",
    ]  # fmt: skip


def test_requests_for_processes_do_not_exist() -> None:
    pods = [pod("few"), pod("important", priority=5), pod("many", memory="1Gi")]
    use = {"few": Use({"pids": 3}), "important": Use({"pids": 999}), "many": Use({"pids": 70})}
    assert names(ranked(pods, "pids", use)) == ["many", "few", "important"]


def test_what_an_evicted_pod_is_told() -> None:
    """evictionMessage, word for word."""
    looked = {"memory.available": Observation(50 * Mi, 1000 * Mi)}
    acting = [Threshold("memory.available", Amount(100 * Mi))]
    use = Use({"memory": 300 * Mi}, {"c": {"memory": 300 * Mi}})
    assert explained(pod("p", memory="20Mi"), "memory", acting, looked, use) == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
        "Container c was using 300Mi, request is 20Mi, has larger consumption of memory. ",
        {"offending_containers": "c", "offending_containers_usage": "300Mi", "starved_resource": "memory"},
    )


def test_who_keeps_to_his_requests_is_not_blamed() -> None:
    looked = {"nodefs.inodesFree": Observation(1000, 20000)}
    acting = [Threshold("nodefs.inodesFree", Amount(part=0.1))]
    message, annotations = explained(pod("p"), "inodes", acting, looked, Use({"inodes": 1}, {}))
    assert message == "The node was low on resource: inodes. Threshold quantity: 2k, available: 1k. "
    assert annotations == {"offending_containers": "", "offending_containers_usage": "", "starved_resource": "inodes"}


@pytest.mark.parametrize(
    ("made", "critical"),
    [
        (pod("p"), False),
        (pod("p", priority=1_999_999_999), False),
        (pod("p", priority=2_000_000_000), True),
        ({"metadata": {"annotations": {"kubernetes.io/config.source": "file"}}, "spec": {}}, True),
        ({"metadata": {"annotations": {"kubernetes.io/config.source": "api"}}, "spec": {}}, False),
        ({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}, "spec": {}}, True),
    ],
)
def test_critical_pods(made: Obj, critical: bool) -> None:
    assert is_critical(made) is critical


def limited(size: str | None = None, storage: str | None = None) -> Obj:
    empty: Obj = {} if size is None else {"sizeLimit": size}
    resources: Obj = {} if storage is None else {"limits": {"ephemeral-storage": storage}}
    containers = [{"name": "c", "resources": resources}, {"name": "d", "resources": resources}]
    return {
        "metadata": {"name": "p"},
        "spec": {"containers": containers, "volumes": [{"name": "v", "emptyDir": empty}]},
    }


def used(volume: int = 0, layer: int = 0, log: int = 0) -> DiskUsage:
    def of(size: int) -> Usage:
        return Usage(size, 1)

    return DiskUsage({"c": of(layer), "d": of(0)}, {"c": of(log), "d": of(0)}, {"v": of(volume)})


EXCESS = {
    "nothing is limited": (limited(), used(999, 999, 999), True, ""),
    "within": (limited("10", "10"), used(5, 5, 5), True, ""),
    "a volume": (limited("1Mi"), used(Mi + 1), True, 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '),
    "all of it": (
        limited(None, "10"), used(15, 3, 3), True,
        "Pod ephemeral local storage usage exceeds the total limit of containers 20. ",
    ),
    "a container": (
        limited(None, "10"), used(0, 6, 6), True, 'Container c exceeded its local ephemeral storage limit "10". ',
    ),
    "layers elsewhere do not count": (limited(None, "10"), used(0, 6, 6), False, ""),
}  # fmt: skip


@pytest.mark.parametrize(("made", "disk", "shared", "why"), EXCESS.values(), ids=EXCESS.keys())
def test_local_storage(made: Obj, disk: DiskUsage, shared: bool, why: str) -> None:
    """localStorageEviction, word for word."""
    assert local_storage.excess(made, disk, layers_on_root=shared)[1] == why
    assert not why or local_storage.is_limited(made)


def test_nothing_is_measured_where_nothing_is_limited() -> None:
    assert not local_storage.is_limited(limited())


def test_thresholds_are_hashable_values() -> None:
    assert thresholds({"memory.available": Amount(1)}, {}, {}, {}) == (Threshold("memory.available", Amount(1)),)


BURSTABLE = pod("p", memory="1")
TOLERANT = pod("p", tolerations=[{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}])


@pytest.mark.parametrize(
    ("made", "conditions", "taken"),
    [
        (pod("p"), set(), True),
        (pod("p"), {"MemoryPressure"}, False),
        (BURSTABLE, {"MemoryPressure"}, True),
        (TOLERANT, {"MemoryPressure"}, True),
        (BURSTABLE, {"MemoryPressure", "PIDPressure"}, False),
        (TOLERANT, {"DiskPressure"}, False),
        (pod("p", priority=2_000_000_000), {"DiskPressure"}, True),
    ],
)
def test_who_is_taken_under_pressure(made: Obj, conditions: set[str], taken: bool) -> None:
    """eviction_manager.go Admit."""
    no = refused(made, conditions)
    assert (no is None) is taken
    if no is not None:
        assert no.reason == "Evicted"
        assert no.message == f"The node had condition: [{' '.join(sorted(conditions))}]. "
