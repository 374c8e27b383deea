"""The LimitRanger step, by https://kubernetes.io/docs/concepts/policy/limit-range/ and the task pages it links to."""

from __future__ import annotations

from typing import Any

import pytest

from api.builtin import LIMIT_RANGES, PERSISTENT_VOLUME_CLAIMS, PODS
from api.errors import Forbidden, ServiceUnavailable
from api.meta import Obj
from apiserver.admission.chain import Attempt
from apiserver.admission.limit_ranger import LimitRanger
from tests.unit.apiserver.admitting import ADMIN, Objects, admit


def ranges(*limits: Obj, name: str = "r", namespace: str = "a") -> tuple[Any, Obj]:
    return LIMIT_RANGES, {"metadata": {"name": name, "namespace": namespace}, "spec": {"limits": list(limits)}}


def pod(requests: Obj | None = None, limits: Obj | None = None, **spec: Any) -> Obj:
    resources = {k: v for k, v in (("requests", requests), ("limits", limits)) if v}
    return {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "c", "resources": resources}], **spec}}


def claim(storage: str, **metadata: Any) -> Obj:
    return {"metadata": {"name": "x", **metadata}, "spec": {"resources": {"requests": {"storage": storage}}}}


def step(*limits: Obj) -> LimitRanger:
    return LimitRanger(Objects(ranges(*limits)).store)


async def refusal(limit: Obj, row: Any, obj: Obj, old: Obj | None = None, **more: Any) -> str:
    """The words of the refusal, "" when there is none."""
    try:
        await admit(step(limit), row, obj, old, **more)
    except Forbidden as error:
        return error.message.partition("is forbidden: ")[2]
    return ""


MEMORY = {"type": "Container", "max": {"memory": "1Gi"}, "min": {"memory": "500Mi"}}
CPU = {"type": "Container", "max": {"cpu": "800m"}, "min": {"cpu": "200m"}}
STORAGE = {"type": "PersistentVolumeClaim", "max": {"storage": "2Gi"}, "min": {"storage": "1Gi"}}
RATIO = {"type": "Container", "maxLimitRequestRatio": {"memory": "2"}}
WHOLE = {"type": "Pod", "max": {"cpu": "2", "memory": "2Gi"}, "min": {"cpu": "100m"}}
SIDECAR = {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1"}}}


@pytest.mark.parametrize(
    ("limit", "row", "obj", "words"),
    [
        (MEMORY, PODS, pod({"memory": "600Mi"}, {"memory": "800Mi"}), ""),
        (MEMORY, PODS, pod({"memory": "800Mi"}, {"memory": "1.5Gi"}),
         "maximum memory usage per Container is 1Gi, but limit is 1536Mi"),
        (MEMORY, PODS, pod({"memory": "100Mi"}, {"memory": "800Mi"}),
         "minimum memory usage per Container is 500Mi, but request is 100Mi"),
        (CPU, PODS, pod({"cpu": "500m"}, {"cpu": "1.5"}), "maximum cpu usage per Container is 800m, but limit is 1500m"),
        (CPU, PODS, pod({"cpu": "100m"}, {"cpu": "800m"}),
         "minimum cpu usage per Container is 200m, but request is 100m"),
        (CPU, PODS, pod(), "[minimum cpu usage per Container is 200m.  No request is specified, "
                           "maximum cpu usage per Container is 800m.  No limit is specified]"),
        (CPU, PODS, pod({"cpu": "1"}, {"cpu": "100m"}), "[minimum cpu usage per Container is 200m, but limit is 100m, "
                                                        "maximum cpu usage per Container is 800m, but request is 1]"),
        (RATIO, PODS, pod({"memory": "100M"}, {"memory": "200M"}), ""),
        (RATIO, PODS, pod({"memory": "100M"}, {"memory": "300M"}),
         "memory max limit to request ratio per Container is 2, but provided ratio is 3.000000"),
        (RATIO, PODS, pod({}, {"memory": "300M"}), "memory max limit to request ratio per Container is 2, but no request "
                                                   "is specified or request is 0"),
        (RATIO, PODS, pod({"memory": "1"}), "memory max limit to request ratio per Container is 2, but no limit is "
                                            "specified or limit is 0"),
        (CPU, PODS, pod({"cpu": "300m"}, {"cpu": "300m"}, initContainers=[{"name": "i", "resources": {
            "requests": {"cpu": "1m"}, "limits": {"cpu": "300m"}}}]),
         "minimum cpu usage per Container is 200m, but request is 1m"),
        (WHOLE, PODS, pod({"cpu": "1"}, {"cpu": "1", "memory": "1Gi"}, initContainers=[SIDECAR]), ""),
        (WHOLE, PODS, pod({"cpu": "1"}, {"cpu": "1500m", "memory": "1Gi"}, initContainers=[SIDECAR]),
         "maximum cpu usage per Pod is 2, but limit is 2500m"),
        (WHOLE, PODS, pod({"cpu": "1"}, {"cpu": "1"}), "maximum memory usage per Pod is 2Gi.  No limit is specified"),
        (WHOLE, PODS, pod({"cpu": "1"}, {"cpu": "2", "memory": "1Gi"}, overhead={"cpu": "1"}), ""),
        (STORAGE, PERSISTENT_VOLUME_CLAIMS, claim("1.5Gi"), ""),
        (STORAGE, PERSISTENT_VOLUME_CLAIMS, claim("5Gi"),
         "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 5Gi"),
        (STORAGE, PERSISTENT_VOLUME_CLAIMS, claim("500Mi"),
         "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 500Mi"),
    ],
)  # fmt: skip
async def test_limits(limit: Obj, row: Any, obj: Obj, words: str) -> None:
    """https://kubernetes.io/docs/tasks/administer-cluster/manage-resources/memory-constraint-namespace/ ,
    cpu-constraint-namespace/ and limit-storage-consumption/ ; ratios and pods by the concept page."""
    assert await refusal(limit, row, obj) == words


async def test_defaults() -> None:
    """https://kubernetes.io/docs/tasks/administer-cluster/manage-resources/memory-default-namespace/ : what a container
    says itself stays; the note names what was added."""
    both = {"type": "Container", "default": {"memory": "512Mi", "cpu": "1"}, "defaultRequest": {"memory": "256Mi"}}
    bare = pod(initContainers=[{"name": "i", "resources": {"requests": {"memory": "1Gi"}}}])
    made = await admit(step(both), PODS, bare)
    limits, requests = {"cpu": "1", "memory": "512Mi"}, {"memory": "256Mi"}
    assert made["spec"]["containers"][0]["resources"] == {"requests": requests, "limits": limits}
    assert made["spec"]["initContainers"][0]["resources"] == {"requests": {"memory": "1Gi"}, "limits": limits}
    assert made["metadata"]["annotations"] == {
        "kubernetes.io/limit-ranger": "LimitRanger plugin set: memory request for container c; cpu, memory limit for "
        "container c; cpu, memory limit for init container i"
    }
    full = pod({"memory": "1Mi"}, {"memory": "2Mi", "cpu": "1"})
    assert "annotations" not in (await admit(step(both), PODS, full))["metadata"]


async def test_limits_are_those_of_the_namespace() -> None:
    objects = Objects(ranges(CPU, namespace="b"))
    ranger = LimitRanger(objects.store)
    await admit(ranger, PODS, pod({"cpu": "1m"}))
    objects.put(*ranges(MEMORY))
    objects.put(*ranges(CPU, name="s"))
    with pytest.raises(Forbidden, match="minimum memory usage"):
        await admit(ranger, PODS, pod({"cpu": "1m"}))
    objects.remove(LIMIT_RANGES, "a", "r")
    with pytest.raises(Forbidden, match="minimum cpu usage"):
        await admit(ranger, PODS, pod({"cpu": "1m"}))
    objects.remove(LIMIT_RANGES, "a", "s")
    await admit(ranger, PODS, pod({"cpu": "1m"}))


async def test_before_anything_is_read_nothing_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a pod would come in without the defaults and limits of its namespace."""
    objects = Objects()

    def filling() -> None:
        raise ServiceUnavailable("storage is (re)initializing")

    monkeypatch.setattr(objects, "check_filled", filling)
    ranger = LimitRanger(objects.store)
    for judge in (ranger.mutate, ranger.validate):
        with pytest.raises(ServiceUnavailable):
            await judge(Attempt(ADMIN, "create", PODS, "", "a", "x", pod(), None))


async def test_what_stays_as_it_was_is_not_judged_again() -> None:
    """A range may have come after the claim; a claim that is being deleted must come to its end."""
    row = PERSISTENT_VOLUME_CLAIMS
    assert await refusal(STORAGE, row, claim("5Gi"), claim("5Gi")) == ""
    assert "maximum storage" in await refusal(STORAGE, row, claim("6Gi"), claim("5Gi"))
    assert await refusal(STORAGE, row, claim("6Gi"), claim("5Gi", deletionTimestamp="2026-01-01T00:00:00Z")) == ""


async def test_a_resize_is_held_to_the_limits() -> None:
    """https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/"""
    small, large, still = pod({"cpu": "100m"}), pod({"cpu": "900m"}, {"cpu": "900m"}), pod({"cpu": "100m"})
    more = {"subresource": "resize"}
    assert "maximum cpu usage per Container is 800m" in await refusal(CPU, PODS, large, small, **more)
    assert await refusal(CPU, PODS, still, small, **more) == ""
