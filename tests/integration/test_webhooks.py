"""Admission webhooks: real HTTPS servers that answer, refuse, change, are slow, wrong, down or lie about who they are.

Behaviour and texts from https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/ and
k8s.io/apiserver/pkg/admission/plugin/webhook.
"""

from __future__ import annotations

import base64
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.harness.apiserver import ApiServer
from tests.harness.raw import Raw
from tests.harness.upstream import Kubectl
from tests.harness.webhook import Reply, Webhook
from tests.integration.manifests import config_map, pod

Obj = dict[str, Any]
_ROOT = "/apis/admissionregistration.k8s.io/v1"


def allow(review: Obj, **more: Any) -> Obj:
    """An AdmissionReview that answers one."""
    response = {"uid": review["request"]["uid"], "allowed": True, **more}
    return {"kind": "AdmissionReview", "apiVersion": review["apiVersion"], "response": response}


def deny(review: Obj, **status: Any) -> Obj:
    return allow(review, allowed=False, **({"status": status} if status else {}))


def patch(review: Obj, *operations: Obj) -> Obj:
    return allow(review, patchType="JSONPatch", patch=base64.b64encode(orjson.dumps(operations)).decode())


def add(path: str, value: Any) -> Obj:
    return {"op": "add", "path": path, "value": value}


def rule(*resources: str, **more: Any) -> Obj:
    return {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": list(resources), **more}


class Hooks:
    """Configures webhooks for one namespace, and takes them away."""

    def __init__(self, http: Raw, server: Webhook, namespace: str) -> None:
        self.server = server
        self._http = http
        self._namespace = namespace
        self._made: list[str] = []

    def add(self, kind: str, *webhooks: Obj, name: str = "") -> str:
        """One configuration of `kind` (validating, mutating). The webhooks need to say what is not usual alone."""
        name = name or f"{self._namespace}-{len(self._made)}"
        own = {"matchLabels": {"kubernetes.io/metadata.name": self._namespace}}
        usual: Obj = {
            "name": "hook.example.com", "rules": [rule("configmaps")], "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "namespaceSelector": own,
            "clientConfig": {"url": self.server.url, "caBundle": self.server.ca_bundle},
        }  # fmt: skip
        configuration = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": f"{kind.capitalize()}WebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [{**usual, **webhook} for webhook in webhooks],
        }
        path = f"{_ROOT}/{kind}webhookconfigurations"
        answer = self._http.send("POST", path, configuration)
        assert answer.status_code == 201, answer.text
        self._made.append(f"{path}/{name}")
        return f"{path}/{name}"

    def clear(self) -> None:
        for path in self._made:
            assert self._http.send("DELETE", path).status_code == 200
        self._made.clear()


@pytest.fixture(scope="module")
def server(shared_apiserver: ApiServer) -> Iterator[Webhook]:
    made = Webhook(shared_apiserver.pki, allow)
    yield made
    made.close()


@pytest.fixture
def hooks(http: Raw, server: Webhook, namespace: str) -> Iterator[Hooks]:
    server.answer = allow
    server.calls.clear()
    made = Hooks(http, server, namespace)
    yield made
    made.clear()


@pytest.fixture
def create(http: Raw, namespace: str) -> Callable[..., Any]:
    """POST a ConfigMap, or what is given; the answer."""

    def post(obj: Obj | None = None, query: str = "", plural: str = "configmaps") -> Any:
        path = f"/api/v1/namespaces/{namespace}/{plural}{query}"
        return http.send("POST", path, obj or config_map(f"c{time.monotonic_ns()}"))

    return post


# --- what is asked -------------------------------------------------------------------------------------------------


def test_a_review_says_what_is_asked(hooks: Hooks, kubectl: Kubectl, namespace: str) -> None:
    """#request: of the documentation's example."""
    hooks.add("validating", {"rules": [rule("configmaps")], "timeoutSeconds": 7})
    kubectl.run("create", "configmap", "first", "--from-literal=a=1").ok()
    kubectl.run("patch", "configmap", "first", "-p", '{"data":{"a":"2"}}').ok()
    kubectl.run("delete", "configmap", "first").ok()
    made, changed, gone = (call["request"] for call in hooks.server.calls)
    kind = {"group": "", "version": "v1", "kind": "ConfigMap"}
    resource = {"group": "", "version": "v1", "resource": "configmaps"}
    assert {k: v for k, v in made.items() if k not in ("uid", "object", "userInfo", "options")} == {
        "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource, "name": "first",
        "namespace": namespace, "operation": "CREATE", "oldObject": None, "dryRun": False,
    }  # fmt: skip
    assert "system:masters" in made["userInfo"]["groups"]
    assert made["object"]["metadata"]["uid"]
    assert made["options"] == {
        "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-create",
        "fieldValidation": "Strict",
    }  # fmt: skip
    assert (changed["operation"], changed["oldObject"]["data"], changed["object"]["data"]) == (
        "UPDATE", {"a": "1"}, {"a": "2"},
    )  # fmt: skip
    assert changed["options"]["kind"] == "UpdateOptions"
    assert (gone["operation"], gone["object"], gone["oldObject"]["data"]) == ("DELETE", None, {"a": "2"})
    assert gone["options"]["kind"] == "DeleteOptions"
    assert len({call["request"]["uid"] for call in hooks.server.calls}) == 3
    assert all(call["apiVersion"] == "admission.k8s.io/v1" for call in hooks.server.calls)
    assert hooks.server.paths[-1] == "/?timeout=7s"


def test_a_change_to_nothing_is_asked_for_as_well(hooks: Hooks, http: Raw, create: Any, namespace: str) -> None:
    """k8s.io/apiserver/pkg/registry/generic/registry Store.Update: what is not allowed is not, whatever it changes."""
    made = create(config_map("same", {"a": "1"})).json()
    hooks.add("validating", {})
    hooks.server.answer = deny
    path = f"/api/v1/namespaces/{namespace}/configmaps/same"
    assert http.send("PUT", path, made).status_code == 400
    assert len(hooks.server.calls) == 1
    hooks.server.answer = allow
    answer = http.send("PUT", path, made)
    assert (answer.status_code, answer.json()) == (200, made)
    assert len(hooks.server.calls) == 2


def test_subresources_are_shown_in_their_own_kind(hooks: Hooks, http: Raw, kubectl: Kubectl, namespace: str) -> None:
    rules = [rule("deployments/scale", "pods/binding", "pods/eviction", "serviceaccounts/token", "pods/exec")]
    hooks.add("validating", {"rules": rules})
    pods = f"/api/v1/namespaces/{namespace}/pods"
    assert http.send("POST", pods, pod("one")).status_code == 201
    kubectl.run("create", "deployment", "web", "--image=web").ok()
    kubectl.run("scale", "deployment", "web", "--replicas=0").ok()
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "one"}, "target": {"name": "n"}}
    assert http.send("POST", f"{pods}/one/binding", binding).status_code == 201
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "one"}}
    assert http.send("POST", f"{pods}/one/eviction?dryRun=All", eviction).status_code == 201
    kubectl.run("create", "token", "default").ok()
    kubectl.run("exec", "one", "--", "true").failed()
    shown = {c["request"]["requestSubResource"]: c["request"] for c in hooks.server.calls}
    assert {name: asked["kind"]["kind"] for name, asked in shown.items()} == {
        "scale": "Scale", "binding": "Binding", "eviction": "Eviction", "token": "TokenRequest",
        "exec": "PodExecOptions",
    }  # fmt: skip
    assert (shown["scale"]["oldObject"]["spec"], shown["scale"]["object"]["spec"]) == ({"replicas": 1}, {"replicas": 0})
    assert shown["eviction"]["oldObject"] is None
    assert (shown["exec"]["operation"], shown["exec"]["object"]) == (
        "CONNECT",
        {"kind": "PodExecOptions", "apiVersion": "v1", "stdout": True, "stderr": True, "container": "main",
         "command": ["true"]},
    )  # fmt: skip


def test_questions_are_requests_too(hooks: Hooks, http: Raw, namespace: str) -> None:
    """What is answered and not stored: k8s.io/kubernetes/plugin/pkg/admission/namespace/lifecycle lets access reviews
    be, whether their namespace is there or not."""
    hooks.add("validating", {"rules": [rule("localsubjectaccessreviews")]})
    spec = {"user": "ann", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": namespace}}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "LocalSubjectAccessReview", "spec": spec}
    path = "/apis/authorization.k8s.io/v1/namespaces/{}/localsubjectaccessreviews"
    assert http.send("POST", path.format(namespace), review).status_code == 201
    assert hooks.server.calls[-1]["request"]["object"]["spec"] == spec
    hooks.server.answer = deny
    assert http.send("POST", path.format(namespace), review).status_code == 400
    hooks.clear()
    spec["resourceAttributes"] = {"verb": "get", "resource": "pods", "namespace": "nowhere"}
    assert http.send("POST", path.format("nowhere"), review).status_code == 201


def test_an_exec_can_be_refused(hooks: Hooks, http: Raw, kubectl: Kubectl, namespace: str) -> None:
    hooks.add("validating", {"rules": [rule("pods/exec", operations=["CONNECT"])]})
    assert http.send("POST", f"/api/v1/namespaces/{namespace}/pods", pod("one")).status_code == 201
    hooks.server.answer = lambda review: deny(review, message="not here", code=403, reason="Forbidden")
    refused = kubectl.run("exec", "one", "--", "true").failed()
    assert 'admission webhook "hook.example.com" denied the request: not here' in refused.stderr


def test_each_object_of_a_collection_is_asked_for(hooks: Hooks, http: Raw, create: Any, namespace: str) -> None:
    for index in range(3):
        assert create(config_map(f"c{index}", labels={"mine": "yes"})).status_code == 201
    hooks.add("validating", {"rules": [rule("configmaps", operations=["DELETE"])]})
    http.send("DELETE", f"/api/v1/namespaces/{namespace}/configmaps?labelSelector=mine")
    assert {call["request"]["oldObject"]["metadata"]["name"] for call in hooks.server.calls} == {"c0", "c1", "c2"}


def test_another_version_of_a_kind_is_as_good(hooks: Hooks, kubectl: Kubectl) -> None:
    """#matching-requests-matchpolicy"""
    newer = rule("horizontalpodautoscalers", apiGroups=["autoscaling"], apiVersions=["v2"])
    hooks.add("mutating", {"rules": [newer]}, {"rules": [newer], "matchPolicy": "Exact", "name": "exact.example.com"})
    hooks.server.answer = lambda review: patch(review, add("/spec/minReplicas", 2))
    manifest = {
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}},
    }  # fmt: skip
    kubectl.run("create", "-f", "-", stdin=manifest).ok()
    (asked,) = [call["request"] for call in hooks.server.calls]
    assert (asked["object"]["apiVersion"], asked["kind"]["version"], asked["requestKind"]["version"]) == (
        "autoscaling/v2", "v2", "v1",
    )  # fmt: skip
    assert kubectl.run("get", "hpa", "web", "-o", "json").ok().json["spec"]["minReplicas"] == 2


@pytest.mark.parametrize(
    ("condition", "asked"),
    [
        ("!(request.userInfo.username == 'nobody')", True),
        ("object.metadata.name.startsWith('other')", False),
        ("request.operation == 'CREATE' && oldObject == null && !has(request.subResource)", True),
        ("authorizer.group('').resource('configmaps').namespace('x').check('delete').allowed()", True),
    ],
)
def test_conditions_decide_what_is_asked(hooks: Hooks, create: Any, condition: str, asked: bool) -> None:
    """#matching-requests-matchconditions"""
    hooks.add("validating", {"matchConditions": [{"name": "it", "expression": condition}]})
    assert create().status_code == 201
    assert bool(hooks.server.calls) is asked


def test_a_condition_without_a_value_is_for_the_failure_policy(hooks: Hooks, create: Any) -> None:
    """#matching-requests-matchconditions: "if failurePolicy=Fail, reject the request without calling the webhook"."""
    broken = {"matchConditions": [{"name": "it", "expression": "object.data.nothing == 'x'"}]}
    path = hooks.add("mutating", {**broken, "failurePolicy": "Ignore"})
    assert create().status_code == 201
    hooks.clear()
    hooks.add("mutating", broken)
    answer = create(config_map("undecided"))
    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden"), path
    assert answer.json()["message"].startswith('configmaps "undecided" is forbidden: ')
    assert hooks.server.calls == []


# --- what is answered ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        ({}, 400, "without explanation"),
        ({"code": 403, "message": "You cannot do this on Tuesdays"}, 403, ": You cannot do this on Tuesdays"),
        ({"reason": "Tuesday"}, 400, ": Tuesday"),
        ({"code": 200, "message": "no"}, 400, ": no"),
        ({"code": 429, "reason": "TooManyRequests", "message": "later", "details": {"retryAfterSeconds": 3}}, 429,
         ": later"),
    ],
)  # fmt: skip
def test_a_refusal_is_passed_on(hooks: Hooks, create: Any, status: Obj, code: int, message: str) -> None:
    """#response"""
    hooks.add("validating", {})
    hooks.server.answer = lambda review: deny(review, **status)
    answer = create()
    space = "" if message.startswith(":") else " "
    assert answer.status_code == code
    assert answer.json()["message"] == f'admission webhook "hook.example.com" denied the request{space}{message}'
    assert answer.json().get("reason", "") == status.get("reason", "")
    assert answer.headers.get("retry-after") == ("3" if code == 429 else None)


def test_warnings_reach_the_client(hooks: Hooks, kubectl: Kubectl) -> None:
    """#response: warnings"""
    hooks.add("validating", {}, {"name": "second.example.com"})
    hooks.server.answer = lambda review: allow(review, warnings=["duplicate envvar entries specified with name MY_ENV"])
    made = kubectl.run("create", "configmap", "warned").ok()
    assert made.stderr.count("Warning: duplicate envvar entries specified with name MY_ENV") == 1


def test_an_object_is_changed(hooks: Hooks, kubectl: Kubectl) -> None:
    """#response: the documentation's patch sets spec.replicas of what is scaled."""
    hooks.add("mutating", {"rules": [rule("deployments", "deployments/scale")]})
    hooks.server.answer = lambda review: patch(review, add("/spec/replicas", 3))
    kubectl.run("create", "deployment", "web", "--image=web").ok()
    assert kubectl.run("get", "deployment", "web", "-o", "json").ok().json["spec"]["replicas"] == 3
    kubectl.run("scale", "deployment", "web", "--replicas=1").ok()
    assert hooks.server.calls[-1]["request"]["object"]["kind"] == "Scale"
    assert kubectl.run("get", "deployment", "web", "-o", "json").ok().json["spec"]["replicas"] == 3
    kubectl.run("set", "image", "deployment/web", "web=other").ok()
    assert kubectl.run("get", "deployment", "web", "-o", "json").ok().json["metadata"]["generation"] == 3 - 1


def test_what_a_webhook_adds_gets_defaults_and_is_validated(hooks: Hooks, create: Any) -> None:
    hooks.add("mutating", {"rules": [rule("pods")]})
    sidecar = {"name": "sidecar", "image": "proxy"}
    hooks.server.answer = lambda review: patch(
        review, add("/spec/containers/-", sidecar), add("/status", {"phase": "X"})
    )
    made = create({**pod(""), "metadata": {"generateName": "web-"}}, plural="pods").json()
    assert "name" not in hooks.server.calls[-1]["request"]
    assert "uid" not in hooks.server.calls[-1]["request"]["object"]["metadata"]
    assert made["metadata"]["name"].startswith("web-")
    assert made["spec"]["containers"][1]["imagePullPolicy"] == "Always"
    mounts = [[mount["name"] for mount in container["volumeMounts"]] for container in made["spec"]["containers"]]
    assert mounts[0] == mounts[1], "the steps before webhooks have run once more"
    assert len(made["spec"]["volumes"]) == 1
    assert made["status"]["phase"] == "Pending"
    hooks.server.answer = lambda review: patch(review, add("/spec/containers/-", {**sidecar, "name": "Not_A_Name"}))
    answer = create(pod("broken"), plural="pods")
    assert (answer.status_code, answer.json()["details"]["causes"][0]["field"]) == (422, "spec.containers[1].name")


@pytest.mark.parametrize(
    ("operations", "code"),
    [
        ([{"op": "remove", "path": "/metadata/name"}], 422),
        ([add("/metadata/resourceVersion", "7")], 400),
        ([add("/metadata/name", "renamed"), add("/metadata/uid", "mine")], 201),
        ([{"op": "remove", "path": "/metadata/name"}, add("/metadata/generateName", "some-")], 201),
    ],
)
def test_the_metadata_that_a_webhook_may_change(hooks: Hooks, create: Any, operations: Any, code: int) -> None:
    hooks.add("mutating", {})
    hooks.server.answer = lambda review: patch(review, *operations)
    answer = create(config_map("named"))
    assert answer.status_code == code, answer.text
    if code == 201:
        assert answer.json()["metadata"]["name"].startswith(("renamed", "some-"))
        assert answer.json()["metadata"]["uid"] != "mine"


@pytest.mark.parametrize(
    "operations",
    [
        [add("/metadata/namespace", "elsewhere")],
        [add("/kind", "Secret")],
        [add("/apiVersion", "v2")],
        [add("/data", "no map")],
        [{"op": "remove", "path": "/nothing"}],
        [{"op": "test", "path": "/kind", "value": "Pod"}],
        [{"op": "frobnicate"}],
        "no list",
        None,
    ],
)
def test_a_patch_that_cannot_be_is_refused(hooks: Hooks, create: Any, operations: Any) -> None:
    """Whatever the failure policy says: the webhook has answered."""
    hooks.add("mutating", {"failurePolicy": "Ignore"})
    hooks.server.answer = lambda review: allow(
        review, patchType="JSONPatch", patch=base64.b64encode(orjson.dumps(operations) if operations else b"{").decode()
    )
    answer = create(config_map("unpatched"))
    assert answer.status_code in (400, 500), answer.text


def test_webhooks_are_asked_in_turn_and_again_when_they_ask_for_it(hooks: Hooks, create: Any) -> None:
    """#reinvocation-policy"""
    again = {"reinvocationPolicy": "IfNeeded"}
    hooks.add("mutating", {"name": "z.example.com"}, name="b")
    hooks.add("mutating", {"name": "first.example.com", **again}, {"name": "second.example.com", **again}, name="a")
    order: list[str] = []

    def answer(review: Obj) -> Obj:
        data = review["request"]["object"].get("data") or {}
        order.append("".join(sorted(data)))
        letter = "pqrstuv"[len(order) - 1]
        return patch(review, add("/data" if not data else f"/data/{letter}", {letter: ""} if not data else ""))

    hooks.server.answer = answer
    made = create(config_map("many") | {"data": None}).json()
    assert order == ["", "p", "pq", "pqr", "pqrs"]  # a/first, a/second, b/z, and those that want to once more
    assert sorted(made["data"]) == ["p", "q", "r", "s", "t"]


def test_who_changes_nothing_is_not_followed_by_a_second_round(hooks: Hooks, create: Any) -> None:
    hooks.add("mutating", {"reinvocationPolicy": "IfNeeded"})
    hooks.server.answer = lambda review: patch(review, add("/data", {"same": "1"}))
    assert create(config_map("same", {"same": "1"})).status_code == 201
    assert len(hooks.server.calls) == 1


def test_a_dry_run_is_told_of(hooks: Hooks, create: Any) -> None:
    """#side-effects"""
    hooks.add("validating", {"sideEffects": "NoneOnDryRun"})
    assert create(query="?dryRun=All").status_code == 201
    (asked,) = [call["request"] for call in hooks.server.calls]
    assert (asked["dryRun"], asked["options"]["dryRun"]) == (True, ["All"])


# --- who cannot be asked -------------------------------------------------------------------------------------------

_AGAIN: dict[str, Any] = {
    "another uid": lambda review: allow(review, uid="x"),
    "another kind": lambda review: {**allow(review), "kind": "Other"},
    "no type": lambda review: {"response": allow(review)["response"]},
    "no response": lambda review: {**allow(review), "response": None},
    "a patch": lambda review: patch(review, add("/data", {})),
    "half a patch": lambda review: allow(review, patchType="JSONPatch"),
    "wrong types": lambda review: allow(review, allowed="yes"),
    "a wrong status": lambda review: deny(review, details={"retryAfterSeconds": "soon"}),
    "no JSON": lambda _: Reply(200, b"<html>"),
    "an error": lambda _: Reply(500, b"panic: oh\n"),
    "not found": lambda _: Reply(404),
    "a Status": lambda _: Reply(403, b'{"kind":"Status","message":"who are you"}', "application/json"),
    "a redirect": lambda _: Reply(302),
    "silence": lambda _: Reply(0),
}
_WHY = {
    "another uid": r'received invalid webhook response: expected response.uid="[0-9a-f-]{36}", got "x"',
    "another kind": "received invalid webhook response: expected webhook response of admission.k8s.io/v1, "
    "Kind=AdmissionReview, got admission.k8s.io/v1, Kind=Other",
    "no type": "received invalid webhook response: expected webhook response of admission.k8s.io/v1, "
    "Kind=AdmissionReview, got /, Kind=",
    "no response": "received invalid webhook response: webhook response was absent",
    "a patch": r"received invalid webhook response: validating webhook may not return response\.patch",
    "half a patch": r"received invalid webhook response: validating webhook may not return response\.patchType",
    "wrong types": r"received invalid webhook response: response\.allowed has the wrong type",
    "a wrong status": r"received invalid webhook response: response\.status\.details\.retryAfterSeconds has the wrong "
    "type",
    "no JSON": "failed to call webhook: couldn't get version/kind; json parse error: .*",
    "an error": r'failed to call webhook: an error on the server \("panic: oh"\) has prevented the request from '
    "succeeding",
    "not found": "failed to call webhook: the server could not find the requested resource",
    "a Status": "failed to call webhook: who are you",
    "a redirect": "failed to call webhook: the server responded with the status code 302 but did not return more "
    "information",
    "silence": r'failed to call webhook: Post "https://127\.0\.0\.1:\d+/\?timeout=10s": EOF',
}


@pytest.mark.parametrize("what", _AGAIN)
def test_a_wrong_answer_is_none(hooks: Hooks, create: Any, what: str) -> None:
    """#failure-policy; the texts are those of k8s.io/apiserver/pkg/admission/plugin/webhook/request."""
    hooks.server.answer = _AGAIN[what]
    hooks.add("validating", {})
    answer = create()
    assert (answer.status_code, answer.json()["reason"]) == (500, "InternalError")
    why = f'failed calling webhook "hook.example.com": {_WHY[what]}'
    assert re.fullmatch(f"Internal error occurred: {why}", answer.json()["message"]), answer.text
    hooks.clear()
    hooks.add("validating", {"failurePolicy": "Ignore"})
    assert create().status_code == 201


@pytest.mark.parametrize("kind", ["validating", "mutating"])
def test_who_is_slow_is_not_waited_for(hooks: Hooks, create: Any, kind: str) -> None:
    """#timeouts"""

    waited_for = threading.Event()

    def slow(review: Obj) -> Obj:
        waited_for.wait(30)
        return allow(review)

    hooks.server.answer = slow
    hooks.add(kind, {"timeoutSeconds": 1})
    begun = time.monotonic()
    answer = create()
    took = time.monotonic() - begun
    waited_for.set()
    assert answer.status_code == 500
    assert answer.json()["message"] == (
        'Internal error occurred: failed calling webhook "hook.example.com": failed to call webhook: Post '
        f'"{hooks.server.url}?timeout=1s": context deadline exceeded'
    )
    assert 1 <= took < 10


def test_all_that_judge_are_asked_at_once(hooks: Hooks, create: Any) -> None:
    together = threading.Barrier(4, timeout=8)

    def answer(review: Obj) -> Obj:
        """Once all four have been asked; one that is asked alone fails."""
        together.wait()
        return allow(review)

    hooks.server.answer = answer
    hooks.add("validating", *({"name": f"n{index}.example.com"} for index in range(4)))
    assert create().status_code == 201


def test_who_is_down_or_lies_about_itself_is_not_asked(
    hooks: Hooks, create: Any, http: Raw, shared_apiserver: ApiServer
) -> None:
    pki = shared_apiserver.pki
    other = Webhook(pki, allow, "other.example.com", local=False)
    expired = Webhook(pki, allow, issued=datetime.now(UTC) - timedelta(days=800))
    down = Webhook(pki, allow)
    down.close()
    trusted, unverified = hooks.server.ca_bundle, "tls: failed to verify certificate: x509: "
    port = down.url.rpartition(":")[2].rstrip("/")
    try:
        for url, bundle, why in (
            (hooks.server.url, None, f"{unverified}certificate signed by unknown authority"),
            (other.url, trusted, f"{unverified}IP address mismatch, certificate is not valid for '127.0.0.1'."),
            (expired.url, trusted, f"{unverified}certificate has expired or is not yet valid"),
            (down.url, trusted, f"dial tcp 127.0.0.1:{port}: connect: connection refused"),
        ):
            client = {"url": url} | ({"caBundle": bundle} if bundle else {})
            for policy, code in (("Fail", 500), ("Ignore", 201)):
                hooks.add("mutating", {"clientConfig": client, "failurePolicy": policy})
                answer = create()
                assert answer.status_code == code, answer.text
                if code == 500:
                    assert answer.json()["message"] == (
                        'Internal error occurred: failed calling webhook "hook.example.com": failed to call webhook: '
                        f'Post "{url}?timeout=10s": {why}'
                    )
                hooks.clear()
    finally:
        other.close()
        expired.close()


def test_a_service_without_endpoints(hooks: Hooks, create: Any, http: Raw, namespace: str) -> None:
    """#service-reference"""
    at = {"namespace": namespace, "name": "hook", "path": "/check"}
    hooks.add("validating", {"clientConfig": {"service": at, "caBundle": hooks.server.ca_bundle}})
    called = (
        'Internal error occurred: failed calling webhook "hook.example.com": failed to call webhook: Post '
        f'"https://hook.{namespace}.svc:443/check?timeout=10s": '
    )
    assert create().json()["message"] == f'{called}services "hook" not found'
    hook = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"}, "spec": {"ports": [{"port": 443}]}}
    assert http.send("POST", f"/api/v1/namespaces/{namespace}/services", hook).status_code == 201
    assert create().json()["message"] == f'{called}no endpoints available for service "hook"'


def test_a_service_is_called_under_its_name(
    hooks: Hooks, create: Any, http: Raw, namespace: str, shared_apiserver: ApiServer
) -> None:
    """#service-reference: at one of its endpoints, with a certificate for `NAME.NAMESPACE.svc`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; endpoints may not be on the loopback
        address = probe.getsockname()[0]
    server = Webhook(shared_apiserver.pki, allow, f"hook.{namespace}.svc", local=False, address=address)
    port = int(server.url.rpartition(":")[2].rstrip("/"))
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"},
        "spec": {"ports": [{"port": 8443, "targetPort": port}]},
    }  # fmt: skip
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "hook", "labels": {"kubernetes.io/service-name": "hook"}},
        "endpoints": [{"addresses": [address]}], "ports": [{"port": port}],
    }  # fmt: skip
    try:
        assert http.send("POST", f"/api/v1/namespaces/{namespace}/services", service).status_code == 201
        slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        assert http.send("POST", slices, slice_).status_code == 201
        at = {"namespace": namespace, "name": "hook", "path": "/check", "port": 8443}
        hooks.add("validating", {"clientConfig": {"service": at, "caBundle": server.ca_bundle}})
        assert create().status_code == 201
        assert server.paths == ["/check?timeout=10s"]
    finally:
        server.close()


def test_connections_are_kept(hooks: Hooks, create: Any) -> None:
    hooks.add("validating", {})
    assert create().status_code == 201
    begun = hooks.server.connections
    for _ in range(10):
        assert create().status_code == 201
    assert hooks.server.connections == begun
    hooks.server.answer = lambda review: Reply(200, orjson.dumps(allow(review)), "application/json", closes=True)
    for _ in range(10):  # each of which ends without the client being told
        assert create().status_code == 201


def test_no_webhook_stands_in_the_way_of_its_own_removal(hooks: Hooks, http: Raw, create: Any, namespace: str) -> None:
    """ "Webhooks are never called on admission requests for ValidatingWebhookConfiguration and
    MutatingWebhookConfiguration objects." """
    hooks.server.answer = deny
    everything = {"rules": [rule("*/*")], "namespaceSelector": {}, "objectSelector": {"matchLabels": {"x": namespace}}}
    path = hooks.add("validating", everything)
    labels = {"metadata": {"labels": {"x": namespace}}}
    answer = http.send("PATCH", path, labels, content_type="application/merge-patch+json")
    assert answer.status_code == 200
    assert create(config_map("c", labels={"x": namespace})).status_code == 400


def test_calls_are_counted(hooks: Hooks, http: Raw, create: Any) -> None:
    """https://kubernetes.io/docs/reference/instrumentation/metrics/"""
    hooks.add("validating", {"name": "counted.example.com"})
    hooks.server.answer = lambda review: deny(review, code=403)
    create()
    hooks.server.answer = lambda _: Reply(503)
    create()
    found = {
        (sample.name.removeprefix("apiserver_admission_webhook_"), sample.labels.get("code"),
         sample.labels.get("error_type"), sample.labels.get("rejection_code")): sample.value
        for family in text_string_to_metric_families(http.get("/metrics").text)
        for sample in family.samples
        if sample.labels.get("name") == "counted.example.com" and "bucket" not in sample.name
    }  # fmt: skip
    assert found[("request_total", "403", None, None)] == 1
    assert found[("request_total", "503", None, None)] == 1
    assert found[("rejection_count", None, "no_error", "403")] == 1
    assert found[("rejection_count", None, "calling_webhook_error", "503")] == 1
    assert found[("admission_duration_seconds_count", None, None, None)] == 2
    step = "apiserver_admission_step_admission_duration_seconds_count"
    assert f'{step}{{operation="CREATE",rejected="true",type="validate"}}' in http.get("/metrics").text
