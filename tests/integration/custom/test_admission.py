"""Custom objects before admission webhooks: in the version that the webhook asks for, whatever the client writes.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-matchpolicy
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.harness.etcd import EtcdServer
from tests.harness.raw import Raw
from tests.harness.webhook import Webhook
from tests.integration.custom.test_versions import Define, Obj, body, convert, through, versioned

_ROOT = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


@pytest.fixture
def webhook(etcd_server: EtcdServer) -> Iterator[Webhook]:
    server = Webhook(etcd_server.pki, answer)
    yield server
    server.close()


def answer(review: Obj) -> Any:
    """Converts, and moves what is of v1 to another host."""
    if review["kind"] == "ConversionReview":
        return convert(review)
    request = review["request"]
    move = [{"op": "replace", "path": "/spec/host", "value": f"moved-{request['object']['spec']['host']}"}]
    patch = {"patchType": "JSONPatch", "patch": base64.b64encode(orjson.dumps(move)).decode()}
    response = {"uid": request["uid"], "allowed": True, **patch}
    return {"kind": review["kind"], "apiVersion": review["apiVersion"], "response": response}


def test_a_webhook_of_one_version_sees_and_changes_objects_of_another(
    http: Raw, webhook: Webhook, namespace: str, group: str, define: Define
) -> None:
    define(versioned(group, through(webhook)))
    rule = {"operations": ["CREATE", "UPDATE"], "apiGroups": [group], "apiVersions": ["v1"], "resources": ["crontabs"]}
    hook = {
        "name": "hook.example.com", "rules": [rule], "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": webhook.url, "caBundle": webhook.ca_bundle},
    }  # fmt: skip
    configuration = {"kind": "MutatingWebhookConfiguration", "metadata": {"name": group}, "webhooks": [hook]}
    assert http.send("POST", _ROOT, configuration).status_code == 201
    try:
        path = f"/apis/{group}/v1beta1/namespaces/{namespace}/crontabs"
        made = http.send("POST", path, body(group, "v1beta1", hostPort="a:1"))
        assert (made.status_code, made.json()["spec"]) == (201, {"hostPort": "moved-a:1"}), made.text
        (asked,) = [call["request"] for call in webhook.calls if call["kind"] == "AdmissionReview"]
        assert (asked["object"]["apiVersion"], asked["object"]["spec"]) == (f"{group}/v1", {"host": "a", "port": "1"})
        assert (asked["resource"]["version"], asked["requestResource"]["version"]) == ("v1", "v1beta1")
        changed = http.send(
            "PATCH", f"{path}/c", {"spec": {"hostPort": "b:2"}}, content_type="application/merge-patch+json"
        )
        assert (changed.status_code, changed.json()["spec"]) == (200, {"hostPort": "moved-b:2"}), changed.text
        asked = next(c["request"] for c in reversed(webhook.calls) if c["kind"] == "AdmissionReview")
        assert (asked["oldObject"]["spec"]["host"], asked["object"]["spec"]["host"]) == ("moved-a", "b")
    finally:
        assert http.send("DELETE", f"{_ROOT}/{group}").status_code == 200
