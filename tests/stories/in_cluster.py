"""The official Python client inside a pod, with nothing but what every pod is given: its account's token, the cluster's
CA, and the address in its environment. https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/"""

from __future__ import annotations

import os
from pathlib import Path

from kubernetes import client, config

AT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

config.load_incluster_config()
namespace = (AT / "namespace").read_text()
assert "BEGIN CERTIFICATE" in (AT / "ca.crt").read_text()

me = client.AuthenticationV1Api().create_self_subject_review(client.V1SelfSubjectReview()).status.user_info
assert me.username == f"system:serviceaccount:{namespace}:reader", me.username
assert me.extra["authentication.kubernetes.io/pod-name"] == [os.environ["HOSTNAME"]], me.extra

core = client.CoreV1Api()
assert [pod.metadata.name for pod in core.list_namespaced_pod(namespace).items] == [os.environ["HOSTNAME"]]
try:
    core.list_namespaced_secret(namespace)
except client.ApiException as refused:
    assert refused.status == 403, refused
else:
    raise AssertionError("an account may not read secrets unless it is granted that")
print("done")
