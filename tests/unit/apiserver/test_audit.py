"""The audit log, as https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/ and
https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/ describe it."""

from __future__ import annotations

import gzip
import os
import re
import resource
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from api.errors import NotFound
from apiserver.audit import policy
from apiserver.audit.backend import BATCH, BLOCKING, STRICT, Backend
from apiserver.audit.logfile import LogFile
from apiserver.audit.policy import METADATA, NONE, RECEIVED, REQUEST, REQUEST_RESPONSE, Policy
from apiserver.audit.record import Record, source_ips
from apiserver.audit.trail import Auditor
from apiserver.auth.user import User
from apiserver.configfile import ConfigError
from apiserver.request import Request, parse
from apiserver.response import JSON, Reply, Stream, error_reply
from deploy import audit

JANE = User("jane", ("dev", "system:authenticated"), "u-1", {"scopes": ["a"]})

# The example of the documentation, whole.
DOCUMENTED = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages:
  - "RequestReceived"
rules:
  - level: RequestResponse
    resources:
    - group: ""
      resources: ["pods"]
  - level: Metadata
    resources:
    - group: ""
      resources: ["pods/log", "pods/status"]
  - level: None
    resources:
    - group: ""
      resources: ["configmaps"]
      resourceNames: ["controller-leader"]
  - level: None
    users: ["system:kube-proxy"]
    verbs: ["watch"]
    resources:
    - group: ""
      resources: ["endpoints", "services"]
  - level: None
    userGroups: ["system:authenticated"]
    nonResourceURLs:
    - "/api*"
    - "/version"
  - level: Request
    resources:
    - group: ""
      resources: ["configmaps"]
    namespaces: ["kube-system"]
  - level: Metadata
    resources:
    - group: ""
      resources: ["secrets", "configmaps"]
  - level: Request
    resources:
    - group: ""
    - group: "extensions"
  - level: Metadata
    omitStages:
      - "RequestReceived"
"""


def of(text: str | bytes) -> Policy:
    return policy.parse(yaml.safe_load(text), "file")


@pytest.mark.parametrize(
    ("user", "method", "path", "level"),
    [
        ("jane", "GET", "/api/v1/namespaces/a/pods/x", REQUEST_RESPONSE),
        ("jane", "GET", "/api/v1/namespaces/a/pods/x/log", METADATA),
        ("jane", "PUT", "/api/v1/namespaces/a/pods/x/status", METADATA),
        ("jane", "POST", "/api/v1/namespaces/a/pods/x/exec", REQUEST),
        ("jane", "GET", "/api/v1/namespaces/kube-system/configmaps/controller-leader", NONE),
        ("system:kube-proxy", "GET", "/api/v1/watch/services", NONE),
        ("system:kube-proxy", "GET", "/api/v1/services", REQUEST),
        ("jane", "GET", "/api/v1/watch/services", REQUEST),
        ("jane", "GET", "/version", NONE),
        ("jane", "GET", "/apis/apps", NONE),
        ("jane", "GET", "/healthz", METADATA),
        (None, "GET", "/version", METADATA),
        ("jane", "POST", "/api/v1/namespaces/kube-system/configmaps", REQUEST),
        ("jane", "POST", "/api/v1/namespaces/a/configmaps", METADATA),
        ("jane", "GET", "/api/v1/namespaces/a/secrets/s", METADATA),
        ("jane", "DELETE", "/api/v1/nodes/n", REQUEST),
        ("jane", "GET", "/apis/apps/v1/deployments", METADATA),
    ],
)
def test_the_documented_policy(user: str | None, method: str, path: str, level: int) -> None:
    known = None if user is None else User(user, ("system:authenticated",))
    decision = of(DOCUMENTED).decide(known, parse(method, path))
    assert decision.level == level
    assert level == NONE or decision.omitted == {RECEIVED}


@pytest.mark.parametrize(
    ("spec", "path", "fits"),
    [
        ("pods", "pods/x", True),
        ("pods", "pods/x/log", False),
        ("pods/*", "pods/x/log", True),
        ("pods/*", "pods/x", True),
        ("*/log", "pods/x/log", True),
        ("*/log", "pods/x", False),
        ("*", "pods/x/log", True),
    ],
)
def test_resources_and_subresources(spec: str, path: str, fits: bool) -> None:
    """GroupResources of the reference."""
    rule = {"level": "Metadata", "resources": [{"group": "", "resources": [spec]}]}
    decision = policy.parse({"rules": [rule]}, "file").decide(JANE, parse("GET", f"/api/v1/namespaces/a/{path}"))
    assert (decision.level == METADATA) is fits


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({}, "level"),
        ({"level": "Everything"}, "level"),
        ({"level": "None", "omitStages": ["Later"]}, "omitStages"),
        ({"level": "None", "nonResourceURLs": ["healthz"]}, "must begin with a '/'"),
        ({"level": "None", "nonResourceURLs": ["/a*/b"]}, "final character"),
        ({"level": "None", "nonResourceURLs": ["/a"], "namespaces": ["x"]}, "cannot apply to both"),
        ({"level": "None", "resources": [{"resourceNames": ["x"]}]}, "at least one resource"),
        ({"level": "None", "resources": [{"group": "Apps/v1"}]}, "group"),
        ({"level": "None", "verb": ["get"]}, "verb"),
        (None, "0 rules"),
    ],
)
def test_a_wrong_policy_is_refused(tmp_path: Path, rule: dict[str, Any] | None, told: str) -> None:
    """pkg/apis/audit/validation of k8s.io/apiserver"""
    document = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [rule] if rule is not None else []}
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigError, match=re.escape(told)):
        policy.load(str(tmp_path / "policy.yaml"))


@pytest.mark.parametrize(
    ("user", "method", "path", "level"),
    [
        ("system:kube-controller-manager", "GET", "/api/v1/secrets", NONE),
        ("jane", "GET", "/api/v1/namespaces/a/secrets/s", METADATA),
        ("jane", "POST", "/api/v1/namespaces/a/serviceaccounts/x/token", METADATA),
        ("jane", "GET", "/api/v1/namespaces/a/pods/p", NONE),
        ("jane", "GET", "/api/v1/namespaces/a/pods/p/exec", METADATA),
        ("jane", "POST", "/api/v1/namespaces/a/pods", METADATA),
        ("jane", "POST", "/api/v1/namespaces/a/events", NONE),
        ("jane", "GET", "/livez", NONE),
    ],
)
def test_what_a_cluster_of_ours_notes(user: str, method: str, path: str, level: int) -> None:
    assert of(audit.POLICY).decide(User(user, ("system:authenticated",)), parse(method, path)).level == level


# ---- events


class Log:
    def __init__(self, directory: Path, rules: str, mode: str = BLOCKING) -> None:
        self.path = directory / "audit.log"
        self.file = LogFile(str(self.path))
        self.backend = Backend(self.file, mode, buffer_size=2, batch_size=10, batch_seconds=0)
        self.auditor = Auditor(of(rules), self.backend)

    def events(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.path.read_bytes().splitlines()] if self.path.exists() else []


@pytest.fixture
def logged(tmp_path: Path) -> Callable[..., Log]:
    def made(level: str = "Metadata", mode: str = BLOCKING, more: str = "") -> Log:
        return Log(tmp_path, f"{{rules: [{{level: {level}{more}}}]}}", mode)

    return made


def asked(method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    url, _, query = path.partition("?")
    pairs = {"content-type": "application/json", "user-agent": "kubectl/1.35", **(headers or {})}
    scope = {
        "method": method, "path": url, "query_string": query.encode(), "client": ("192.0.2.1", 4711),
        "headers": [(name.encode(), value.encode()) for name, value in pairs.items()],
    }  # fmt: skip
    return Request(scope, receive)


async def passed(log: Log, request: Request, answer: Reply | Stream, *, acts_as: User | None = None) -> None:
    """As the door does it."""
    log.auditor.begin(request)
    request.user = JANE
    log.auditor.received(request, JANE)
    request.user = acts_as or JANE
    await request.body()
    if request.trail is not None:
        request.trail.authorized(allowed=True, why="because")
        request.trail.complete(answer, long_running=isinstance(answer, Stream))


async def test_an_event_has_upstreams_fields(logged: Callable[..., Log]) -> None:
    log = logged()
    body = b'{"metadata":{"name":"web"},"spec":{}}'
    request = asked("POST", "/api/v1/namespaces/a/pods?dryRun=All", body, {"audit-id": "my-own"})
    await passed(log, request, Reply(b'{"kind":"Pod"}', 201), acts_as=User("bob", ("ops",)))
    received, complete = log.events()
    assert received["stage"] == "RequestReceived"
    assert received["requestReceivedTimestamp"] == received["stageTimestamp"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", complete.pop("requestReceivedTimestamp"))
    assert complete.pop("stageTimestamp")
    assert complete == {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": "my-own",
        "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/a/pods?dryRun=All",
        "verb": "create",
        "user": {
            "username": "jane", "uid": "u-1", "groups": ["dev", "system:authenticated"], "extra": {"scopes": ["a"]},
        },
        "impersonatedUser": {"username": "bob", "groups": ["ops"]},
        "sourceIPs": ["192.0.2.1"],
        "userAgent": "kubectl/1.35",
        "objectRef": {"resource": "pods", "namespace": "a", "name": "web", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 201},
        "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "because"},
    }  # fmt: skip
    assert (b"audit-id", b"my-own") in request.answer_headers


@pytest.mark.parametrize(
    ("level", "request_object", "response_object"),
    [("Metadata", False, False), ("Request", True, False), ("RequestResponse", True, True)],
)
@pytest.mark.parametrize("media", ["application/json", "application/yaml"])
async def test_bodies_come_with_their_level(
    logged: Callable[..., Log], level: str, request_object: bool, response_object: bool, media: str
) -> None:
    log = logged(level)
    body = b"metadata:\n  name: c\n" if media.endswith("yaml") else b'{"metadata":\n{"name":"c"}}'
    request = asked("POST", "/api/v1/namespaces/a/configmaps", body, {"content-type": media})
    await passed(log, request, Reply(b'{"kind":"ConfigMap"}', 201))
    _, complete = log.events()
    assert complete.get("requestObject") == ({"metadata": {"name": "c"}} if request_object else None)
    assert complete.get("responseObject") == ({"kind": "ConfigMap"} if response_object else None)


async def test_an_error_is_told_at_every_level(logged: Callable[..., Log]) -> None:
    log = logged()
    await passed(log, asked("GET", "/api/v1/namespaces/a/pods/x"), error_reply(NotFound('pods "x" not found', {})))
    assert log.events()[-1]["responseStatus"] == {
        "metadata": {}, "status": "Failure", "message": 'pods "x" not found', "reason": "NotFound", "code": 404,
    }  # fmt: skip


async def test_managed_fields_may_be_left_out(logged: Callable[..., Log]) -> None:
    """omitManagedFields, of bodies, lists and tables"""
    log = logged("RequestResponse", more=", omitManagedFields: true")
    meta = {"name": "x", "managedFields": [{"manager": "m"}]}
    await passed(
        log,
        asked("PUT", "/api/v1/namespaces/a/pods/x", orjson.dumps({"metadata": meta})),
        Reply(orjson.dumps({"items": [{"metadata": meta}], "rows": [{"object": {"metadata": meta}}]})),
    )
    assert b"managedFields" not in log.path.read_bytes()
    assert log.events()[-1]["requestObject"] == {"metadata": {"name": "x"}}


@pytest.mark.parametrize("odd", [{"items": 5}, {"rows": [1]}, {"rows": "abc"}, {"items": {"a": 1}}])
async def test_no_shape_of_a_body_keeps_its_event_from_the_log(logged: Callable[..., Log], odd: dict[str, Any]) -> None:
    """`items` and `rows` may be fields of a custom resource, and fields that there are not."""
    log = logged("RequestResponse", more=", omitManagedFields: true")
    body = orjson.dumps({"metadata": {"name": "x", "managedFields": []}, **odd})
    await passed(log, asked("PUT", "/apis/example.com/v1/namespaces/a/boats/x", body), Reply(body))
    assert log.events()[-1]["requestObject"] == {"metadata": {"name": "x"}, **odd}
    assert log.events()[-1]["responseObject"] == {"metadata": {"name": "x"}, **odd}


async def test_what_goes_on_has_a_stage_more(logged: Callable[..., Log]) -> None:
    """ResponseStarted: "This stage is only generated for long-running requests (e.g. watch)"."""
    log = logged()
    request = asked("GET", "/api/v1/pods?watch=1")

    async def nothing() -> Any:
        for piece in ():
            yield piece

    await passed(log, request, Stream(nothing()))
    assert [event["stage"] for event in log.events()] == ["RequestReceived", "ResponseStarted", "ResponseComplete"]
    assert log.events()[1]["responseStatus"] == {"metadata": {}, "code": 200}


async def test_stages_that_are_not_wanted_are_left_out(logged: Callable[..., Log]) -> None:
    log = logged(more=", omitStages: [RequestReceived]")
    await passed(log, asked("GET", "/api/v1/pods"), Reply(b"{}"))
    assert [event["stage"] for event in log.events()] == ["ResponseComplete"]


async def test_level_none_leaves_nothing_but_the_header(logged: Callable[..., Log]) -> None:
    log = logged("None")
    request = asked("GET", "/api/v1/pods")
    await passed(log, request, Reply(b"{}"))
    assert log.events() == []
    assert re.fullmatch(
        rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
        dict(request.answer_headers)[b"audit-id"],
    )


@pytest.mark.parametrize(
    ("headers", "query", "message"),
    [
        ({"authorization": "Bearer s3cret"}, "", "Authentication failed, attempted: bearer"),
        ({"authorization": "Basic czNjcmV0"}, "", "Authentication failed, attempted: basic"),
        ({"authorization": "s3cret"}, "", "Authentication failed, no credentials provided"),
        ({}, "?access_token=s3cret&a=b", "Authentication failed, attempted: access_token"),
    ],
)
def test_an_unknown_asker_leaves_one_event_and_no_credential(
    logged: Callable[..., Log], headers: dict[str, str], query: str, message: str
) -> None:
    """pkg/endpoints/filters/authn_audit.go of k8s.io/apiserver"""
    log = logged("RequestResponse")
    request = asked("GET", f"/api/v1/pods{query}", headers=headers)
    log.auditor.begin(request)
    log.auditor.received(request, None)
    assert request.trail is not None
    request.trail.complete(error_reply(NotFound("", {})), long_running=False)
    (event,) = log.events()
    assert (event["stage"], event["user"], event["responseStatus"]["message"]) == ("ResponseStarted", {}, message)
    assert b"s3cret" not in log.path.read_bytes() and b"czNjcmV0" not in log.path.read_bytes()


def test_a_handler_that_failed_is_told_as_a_panic(logged: Callable[..., Log]) -> None:
    log = logged()
    request = asked("GET", "/api/v1/pods")
    log.auditor.begin(request)
    log.auditor.received(request, JANE)
    assert request.trail is not None
    answer = Reply(b'{"kind":"Status","code":500}', 500, JSON)
    request.trail.panicked(answer)
    assert request.trail is None, "that was all"
    assert [event["stage"] for event in log.events()] == ["RequestReceived", "Panic"]


def test_source_addresses_end_with_the_one_that_nobody_can_make_up() -> None:
    """SourceIPs of k8s.io/apimachinery's util/net"""

    def ips(**headers: str) -> list[str]:
        return source_ips(asked("GET", "/", headers={name.replace("_", "-"): text for name, text in headers.items()}))

    assert ips() == ["192.0.2.1"]
    assert ips(x_forwarded_for="10.0.0.1, nonsense, 10.0.0.2") == ["10.0.0.1", "10.0.0.2", "192.0.2.1"]
    assert ips(x_forwarded_for="10.0.0.1,192.0.2.1") == ["10.0.0.1", "192.0.2.1"]
    assert ips(x_real_ip="10.0.0.9") == ["10.0.0.9", "192.0.2.1"]


def test_a_long_user_agent_is_cut(logged: Callable[..., Log]) -> None:
    log = logged()
    request = asked("GET", "/version", headers={"user-agent": "a" * 2000})
    log.auditor.begin(request)
    log.auditor.received(request, JANE)
    assert log.events()[0]["userAgent"] == "a" * 1024 + "...TRUNCATED"


# ---- the log


def test_what_cannot_be_noted_is_counted_and_refused_only_when_strict(
    logged: Callable[..., Log], monkeypatch: pytest.MonkeyPatch
) -> None:
    """--audit-log-mode: "blocking-strict" fails the whole call when RequestReceived cannot be logged"""

    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    for mode, refused in ((BLOCKING, False), (STRICT, True)):
        log = logged(mode=mode)
        monkeypatch.setattr(log.file, "write", full)
        request = asked("GET", "/api/v1/pods")
        log.auditor.begin(request)
        if refused:
            with pytest.raises(Exception, match="failed to store audit event"):
                log.auditor.received(request, JANE)
        else:
            log.auditor.received(request, JANE)
        assert log.backend.lost == 1


async def test_a_batch_is_written_behind_and_what_does_not_fit_is_dropped(logged: Callable[..., Log]) -> None:
    log = logged(mode=BATCH)
    for _ in range(3):
        request = asked("GET", "/api/v1/pods")
        log.auditor.begin(request)
        log.auditor.received(request, JANE)
    assert (log.events(), log.backend.lost) == ([], 1)
    await log.auditor.start()
    await log.auditor.stop()
    assert len(log.events()) == 2


async def test_what_cannot_be_told_leaves_the_log_running(
    logged: Callable[..., Log], monkeypatch: pytest.MonkeyPatch
) -> None:
    log, told = logged(mode=BATCH), Record.line

    def broken(record: Record) -> bytes:
        if record.stage == RECEIVED:
            raise AttributeError("a mistake of ours")
        return told(record)

    monkeypatch.setattr(Record, "line", broken)
    await passed(log, asked("GET", "/api/v1/pods"), Reply(b"{}"))
    await log.auditor.start()
    await log.auditor.stop()
    assert ([event["stage"] for event in log.events()], log.backend.lost) == (["ResponseComplete"], 1)


def test_a_line_that_the_disk_had_no_room_for_leaves_no_half(tmp_path: Path) -> None:
    """write(2) may take only the beginning of what it is given."""
    path = tmp_path / "audit.log"
    file = LogFile(str(path))
    file.write(b"one\n")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6, limits[1]))
        with pytest.raises(OSError, match="too large"):
            file.write(b"two\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, former)
    file.write(b"three\n")
    file.close()
    assert path.read_bytes() == b"one\nthree\n"


def test_a_full_file_goes_on_under_a_name_with_its_time(tmp_path: Path) -> None:
    now = [1_000_000_000.0]
    file = LogFile(str(tmp_path / "audit.log"), most_bytes=10, backups=2, clock=lambda: now[0])
    for number in range(5):
        file.write(b"line %d\n" % number)
        now[0] += 1
    file.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "audit-2001-09-09T01-46-43.000.log", "audit-2001-09-09T01-46-44.000.log", "audit.log",
    ]  # fmt: skip
    assert (tmp_path / "audit.log").read_bytes() == b"line 4\n"
    assert (tmp_path / "audit.log").stat().st_mode & 0o777 == 0o600


def test_old_files_leave_and_full_ones_are_packed(tmp_path: Path) -> None:
    old = tmp_path / "audit-2001-09-09T01-46-43.000.log"
    old.write_text("old")
    os.utime(old, (1_000_000_000, 1_000_000_000))
    (tmp_path / "audit.log").write_bytes(b"from before\n")
    file = LogFile(str(tmp_path / "audit.log"), most_bytes=10, days=7, compress=True)
    file.write(b"new\n")
    file.close()
    assert not old.exists()
    for thread in [t for t in threading.enumerate() if t.name == "audit log compression"]:
        thread.join()
    (packed,) = tmp_path.glob("*.gz")
    assert gzip.decompress(packed.read_bytes()) == b"from before\n"
    assert packed.stat().st_mode & 0o777 == 0o600
    assert len(list(tmp_path.iterdir())) == 2
