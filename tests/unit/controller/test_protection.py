"""What is in use stays: https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection
and KEP-3751 for classes of attributes."""

from __future__ import annotations

from typing import Any

import pytest

from api.builtin import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, VOLUME_ATTRIBUTES_CLASSES
from api.meta import Obj
from client.clock import FakeClock
from controller import protection
from tests.unit.controller import make
from tests.unit.controller.fake_api import FakeApi, Running, calm

CLAIM, VOLUME, CLASS = (f"kubernetes.io/{kind}-protection" for kind in ("pvc", "pv", "vac"))
MOUNTS = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}
SCRATCH = {"volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]}
LOOPS = (protection.of_claims, protection.of_volumes, protection.of_attributes_classes)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def api(clock: FakeClock) -> FakeApi:
    return FakeApi(clock)


def claim(name: str = "data", *, going: bool = True, held: bool = True, status: Obj | None = None, **more: Any) -> Obj:
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", **more}
    return _object(metadata, going, [CLAIM] * held, status)


def volume(status: Obj, **spec: Any) -> Obj:
    return {**_object({"name": "disk", "uid": "uid-disk"}, True, [VOLUME], status), "spec": spec}


def _object(metadata: Obj, going: bool, finalizers: list[str], status: Obj | None = None) -> Obj:
    metadata["finalizers"] = finalizers
    if going:
        metadata["deletionTimestamp"] = make.ago(1)
    return {"metadata": metadata, "spec": {}, "status": status or {}}


def gone(api: FakeApi, row: Any, name: str) -> bool:
    return api.one(row, name) is None


@pytest.mark.parametrize(
    ("pod", "stays"),
    [
        (make.pod("p", spec=MOUNTS), True),
        (make.pod("p", spec=MOUNTS, phase="Succeeded"), True),
        (make.pod("p", spec=MOUNTS, node=""), False),
        (make.pod("p", spec={"volumes": [{"name": "v", "emptyDir": {}}]}), False),
    ],
    ids=["mounted", "mounted by one that has ended", "not scheduled", "another volume"],
)
async def test_a_claim_stays_while_a_scheduled_pod_mounts_it(
    api: FakeApi, clock: FakeClock, pod: Obj, stays: bool
) -> None:
    api.put(PERSISTENT_VOLUME_CLAIMS, claim())
    api.put(PODS, pod)
    async with Running(api, clock, *LOOPS):
        assert gone(api, PERSISTENT_VOLUME_CLAIMS, "data") is not stays
        await api.delete(PODS, "p", "default", grace_period=0)
        await calm()
        assert gone(api, PERSISTENT_VOLUME_CLAIMS, "data")


async def test_the_server_is_asked_before_a_claim_goes(api: FakeApi, clock: FakeClock) -> None:
    """A pod that our cache has not seen yet holds it as well."""
    async with Running(api, clock, *LOOPS):
        api.hold(PODS)
        api.put(PODS, make.pod("p", spec=MOUNTS))
        api.put(PERSISTENT_VOLUME_CLAIMS, claim())
        await calm()
        assert not gone(api, PERSISTENT_VOLUME_CLAIMS, "data")
        api.release(PODS)
        await calm()
        await api.delete(PODS, "p", "default", grace_period=0)
        await calm()
        assert gone(api, PERSISTENT_VOLUME_CLAIMS, "data")


async def test_a_pod_holds_the_claim_that_was_made_for_it(api: FakeApi, clock: FakeClock) -> None:
    """Generic ephemeral volumes: not a foreign claim of that name; and the claim may go before a pod that is shut down,
    whose foreground deletion waits for it."""
    owner = [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "uid-p", "controller": True}]
    api.put(PODS, make.pod("p", spec=SCRATCH))
    api.put(PODS, make.pod("q", spec=SCRATCH))
    api.put(PERSISTENT_VOLUME_CLAIMS, claim("p-scratch", ownerReferences=owner))
    api.put(PERSISTENT_VOLUME_CLAIMS, claim("q-scratch"))
    async with Running(api, clock, *LOOPS):
        assert not gone(api, PERSISTENT_VOLUME_CLAIMS, "p-scratch")
        assert gone(api, PERSISTENT_VOLUME_CLAIMS, "q-scratch")
        shut_down = make.pod("p", spec=SCRATCH, deleting=True)
        shut_down["metadata"]["deletionGracePeriodSeconds"] = 0
        api.put(PODS, shut_down)
        await calm()
        assert gone(api, PERSISTENT_VOLUME_CLAIMS, "p-scratch")


async def test_a_volume_stays_while_it_is_bound(api: FakeApi, clock: FakeClock) -> None:
    api.put(PERSISTENT_VOLUMES, volume({"phase": "Bound"}))
    async with Running(api, clock, *LOOPS):
        assert not gone(api, PERSISTENT_VOLUMES, "disk")
        api.put(PERSISTENT_VOLUMES, volume({"phase": "Released"}))
        await calm()
        assert gone(api, PERSISTENT_VOLUMES, "disk")


async def test_a_class_of_attributes_stays_while_it_is_had(api: FakeApi, clock: FakeClock) -> None:
    api.put(VOLUME_ATTRIBUTES_CLASSES, _object({"name": "silver", "uid": "u"}, True, [CLASS]))
    api.put(PERSISTENT_VOLUMES, volume({"phase": "Bound"}, volumeAttributesClassName="silver"))
    had = claim(going=False, status={"modifyVolumeStatus": {"targetVolumeAttributesClassName": "silver"}})
    api.put(PERSISTENT_VOLUME_CLAIMS, had)
    async with Running(api, clock, *LOOPS):
        api.put(PERSISTENT_VOLUMES, volume({"phase": "Released"}))
        await calm()
        assert gone(api, PERSISTENT_VOLUMES, "disk") and not gone(api, VOLUME_ATTRIBUTES_CLASSES, "silver")
        api.put(PERSISTENT_VOLUME_CLAIMS, claim(going=False))
        await calm()
        assert gone(api, VOLUME_ATTRIBUTES_CLASSES, "silver")


async def test_what_came_before_is_held_too(api: FakeApi, clock: FakeClock) -> None:
    api.put(PERSISTENT_VOLUME_CLAIMS, claim(going=False, held=False))
    async with Running(api, clock, *LOOPS):
        kept = api.one(PERSISTENT_VOLUME_CLAIMS, "data")
        assert kept is not None and kept["metadata"]["finalizers"] == [CLAIM]
