"""A Secret of a cluster that `sampan up` made: where it is seen, and where not."""

from __future__ import annotations

import base64
import contextlib
import fnmatch
import json
import os
from pathlib import Path

from tests.e2e.manifests import SLEEP, documents, pod, shell
from tests.harness.cluster import Cluster
from tests.harness.eventually import eventually_sync

PASSWORD = "open-sesame-0815-please"
FORMS = (PASSWORD.encode(), base64.b64encode(PASSWORD.encode()))


def contents(folder: Path, pattern: str) -> dict[Path, bytes]:
    """Of the files in a folder of running programs, which may rename or remove one at any moment."""
    found = {}
    for where, _, names in os.walk(folder):
        for path in (Path(where, name) for name in fnmatch.filter(names, pattern)):
            with contextlib.suppress(FileNotFoundError):
                found[path] = path.read_bytes()
    assert found, "there is nothing to look at"
    return found


def shown_in(files: dict[Path, bytes]) -> list[Path]:
    """The files that hold it, plain or in base64."""
    return [path for path, content in files.items() if any(form in content for form in FORMS)]


def test_a_secret_reaches_the_pod_and_no_log_and_no_disk_of_etcd(cluster: Cluster, namespace: str) -> None:
    """https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/#verifying-that-data-is-encrypted"""
    env = [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}}]
    mounts = [{"name": "s", "mountPath": "/secret"}]
    uses = shell(f"[ $PASSWORD = $(cat /secret/password) ] && echo same; {SLEEP}", env=env, volumeMounts=mounts)
    fails = {**uses, "command": ["/no/such/program"]}
    volumes = [{"name": "s", "secret": {"secretName": "s"}}]
    secret = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
        "data": {"password": base64.b64encode(PASSWORD.encode()).decode()},
    }  # fmt: skip
    cluster.kubectl("create", "-f", "-", namespace=namespace, stdin=json.dumps(secret))
    cluster.apply(documents(pod("p", uses, volumes=volumes), pod("q", fails, volumes=volumes)), namespace)
    cluster.wait_ready("app=p", 1, namespace)
    assert cluster.kubectl("logs", "p", namespace=namespace).stdout == "same\n"
    eventually_sync(lambda: cluster.events(namespace, "Failed"), "the other one's failure is told", within=30)
    assert PASSWORD not in json.dumps(cluster.items("events", namespace=namespace))

    assert shown_in(contents(cluster.data, "*.log*")) == []
    stored = contents(cluster.data / "etcd", "*")
    assert shown_in(stored) == []
    assert any(b"k8s:enc:aesgcm:v1:key-" in content for content in stored.values())

    audited = cluster.data / "logs" / "audit.log"
    eventually_sync(
        lambda: f'"objectRef":{{"resource":"secrets","namespace":"{namespace}","name":"s"' in audited.read_text(),
        "who made it is noted",
    )
    assert audited.stat().st_mode & 0o077 == 0


def test_another_up_changes_neither_key_nor_rules(cluster: Cluster) -> None:
    files = (cluster.data / "pki" / "encryption.yaml", cluster.data / "audit-policy.yaml")
    before = [path.read_bytes() for path in files]
    cluster.up()
    assert [path.read_bytes() for path in files] == before
    assert files[0].stat().st_mode & 0o077 == 0
