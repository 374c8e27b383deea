"""The count of a quota, and the loop that keeps it: https://kubernetes.io/docs/concepts/policy/resource-quotas/"""

from __future__ import annotations

from typing import Any

import pytest

from api.builtin import CONFIG_MAPS, DEPLOYMENTS, PODS, RESOURCE_QUOTAS, SECRETS
from api.errors import InternalError
from api.meta import Obj, rfc3339
from client.clock import FakeClock
from controller import resource_quota_plan as plan
from controller.resource_quota import ResourceQuotaLoop
from controller.resource_quota_plan import Tally

from .fake_api import FakeApi, Running, calm
from .make import NOW, pod


def quota(hard: Obj, status: Obj | None = None, **spec: Any) -> Obj:
    return {"metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": hard, **spec}, "status": status or {}}


def config_map(name: str, namespace: str = "default") -> Obj:
    return {"metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}"}}


def tally(of: Obj, *objects: Obj) -> Tally:
    measured = plan.measure(PODS)
    assert measured is not None
    made = Tally(of, measured, NOW)
    made.add(objects)
    return made


def test_only_what_is_in_scope_and_not_over_is_counted() -> None:
    of = quota({"pods": "9", "requests.cpu": "4", "configmaps": "1"}, scopes=["NotTerminating"])
    cpu = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1500m"}}}]}
    short = {**cpu, "activeDeadlineSeconds": 1}
    pods = [pod("a", spec=cpu), pod("b", spec=cpu), pod("c", spec=cpu, phase="Failed"), pod("d", spec=short)]
    assert tally(of, *pods).used == {"pods": "2", "requests.cpu": "3"}


def test_a_pod_that_is_to_go_is_counted_until_then() -> None:
    going = pod("a")
    going["metadata"] |= {"deletionTimestamp": rfc3339(NOW), "deletionGracePeriodSeconds": 30}
    counted = tally(quota({"pods": "9"}), going)
    assert counted.used == {"pods": "1"}
    assert counted.changes_at is not None and (counted.changes_at - NOW).total_seconds() == 30


def test_what_could_not_be_counted_stays() -> None:
    of = quota({"pods": "9", "secrets": "5", "nobody/knows": "1"}, {"used": {"secrets": "3", "old": "1"}})
    assert plan.status(of, [tally(of, pod("a"))]) == {
        "hard": {"pods": "9", "secrets": "5", "nobody/knows": "1"}, "used": {"secrets": "3", "pods": "1"},
    }  # fmt: skip


def test_kinds_that_a_quota_counts() -> None:
    rows = [PODS, CONFIG_MAPS, SECRETS, DEPLOYMENTS, RESOURCE_QUOTAS]
    assert plan.counted(quota({"count/deployments.apps": "1", "configmaps": "1"}), rows) == [CONFIG_MAPS, DEPLOYMENTS]
    assert plan.counted(quota({"limits.memory": "1"}), rows) == [PODS]


@pytest.mark.parametrize(
    ("old", "new", "again"),
    [
        ({}, {"status": {"phase": "Succeeded"}}, True),
        ({}, {"status": {"phase": "Pending"}}, False),
        ({}, {"spec": {"activeDeadlineSeconds": 5}}, False),
    ],
)
def test_updates_that_matter(old: Obj, new: Obj, again: bool) -> None:
    measured = plan.measure(PODS)
    assert measured is not None
    before, after = ({**pod("a"), **more} for more in (old, new))
    assert plan.uses_otherwise(quota({"pods": "1"}), measured, before, after, NOW) is again


def test_pods_that_change_scope_matter() -> None:
    measured = plan.measure(PODS)
    assert measured is not None
    of = quota({"pods": "1"}, scopes=["Terminating"])
    assert plan.uses_otherwise(of, measured, pod("a"), pod("a", spec={"activeDeadlineSeconds": 5}), NOW)


# --- the loop ----------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def api(clock: FakeClock) -> FakeApi:
    return FakeApi(clock)


def status(api: FakeApi) -> Obj:
    found = api.one(RESOURCE_QUOTAS, "q")
    assert found is not None
    return dict(found["status"])


async def passes(clock: FakeClock, seconds: float) -> None:
    clock.advance(seconds)
    await calm()


async def test_a_new_quota_is_counted_at_once_and_once_more(api: FakeApi, clock: FakeClock) -> None:
    for name in "ab":
        api.put(CONFIG_MAPS, config_map(name))
    api.put(CONFIG_MAPS, config_map("other", "elsewhere"))
    async with Running(api, clock, ResourceQuotaLoop):
        api.put(RESOURCE_QUOTAS, quota({"configmaps": "5"}))
        await calm()
        assert status(api) == {"hard": {"configmaps": "5"}, "used": {"configmaps": "2"}}
        api.put(CONFIG_MAPS, config_map("unpaid"))
        await passes(clock, 6)
        assert status(api)["used"] == {"configmaps": "3"}


async def test_what_goes_is_given_back(api: FakeApi, clock: FakeClock) -> None:
    api.put(PODS, pod("a"))
    api.put(PODS, pod("b"))
    api.put(CONFIG_MAPS, config_map("c"))
    api.put(RESOURCE_QUOTAS, quota({"pods": "5", "configmaps": "5"}))
    async with Running(api, clock, ResourceQuotaLoop):
        assert status(api)["used"] == {"pods": "2", "configmaps": "1"}
        await api.delete(CONFIG_MAPS, "c", "default")
        api.put(PODS, pod("a", phase="Succeeded"))
        await passes(clock, 0.2)
        assert status(api)["used"] == {"pods": "1", "configmaps": "0"}
        await api.delete(PODS, "b", "default", grace_period=0)
        await passes(clock, 0.2)
        assert status(api)["used"] == {"pods": "0", "configmaps": "0"}


async def test_a_pod_stuck_in_its_end_is_given_back_in_time(api: FakeApi, clock: FakeClock) -> None:
    going = pod("a")
    going["metadata"] |= {"deletionTimestamp": rfc3339(NOW), "deletionGracePeriodSeconds": 30}
    api.put(PODS, going)
    api.put(RESOURCE_QUOTAS, quota({"pods": "5"}))
    async with Running(api, clock, ResourceQuotaLoop):
        assert status(api)["used"] == {"pods": "1"}
        await passes(clock, 29)
        assert status(api)["used"] == {"pods": "1"}
        await passes(clock, 3)
        assert status(api)["used"] == {"pods": "0"}


async def test_a_count_that_is_overtaken_is_done_again(api: FakeApi, clock: FakeClock) -> None:
    """What comes in changes the quota: a count begun before must not be written."""
    api.put(RESOURCE_QUOTAS, quota({"configmaps": "5"}, {"hard": {"configmaps": "5"}, "used": {"configmaps": "4"}}))
    listed = api.list
    overtaken = 0

    async def list_late(resource: Any, namespace: str = "", **options: Any) -> Obj:
        nonlocal overtaken
        found = await listed(resource, namespace, **options)
        if resource.plural == "configmaps" and namespace and overtaken < 2:
            overtaken += 1
            api.put(CONFIG_MAPS, config_map(f"late-{overtaken}"))
            used = {"configmaps": str(4 + overtaken)}
            api.put(RESOURCE_QUOTAS, quota({"configmaps": "5"}, {"hard": {"configmaps": "5"}, "used": used}))
        return found

    api.list = list_late  # type: ignore[method-assign]  # somebody writes between the list and the update
    async with Running(api, clock, ResourceQuotaLoop):
        await passes(clock, 1)
        await passes(clock, 1)
        assert overtaken == 2
        assert status(api)["used"] == {"configmaps": "2"}


async def test_a_kind_that_cannot_be_listed_holds_up_no_other(api: FakeApi, clock: FakeClock) -> None:
    listed = api.list

    async def broken(resource: Any, namespace: str = "", **options: Any) -> Obj:
        if resource.plural == "secrets" and namespace:
            raise InternalError("conversion webhook failed")
        return await listed(resource, namespace, **options)

    api.list = broken  # type: ignore[method-assign]
    api.put(CONFIG_MAPS, config_map("a"))
    api.put(RESOURCE_QUOTAS, quota({"configmaps": "5", "secrets": "5"}))
    async with Running(api, clock, ResourceQuotaLoop):
        assert status(api)["used"] == {"configmaps": "1"}
        api.list = listed  # type: ignore[method-assign]
        await passes(clock, 10)
        assert status(api)["used"] == {"configmaps": "1", "secrets": "0"}


async def test_a_limit_that_changes_is_taken_over(api: FakeApi, clock: FakeClock) -> None:
    api.put(RESOURCE_QUOTAS, quota({"configmaps": "5"}))
    async with Running(api, clock, ResourceQuotaLoop):
        found = api.one(RESOURCE_QUOTAS, "q")
        assert found is not None
        api.put(RESOURCE_QUOTAS, {**found, "spec": {"hard": {"configmaps": "1000m", "pods": "1"}}})
        await calm()
        assert status(api) == {
            "hard": {"configmaps": "1000m", "pods": "1"}, "used": {"configmaps": "0", "pods": "0"},
        }  # fmt: skip
