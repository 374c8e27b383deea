"""lightkube: create, wait, watch, patch, apply, sub-resources, exec, logs, delete; and a generic resource."""

from __future__ import annotations

import os

import lightkube
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.core_v1 import Container, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Pod
from lightkube.types import CascadeType, PatchType

NAMESPACE, IMAGE = os.environ["NAMESPACE"], os.environ["IMAGE"]
SLEEP = ["sh", "-c", "trap 'exit 0' TERM; echo hello; while true; do sleep 1 & wait $!; done"]

client = lightkube.Client(namespace=NAMESPACE, field_manager="lightkube")
pod = Pod(
    metadata=ObjectMeta(name="light", labels={"app": "light"}),
    spec=PodSpec(containers=[Container(name="main", image=IMAGE, command=SLEEP)], terminationGracePeriodSeconds=1),
)
client.create(pod)
ready = client.wait(Pod, "light", for_conditions=["Ready"])
assert ready.status.phase == "Running"
assert [line.strip() for line in client.log("light")] == ["hello"]
done = client.exec("light", command=["sh", "-c", "read x; echo got $x; exit 3"], stdin="this\n", stdout=True)
assert (done.stdout, done.exit_code) == ("got this\n", 3), done
patched = client.patch(Pod, "light", {"metadata": {"labels": {"colour": "blue"}}}, patch_type=PatchType.STRATEGIC)
assert patched.metadata.labels == {"app": "light", "colour": "blue"}

settings = ConfigMap(metadata=ObjectMeta(name="light"), data={"a": "1"})
assert client.apply(settings).data == {"a": "1"}
settings.data = {"b": "2"}
assert client.apply(settings).data == {"b": "2"}, "what is no longer applied goes"
other = ConfigMap(apiVersion="v1", kind="ConfigMap", metadata=ObjectMeta(name="light"), data={"b": "3"})
try:
    client.apply(other, field_manager="other")
    raise AssertionError("no conflict")
except ApiError as error:
    assert error.status.code == 409 and error.status.details.causes[0].field == ".data.b", error.status
assert client.apply(other, field_manager="other", force=True).data == {"b": "3"}
version = client.get(ConfigMap, "light").metadata.resourceVersion
client.patch(ConfigMap, "light", [{"op": "add", "path": "/data/c", "value": "4"}], patch_type=PatchType.JSON)
for kind, seen in client.watch(ConfigMap, fields={"metadata.name": "light"}, resource_version=version):
    assert (kind, seen.data) == ("MODIFIED", {"b": "3", "c": "4"})
    break

dyn = create_namespaced_resource("apps", "v1", "Deployment", "deployments")
labels = {"app": "light-shop"}
client.create(
    dyn(
        metadata={"name": "light-shop"},
        spec={
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [{"name": "main", "image": IMAGE, "command": SLEEP}],
                    "terminationGracePeriodSeconds": 1,
                },
            },
        },
    )
)
client.wait(Deployment, "light-shop", for_conditions=["Available"])
scale = client.get(Deployment.Scale, "light-shop")
scale.spec.replicas = 0
assert client.replace(scale, "light-shop").spec.replicas == 0
client.delete(Deployment, "light-shop", cascade=CascadeType.FOREGROUND)
client.delete(Pod, "light")
for kind, _ in client.watch(Pod, fields={"metadata.name": "light"}):
    if kind == "DELETED":
        break
print("done")
