"""The audit log of a running server, as upstream's kubectl and client library make it write
(https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.apiserver import ApiServer
from tests.harness.etcd import EtcdServer
from tests.harness.eventually import eventually_sync
from tests.harness.raw import Raw
from tests.harness.upstream import Kubectl

POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: None
  users: ["system:anonymous", "system:apiserver"]
- level: Metadata
  resources: [{group: "", resources: [secrets, serviceaccounts/token]}]
- level: RequestResponse
  resources: [{group: "", resources: [configmaps]}]
- level: Metadata
"""

Events = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def audited(etcd_server: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    directory = tmp_path_factory.mktemp("audited")
    (directory / "policy.yaml").write_text(POLICY)
    server = ApiServer(
        directory, etcd_server, "--audit-policy-file", str(directory / "policy.yaml"), "--audit-log-path",
        str(directory / "audit.log"), "--audit-log-mode", "batch", "--audit-log-batch-max-size", "100",
    )  # fmt: skip
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def kubectl(audited: ApiServer, namespace: str) -> Kubectl:
    return Kubectl(audited.kubeconfig(audited.admin()), namespace)


@pytest.fixture
def events(audited: ApiServer) -> Events:
    """Those that have these values, as soon as there is one."""

    def found(**wanted: Any) -> list[dict[str, Any]]:
        return [
            event for event in audited.audited() if wanted.items() <= {**event, **event.get("objectRef", {})}.items()
        ]

    def wait(**wanted: Any) -> list[dict[str, Any]]:
        return eventually_sync(lambda: found(**wanted), f"an event of {wanted}")

    return wait


def test_what_kubectl_does_is_noted(kubectl: Kubectl, events: Events, namespace: str) -> None:
    """kubectl sends protobuf here, and patches."""
    kubectl.run("create", "configmap", "noted", "--from-literal=a=b").ok()
    (created,) = events(verb="create", resource="configmaps", namespace=namespace)
    assert created["objectRef"]["name"] == "noted"
    assert created["requestObject"]["data"] == created["responseObject"]["data"] == {"a": "b"}
    assert "managedFields" not in created["responseObject"]["metadata"]
    assert created["user"]["username"] == "kubernetes-admin" and created["userAgent"].startswith("kubectl/")
    assert created["annotations"]["authorization.k8s.io/decision"] == "allow"
    kubectl.run("patch", "configmap", "noted", "-p", '{"data":{"a":"c"}}').ok()
    (patched,) = events(verb="patch", resource="configmaps", namespace=namespace)
    assert patched["requestObject"] == {"data": {"a": "c"}}
    kubectl.run("delete", "configmap", "noted").ok()
    (deleted,) = events(verb="delete", resource="configmaps", namespace=namespace)
    assert deleted["responseStatus"]["status"] == "Success"


def test_secrets_are_noted_without_what_they_hold(
    kubectl: Kubectl, events: Events, namespace: str, audited: ApiServer
) -> None:
    kubectl.run("create", "secret", "generic", "s", "--from-literal=password=correct-horse").ok()
    kubectl.run("get", "secret", "s", "-o", "yaml").ok()
    token = kubectl.run("create", "token", "default").ok().stdout.strip()
    (created,) = events(verb="create", resource="secrets", namespace=namespace)
    assert created["objectRef"]["name"] == "s"
    assert events(verb="get", resource="secrets", name="s", namespace=namespace)
    assert events(verb="create", resource="serviceaccounts", subresource="token", namespace=namespace)
    written = (audited.directory / "audit.log").read_text()
    assert not any(value in written for value in ("correct-horse", "Y29ycmVjdC1ob3JzZQ", token))


def test_who_acts_as_whom_and_why_it_is_refused(kubectl: Kubectl, events: Events, namespace: str) -> None:
    kubectl.run("get", "pods", "--as", "jane", "--as-group", "dev").failed()
    (refused,) = events(verb="list", resource="pods", namespace=namespace)
    assert refused["user"]["username"] == "kubernetes-admin"
    assert refused["impersonatedUser"] == {"username": "jane", "groups": ["dev", "system:authenticated"]}
    assert (refused["responseStatus"]["code"], refused["responseStatus"]["reason"]) == (403, "Forbidden")
    assert refused["annotations"] == {"authorization.k8s.io/decision": "forbid", "authorization.k8s.io/reason": ""}


def test_a_watch_is_noted_when_it_begins_and_when_it_ends(kubectl: Kubectl, events: Events, namespace: str) -> None:
    kubectl.run("get", "--raw", f"/api/v1/namespaces/{namespace}/pods?watch=1&timeoutSeconds=1").ok()
    assert events(verb="watch", namespace=namespace, resource="pods", stage="ResponseComplete")
    stages = [event["stage"] for event in events(verb="watch", namespace=namespace, resource="pods")]
    assert stages == ["ResponseStarted", "ResponseComplete"]


def test_the_id_of_a_request_is_in_its_answer_and_may_be_the_callers(audited: ApiServer, events: Events) -> None:
    """The Audit-ID header of https://kubernetes.io/docs/reference/using-api/api-concepts/ and staging/src/k8s.io/
    apiserver/pkg/endpoints/filters/audit_init.go"""
    http = Raw(audited.admin())
    given = http.get("/version", audit_id="0b1e8bbf-mine").headers["audit-id"]
    made = http.get("/api/v1/namespaces/none/pods/none").headers["audit-id"]
    http.close()
    assert given == "0b1e8bbf-mine"
    assert [event["requestURI"] for event in events(auditID=given)] == ["/version"]
    assert [event["responseStatus"]["code"] for event in events(auditID=made)] == [404]


def test_a_wrong_token_leaves_an_event_without_it(audited: ApiServer, events: Events) -> None:
    http = Raw(audited.bearer("not-a-token-of-ours"))
    answer = http.get("/api/v1/pods")
    http.close()
    (event,) = events(auditID=answer.headers["audit-id"])
    assert event["responseStatus"]["message"] == "Authentication failed, attempted: bearer"
    assert "not-a-token-of-ours" not in (audited.directory / "audit.log").read_text()


def test_what_admission_policies_note(kubectl: Kubectl, events: Events, namespace: str) -> None:
    """https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#audit-annotations and
    #validation-actions"""
    name = f"{namespace}.example.com"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    size = {"key": "size", "valueExpression": "string(object.data.size()) + ' entries'"}
    spec = {"validations": [{"expression": "object.data.size() > 5"}], "auditAnnotations": [size]}
    match = {"resourceRules": [rule], "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    group = "admissionregistration.k8s.io/v1"
    for kind, given in (
        ("ValidatingAdmissionPolicy", {**spec, "matchConstraints": match}),
        ("ValidatingAdmissionPolicyBinding", {"policyName": name, "validationActions": ["Audit"]}),
    ):
        document = {"apiVersion": group, "kind": kind, "metadata": {"name": name}, "spec": given}
        kubectl.run("create", "-f", "-", stdin=json.dumps(document)).ok()
    kubectl.run("create", "configmap", "noted", "--from-literal=a=b").ok()
    (event,) = events(verb="create", resource="configmaps", namespace=namespace)
    assert event["annotations"][f"{name}/size"] == "1 entries"
    (failure,) = json.loads(event["annotations"]["validation.policy.admission.k8s.io/validation_failure"])
    assert failure == {
        "message": "failed expression: object.data.size() > 5", "policy": name, "binding": name, "expressionIndex": 0,
        "validationActions": ["Audit"],
    }  # fmt: skip
    kubectl.run("delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", name).ok()


def test_what_waits_is_written_before_the_server_ends(
    etcd_server: EtcdServer, audited: ApiServer, tmp_path: Path
) -> None:
    """Last of all: it stops the server."""
    http = Raw(audited.admin())
    ids = [http.get("/version").headers["audit-id"] for _ in range(50)]
    http.close()
    audited.stop()
    assert {event["auditID"] for event in audited.audited()}.issuperset(ids)
