"""EventRateLimit: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#eventratelimit"""

from __future__ import annotations

from typing import Any

import pytest

from api.builtin import CONFIG_MAPS, EVENTS, NEW_EVENTS
from api.errors import TooManyRequests
from api.meta import Obj
from apiserver.admission.chain import Attempt
from apiserver.admission.event_rate import EventRateLimit
from apiserver.auth.user import User
from apiserver.configfile import ConfigError

VERSION = {"apiVersion": "eventratelimit.admission.k8s.io/v1alpha1", "kind": "Configuration"}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def limits(*given: Obj, clock: Clock | None = None) -> EventRateLimit:
    return EventRateLimit({**VERSION, "limits": list(given)}, enabled=True, clock=clock or Clock())


def event(pod: str = "web", host: str = "n1") -> Obj:
    return {
        "source": {"component": "kubelet", "host": host},
        "involvedObject": {"kind": "Pod", "namespace": "a", "name": pod, "uid": "7", "apiVersion": "v1"},
    }


async def comes(step: EventRateLimit, obj: Obj | None = None, namespace: str = "a", user: str = "jane") -> str:
    """ "" when it is let in, else the message."""
    who = User(user, ())
    tried = Attempt(who, "create", EVENTS, "", namespace, "e", obj or event(), None)
    try:
        await step.validate(tried)
    except TooManyRequests as error:
        return error.message
    return ""


async def test_a_burst_then_as_many_as_the_rate() -> None:
    clock = Clock()
    step = limits({"type": "Server", "qps": 2, "burst": 3}, clock=clock)
    assert [await comes(step) for _ in range(4)] == [
        "",
        "",
        "",
        "Too many requests: limit reached on type Server for key ",
    ]
    clock.now += 0.4
    assert await comes(step)
    clock.now += 0.1
    assert not await comes(step)
    clock.now += 60
    assert [bool(await comes(step)) for _ in range(4)] == [False, False, False, True]


@pytest.mark.parametrize(
    ("kind", "other", "key"),
    [
        ("Namespace", {"namespace": "b"}, "a"),
        ("User", {"user": "joe"}, "jane"),
        ("SourceAndObject", {"obj": event("db")}, "kubeletn1Podaweb7v1"),
        ("SourceAndObject", {"obj": event(host="n2")}, "kubeletn1Podaweb7v1"),
    ],
)
async def test_each_has_a_bucket_of_its_own(kind: str, other: dict[str, Any], key: str) -> None:
    step = limits({"type": kind, "qps": 1, "burst": 1})
    assert not await comes(step)
    assert await comes(step) == f"Too many requests: limit reached on type {kind} for key {key}"
    assert not await comes(step, **other)


async def test_the_newer_form_of_an_event_has_the_same_key() -> None:
    step = limits({"type": "SourceAndObject", "qps": 1, "burst": 1})
    old = event()
    assert not await comes(step, old)
    assert await comes(step, {"deprecatedSource": old["source"], "regarding": old["involvedObject"]})


async def test_only_so_many_buckets_are_kept() -> None:
    step = limits({"type": "User", "qps": 1, "burst": 1, "cacheSize": 2})
    for user in ("a", "b", "c"):
        assert not await comes(step, user=user)
    assert not await comes(step, user="a")  # forgotten, so that it begins anew
    assert await comes(step, user="c")


async def test_every_limit_counts() -> None:
    """ "give each limit enforcer a chance to reject the event" """
    step = limits({"type": "Server", "qps": 1, "burst": 1}, {"type": "User", "qps": 1, "burst": 2})
    assert not await comes(step)
    assert "type Server" in await comes(step)
    assert "type User" in await comes(step)


def test_what_is_handled() -> None:
    step = limits({"type": "Server", "qps": 1, "burst": 1})
    assert step.handles("create", EVENTS, "") and step.handles("update", NEW_EVENTS, "")
    assert not step.handles("delete", EVENTS, "") and not step.handles("create", CONFIG_MAPS, "")


@pytest.mark.parametrize(
    "broken",
    [
        {**VERSION, "limits": []}, VERSION, {"limits": [{"type": "Server", "qps": 1, "burst": 1}]},
        {**VERSION, "limits": [{"type": "Cluster", "qps": 1, "burst": 1}]},
        {**VERSION, "limits": [{"type": "Server", "qps": 0, "burst": 1}]},
        {**VERSION, "limits": [{"type": "Server", "qps": 1}]},
        {**VERSION, "limits": [{"type": "User", "qps": 1, "burst": 1, "cacheSize": -1}]},
    ],
)  # fmt: skip
def test_a_broken_configuration_stops_the_server(broken: Obj) -> None:
    with pytest.raises(ConfigError, match="^EventRateLimit: "):
        EventRateLimit(broken, enabled=False)


def test_it_is_not_enabled_without_a_configuration() -> None:
    with pytest.raises(ConfigError, match="EventRateLimit: needs a configuration"):
        EventRateLimit(None, enabled=True)
    assert EventRateLimit(None, enabled=False).name == "EventRateLimit"
