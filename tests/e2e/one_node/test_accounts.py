"""Pods that talk to the apiserver as the account they run as."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import yaml

from tests.e2e import manifests
from tests.harness import foreign
from tests.harness.cluster import Cluster, Obj
from tests.harness.eventually import eventually_sync
from tests.harness.foreign import STORIES

AT = "/var/run/secrets/kubernetes.io/serviceaccount"


def test_a_client_library_in_a_pod(cluster: Cluster, namespace: str) -> None:
    """https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/ : the machine's Python, in a pod of the
    account `reader`, who may view."""
    cluster.kubectl("create", "serviceaccount", "reader", namespace=namespace)
    cluster.kubectl(
        "create", "rolebinding", "reader", "--clusterrole=view", f"--serviceaccount={namespace}:reader",
        namespace=namespace,
    )  # fmt: skip
    python = Path(foreign.program("python"))
    volumes, mounts = manifests.of_the_machine(
        *map(Path, ("/usr", "/lib", "/lib64", sys.base_prefix)), python.parents[1], STORIES
    )
    container = manifests.shell("", volumeMounts=mounts, command=[str(python), str(STORIES / "in_cluster.py")])
    pod = manifests.pod("p", container, volumes=volumes, serviceAccountName="reader", restartPolicy="Never")
    cluster.apply(manifests.documents(pod), namespace)

    def ended() -> bool:
        return bool(cluster.get("pod", "p", namespace=namespace)["status"].get("phase") in ("Succeeded", "Failed"))

    eventually_sync(ended, "the pod has ended", within=60)
    said = cluster.kubectl("logs", "p", namespace=namespace).stdout
    assert said.rstrip().endswith("done"), said


def _claims(token: str) -> Obj:
    payload = token.split(".")[1]
    claims: Obj = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def test_a_token_is_its_pods(cluster: Cluster, namespace: str) -> None:
    """https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens : it
    names the pod, only its user reads it where there is one, and it ends with the pod."""
    vault = {"serviceAccountToken": {"path": "vault", "audience": "vault", "expirationSeconds": 7200}}
    volumes = [{"name": "own", "projected": {"sources": [vault]}}]
    container = manifests.shell(manifests.SLEEP, volumeMounts=[{"name": "own", "mountPath": "/own"}])
    security = {"runAsUser": 1234, "fsGroup": 77}
    pod = manifests.pod("p", container, securityContext=security, volumes=volumes)
    cluster.apply(manifests.documents(pod), namespace)
    (live,) = cluster.wait_ready("app=p", 1, namespace)
    said = cluster.kubectl("exec", "p", "--", "sh", "-c", f"stat -Lc '%u %g %a' {AT}/token; cat {AT}/token",
                           namespace=namespace).stdout  # fmt: skip
    owner, token = said.split("\n", 1)
    assert owner == "1234 77 640"
    claims = _claims(token)
    assert claims["sub"] == f"system:serviceaccount:{namespace}:default"
    assert claims["kubernetes.io"]["pod"] == {"name": "p", "uid": live["metadata"]["uid"]}

    own = _claims(cluster.kubectl("exec", "p", "--", "cat", "/own/vault", namespace=namespace).stdout)
    assert (own["aud"], own["exp"] - own["iat"]) == (["vault"], 7200)
    server = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    at = ("--kubeconfig", "/dev/null", "--server", server, "--certificate-authority", str(cluster.data / "pki/ca.crt"))

    def whoami() -> str:
        done = cluster.kubectl(*at, "--token", token, "auth", "whoami", check=False)
        return done.stdout + done.stderr

    assert f"system:serviceaccount:{namespace}:default" in whoami()
    cluster.kubectl("delete", "pod", "p", "--grace-period=0", "--force", namespace=namespace)
    eventually_sync(lambda: "Unauthorized" in whoami(), "the token has ended")
