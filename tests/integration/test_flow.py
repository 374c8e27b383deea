"""Flow control on a server with little room. https://kubernetes.io/docs/concepts/cluster-administration/flow-control/"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import CoreV1Api, FlowcontrolApiserverV1Api, RbacAuthorizationV1Api
from prometheus_client.parser import text_string_to_metric_families

from api.builtin import CONFIG_MAPS, LEASES, NAMESPACES, ROLE_BINDINGS
from client.http import ApiClient
from tests.harness.apiserver import ApiServer
from tests.harness.etcd import EtcdServer
from tests.harness.eventually import eventually_sync
from tests.harness.flood import Flood
from tests.harness.pki import Pki
from tests.harness.raw import Raw
from tests.harness.upstream import Kubectl
from tests.integration.manifests import config_map

STREAMS = 2
_FLOOD = 6.0  # seconds


@pytest.fixture(scope="module")
def small(etcd_server: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Another server on the same etcd: two seats in all, so each level has one."""
    limits = ("--max-requests-inflight", "1", "--max-mutating-requests-inflight", "1")
    streams = ("--max-streams-per-user", str(STREAMS))
    server = ApiServer(tmp_path_factory.mktemp("small"), etcd_server, *limits, *streams)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def visitor(small: ApiServer, namespace: str, official: Any) -> Iterator[Raw]:
    """Somebody who may do what he likes in the namespace."""
    RbacAuthorizationV1Api(official).create_namespaced_role_binding(namespace, _binding("visitor", namespace))
    raw = Raw(small.bearer("visitor-token"))
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    eventually_sync(lambda: raw.get(path).status_code == 200, "the visitor may come in")
    yield raw
    raw.close()


def _binding(user: str, namespace: str) -> Any:
    group = "rbac.authorization.k8s.io"
    return {
        "metadata": {"name": user, "namespace": namespace},
        "roleRef": {"kind": "ClusterRole", "name": "admin", "apiGroup": group},
        "subjects": [{"kind": "User", "name": user, "apiGroup": group}],
    }


@contextlib.contextmanager
def level(official: Any, response: dict[str, Any]) -> Iterator[None]:
    """A level of its own for the visitor."""
    api = FlowcontrolApiserverV1Api(official)
    limited = {"nominalConcurrencyShares": 1, "borrowingLimitPercent": 0, "limitResponse": response}
    rule = {
        "subjects": [{"kind": "User", "user": {"name": "visitor"}}],
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}],
    }
    spec = {"priorityLevelConfiguration": {"name": "visitors"}, "matchingPrecedence": 50, "rules": [rule]}
    api.create_priority_level_configuration(
        {"metadata": {"name": "visitors"}, "spec": {"type": "Limited", "limited": limited}}
    )
    api.create_flow_schema({"metadata": {"name": "visitors"}, "spec": spec})
    try:
        yield
    finally:
        api.delete_flow_schema("visitors")
        api.delete_priority_level_configuration("visitors")


class Slow:
    """A POST whose body comes slowly, so that it keeps its seat."""

    def __init__(self, raw: Raw, path: str) -> None:
        self._begun, self._go = threading.Event(), threading.Event()
        self._pool = concurrent.futures.ThreadPoolExecutor()
        headers = {"Content-Type": "application/json"}
        self._answer = self._pool.submit(lambda: raw.http.post(path, content=self._body(), headers=headers))
        assert self._begun.wait(10)

    def _body(self) -> Iterator[bytes]:
        yield b'{"apiVersion": "v1", "kind": "ConfigMap", '
        self._begun.set()
        assert self._go.wait(20)
        yield b'"metadata": {"generateName": "slow-"}}'

    def end(self) -> int:
        self._go.set()
        with self._pool:
            return int(self._answer.result(10).status_code)


def _samples(raw: Raw) -> dict[tuple[str, str, str], float]:
    """Values by (name, level, schema)."""
    families = text_string_to_metric_families(raw.get("/metrics").text)
    return {
        (s.name, s.labels.get("priority_level", ""), s.labels.get("flow_schema", "")): s.value
        for family in families
        for s in family.samples
        if "flowcontrol" in s.name
    }


def _uid(kubectl: Kubectl, kind: str, name: str) -> str:
    return kubectl.run("get", kind, name, "-o", "jsonpath={.metadata.uid}").ok().stdout


def test_an_answer_tells_where_the_request_was_put(http: Raw, visitor: Raw, kubectl: Kubectl, namespace: str) -> None:
    """ "Good practices": X-Kubernetes-PF-FlowSchema-UID and X-Kubernetes-PF-PriorityLevel-UID, also of a refusal."""
    for raw, path, schema, put in (
        (http, "/api/v1/namespaces", "exempt", "exempt"),
        (visitor, f"/api/v1/namespaces/{namespace}/configmaps", "global-default", "global-default"),
        (visitor, "/api/v1/nodes", "global-default", "global-default"),
        (visitor, "/readyz", "probes", "exempt"),
    ):
        headers = raw.get(path).headers
        assert headers["x-kubernetes-pf-flowschema-uid"] == _uid(kubectl, "flowschema", schema), path
        assert headers["x-kubernetes-pf-prioritylevel-uid"] == _uid(kubectl, "prioritylevelconfiguration", put), path


def test_what_waits_can_be_looked_at(http: Raw, visitor: Raw, kubectl: Kubectl) -> None:
    """https://kubernetes.io/docs/reference/debug-cluster/flow-control/#debug-endpoints"""
    path = "/debug/api_priority_and_fairness"
    for table, first in (
        ("dump_priority_levels", ["PriorityLevelName", "ActiveQueues", "IsIdle"]),
        ("dump_queues", ["PriorityLevelName", "Index", "PendingRequests"]),
        ("dump_requests?includeRequestDetails=1", ["PriorityLevelName", "FlowSchemaName", "QueueIndex"]),
    ):
        header, *rows = kubectl.run("get", "--raw", f"{path}/{table}").ok().lines
        assert [cell.strip() for cell in header.split(",")][:3] == first
        assert rows
    own = [cell.strip() for cell in rows[0].split(",")]
    assert own[:4] == ["exempt", "exempt", "-1", "-1"]
    assert own[10:13] == ["kubernetes-admin", "get", f"{path}/dump_requests"]
    assert http.get(f"{path}/dump_priority_levels").headers["content-type"] == "text/plain; charset=utf-8"
    assert visitor.get(f"{path}/dump_requests").status_code == 403


def test_without_queues_there_is_a_seat_or_come_back_later(
    small: ApiServer, visitor: Raw, official: Any, namespace: str
) -> None:
    """limitResponse Reject; masters are exempt, and other levels have their own seats."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    master, nobody, other = Raw(small.admin()), Raw(small.anonymous()), Raw(small.bearer("visitor-token"))
    with level(official, {"type": "Reject"}), contextlib.closing(master), contextlib.closing(other):
        eventually_sync(lambda: _samples(master).get(("apiserver_flowcontrol_nominal_limit_seats", "visitors", "")),
                        "the level is there")  # fmt: skip
        slow = Slow(visitor, path)

        def refused() -> bool:
            answer = other.send("POST", path, config_map("x"))
            if answer.status_code != 429:
                return False
            assert 1 <= int(answer.headers["retry-after"]) <= 32
            assert answer.json()["message"] == "Too many requests, please try again later."
            return bool(answer.json()["reason"] == "TooManyRequests")

        try:
            eventually_sync(refused, "there is no room")
            assert master.send("POST", path, config_map("urgent")).status_code == 201
            assert nobody.get("/api/v1/nodes").status_code == 403
        finally:
            assert slow.end() == 201
        assert other.send("POST", path, config_map("later")).status_code == 201
        samples = _samples(master)
        assert samples["apiserver_flowcontrol_rejected_requests_total", "visitors", "visitors"] >= 1
        assert samples["apiserver_flowcontrol_current_executing_requests", "visitors", "visitors"] == 0
    nobody.close()


def test_with_queues_who_comes_second_waits(small: ApiServer, visitor: Raw, official: Any, namespace: str) -> None:
    """limitResponse Queue."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    queuing = {"queues": 2, "handSize": 1, "queueLengthLimit": 1}
    master, other, third = (Raw(small.admin()), *(Raw(small.bearer("visitor-token")) for _ in range(2)))
    with level(official, {"type": "Queue", "queuing": queuing}), concurrent.futures.ThreadPoolExecutor() as pool:
        eventually_sync(lambda: _samples(master).get(("apiserver_flowcontrol_nominal_limit_seats", "visitors", "")),
                        "the level is there")  # fmt: skip
        slow = Slow(visitor, path)
        waiting = pool.submit(lambda: other.send("POST", path, config_map("second")))
        queued = ("apiserver_flowcontrol_current_inqueue_requests", "visitors", "visitors")
        eventually_sync(lambda: _samples(master).get(queued) == 1, "the second one waits")
        assert third.get(path).status_code == 429, "the queue is full"
        assert not waiting.done()
        assert slow.end() == 201
        assert waiting.result(10).status_code == 201
        assert _samples(master)["apiserver_flowcontrol_request_wait_duration_seconds_sum", "visitors", "visitors"] > 0
    for raw in (master, other, third):
        raw.close()


def test_a_user_has_only_so_many_streams(small: ApiServer, visitor: Raw, core: CoreV1Api, namespace: str) -> None:
    """A watch keeps no seat once it has begun; --max-streams-per-user bounds them. Masters are exempt."""
    core.create_namespaced_config_map(namespace, config_map("a"))
    path = f"/api/v1/namespaces/{namespace}/configmaps?watch=1"
    raws = [Raw(small.bearer("visitor-token")) for _ in range(STREAMS)]
    master = Raw(small.admin())
    held = []  # an iterator that nobody holds closes its connection
    with contextlib.ExitStack() as stack:

        def watch(raw: Raw) -> None:
            held.append(stack.enter_context(raw.lines(path)))
            assert "ADDED" in next(held[-1])

        for raw in raws:
            watch(raw)
        assert visitor.get(path).status_code == 429
        assert visitor.get(path.partition("?")[0]).status_code == 200
        for _ in range(STREAMS + 1):
            watch(master)
    eventually_sync(lambda: visitor.get(f"{path}&timeoutSeconds=1").status_code == 200, "there is room again")
    for raw in (*raws, master):
        raw.close()


async def test_a_user_who_floods_the_server_delays_no_heartbeat(tmp_path: Path) -> None:
    """5,000 requests a second are offered by several processes, creations and lists among them, over hundreds of
    connections and some over a new one each: more than the server can answer. Nodes and leaders renew their leases within a second all the same, and another
    user of the same priority level gets his answers."""
    etcd = EtcdServer(tmp_path / "etcd", Pki(tmp_path / "pki"))
    server = ApiServer(tmp_path / "flooded", etcd)
    floods: list[Flood] = []
    beats: dict[str, list[float]] = {"node": [], "leader": [], "neighbour": []}

    async def renew(client: ApiClient, who: str, namespace: str, name: str, until: float) -> None:
        spec = {"holderIdentity": name, "leaseDurationSeconds": 15}
        lease = await client.create(LEASES, {"metadata": {"name": name, "namespace": namespace}, "spec": spec})
        while time.monotonic() < until:
            began = time.monotonic()
            lease["spec"]["renewTime"] = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
            lease = await client.update(LEASES, lease)
            beats[who].append(time.monotonic() - began)
            await asyncio.sleep(0.2)

    async def ask(client: ApiClient, until: float) -> None:
        while time.monotonic() < until:
            began = time.monotonic()
            await client.list(CONFIG_MAPS, "flooded")
            beats["neighbour"].append(time.monotonic() - began)
            await asyncio.sleep(0.1)

    clients = [
        ApiClient(server.identity("system:node:flooded-a", "system:nodes")),
        ApiClient(server.identity("system:node:flooded-b", "system:nodes")),
        ApiClient(server.identity("system:kube-scheduler")),
        ApiClient(server.identity("neighbour")),
        ApiClient(server.admin()),
    ]
    *nodes, leader, neighbour, admin = clients
    try:
        etcd.start()
        server.start()
        await admin.create(NAMESPACES, {"metadata": {"name": "flooded"}})
        for user in ("visitor", "neighbour"):
            await admin.create(ROLE_BINDINGS, _binding(user, "flooded"))
        for number in range(200):
            await admin.create(CONFIG_MAPS, config_map(f"c-{number}", namespace="flooded"))
        path, until = "/api/v1/namespaces/flooded/configmaps", time.monotonic() + _FLOOD
        body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "flood-"}})
        for method, sent, connections, rate, fresh in (
            ("POST", body, 150, 2500, False), ("GET", "", 150, 2000, False), ("GET", "", 30, 500, True),
        ):  # fmt: skip
            floods.append(
                Flood(server.port, server.pki.file("ca.crt"), "visitor-token", method, path, body=sent,
                      connections=connections, rate=rate, seconds=_FLOOD, fresh=fresh)
            )  # fmt: skip
        await asyncio.gather(
            *(
                renew(node, "node", "kube-node-lease", f"flooded-{n}", until)
                for node, n in zip(nodes, "ab", strict=True)
            ),
            renew(leader, "leader", "kube-system", "kube-scheduler", until),
            ask(neighbour, until),
        )
        answers = [await asyncio.to_thread(flood.result) for flood in floods]
        assert all(set(codes) <= {"200", "201", "429"} for codes in answers), answers
        assert sum(codes.total() for codes in answers) > 50 * _FLOOD, f"no flood: {answers}"
        assert max(beats["node"]) < 1.0, beats
        assert max(beats["leader"]) < 1.0, beats
        assert len(beats["neighbour"]) > _FLOOD / 2, beats
    finally:
        for flood in floods:
            flood.stop()
        for client in clients:
            await client.close()
        server.stop()
        etcd.stop()
