"""ResourceQuota at the door: judging, and writing through two servers that share one etcd.

https://kubernetes.io/docs/concepts/policy/resource-quotas/ ,
k8s.io/apiserver/pkg/admission/plugin/resourcequota/admission_test.go
"""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime
from typing import Any, cast

import orjson
import pytest

from api.builtin import BUILTIN, CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, PODS, RESOURCE_QUOTAS, SERVICES
from api.errors import Conflict, Forbidden, ServiceUnavailable
from api.meta import Obj
from api.quota import measure
from api.registry import Resource
from apiserver.admission.chain import Attempt
from apiserver.admission.quota.judge import Limited, Quota, Want, judge
from apiserver.admission.quota.ledger import Ledger
from apiserver.admission.quota.plugin import ResourceQuota
from apiserver.configfile import ConfigError
from apiserver.storage import keys
from apiserver.storage.collection import Listener
from apiserver.storage.decode import decode
from apiserver.storage.etcd import KeyValue, Outcome, Txn
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


# --- writing -----------------------------------------------------------------------------------------------


class Etcd:
    """Keys with revisions; answers and news take their time, differently each time."""

    def __init__(self) -> None:
        self.revision = 0
        self.objects: dict[str, KeyValue] = {}
        self.txns: list[Txn] = []
        self.servers: list[Server] = []
        self.away = False
        self.asked = asyncio.Event()

    async def txn(self, txn: Txn) -> Outcome:
        self.asked.set()
        await asyncio.sleep(random.random() / 1000)
        if self.away:
            raise ServiceUnavailable("etcd is not available")
        self.txns.append(txn)
        assert len(txn.at) <= 128
        if any(self._revision(key) != revision for key, revision in txn.at.items()):
            outcome = Outcome(False, self.revision, {key: self.objects.get(key) for key in txn.at})
        else:
            self.revision += 1
            for key, value in txn.put.items():
                self.objects[key] = KeyValue(key, value, self.revision, 1)
                for server in self.servers:
                    server.tell_later(key, value, self.revision)
            outcome = Outcome(True, self.revision, {})
        await asyncio.sleep(random.random() / 1000)
        return outcome

    def _revision(self, key: str) -> int:
        found = self.objects.get(key)
        return found.revision if found else 0

    def write(self, res: Resource, obj: Obj) -> None:
        path = keys.path(res, obj["metadata"]["namespace"], obj["metadata"]["name"])
        self.revision += 1
        self.objects[path] = KeyValue(path, orjson.dumps(obj), self.revision, 1)
        for server in self.servers:
            server.tell_later(path, self.objects[path].value, self.revision)

    def status(self, name: str = "q") -> Any:
        return orjson.loads(self.objects[keys.path(RESOURCE_QUOTAS, "a", name)].value)["status"]

    def count(self, res: Resource) -> int:
        return sum(1 for key in self.objects if key.startswith(f"/registry/{keys.collection(res)}/"))


class Server:
    """The part of a Store that the ledger uses."""

    def __init__(self, etcd: Etcd) -> None:
        self.etcd = etcd
        self.listener: Listener = lambda key, stored: None
        self.seen = 0
        self.news: list[tuple[int, str, bytes]] = []
        self.lists = 0
        etcd.servers.append(self)
        self.ledger = Ledger(cast(Store, self))

    def listen(self, res: Resource, listener: Listener) -> None:
        self.listener = listener

    def tell_later(self, path: str, value: bytes, revision: int) -> None:
        self.news.append((revision, path, value))
        asyncio.get_running_loop().call_later(random.random() / 200, self._tell, revision)

    def _tell(self, revision: int) -> None:
        while self.news and self.news[0][0] <= revision:
            at, path, value = self.news.pop(0)
            key = keys.parse(path)
            if key is not None and key.collection == keys.collection(RESOURCE_QUOTAS):
                self.listener(key.local, decode(BUILTIN, key.local, value, at))

    async def list(self, res: Resource, namespace: str) -> None:
        self.lists += 1
        revision = self.etcd.revision
        await asyncio.sleep(0.001)
        self._tell(revision)

    async def put(self, operation: str, res: Resource, txn: Txn) -> Outcome:
        return await self.etcd.txn(txn)

    async def create(self, name: str, res: Resource = CONFIG_MAPS) -> bool:
        """Whether it was made; Forbidden."""
        wanted = want(res, {"metadata": {"name": name, "namespace": "a"}}, name=name)
        if await self.ledger.check(wanted):
            path = keys.path(res, "a", name)
            txn = Txn({path: 0}, {path: b'{"metadata":{}}'})
            return (await self.ledger.writer(wanted)("create", res, txn)).succeeded
        return True


def stored_quota(used: Obj, hard: Obj, name: str = "q") -> Obj:
    return {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name, "namespace": "a"},
        "spec": {"hard": hard}, "status": {"hard": hard, "used": used},
    }  # fmt: skip


async def test_two_servers_never_let_in_too_many() -> None:
    etcd = Etcd()
    servers = [Server(etcd), Server(etcd)]
    etcd.write(RESOURCE_QUOTAS, stored_quota({"configmaps": "0"}, {"configmaps": "50"}))
    etcd.write(RESOURCE_QUOTAS, stored_quota({"count/configmaps": "7"}, {"count/configmaps": "900"}, "wide"))
    await asyncio.sleep(0.02)
    made = await asyncio.gather(*(servers[n % 2].create(f"c{n}") for n in range(200)), return_exceptions=True)
    assert [one for one in made if one is True] == [True] * 50
    refused = [one for one in made if isinstance(one, Forbidden)]
    assert len(refused) == 150
    assert "exceeded quota: q, requested: configmaps=1, used: configmaps=50, limited: configmaps=50" in str(refused[0])
    assert etcd.count(CONFIG_MAPS) == 50
    assert etcd.status()["used"] == {"configmaps": "50"}
    assert etcd.status("wide")["used"] == {"count/configmaps": "57"}
    assert len(etcd.txns) < 40  # many share one


async def test_who_loses_a_name_does_not_pay() -> None:
    etcd = Etcd()
    server = Server(etcd)
    etcd.write(RESOURCE_QUOTAS, stored_quota({"configmaps": "0"}, {"configmaps": "50"}))
    await asyncio.sleep(0.02)
    made = await asyncio.gather(*(server.create(f"c{n % 5}") for n in range(20)))
    assert made.count(True) == 5
    assert etcd.status()["used"] == {"configmaps": "5"}


async def test_an_answer_is_no_older_than_the_question() -> None:
    """The quota was just raised through another server, of which this one has not heard."""
    etcd = Etcd()
    server = Server(etcd)
    etcd.write(RESOURCE_QUOTAS, stored_quota({"configmaps": "1"}, {"configmaps": "1"}))
    await asyncio.sleep(0.02)
    etcd.write(RESOURCE_QUOTAS, stored_quota({"configmaps": "1"}, {"configmaps": "2"}))
    assert await server.create("c")
    assert server.lists == 1
    with pytest.raises(Forbidden):
        await server.create("d")


async def test_a_quota_that_goes_limits_no_more() -> None:
    etcd = Etcd()
    server = Server(etcd)
    etcd.write(RESOURCE_QUOTAS, stored_quota({"configmaps": "0"}, {"configmaps": "9"}))
    await asyncio.sleep(0.02)
    del etcd.objects[keys.path(RESOURCE_QUOTAS, "a", "q")]
    assert await server.create("c")
    assert etcd.count(CONFIG_MAPS) == 1
    server.listener("a/q", None)
    assert not server.ledger.concerns("a")


async def test_without_etcd_nothing_comes_in() -> None:
    etcd = Etcd()
    server = Server(etcd)
    etcd.write(RESOURCE_QUOTAS, stored_quota({"configmaps": "0"}, {"configmaps": "9"}))
    await asyncio.sleep(0.02)
    etcd.away = True
    made = await asyncio.gather(*(server.create(f"c{n}") for n in range(3)), return_exceptions=True)
    assert all(isinstance(one, ServiceUnavailable) for one in made)
    etcd.away = False
    assert await server.create("c")


async def test_who_gives_up_waiting_does_not_pay() -> None:
    etcd = Etcd()
    server = Server(etcd)
    etcd.write(RESOURCE_QUOTAS, stored_quota({"configmaps": "0"}, {"configmaps": "9"}))
    await asyncio.sleep(0.02)
    first = asyncio.create_task(server.create("a"))
    await etcd.asked.wait()
    late = asyncio.create_task(server.create("b"))
    await asyncio.sleep(0)
    late.cancel()
    assert await first
    with pytest.raises(asyncio.CancelledError):
        await late
    assert await server.create("c")
    assert etcd.status()["used"] == {"configmaps": "2"}


async def test_a_quota_that_never_rests_is_a_conflict() -> None:
    etcd = Etcd()
    server = Server(etcd)
    etcd.write(RESOURCE_QUOTAS, stored_quota({"configmaps": "0"}, {"configmaps": "9"}))
    await asyncio.sleep(0.02)
    real = etcd.txn

    async def beaten(txn: Txn) -> Outcome:
        etcd.write(RESOURCE_QUOTAS, stored_quota({"configmaps": "0"}, {"configmaps": "9"}))
        return await real(txn)

    etcd.txn = beaten  # type: ignore[method-assign]  # another server is always faster
    with pytest.raises(Conflict, match='cannot be fulfilled on resourcequotas "q"'):
        await server.create("c")
    assert etcd.count(CONFIG_MAPS) == 0


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
    began = time.perf_counter()
    for _ in range(1000):
        await plugin.validate(tried)
    assert (time.perf_counter() - began) / 1000 < 20e-6


def configured(*rules: Obj) -> ResourceQuota:
    configuration = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "ResourceQuotaConfiguration"}
    return ResourceQuota(cast(Store, Filled()), lambda: NOW, {**configuration, "limitedResources": list(rules)})


async def test_the_file_says_what_needs_a_quota() -> None:
    """The documentation's example."""
    plugin = configured({"resource": "pods", "matchScopes": [HIGH]})
    await plugin.validate(attempt(PODS, pod()))
    with pytest.raises(Forbidden, match='pods "x" is forbidden: insufficient quota to match these scopes'):
        await plugin.validate(attempt(PODS, pod(priorityClassName="high")))
    claims = configured({"apiGroup": "", "resource": "persistentvolumeclaims", "matchContains": ["requests.storage"]})
    claim: Obj = {"metadata": {}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    with pytest.raises(Forbidden, match="insufficient quota to consume: requests.storage"):
        await claims.validate(attempt(PERSISTENT_VOLUME_CLAIMS, claim))


def test_a_broken_file_stops_the_server() -> None:
    with pytest.raises(ConfigError, match="^ResourceQuota: "):
        configured({"matchContains": ["x"]})
