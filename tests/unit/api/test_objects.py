"""Decoding, creation, update and validation of objects, with upstream's messages."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from api import objects
from api.builtin import BUILTIN, CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, PODS, SECRETS, SERVICES
from api.errors import ApiError, BadRequest, Invalid
from api.registry import Resource

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def create(resource: Resource, obj: dict[str, Any], validation: str = objects.STRICT) -> dict[str, Any]:
    obj, _ = objects.decode(resource, copy.deepcopy(obj), validation)
    if resource.namespaced:
        obj["metadata"].setdefault("namespace", "default")
    objects.for_create(resource, obj, now=NOW)
    objects.check(resource, obj, None)
    return obj


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "nginx"}], **spec}}


def deployment(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "nginx:1"}]}}
    return {
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template, **spec},
    }


def service(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}], **spec}}


def test_a_created_pod_has_what_upstream_fills_in() -> None:
    made = create(PODS, pod())
    assert made["metadata"]["creationTimestamp"] == "2026-01-02T03:04:05Z"
    assert made["metadata"]["generation"] == 1
    assert made["spec"]["securityContext"] == {}
    assert made["spec"]["terminationGracePeriodSeconds"] == 30
    container = made["spec"]["containers"][0]
    assert (container["imagePullPolicy"], container["terminationMessagePolicy"]) == ("Always", "File")
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}


@pytest.mark.parametrize(
    ("resources", "qos"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
    ],
)
def test_qos_class(resources: dict[str, Any], qos: str) -> None:
    made = create(PODS, pod(containers=[{"name": "a", "image": "x", "resources": resources}]))
    assert made["status"]["qosClass"] == qos


def test_unknown_fields_are_refused_warned_of_or_dropped() -> None:
    bad = pod(containers=[{"name": "a", "image": "x", "imagee": "y"}], foo=1)
    with pytest.raises(BadRequest, match=r'strict decoding error: unknown field "spec.containers\[0\].imagee"'):
        objects.decode(PODS, bad, objects.STRICT)
    decoded, warnings = objects.decode(PODS, copy.deepcopy(bad), objects.WARN)
    assert warnings == ['unknown field "spec.containers[0].imagee"', 'unknown field "spec.foo"']
    assert "foo" not in decoded["spec"]
    assert objects.decode(PODS, copy.deepcopy(bad), objects.IGNORE)[1] == []


def test_nulls_are_absent_fields() -> None:
    made = create(PODS, pod(volumes=[{"name": "v", "emptyDir": None}], restartPolicy=None))
    assert made["spec"]["volumes"] == [{"name": "v", "emptyDir": {}}]
    assert made["spec"]["restartPolicy"] == "Always"


@pytest.mark.parametrize(
    ("resource", "obj", "message"),
    [
        (DEPLOYMENTS, deployment(replicas="3"), "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"),
        (PODS, pod(containers="x"), "cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container"),
        (PODS, pod(containers=[{"name": "a", "image": "x", "resources": {"limits": {"cpu": "one"}}}]), "quantities must match the regular expression"),
        (PODS, {"metadata": {"name": "p", "labels": {"a": 1}}, "spec": {}}, "cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string"),
    ],
)  # fmt: skip
def test_a_wrong_type_names_the_field(resource: Resource, obj: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        create(resource, obj)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("resource", "obj", "message"),
    [
        (PODS, pod(containers=[]), "spec.containers: Required value"),
        (PODS, pod(containers=[{"name": "A", "image": "x"}]), 'spec.containers[0].name: Invalid value: "A": a lowercase RFC 1123 label'),
        (PODS, pod(containers=[{"name": "a", "image": "x"}] * 2), 'spec.containers[1].name: Duplicate value: "a"'),
        (PODS, pod(containers=[{"name": "a"}]), "spec.containers[0].image: Required value"),
        (PODS, pod(restartPolicy="Sometimes"), 'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'),
        (PODS, pod(containers=[{"name": "a", "image": "x", "ports": [{"containerPort": 70000}]}]), "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"),
        (PODS, pod(containers=[{"name": "a", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]), 'spec.containers[0].volumeMounts[0].name: Not found: "v"'),
        (PODS, pod(containers=[{"name": "a", "image": "x", "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}]), 'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'),
        (PODS, pod(containers=[{"name": "a", "image": "x", "resources": {"limits": {"cpu": "-1"}}}]), 'spec.containers[0].resources.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0'),
        (PODS, pod(containers=[{"name": "a", "image": "x", "readinessProbe": {}}]), "spec.containers[0].readinessProbe: Required value: must specify a handler type"),
        (PODS, {"metadata": {"name": "P"}, "spec": pod()["spec"]}, 'metadata.name: Invalid value: "P": a lowercase RFC 1123 subdomain'),
        (DEPLOYMENTS, deployment(replicas=-1), "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        (DEPLOYMENTS, deployment(selector={"matchLabels": {"app": "db"}}), 'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'),
        (DEPLOYMENTS, deployment(strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}), "may not be 0 when `maxSurge` is 0"),
        (SERVICES, service(ports=[]), "spec.ports: Required value"),
        (SERVICES, service(ports=[{"port": 1}, {"port": 2}]), "spec.ports[0].name: Required value"),
        (SERVICES, service(ports=[{"port": 80, "nodePort": 30000}]), "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"),
        (SERVICES, {"metadata": {"name": "1web"}, "spec": service()["spec"]}, "a DNS-1035 label must consist of"),
        (CONFIG_MAPS, {"metadata": {"name": "c"}, "data": {"a b": "x"}}, "data[a b]: Invalid value"),
        (SECRETS, {"metadata": {"name": "s"}, "type": "kubernetes.io/tls", "data": {"tls.crt": ""}}, "data[tls.key]: Required value"),
        (NAMESPACES, {"metadata": {"name": "a.b"}}, 'Invalid value: "a.b": must not contain dots'),
    ],
)  # fmt: skip
def test_validation_names_the_field_and_the_reason(resource: Resource, obj: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid) as caught:
        create(resource, obj)
    assert message in caught.value.message
    assert caught.value.details["causes"]


def test_every_builtin_kind_has_an_upstream_schema_and_survives_an_empty_object() -> None:
    """Bad input ends in a Status, never in a Python error."""
    for resource in BUILTIN:
        try:
            create(resource, {"metadata": {"name": "x"}})
        except ApiError as error:
            assert error.code in (400, 422), (resource.kind, error)


def test_status_changes_only_through_its_own_door() -> None:
    old = create(DEPLOYMENTS, deployment())
    new = copy.deepcopy(old)
    new["status"] = {"replicas": 5}
    new["spec"]["replicas"] = 2
    objects.for_update(DEPLOYMENTS, new, old)
    assert new["status"] == {}
    assert new["metadata"]["generation"] == 2
    through_status = copy.deepcopy(old)
    through_status["spec"]["replicas"] = 9
    through_status["metadata"]["labels"] = {"x": "y"}
    through_status["status"] = {"replicas": 5}
    objects.for_update(DEPLOYMENTS, through_status, old, subresource="status")
    assert through_status["spec"] == old["spec"]
    assert through_status["metadata"] == old["metadata"]
    assert through_status["status"] == {"replicas": 5}


def test_generation_counts_only_changes_of_what_is_desired() -> None:
    old = create(DEPLOYMENTS, deployment())
    new = copy.deepcopy(old)
    new["metadata"]["annotations"] = {"a": "b"}
    objects.for_update(DEPLOYMENTS, new, old)
    assert new["metadata"]["generation"] == 1


def test_pod_updates_may_change_the_image_and_little_else() -> None:
    old = create(PODS, pod())
    new = copy.deepcopy(old)
    new["spec"]["containers"][0]["image"] = "nginx:2"
    objects.check(PODS, new, old)
    new["spec"]["containers"][0]["command"] = ["x"]
    with pytest.raises(Invalid, match="pod updates may not change fields other than"):
        objects.check(PODS, new, old)


def test_selectors_are_immutable() -> None:
    old = create(DEPLOYMENTS, deployment())
    new = copy.deepcopy(old)
    new["spec"]["selector"]["matchLabels"]["x"] = new["spec"]["template"]["metadata"]["labels"]["x"] = "y"
    with pytest.raises(Invalid, match=r"spec.selector: Invalid value: .*: field is immutable"):
        objects.check(DEPLOYMENTS, new, old)


def test_string_data_is_folded_into_data() -> None:
    made = create(SECRETS, {"metadata": {"name": "s"}, "stringData": {"a": "b"}})
    assert made["data"] == {"a": "Yg=="}
    assert "stringData" not in made


def test_an_update_that_changes_nothing_is_seen() -> None:
    old = create(PODS, pod())
    new = copy.deepcopy(old)
    new["metadata"]["resourceVersion"] = "7"
    assert objects.equal(new, old)
    new["spec"]["priority"] = 1
    assert not objects.equal(new, old)


def test_generated_names_fit() -> None:
    name = objects.generate_name("x" * 80)
    assert len(name) == 63
    assert objects.generate_name("web-") != objects.generate_name("web-")


def owner(**more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u", **more}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"ownerReferences": [owner(uid="")]}, 'metadata.ownerReferences.uid: Invalid value: "": must not be empty'),
        ({"ownerReferences": [owner(apiVersion="")]}, 'metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty'),
        ({"ownerReferences": [owner(kind="Event")]}, "/v1, Kind=Event is disallowed from being an owner"),
        ({"ownerReferences": [owner(controller=True), owner(uid="v", name="p", controller=True)]}, 'Only one reference can have Controller set to true. Found "true" in references for ConfigMap/o and ConfigMap/p'),
        ({"finalizers": ["orphan", "foregroundDeletion"]}, 'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer orphan and foregroundDeletion cannot be both set'),
        ({"finalizers": ["x"]}, 'metadata.finalizers[0]: Invalid value: "x": name is neither a standard finalizer name nor is it fully qualified'),
    ],
)  # fmt: skip
def test_metadata_that_breaks_a_rule(metadata: dict[str, Any], message: str) -> None:
    """apimachinery's ValidateOwnerReferences and ValidateFinalizers."""
    with pytest.raises(Invalid) as caught:
        create(CONFIG_MAPS, {"metadata": {"name": "c", **metadata}})
    assert message in caught.value.message


def test_owner_references_that_stand_twice_are_one() -> None:
    obj = {"metadata": {"ownerReferences": [owner(), owner(), owner(uid="v")]}}
    assert objects.dedupe_owners(obj).endswith("duplicate UID(s) observed: u")
    assert obj["metadata"]["ownerReferences"] == [owner(), owner(uid="v")]
    assert objects.dedupe_owners(obj) == ""


def test_no_finalizer_is_added_to_what_is_being_deleted() -> None:
    old = create(CONFIG_MAPS, {"metadata": {"name": "c", "finalizers": ["x/y"]}})
    old["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    new = copy.deepcopy(old)
    new["metadata"]["finalizers"].append("x/z")
    with pytest.raises(Invalid, match=r'found new finalizers \[\]string\{"x/z"\}'):
        objects.check(CONFIG_MAPS, new, old)


def test_the_status_door_lets_most_metadata_through() -> None:
    """As the status strategies of upstream's registries: a Service's labels may change, a Pod's owners may not."""
    for resource, obj, kept in ((SERVICES, service(), ()), (PODS, pod(), ("ownerReferences",))):
        old = create(resource, obj)
        wanted = {"labels": {"a": "b"}, "ownerReferences": [owner()], "uid": "other", "name": "other"}
        new = {**copy.deepcopy(old), "metadata": {**old["metadata"], **wanted}}
        objects.for_update(resource, new, old, subresource="status")
        assert new["metadata"]["labels"] == {"a": "b"}
        assert ("ownerReferences" in new["metadata"]) == ("ownerReferences" not in kept)
        assert (new["metadata"]["uid"], new["metadata"]["name"]) == (old["metadata"]["uid"], old["metadata"]["name"])
        with pytest.raises(Invalid, match="metadata.labels"):
            objects.check(
                resource, {**new, "metadata": {**new["metadata"], "labels": {"a": "!"}}}, old, subresource="status"
            )


def test_empty_plain_values_are_left_out() -> None:
    """Go's omitempty: what is held by pointer keeps its zero, structs stay, required fields are always there."""
    made, _ = objects.decode(
        PODS,
        pod(
            hostNetwork=False, volumes=[], nodeSelector={}, automountServiceAccountToken=False, securityContext={},
            containers=[{"name": "a", "image": "x", "tty": False, "env": [{"name": "e", "value": ""}],
                         "securityContext": {"runAsUser": 0}}],
        ),
    )  # fmt: skip
    assert made["spec"] == {
        "automountServiceAccountToken": False,
        "securityContext": {},
        "containers": [{"name": "a", "image": "x", "env": [{"name": "e"}], "securityContext": {"runAsUser": 0}}],
    }
    assert objects.decode(PODS, {"metadata": {"labels": {}, "managedFields": []}})[0]["metadata"] == {
        "managedFields": []
    }


def test_a_write_that_only_moves_the_time_of_a_manager_is_none() -> None:
    entry = {"manager": "m", "operation": "Update", "time": "2026-01-02T03:04:05Z", "fieldsV1": {"f:data": {}}}
    old = {"metadata": {"name": "c", "managedFields": [entry]}}
    assert objects.equal({"metadata": {"name": "c", "managedFields": [{**entry, "time": "2027-01-02T03:04:05Z"}]}}, old)
    assert not objects.equal({"metadata": {"name": "c", "managedFields": [{**entry, "manager": "n"}]}}, old)
