"""kr8s, synchronous: create, wait, watch, patch, apply, exec, logs, port-forward, delete."""

from __future__ import annotations

import os
import urllib.request

import kr8s
from kr8s.objects import ConfigMap, Deployment, Pod

NAMESPACE, IMAGE = os.environ["NAMESPACE"], os.environ["IMAGE"]
SERVE = ["sh", "-c", "trap 'exit 0' TERM; mkdir -p /w; echo served > /w/index.html; "
         "httpd -f -p 8080 -h /w & echo up; wait $!"]  # fmt: skip

api = kr8s.api(namespace=NAMESPACE)
assert api.version()["minor"] == "35"
assert ("apps/v1", "deployments") in {(r["version"], r["name"]) for r in api.api_resources()}

pod = Pod(
    {
        "metadata": {"name": "kr8s", "namespace": NAMESPACE, "labels": {"app": "kr8s"}},
        "spec": {
            "containers": [
                {"name": "main", "image": IMAGE, "command": SERVE, "ports": [{"containerPort": 8080}]},
            ],
            "terminationGracePeriodSeconds": 1,
        },
    },
    api=api,
)
pod.create()
pod.wait("condition=Ready", timeout=60)
assert pod.ready()
(found,) = kr8s.get("pods", namespace=NAMESPACE, label_selector={"app": "kr8s"}, api=api)
assert found.name == "kr8s"
done = pod.exec(["sh", "-c", "echo out; echo err >&2"])
assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 0), done
assert next(iter(pod.logs())) == "up"
with (
    pod.portforward(remote_port=8080, local_port="auto") as port,
    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer,
):
    assert answer.read() == b"served\n"
pod.label({"colour": "blue"})
pod.annotate(note="x")
assert pod.labels["colour"] == "blue" and pod.annotations["note"] == "x"

settings = ConfigMap(
    {"metadata": {"name": "kr8s", "namespace": NAMESPACE}, "data": {"a": "1"}},
    api=api,
)
settings.create()
settings.patch({"data": {"b": "2"}})
assert settings.data == {"a": "1", "b": "2"}
before = ConfigMap.get("kr8s", namespace=NAMESPACE, api=api)
settings.patch([{"op": "remove", "path": "/data/a"}], type="json")
for kind, seen in before.watch():
    assert (kind, seen.data) == ("MODIFIED", {"b": "2"})
    break

shop = Deployment(
    {
        "metadata": {"name": "kr8s-shop", "namespace": NAMESPACE},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "kr8s-shop"}},
            "template": {
                "metadata": {"labels": {"app": "kr8s-shop"}},
                "spec": {
                    "containers": [{"name": "main", "image": IMAGE, "command": SERVE}],
                    "terminationGracePeriodSeconds": 1,
                },
            },
        },
    },
    api=api,
)
shop.create()
shop.wait("condition=Available", timeout=60)
shop.scale(2)
shop.wait("jsonpath='{.status.readyReplicas}'=2", timeout=60)
assert len(shop.pods()) == 2
shop.delete(propagation_policy="Foreground")
shop.wait("delete", timeout=60)
pod.delete()
pod.wait("delete", timeout=60)
assert not pod.exists()
print("done")
