"""Who may ask the kubelet what, which log is meant, and how figures are exposed.

Sources: pkg/kubelet/server/{auth,server}.go, KEP-2862, kubelet_pods.go (validateContainerLogStatus).
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.errors import ApiError, BadRequest, Forbidden, InternalError, Invalid, ServiceUnavailable, Unauthorized
from client.clock import FakeClock
from kubelet.configuration import Configuration
from kubelet.logs.entries import Wanted
from kubelet.server import container_logs
from kubelet.server.auth import Access, User, bearer, certified, subresources
from kubelet.server.node import _below, claims
from kubelet.server.streaming.pipe import Idle
from kubelet.stats.exposition import Family, Sample, cadvisor, render, resource
from kubelet.stats.exposition import claims as claim_metrics
from tests.unit.kubelet.pods import NOW, pod
from tests.unit.kubelet.test_stats import AROUND, DISKS, look

SUBJECT = ((("organizationName", "system:nodes"),), (("organizationName", "b"),), (("commonName", "system:node:x"),))


def test_whom_a_certificate_speaks_for() -> None:
    assert certified({"subject": SUBJECT}) == User("system:node:x", ("system:nodes", "b", "system:authenticated"))
    assert certified({}) is None
    assert certified(None) is None


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", ""), ("Bearer", ""), ("", "")],
)
def test_bearer_tokens(header: str, token: str) -> None:
    assert bearer(header) == token


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/stats/summary", ("stats",)),
        ("/metrics", ("metrics",)),
        ("/metrics/cadvisor", ("metrics",)),
        ("/logs/", ("log",)),
        ("/healthz/ping", ("healthz", "proxy")),
        ("/pods", ("pods", "proxy")),
        ("/runningpods/", ("pods", "proxy")),
        ("/configz", ("configz", "proxy")),
        ("/checkpoint/{namespace}/{pod}/{container}", ("checkpoint",)),
        ("/exec/{namespace}/{pod}/{container}", ("proxy",)),
        ("/statsx", ("proxy",)),
        ("/", ("proxy",)),
    ],
)
def test_subresources(path: str, parts: tuple[str, ...]) -> None:
    assert subresources(path) == parts


class Apiserver:
    """Answers reviews; counts them."""

    def __init__(self, *granted: tuple[str, str, str]) -> None:
        self.granted, self.asked = granted, list[dict[str, Any]]()
        self.away = False

    async def request(self, method: str, path: str, *, json: dict[str, Any]) -> Any:
        if self.away:
            raise ServiceUnavailable("no connection")
        self.asked.append(json["spec"])
        await asyncio.sleep(0)
        if path.endswith("/tokenreviews"):
            known = json["spec"]["token"] == "good"
            user = {"username": "jane", "groups": ["dev"], "extra": {"k": ["v"]}}
            return Answer({"authenticated": known, "user": user if known else {}})
        at = json["spec"]["resourceAttributes"]
        assert (at["resource"], at["name"], at["version"]) == ("nodes", "one", "v1")
        return Answer({"allowed": (json["spec"]["user"], at["verb"], at["subresource"]) in self.granted})


class Answer:
    def __init__(self, status: dict[str, Any]) -> None:
        self._status = status

    def json(self) -> dict[str, Any]:
        return {"status": self._status}


def door(*granted: tuple[str, str, str]) -> tuple[Access, Apiserver, FakeClock]:
    server, clock = Apiserver(*granted), FakeClock()
    return Access(server, "one", Configuration(), clock), server, clock  # type: ignore[arg-type]  # the one method it has


async def test_a_token_is_reviewed_once_for_a_while() -> None:
    """token/cache: what was said is believed for two minutes, also that a token is none."""
    access, server, clock = door(("jane", "get", "stats"))
    found = await access.admit("GET", "/stats/summary", None, "Bearer good")
    assert (found.name, found.groups) == ("jane", ("dev", "system:authenticated"))
    assert server.asked[1]["extra"] == {"k": ["v"]}
    await access.admit("GET", "/stats/summary", None, "Bearer good")
    assert len(server.asked) == 2
    for _ in range(2):
        with pytest.raises(Unauthorized):
            await access.admit("GET", "/pods", None, "Bearer bad")
    assert len(server.asked) == 3
    clock.advance(121)
    await access.admit("GET", "/stats/summary", None, "Bearer good")
    assert len(server.asked) == 4  # the token again; the permission holds for five minutes
    assert "good" not in str(vars(access))


async def test_a_no_is_forgotten_sooner_than_a_yes() -> None:
    """A grant takes effect within half a minute."""
    access, server, clock = door()
    with pytest.raises(Forbidden) as refused:
        await access.admit("GET", "/pods", {"subject": SUBJECT}, "")
    asked = "user=system:node:x, verb=get, resource=nodes, subresource(s)=[pods proxy]"
    assert refused.value.message == f"Forbidden ({asked})\n"
    server.granted = (("system:node:x", "get", "proxy"),)
    with pytest.raises(Forbidden):
        await access.admit("GET", "/pods", {"subject": SUBJECT}, "")
    clock.advance(31)
    await access.admit("GET", "/pods", {"subject": SUBJECT}, "")
    with pytest.raises(Forbidden):
        await access.admit("POST", "/pods", {"subject": SUBJECT}, "")


async def test_many_askers_share_one_review() -> None:
    access, server, _ = door(("jane", "get", "stats"))
    await asyncio.gather(*(access.admit("GET", "/stats/summary", None, "Bearer good") for _ in range(20)))
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("certificate", "error"),
    [(None, Unauthorized), ({"subject": SUBJECT}, InternalError)],
    ids=["token", "certificate"],
)
async def test_nobody_gets_in_while_the_apiserver_is_away(certificate: Any, error: type[ApiError]) -> None:
    """And the failure is not kept."""
    access, server, _ = door(("jane", "get", "stats"), ("system:node:x", "get", "stats"))
    server.away = True
    with pytest.raises(error):
        await access.admit("GET", "/stats/summary", certificate, "Bearer good")
    server.away = False
    await access.admit("GET", "/stats/summary", certificate, "Bearer good")


async def test_nobody_without_credentials() -> None:
    access, server, _ = door()
    for header in ("", "Basic eDp5"):
        with pytest.raises(Unauthorized):
            await access.admit("GET", "/healthz", None, header)
    assert server.asked == []


def told(state: dict[str, Any], last: dict[str, Any] | None = None) -> dict[str, Any]:
    status = {"name": "app", "state": state, "lastState": last or {}, "containerID": "docker://now"}
    return pod(status={"containerStatuses": [status]})


def test_which_container_a_log_request_means() -> None:
    before = {"terminated": {"containerID": "docker://before"}}
    assert container_logs.container_id(told({"running": {}}, before), "app", False) == "now"
    assert container_logs.container_id(told({"running": {}}, before), "app", True) == "before"
    crash = told({"waiting": {"reason": "CrashLoopBackOff"}}, before)
    assert container_logs.container_id(crash, "app", False) == "before"
    with pytest.raises(BadRequest) as raised:
        container_logs.container_id(told({"waiting": {"reason": "ContainerCreating"}}), "app", False)
    assert str(raised.value) == 'container "app" in pod "web" is waiting to start: ContainerCreating'
    with pytest.raises(BadRequest) as raised:
        container_logs.container_id(told({"running": {}}), "app", True)
    assert str(raised.value) == 'previous terminated container "app" in pod "web" not found'


def test_what_of_a_log_is_wanted() -> None:
    query = {"follow": "true", "tailLines": "5", "sinceSeconds": "10", "timestamps": "true", "limitBytes": "7"}
    since = NOW - timedelta(seconds=10)
    assert container_logs.wanted(query, NOW) == Wanted(since=since, tail=5, timestamps=True, follow=True, limit=7)
    assert container_logs.wanted({"stream": "Stderr"}, NOW) == Wanted(stdout=False)
    assert container_logs.wanted({"tail": "all"}, NOW).tail is None
    assert container_logs.wanted({"tailLines": "0"}, NOW).tail == 0
    assert container_logs.wanted({"sinceTime": "2026-01-02T03:04:05+01:00"}, NOW).since == datetime(
        2026, 1, 2, 2, 4, 5, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"tailLines": "x"}, BadRequest),
        ({"sinceTime": "yesterday"}, BadRequest),
        ({"tailLines": "-1"}, Invalid),
        ({"limitBytes": "0"}, Invalid),
        ({"sinceSeconds": "0"}, Invalid),
        ({"sinceSeconds": "1", "sinceTime": "2026-01-02T03:04:05Z"}, Invalid),
        ({"stream": "Both"}, Invalid),
        ({"stream": "Stdout", "tailLines": "1"}, Invalid),
    ],
)
def test_log_options_that_make_no_sense(query: dict[str, str], error: type[ApiError]) -> None:
    """ValidatePodLogOptions; KEP-3288: a stream of its own has no last lines."""
    with pytest.raises(error):
        container_logs.check(query)


@pytest.mark.parametrize(
    ("asked", "kind"),
    [("", "directory"), ("a.log", "file"), ("sub/", "directory"), ("../secret", ""), ("out", ""), ("none", "")],
)
def test_node_logs_do_not_lead_out_of_their_directory(tmp_path: Path, asked: str, kind: str) -> None:
    logs = tmp_path / "log"
    (logs / "sub").mkdir(parents=True)
    (logs / "a.log").touch()
    (tmp_path / "secret").touch()
    (logs / "out").symlink_to(tmp_path / "secret")
    assert _below(logs, asked)[1] == kind


def test_claims_behind_volumes() -> None:
    volumes = [
        {"name": "a", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "b", "ephemeral": {}},
        {"name": "e", "emptyDir": {}},
    ]  # fmt: skip
    one = pod(volumes=volumes)
    meta = one["metadata"]
    assert claims([one]) == {(meta["uid"], meta["namespace"]): {"a": "c", "b": f"{meta['name']}-b"}}


async def test_an_idle_stream_ends_and_a_busy_one_does_not() -> None:
    idle = Idle(0.05)
    watching = asyncio.create_task(idle.passed())
    for _ in range(4):
        await asyncio.sleep(0.02)
        idle.touch()
    assert not watching.done()
    await asyncio.wait_for(watching, 5)


def test_exposition() -> None:
    labels = {"b": 'say "hi"\n', "a": "x\\y"}
    families = [Family("up", "gauge", "It is.", [Sample(labels, 1), Sample({}, 0.5, 7)]), Family("no", "gauge", "", [])]
    assert render(families) == ('# HELP up It is.\n# TYPE up gauge\nup{a="x\\\\y",b="say \\"hi\\"\\n"} 1\nup 0.5 7\n')


def test_resource_metrics() -> None:
    """resource_metrics.go: seconds, with the moment of the look in milliseconds."""
    text = render(resource(look(10, 2 * 10**9)))
    at = int(datetime(2026, 1, 2, 3, 4, 15, tzinfo=UTC).timestamp() * 1000)
    assert f'container_cpu_usage_seconds_total{{container="app",namespace="shop",pod="web"}} 2.0 {at}\n' in text
    assert f'pod_memory_working_set_bytes{{namespace="shop",pod="web"}} 800 {at}\n' in text
    assert f"node_cpu_usage_seconds_total 10.0 {at}\n" in text
    assert "resource_scrape_error 0\n" in text
    assert 'container_start_time_seconds{container="app",namespace="shop",pod="web"} 1767322945.0' in text


def test_metrics_of_claims() -> None:
    """volume_stats.go: by namespace and claim, for claims that can be measured."""
    labels = {"namespace": "shop", "persistentvolumeclaim": "c"}
    text = render(claim_metrics(DISKS, {"u1": {"secret": labels, "other": labels}, "u2": {"secret": labels}}))
    at = '{namespace="shop",persistentvolumeclaim="c"}'
    told = [line for line in text.splitlines() if not line.startswith("#")]
    assert f"kubelet_volume_stats_capacity_bytes{at} 8000" in told
    assert f"kubelet_volume_stats_used_bytes{at} 1000" in told
    assert f"kubelet_volume_stats_inodes_free{at} 1" in told
    assert len(told) == 6


def test_cadvisor_metrics() -> None:
    """What dashboards filter by: container, namespace, pod; a pod's network has no container."""
    text = render(cadvisor(look(10, 2 * 10**9), DISKS, AROUND, {"kernelVersion": "6"}))
    of_app = [line for line in text.splitlines() if 'container="app"' in line]
    names = {line.partition("{")[0] for line in of_app}
    assert {
        "container_cpu_usage_seconds_total", "container_memory_working_set_bytes", "container_memory_rss",
        "container_fs_usage_bytes", "container_oom_events_total", "container_last_seen",
        "container_cpu_cfs_throttled_periods_total",
    } <= names  # fmt: skip
    (network,) = [
        line for line in text.splitlines()
        if line.startswith("container_network_receive_bytes_total") and 'pod="web"' in line
    ]  # fmt: skip
    assert 'container=""' in network and 'interface="eth0"' in network
    assert "machine_memory_bytes 10000\n" in text
