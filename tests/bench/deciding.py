"""The authorization decision, with the default roles and a thousand more roles and bindings, and a seat of flow control
when there is no crowd: no server, since both are pure. What is counted is CPU time; every request asks both once."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable, Iterator
from itertools import cycle, islice

from api.kinds.flow_objects import LEVELS, SCHEMAS
from api.meta import Obj
from apiserver.auth import default_roles
from apiserver.auth.authorizer import Authorizer
from apiserver.auth.user import User, authenticated
from apiserver.flow.control import Control
from apiserver.request import RequestInfo, parse
from tests.bench.report import Report

ROLES = 1000
NAMESPACES = 100
_ROUNDS = 40_000
_KINDS = ("pods", "services", "configmaps", "secrets", "deployments.apps", "jobs.batch")
_VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")


def _role(number: int) -> Obj:
    kinds = [_KINDS[(number + offset) % len(_KINDS)].partition(".") for offset in range(3)]
    return {
        "rules": [
            {"apiGroups": [group], "resources": [plural, f"{plural}/status"], "verbs": list(_VERBS[: 3 + number % 5])}
            for plural, _, group in kinds
        ]
    }


def _binding(number: int) -> Obj:
    return {
        "roleRef": {"kind": "Role", "name": f"role-{number}"},
        "subjects": [
            {"kind": "User", "name": f"user-{number % 50}"},
            {"kind": "Group", "name": f"team-{number % 20}"},
            {"kind": "ServiceAccount", "name": f"app-{number % 10}"},
        ],
    }


def _filled() -> Authorizer:
    authorizer = Authorizer()
    rbac = authorizer.rbac
    for role in (*default_roles.cluster_roles(), *default_roles.roles()):
        rbac.on_role(role["metadata"].get("namespace", ""), role["metadata"]["name"], role)
    for binding in (*default_roles.cluster_role_bindings(), *default_roles.role_bindings()):
        rbac.on_binding(binding["metadata"].get("namespace", ""), binding["metadata"]["name"], binding)
    for number in range(ROLES):
        rbac.on_role(f"ns-{number % NAMESPACES}", f"role-{number}", _role(number))
        rbac.on_binding(f"ns-{number % NAMESPACES}", f"binding-{number}", _binding(number))
    return authorizer


def _questions() -> Iterator[tuple[User, RequestInfo]]:
    """Of people, accounts, nodes and daemons; some allowed, some not."""
    for number in range(600):
        namespace = f"ns-{number % NAMESPACES}"
        accounts = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
        yield authenticated(User(f"user-{number % 50}", (f"team-{number % 20}",))), _asked(number, namespace)
        yield (
            authenticated(User(f"system:serviceaccount:{namespace}:app-{number % 10}", accounts)),
            _asked(number, namespace),
        )
        yield authenticated(User("stranger", ("team-none",))), _asked(number, namespace)
        yield authenticated(User("system:kube-scheduler")), parse("POST", f"/api/v1/namespaces/{namespace}/bindings")
        yield authenticated(User("system:node:n1", ("system:nodes",))), parse("GET", f"/api/v1/nodes/n{number % 3}")
        yield User("system:anonymous", ("system:unauthenticated",)), parse("GET", "/livez")


def _asked(number: int, namespace: str) -> RequestInfo:
    plural, _, group = _KINDS[number % len(_KINDS)].partition(".")
    root = f"/apis/{group}/v1" if group else "/api/v1"
    method = ("GET", "POST", "PUT", "DELETE")[number % 4]
    return parse(method, f"{root}/namespaces/{namespace}/{plural}" + ("" if method == "POST" else f"/x-{number}"))


def measure(report: Report) -> None:
    authorizer, questions = _filled(), list(_questions())
    gc.collect()
    first = _seconds(authorizer, questions)  # each subject's table is made when it is first asked for
    each = _seconds(authorizer, islice(cycle(questions), _ROUNDS)) / _ROUNDS
    report.add(
        f"authorization decision, {ROLES:,} roles and bindings beside the default ones",
        f"{each * 1e6:.1f} µs, {first / len(questions) * 1e6:.1f} µs when asked for the first time",
        goal="≤ 20 µs",
    )
    control = Control(600, 0.0)
    for schema in SCHEMAS:
        control.on_schema(schema["metadata"]["name"], schema)
    for level in LEVELS:
        control.on_level(level["metadata"]["name"], level)
    _seated(control, questions)
    seat = _seated(control, islice(cycle(questions), _ROUNDS)) / _ROUNDS
    report.add("flow control, a seat when there is no crowd", f"{seat * 1e6:.1f} µs", goal="≤ 10 µs")


def _seconds(authorizer: Authorizer, questions: Iterable[tuple[User, RequestInfo]]) -> float:
    decide = authorizer.decide
    asked = list(questions)
    began = time.process_time()
    for user, info in asked:
        decide(user, info)
    return time.process_time() - began


def _seated(control: Control, questions: Iterable[tuple[User, RequestInfo]]) -> float:
    asked = list(questions)
    began = time.process_time()
    for number, (user, info) in enumerate(asked):
        now = number / 1000
        control.tick(now)
        control.leave(control.arrive(control.flow_of(user, info), 1, now), now)
    return time.process_time() - began
