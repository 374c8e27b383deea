"""ResourceQuota at the door: what fits, and what is said of what does not.

https://kubernetes.io/docs/concepts/policy/resource-quotas/ ,
k8s.io/apiserver/pkg/admission/plugin/resourcequota/admission_test.go
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from api.builtin import CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, PODS, RESOURCE_QUOTAS, SERVICES
from api.errors import Forbidden
from api.meta import Obj
from api.quota import measure
from api.registry import Resource
from apiserver.admission.chain import Attempt
from apiserver.admission.quota.judge import Limited, Quota, Want, judge
from apiserver.admission.quota.plugin import ResourceQuota
from apiserver.configfile import ConfigError
from apiserver.storage.store import Store
from tests.unit.apiserver.admitting import ADMIN, Objects

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def attempt(res: Resource, obj: Obj, old: Obj | None = None, **more: Any) -> Attempt:
    verb = "create" if old is None else "update"
    values: dict[str, Any] = {"subresource": "", "namespace": "a", "name": "x", **more}
    return Attempt(user=ADMIN, verb=verb, res=res, obj=obj, old=old, **values)


def want(res: Resource, obj: Obj, old: Obj | None = None, **more: Any) -> Want:
    found = measure(res.group, res.plural)
    assert found is not None
    return Want.of(attempt(res, obj, old, **more), found, NOW)


def pod(cpu: str = "", **spec: Any) -> Obj:
    requests = {"requests": {"cpu": cpu}} if cpu else {}
    return {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "c", "resources": requests}], **spec}}


def quota(hard: Obj, used: Obj | None = None, name: str = "q", **spec: Any) -> Quota:
    return Quota(name, {"hard": hard, **spec}, hard, dict.fromkeys(hard, "0") if used is None else used)


def uses(changed: list[Quota]) -> dict[str, Any]:
    return {one.name: one.used for one in changed}


def test_what_fits_is_added() -> None:
    first = quota({"pods": "5", "requests.cpu": "2"}, {"pods": "4", "requests.cpu": "1500m"})
    other = quota({"configmaps": "1"}, name="other")
    assert uses(judge(want(PODS, pod("500m")), [first, other])) == {"q": {"pods": "5", "requests.cpu": "2"}}


@pytest.mark.parametrize(
    ("limits", "used", "said"),
    [
        ({"pods": "5"}, {"pods": "5"}, "exceeded quota: q, requested: pods=1, used: pods=5, limited: pods=5"),
        (
            {"pods": "5", "requests.cpu": "2", "cpu": "1000m"},
            {"pods": "1", "requests.cpu": "1900m", "cpu": "600m"},
            "exceeded quota: q, requested: cpu=500m,requests.cpu=500m, used: cpu=600m,requests.cpu=1900m, "
            "limited: cpu=1,requests.cpu=2",
        ),
        ({"limits.cpu": "1"}, {"limits.cpu": "0"}, "failed quota: q: must specify limits.cpu for: c"),
        ({"pods": "5"}, {}, "status unknown for quota: q, resources: pods"),
    ],
)
def test_what_does_not_fit_is_told_in_upstreams_words(limits: Obj, used: Obj, said: str) -> None:
    with pytest.raises(Forbidden) as caught:
        judge(want(PODS, pod("500m")), [quota(limits, used)])
    assert caught.value.message == f'pods "x" is forbidden: {said}'
    assert caught.value.details == {"name": "x", "kind": "pods"}


def test_an_update_pays_for_what_is_more() -> None:
    """ "on updates, we need to subtract the previous measured usage" """
    limits = quota({"services.nodeports": "2", "services": "1"}, {"services.nodeports": "1", "services": "1"})
    one: Obj = {"metadata": {}, "spec": {"type": "NodePort", "ports": [{"port": 1}]}}
    two: Obj = {"metadata": {}, "spec": {"type": "NodePort", "ports": [{"port": 1}, {"port": 2}]}}
    assert uses(judge(want(SERVICES, two, one), [limits])) == {"q": {"services.nodeports": "2", "services": "1"}}
    assert judge(want(SERVICES, one, two), [limits]) == []  # the loop that recounts takes it back
    assert judge(want(SERVICES, two, two), [limits]) == []
    three: Obj = {"metadata": {}, "spec": {"type": "NodePort", "ports": [{"port": n} for n in range(3)]}}
    with pytest.raises(Forbidden, match="requested: services.nodeports=2, used: services.nodeports=1, limited:"):
        judge(want(SERVICES, three, one), [limits])


def test_an_update_into_a_scope_pays_for_all() -> None:
    """KEP-3751: a claim that turns to another VolumeAttributesClass."""
    gold = {"matchExpressions": [{"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["gold"]}]}
    limits = quota({"requests.storage": "3Gi"}, scopeSelector=gold)
    old: Obj = {"metadata": {}, "spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    new: Obj = {"metadata": {}, "spec": {**old["spec"], "volumeAttributesClassName": "gold"}}
    assert uses(judge(want(PERSISTENT_VOLUME_CLAIMS, new, old), [limits])) == {"q": {"requests.storage": "2Gi"}}
    assert judge(want(PERSISTENT_VOLUME_CLAIMS, old, new), [limits]) == []


def test_the_status_of_a_claim_is_charged_and_never_refused() -> None:
    limits = quota({"requests.storage": "1Gi"}, {"requests.storage": "1Gi"})
    old: Obj = {"metadata": {}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    new = {**old, "status": {"allocatedResources": {"storage": "2Gi"}}}
    changed = judge(want(PERSISTENT_VOLUME_CLAIMS, new, old, subresource="status"), [limits])
    assert uses(changed) == {"q": {"requests.storage": "2Gi"}}


def test_a_quota_without_a_count_is_touched() -> None:
    fresh = Quota("q", {"hard": {"pods": "1"}}, {}, {})
    assert judge(want(PODS, pod()), [fresh]) == [fresh]
    assert judge(want(CONFIG_MAPS, {"metadata": {}}), [fresh]) == []


def test_scopes_are_looked_at() -> None:
    best = quota({"pods": "1"}, {"pods": "1"}, scopes=["BestEffort"])
    assert judge(want(PODS, pod("1")), [best]) == []
    with pytest.raises(Forbidden, match="exceeded quota: q"):
        judge(want(PODS, pod()), [best])


HIGH = {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}


def test_what_is_limited_needs_a_quota() -> None:
    """https://kubernetes.io/docs/concepts/policy/resource-quotas/#limit-priority-class-consumption-by-default"""
    limited = [Limited("", "pods", (), (HIGH,))]
    assert judge(want(PODS, pod()), [], limited) == []
    urgent = want(PODS, pod(priorityClassName="high"))
    with pytest.raises(Forbidden, match=r"insufficient quota to match these scopes: \[\{PriorityClass In \[high\]\}\]"):
        judge(urgent, [], limited)
    covering = quota({"pods": "1"}, scopeSelector={"matchExpressions": [HIGH]})
    assert uses(judge(urgent, [covering], limited)) == {"q": {"pods": "1"}}
    gold = [Limited("", "persistentvolumeclaims", ("gold.storageclass.storage.k8s.io/requests.storage",), ())]
    claim: Obj = {"metadata": {}, "spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}}
    name = "gold.storageclass.storage.k8s.io/requests.storage"
    with pytest.raises(Forbidden, match=f"insufficient quota to consume: {name}"):
        judge(want(PERSISTENT_VOLUME_CLAIMS, claim), [quota({"pods": "1"})], gold)
    assert judge(want(PERSISTENT_VOLUME_CLAIMS, claim), [quota({name: "1Gi"})], gold)


def stored_quota(used: Obj, hard: Obj, name: str = "q") -> Obj:
    return {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name, "namespace": "a"},
        "spec": {"hard": hard}, "status": {"hard": hard, "used": used},
    }  # fmt: skip


# --- the step ----------------------------------------------------------------------------------------------


class Filled(Objects):
    def check_filled(self) -> None: ...


def step(*quotas: Obj) -> ResourceQuota:
    objects = Filled(*((RESOURCE_QUOTAS, one) for one in quotas))
    return ResourceQuota(cast(Store, objects), lambda: NOW)


@pytest.mark.parametrize(
    ("verb", "res", "subresource", "handled"),
    [
        ("create", PODS, "", True), ("create", CONFIG_MAPS, "", True), ("update", CONFIG_MAPS, "", False),
        ("update", PODS, "", False), ("update", PODS, "resize", True), ("update", PODS, "status", False),
        ("create", PODS, "binding", False), ("update", SERVICES, "", True), ("update", SERVICES, "status", False),
        ("update", PERSISTENT_VOLUME_CLAIMS, "status", True), ("delete", PODS, "", False),
    ],
)  # fmt: skip
def test_what_is_handled(verb: str, res: Resource, subresource: str, handled: bool) -> None:
    assert step().handles(verb, res, subresource) is handled


async def test_only_what_is_limited_is_charged() -> None:
    plugin = step(stored_quota({"pods": "0"}, {"pods": "1"}))
    for tried, charged in (
        (attempt(PODS, pod()), True),
        (attempt(PODS, pod(), dry_run=True), False),
        (attempt(CONFIG_MAPS, {"metadata": {}}), False),
        (attempt(PODS, pod(), namespace="b"), False),
    ):
        await plugin.validate(tried)
        assert (tried.put is not None) is charged


async def test_a_dry_run_is_refused_as_well() -> None:
    plugin = step(stored_quota({"pods": "1"}, {"pods": "1"}))
    with pytest.raises(Forbidden, match="exceeded quota: q"):
        await plugin.validate(attempt(PODS, pod(), dry_run=True))


async def test_where_nothing_is_limited_it_costs_nothing() -> None:
    plugin, tried = step(stored_quota({"pods": "0"}, {"pods": "1"})), attempt(PODS, pod(), namespace="b")
    began = time.process_time()
    for _ in range(1000):
        await plugin.validate(tried)
    assert (time.process_time() - began) / 1000 < 20e-6


def configured(*rules: Obj) -> ResourceQuota:
    configuration = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "ResourceQuotaConfiguration"}
    return ResourceQuota(cast(Store, Filled()), lambda: NOW, {**configuration, "limitedResources": list(rules)})


async def test_the_file_says_what_needs_a_quota() -> None:
    """The documentation's example."""
    plugin = configured({"resource": "pods", "matchScopes": [HIGH]})
    await plugin.validate(attempt(PODS, pod(), dry_run=True))
    with pytest.raises(Forbidden, match='pods "x" is forbidden: insufficient quota to match these scopes'):
        await plugin.validate(attempt(PODS, pod(priorityClassName="high"), dry_run=True))
    claims = configured({"apiGroup": "", "resource": "persistentvolumeclaims", "matchContains": ["requests.storage"]})
    claim: Obj = {"metadata": {}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    with pytest.raises(Forbidden, match="insufficient quota to consume: requests.storage"):
        await claims.validate(attempt(PERSISTENT_VOLUME_CLAIMS, claim, dry_run=True))


def test_a_broken_file_stops_the_server() -> None:
    with pytest.raises(ConfigError, match="^ResourceQuota: "):
        configured({"matchContains": ["x"]})
