"""What upstream's own conformance suite and command tests ask of an apiserver, where it had been otherwise here.

Each case names the test it is taken from: test/e2e/… and test/cmd/… of kubernetes/kubernetes.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx
import jwt
import pytest

from tests.harness.eventually import eventually_sync
from tests.harness.raw import Raw
from tests.harness.upstream import Kubectl

Obj = dict[str, Any]
_APPLY = "application/apply-patch+yaml"
_STRICT = "fieldManager=e2e&fieldValidation=Strict"
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_POD = {"containers": [{"name": "c", "image": "i"}]}
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def _define(http: Raw, **schema: Any) -> tuple[str, str]:
    """(the path of a cluster-wide custom kind, the kind), once it is served."""
    word = f"noxu{uuid.uuid4().hex[:6]}"
    group, kind = f"{word}.example.com", word.capitalize()
    names = {"plural": f"{word}s", "kind": kind}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", **schema}},
    }
    definition = {
        "metadata": {"name": f"{word}s.{group}"},
        "spec": {"group": group, "scope": "Cluster", "names": names, "versions": [version]},
    }
    assert http.send("POST", _CRDS, definition).status_code == 201
    path = f"/apis/{group}/v1/{word}s"
    eventually_sync(lambda: http.get(path).status_code == 200, f"{kind} is served")
    return path, kind


_JOB: Obj = {
    "metadata": {"name": "x"},
    "spec": {"suspend": True, "template": {"spec": {**_POD, "restartPolicy": "Never"}}},
}


def test_strict_decoding_tells_in_the_order_of_the_text(http: Raw, namespace: str) -> None:
    """apimachinery/field_validation.go: should detect unknown and duplicate fields of a typed object"""
    body = b"""{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
        "unknownField": "foo", "replicas": 2, "replicas": 3, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}"""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    answer = http.send("POST", f"{path}?{_STRICT}", body, content_type="application/json")
    wanted = 'strict decoding error: unknown field "spec.unknownField", duplicate field "spec.replicas"'
    assert answer.status_code == 400 and wanted in answer.json()["message"]


def test_custom_objects_may_have_finalizers_without_a_domain(http: Raw, namespace: str) -> None:
    """apimachinery/apply.go: should work for CRDs; field_validation.go: should create/apply a valid CR"""
    path, kind = _define(http, **{"x-kubernetes-preserve-unknown-fields": True})
    group_version = path.removeprefix("/apis/").rpartition("/")[0]
    body = f"apiVersion: {group_version}\nkind: {kind}\nmetadata:\n  name: a\n  finalizers:\n  - test-finalizer\n"
    applied = http.send("PATCH", f"{path}/a?{_STRICT}", body.encode(), content_type=_APPLY)
    assert applied.status_code == 201, applied.text
    gone = http.send(
        "PATCH", f"{path}/a", b'{"metadata":{"finalizers":null}}', content_type="application/merge-patch+json"
    )
    assert gone.status_code == 200
    refused = http.send("POST", f"/api/v1/namespaces/{namespace}/configmaps",
                        {"metadata": {"name": "a", "finalizers": ["mine"]}})  # fmt: skip
    assert "metadata.finalizers[0]: Invalid value" in refused.json()["message"]


def test_fields_of_managers_are_written_in_order(http: Raw, namespace: str) -> None:
    """apimachinery/apply.go: should create an applied object if it does not already exist"""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": _POD}
    made = http.send("PATCH", f"/api/v1/namespaces/{namespace}/pods/a?fieldManager=apply_test",
                     json.dumps(pod).encode(), content_type=_APPLY)  # fmt: skip
    owned = json.dumps(made.json()["metadata"]["managedFields"][0]["fieldsV1"], separators=(",", ":"))
    assert owned == r'{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{}}}}}'


def test_a_review_has_no_table(http: Raw) -> None:
    """apimachinery/table_conversion.go: should return a 406 for a backend which does not implement metadata"""
    review = {"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert http.send("POST", path, review, accept=_TABLE).status_code == 406


def test_a_condition_without_a_type_harms_no_definition(http: Raw) -> None:
    """apimachinery/custom_resource_definition.go: getting/updating/patching … status sub-resource works"""
    path, _ = _define(http)
    _, group, _, plural = path.strip("/").split("/")
    operations = [{"op": "add", "path": "/status/conditions", "value": [{"message": "patched"}]}]
    patched = http.send("PATCH", f"{_CRDS}/{plural}.{group}/status", json.dumps(operations).encode(),
                        content_type="application/json-patch+json")  # fmt: skip
    assert [c["message"] for c in patched.json()["status"]["conditions"]] == ["patched"]
    _define(http)  # the next one is established too


def test_swagger_leaves_open_what_a_schema_leaves_open(http: Raw) -> None:
    """apimachinery/crd_publish_openapi.go: works for CRD without validation schema, … in an embedded object"""
    opaque, _ = _define(http, **{"x-kubernetes-preserve-unknown-fields": True})
    spec = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"a": {"type": "string"}}}
    nested, _ = _define(http, properties={"spec": spec})
    definitions = http.get("/openapi/v2").json()["definitions"]

    def of(path: str) -> Obj:
        group = path.split("/")[2]
        return next(v for k, v in definitions.items() if k.startswith(".".join(reversed(group.split("."))) + ".v1.")
                    and not k.endswith("List"))  # fmt: skip

    assert {*of(opaque)} == {"type", "x-kubernetes-group-version-kind"}
    assert of(nested)["properties"]["spec"] == {"x-kubernetes-preserve-unknown-fields": True}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"apiVersion: v1", "invalid character 'a' looking for beginning of value (61706956657273696f6e3a207631)"),
        (b'{"a":', 'unexpected end of JSON input ({"a":)'),
        (b"", "unexpected end of JSON input (<empty>)"),
    ],
)
def test_a_body_that_is_no_object(http: Raw, body: bytes, why: str) -> None:
    """test/cmd/create.sh: Posting a pod to namespaces should fail"""
    answer = http.send("POST", "/api/v1/namespaces", body, content_type="application/json")
    said = (
        "the object provided is unrecognized (must be of type Namespace): couldn't get version/kind; json parse error: "
    )
    assert (answer.status_code, answer.json()["message"]) == (400, said + why)


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        ({"metadata": {"labels": "invalid"}}, "cannot restore map from string"),
        ({"metadata": {"labels": {"a": 1}}}, "cannot convert int64 to string"),
        ({"spec": {"priority": "x"}}, "unrecognized type: int32"),
        ({"spec": {"tolerations": "x"}}, "cannot restore slice from string"),
        ({"spec": {"securityContext": "x"}}, "cannot restore struct from: string"),
    ],
)
def test_a_patch_of_the_wrong_type(kubectl: Kubectl, patch: Obj, why: str) -> None:
    """test/cmd/core.sh: Patch fails with type restore error and exit code 1"""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": _POD}
    kubectl.run("create", "-f", "-", stdin=pod).ok()
    assert why in kubectl.run("patch", "pod", "a", "-p", json.dumps(patch)).failed().stderr


def test_a_cluster_ip_may_not_change(kubectl: Kubectl) -> None:
    """test/cmd/apply.sh: change immutable field and apply service a"""
    kubectl.run("create", "service", "clusterip", "a", "--tcp=80").ok()
    said = kubectl.run("patch", "service", "a", "-p", '{"spec":{"clusterIP":"10.96.200.200"}}').failed().stderr
    assert 'spec.clusterIPs[0]: Invalid value: ["10.96.200.200"]: may not change once set' in said
    gone = {"spec": {"type": "ExternalName", "externalName": "foo.com", "clusterIP": None}}
    kubectl.run("patch", "service", "a", "-p", json.dumps(gone)).ok()


def test_the_issuer_tells_of_itself(http: Raw) -> None:
    """auth/service_accounts.go: should support OIDC discovery of service account issuer"""
    configuration = http.get("/.well-known/openid-configuration")
    told = configuration.json()
    assert told["jwks_uri"].endswith("/openid/v1/jwks")
    keys = http.get("/openid/v1/jwks")
    assert keys.headers["content-type"] == "application/jwk-set+json"
    token = http.send("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}})
    if token.status_code == 404:  # nobody has made the account yet
        http.send("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        token = http.send("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}})
    _verify(token.json()["status"]["token"], keys, told)


def _verify(token: str, keys: httpx.Response, told: Obj) -> None:
    known = {key.key_id: key for key in jwt.PyJWKSet.from_dict(keys.json()).keys}
    key = known[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(
        token, key, told["id_token_signing_alg_values_supported"], audience=told["issuer"], issuer=told["issuer"]
    )
    assert claims["sub"] == "system:serviceaccount:default:default"


def test_health_names_what_has_started(http: Raw) -> None:
    """apimachinery/health_handlers.go: should contain necessary checks"""
    for door in ("healthz", "livez", "readyz"):
        told = http.get(f"/{door}?verbose=1").text.splitlines()
        for name in ("poststarthook/crd-informer-synced", "poststarthook/apiservice-registration-controller",
                     "poststarthook/generic-apiserver-start-informers", "autoregister-completion"):  # fmt: skip
            assert f"[+]{name} ok" in told


@pytest.mark.parametrize(
    ("path", "obj", "policy", "finalizer"),
    [
        ("batch/v1/jobs", _JOB, None, "orphan"),
        ("batch/v1/jobs", _JOB, "Background", None),
        ("v1/replicationcontrollers",
         {"metadata": {"name": "x"}, "spec": {"replicas": 0, "selector": {"a": "b"},
                                              "template": {"metadata": {"labels": {"a": "b"}}, "spec": _POD}}},
         None, "orphan"),
    ],
)  # fmt: skip
def test_dependents_of_old_kinds_stay_unless_asked_for(
    http: Raw, namespace: str, path: str, obj: Obj, policy: str | None, finalizer: str | None
) -> None:
    """apimachinery/garbage_collector.go: should orphan pods created by rc if deleteOptions.OrphanDependents is nil"""
    version, _, plural = path.rpartition("/")
    at = f"/{'apis' if '/' in version else 'api'}/{version}/namespaces/{namespace}/{plural}"
    assert http.send("POST", at, obj).status_code == 201
    answer = http.send("DELETE", f"{at}/x" + (f"?propagationPolicy={policy}" if policy else ""))
    assert answer.json()["metadata"].get("finalizers") == ([finalizer] if finalizer else None)
    warned = "child pods are preserved by default" in answer.headers.get("warning", "")
    assert warned == (plural == "jobs" and policy is None)


def test_details_leave_out_what_is_empty(http: Raw, namespace: str) -> None:
    """metav1.StatusDetails, whose fields are all omitempty"""
    missing = http.get(f"/api/v1/namespaces/{namespace}/configmaps/nope").json()
    assert missing["details"] == {"name": "nope", "kind": "configmaps"}
