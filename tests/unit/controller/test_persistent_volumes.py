"""Claims and volumes find each other: https://kubernetes.io/docs/concepts/storage/persistent-volumes/ ; phases, reasons
and texts as in k8s.io/kubernetes/pkg/controller/volume/persistentvolume."""

from __future__ import annotations

from typing import Any

import pytest

from api import meta
from api.builtin import EVENTS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from api.meta import Obj
from client.clock import FakeClock
from controller.ephemeral_volume import EphemeralVolumeLoop
from controller.persistent_volume import PersistentVolumeLoop
from tests.unit.controller import make
from tests.unit.controller.fake_api import FakeApi, Running, calm


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def api(clock: FakeClock) -> FakeApi:
    return FakeApi(clock)


def claim(name: str = "data", size: str = "1Gi", class_: str | None = "", *, made: int = 1, **spec: Any) -> Obj:
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}-{made}"}
    wanted: Obj = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec}
    if class_ is not None:
        wanted["storageClassName"] = class_
    return {"metadata": metadata, "spec": wanted, "status": {"phase": "Pending"}}


def volume(name: str = "disk", size: str = "1Gi", class_: str = "", *, labels: Any = None, **spec: Any) -> Obj:
    own = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": class_}
    policy = {"persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/d"}}
    metadata = {"name": name, "uid": f"uid-{name}", "labels": labels or {}}
    return {"metadata": metadata, "spec": {**own, **policy, **spec}, "status": {"phase": "Pending"}}


def storage_class(name: str, mode: str = "Immediate", provisioner: str = "kubernetes.io/no-provisioner") -> Obj:
    return {"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode}


async def settle(api: FakeApi, clock: FakeClock, *rows: tuple[Any, Obj]) -> None:
    """What there is, and what the loops make of it."""
    for row, obj in rows:
        api.put(row, obj)
    async with Running(api, clock, PersistentVolumeLoop, EphemeralVolumeLoop):
        await clock.run_for(5)
        await calm()


def of(*objects: Obj) -> list[tuple[Any, Obj]]:
    rows = {"provisioner": STORAGE_CLASSES}
    return [
        (
            next((row for field, row in rows.items() if field in o), None)
            or (PERSISTENT_VOLUMES if "capacity" in o["spec"] else PERSISTENT_VOLUME_CLAIMS),
            o,
        )
        for o in objects
    ]


def the_claim(api: FakeApi, name: str = "data") -> Obj:
    found = api.one(PERSISTENT_VOLUME_CLAIMS, name)
    assert found is not None
    return found


def the_volume(api: FakeApi, name: str = "disk") -> Obj:
    found = api.one(PERSISTENT_VOLUMES, name)
    assert found is not None
    return found


def events(api: FakeApi) -> set[tuple[str, str, str]]:
    return {(e["type"], e["reason"], e["message"]) for e in api.all(EVENTS)}


async def test_both_refer_to_each_other_and_say_so(api: FakeApi, clock: FakeClock) -> None:
    await settle(api, clock, *of(claim(), volume(size="5Gi")))
    mine, its = the_claim(api), the_volume(api)
    assert mine["spec"]["volumeName"] == "disk"
    assert meta.annotations(mine) == {
        "pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes",
    }  # fmt: skip
    assert mine["status"] == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "5Gi"}}
    reference = its["spec"]["claimRef"]
    assert (reference["kind"], reference["namespace"], reference["name"], reference["uid"]) == (
        "PersistentVolumeClaim", "default", "data", "uid-data-1",
    )  # fmt: skip
    assert meta.annotations(its) == {"pv.kubernetes.io/bound-by-controller": "yes"}
    assert its["status"]["phase"] == "Bound" and its["status"]["lastPhaseTransitionTime"]


RESERVED = {"claimRef": {"namespace": "default", "name": "data"}}
SSD = {"selector": {"matchLabels": {"disk": "ssd"}}}


@pytest.mark.parametrize(
    ("wanted", "there", "gets"),
    [
        pytest.param(claim(size="2Gi"), [volume("l", "9Gi"), volume("s", "1Gi"), volume("m", "3Gi")], "m", id="fit"),
        pytest.param(claim(class_="slow"), [volume("a"), volume("b", class_="slow")], "b", id="class"),
        pytest.param(claim(**SSD), [volume("a"), volume("b", labels={"disk": "ssd"})], "b", id="selector"),
        pytest.param(claim(), [volume("a", accessModes=["ReadOnlyMany"])], "", id="access modes"),
        pytest.param(claim(volumeMode="Block"), [volume("a")], "", id="volume mode"),
        pytest.param(claim(), [volume("a"), volume("b", "9Gi", **RESERVED)], "b", id="reserved for it"),
        pytest.param(
            claim(), [volume("a", claimRef={"namespace": "x", "name": "data"})], "", id="reserved for another"
        ),
        pytest.param(claim(volumeName="b"), [volume("a"), volume("b", "9Gi")], "b", id="by name"),
        pytest.param(
            claim(), [volume("a", accessModes=["ReadWriteOnce", "ReadOnlyMany"]), volume("b", "9Gi")], "b",
            id="no more modes than asked for",
        ),
    ],
)  # fmt: skip
async def test_which_volume(api: FakeApi, clock: FakeClock, wanted: Obj, there: list[Obj], gets: str) -> None:
    await settle(api, clock, *of(wanted, *there))
    found = the_claim(api)
    assert (found["spec"].get("volumeName") or "") == gets
    assert found["status"]["phase"] == ("Bound" if gets else "Pending")
    for each in there:
        name = meta.name(each)
        free = name != gets
        assert the_volume(api, name)["status"]["phase"] == ("Available" if free else "Bound")


NOTHING = "no persistent volumes available for this claim and no storage class is set"
LOST = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
MISBOUND = "Two claims are bound to the same volume, this one is bound incorrectly"
DONE = {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}
OTHER = {"claimRef": {"namespace": "default", "name": "other", "uid": "uid-other"}}
EXTERNAL = (
    "Waiting for a volume to be created either by the external provisioner 'example.com/disk' or manually by the system "
    "administrator. If volume creation is delayed, please verify that the provisioner is running and correctly "
    "registered."
)


def once_bound(name: str = "disk") -> Obj:
    return {**claim(volumeName=name), "metadata": {**claim()["metadata"], **DONE}}


@pytest.mark.parametrize(
    ("objects", "phase", "event"),
    [
        pytest.param([claim()], "Pending", ("Normal", "FailedBinding", NOTHING), id="nothing there"),
        pytest.param(
            [claim(class_="gone")], "Pending",
            ("Warning", "ProvisioningFailed", 'storageclass.storage.k8s.io "gone" not found'), id="no such class",
        ),
        pytest.param(
            [claim(class_="local"), storage_class("local")], "Pending",
            ("Warning", "ProvisioningFailed", "no volume plugin matched name: kubernetes.io/no-provisioner"),
            id="no provisioner",
        ),
        pytest.param(
            [claim(class_="ext"), storage_class("ext", provisioner="example.com/disk")], "Pending",
            ("Normal", "ExternalProvisioning", EXTERNAL), id="somebody else makes it",
        ),
        pytest.param(
            [claim(class_="late"), storage_class("late", "WaitForFirstConsumer"), volume(class_="late")], "Pending",
            ("Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding"), id="waits",
        ),
        pytest.param(
            [claim(volumeName="disk"), volume(**OTHER)], "Pending",
            ("Warning", "FailedBinding", 'volume "disk" already bound to a different claim.'), id="taken",
        ),
        pytest.param(
            [claim(size="9Gi", volumeName="disk"), volume()], "Pending",
            ("Warning", "VolumeMismatch", 'Cannot bind to requested volume "disk": requested PV is too small'),
            id="too small",
        ),
        pytest.param([once_bound()], "Lost", ("Warning", "ClaimLost", LOST), id="volume gone"),
        pytest.param([once_bound(), volume(**OTHER)], "Lost", ("Warning", "ClaimMisbound", MISBOUND), id="misbound"),
    ],
)  # fmt: skip
async def test_what_a_claim_is_told(
    api: FakeApi, clock: FakeClock, objects: list[Obj], phase: str, event: tuple[str, str, str]
) -> None:
    await settle(api, clock, *of(*objects))
    assert the_claim(api)["status"]["phase"] == phase
    assert event in events(api)


async def test_a_provisioner_finds_its_name_on_the_claim(api: FakeApi, clock: FakeClock) -> None:
    await settle(api, clock, *of(claim(class_="ext"), storage_class("ext", provisioner="example.com/disk")))
    assert meta.annotations(the_claim(api)) == {
        "volume.beta.kubernetes.io/storage-provisioner": "example.com/disk",
        "volume.kubernetes.io/storage-provisioner": "example.com/disk",
    }


async def test_a_claim_that_came_before_the_default_class_gets_it(api: FakeApi, clock: FakeClock) -> None:
    """KEP-3333; a claim that asks for no class at all ("") keeps none."""
    default = storage_class("std", provisioner="example.com/disk")
    default["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
    await settle(api, clock, *of(claim(class_=None), claim("none"), default))
    assert the_claim(api)["spec"]["storageClassName"] == "std"
    assert the_claim(api, "none")["spec"]["storageClassName"] == ""


async def test_who_waits_is_named(api: FakeApi, clock: FakeClock) -> None:
    """A claim of a class that waits is bound by the scheduler's choice: a volume that refers to it."""
    for row, obj in of(claim(class_="late"), storage_class("late", "WaitForFirstConsumer"), volume(class_="late")):
        api.put(row, obj)
    async with Running(api, clock, PersistentVolumeLoop):
        wants = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}
        api.put(PODS, make.pod("web", node="", spec=wants))
        await clock.run_for(5)
        await calm()
        assert ("Normal", "WaitForPodScheduled", "waiting for pod web to be scheduled") in events(api)
        chosen = the_volume(api)
        chosen["spec"]["claimRef"] = {"namespace": "default", "name": "data", "uid": "uid-data-1"}
        api.put(PERSISTENT_VOLUMES, chosen)
        await clock.run_for(5)
        await calm()
        assert the_claim(api)["status"]["phase"] == the_volume(api)["status"]["phase"] == "Bound"


@pytest.mark.parametrize(
    ("policy", "phase", "event"),
    [
        ("Retain", "Released", None),
        (
            "Delete", "Failed",
            ("Warning", "VolumeFailedDelete",
             'error getting deleter volume plugin for volume "disk": no deletable volume plugin matched'),
        ),
        ("Recycle", "Failed", ("Warning", "VolumeFailedRecycle", "No recycler plugin found for the volume!")),
    ],
)  # fmt: skip
async def test_what_becomes_of_a_volume_whose_claim_goes(
    api: FakeApi, clock: FakeClock, policy: str, phase: str, event: tuple[str, str, str] | None
) -> None:
    """Nobody gets what another left on it: a new claim of the same name neither."""
    for row, obj in of(claim(), volume(persistentVolumeReclaimPolicy=policy)):
        api.put(row, obj)
    async with Running(api, clock, PersistentVolumeLoop):
        await api.delete(PERSISTENT_VOLUME_CLAIMS, "data", "default")
        await clock.run_for(5)
        await calm()
        api.put(PERSISTENT_VOLUME_CLAIMS, claim(made=2))
        await clock.run_for(5)
        await calm()
    found = the_volume(api)
    assert found["status"]["phase"] == phase and found["spec"]["claimRef"]["uid"] == "uid-data-1"
    assert the_claim(api)["status"]["phase"] == "Pending"
    assert event is None or (event in events(api) and found["status"]["message"] == event[2])


async def test_a_provisioner_clears_away_what_it_made(api: FakeApi, clock: FakeClock) -> None:
    made = volume(persistentVolumeReclaimPolicy="Delete", claimRef={"namespace": "default", "name": "x", "uid": "u"})
    made["metadata"]["annotations"] = {"pv.kubernetes.io/provisioned-by": "example.com/disk"}
    await settle(api, clock, *of(made))
    assert the_volume(api)["status"]["phase"] == "Released"


async def test_a_volume_whose_claim_took_another_is_free_again(api: FakeApi, clock: FakeClock) -> None:
    """Our own choice is taken back whole; of a user's the name stays."""
    ours = volume("ours", claimRef={"namespace": "default", "name": "data", "uid": "uid-data-1"})
    ours["metadata"]["annotations"] = {"pv.kubernetes.io/bound-by-controller": "yes"}
    theirs = volume("theirs", claimRef={"namespace": "default", "name": "data", "uid": "uid-data-1"})
    await settle(api, clock, *of(claim(volumeName="disk"), volume(), ours, theirs))
    assert the_claim(api)["status"]["phase"] == "Bound"
    assert "claimRef" not in the_volume(api, "ours")["spec"] and not meta.annotations(the_volume(api, "ours"))
    assert the_volume(api, "theirs")["spec"]["claimRef"] == {"namespace": "default", "name": "data"}
    assert {the_volume(api, name)["status"]["phase"] for name in ("ours", "theirs")} == {"Available"}


async def test_two_claims_never_share_a_volume(api: FakeApi, clock: FakeClock) -> None:
    """Although the news of its being taken is late."""
    for row, obj in of(claim("one"), claim("two"), volume()):
        api.put(row, obj)
    async with Running(api, clock, PersistentVolumeLoop):
        api.hold(PERSISTENT_VOLUMES)
        api.put(PERSISTENT_VOLUME_CLAIMS, claim("three"))
        await clock.run_for(5)
        await calm()
        api.release(PERSISTENT_VOLUMES)
        await clock.run_for(30)
        await calm()
    phases = sorted(the_claim(api, name)["status"]["phase"] for name in ("one", "two", "three"))
    assert phases == ["Bound", "Pending", "Pending"]


SCRATCH = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


async def test_an_ephemeral_volume_has_a_claim_of_the_pods_own(api: FakeApi, clock: FakeClock) -> None:
    """https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes : named pod-volume, owned
    by the pod; one of that name that is another's is an error and stays as it is."""
    wants = {"volumes": [{"name": n, "ephemeral": {"volumeClaimTemplate": SCRATCH}} for n in ("scratch", "taken")]}
    pod = make.pod("web", node="", spec=wants)
    await settle(api, clock, (PODS, pod), *of(claim("web-taken")))
    made = the_claim(api, "web-scratch")
    owner = meta.controller_of(made)
    assert owner and (owner["kind"], owner["uid"], owner["blockOwnerDeletion"]) == ("Pod", "uid-web", True)
    assert meta.labels(made) == {"app": "web"} and made["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert meta.controller_of(the_claim(api, "web-taken")) is None
    text = "PVC default/web-taken was not created for pod default/web (pod is not owner)"
    assert ("Warning", "FailedBinding", f"ephemeral volume taken: {text}") in events(api)
