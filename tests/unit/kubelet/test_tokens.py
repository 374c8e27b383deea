"""The tokens of pods, by
https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#launch-a-pod-using-service-account-token-projection :
"the kubelet proactively requests rotation when the token is older than 80 % of its total time-to-live, or older than
24 hours"."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import pytest

from api import meta
from api.errors import NotFound, ServiceUnavailable
from api.meta import Obj
from client.clock import FakeClock
from client.http import ApiClient
from kubelet.pods.lookup import Lookup
from kubelet.volumes import projected
from kubelet.volumes.base import Context
from tests.unit.kubelet.pods import pod

HOUR = 3600


class Server:
    """Gives tokens that are numbers, unless `away`."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.asked: list[tuple[str, Obj]] = []
        self.away = False

    async def create(self, _: Any, body: Obj, *, namespace: str, name: str, subresource: str) -> Obj:
        if self.away:
            raise ServiceUnavailable("away")
        assert (namespace, subresource) == ("default", "token")
        self.asked.append((name, body["spec"]))
        ends = self._clock.now() + timedelta(seconds=body["spec"]["expirationSeconds"])
        return {**body, "status": {"token": str(len(self.asked)), "expirationTimestamp": meta.rfc3339(ends)}}

    async def get(self, *_: Any) -> Obj:
        raise NotFound("no such thing")


class Node:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.server = Server(self.clock)
        self.lookup = Lookup(cast(ApiClient, self.server), self.clock)

    async def token(self, seconds: int, after: float = 0, audience: str = "") -> str:
        self.clock.advance(after)
        return await self.lookup.token(pod(serviceAccountName="app"), audience, seconds)


async def test_a_token_is_bound_to_its_pod() -> None:
    node = Node()
    assert await node.token(HOUR) == "1"
    assert await node.token(HOUR, audience="vault") == "2"
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u-1"}
    assert node.server.asked == [
        ("app", {"audiences": [], "expirationSeconds": HOUR, "boundObjectRef": bound}),
        ("app", {"audiences": ["vault"], "expirationSeconds": HOUR, "boundObjectRef": bound}),
    ]


@pytest.mark.parametrize(
    ("life", "kept"), [(600, 480), (HOUR, 2880), (7 * 24 * HOUR, 24 * HOUR)], ids=["least", "an hour", "a week"]
)
async def test_a_token_is_renewed_in_time(life: int, kept: int) -> None:
    node = Node()
    assert await node.token(life) == "1"
    assert await node.token(life, after=kept - 11) == "1"
    assert await node.token(life, after=11) == "2"
    assert await node.token(life) == "2"


async def test_without_a_server_the_token_serves_to_its_end() -> None:
    node = Node()
    assert await node.token(HOUR) == "1"
    node.server.away = True
    assert await node.token(HOUR, after=HOUR - 1) == "1"
    with pytest.raises(ServiceUnavailable):
        await node.token(HOUR, after=1)
    node.server.away = False
    assert await node.token(HOUR) == "2"


async def test_a_pod_that_is_gone_is_forgotten() -> None:
    node = Node()
    assert await node.token(HOUR) == "1"
    node.lookup.forget_pod("u-1")
    assert await node.token(HOUR) == "2"


@pytest.mark.parametrize(
    ("spec", "guard"),
    [
        ({}, (0o644, None)),
        ({"securityContext": {"fsGroup": 5}}, (0o600, None)),
        ({"securityContext": {"runAsUser": 7}}, (0o600, 7)),
        ({"containers": [{"name": "a", "securityContext": {"runAsUser": 7}}, {"name": "b"}]}, (0o644, None)),
    ],
)
async def test_who_may_read_a_token(spec: Obj, guard: tuple[int, int | None]) -> None:
    """KEP-1205, file permission: for the one user of all containers; the group of the pod's files is added to 0600."""
    node = Node()
    source = {"sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": HOUR}}]}
    payload = await projected.payload(Context(pod(**spec), node.lookup), source, 0o644)
    assert (payload["token"].data, (payload["token"].mode, payload["token"].user)) == (b"1", guard)
