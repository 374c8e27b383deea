"""EventRateLimit and limits by default in a server that is told to: the flags, the file, and what a client hears.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#eventratelimit ,
https://kubernetes.io/docs/concepts/policy/resource-quotas/#limit-priority-class-consumption-by-default
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.apiserver import ApiServer
from tests.harness.etcd import EtcdServer
from tests.harness.raw import Raw
from tests.integration.manifests import pod

CONFIGURATION = """
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: EventRateLimit
  path: eventconfig.yaml
- name: ResourceQuota
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ResourceQuotaConfiguration
    limitedResources:
    - resource: pods
      matchScopes:
      - scopeName: PriorityClass
        operator: In
        values: ["system-cluster-critical"]
"""
LIMITS = """
apiVersion: eventratelimit.admission.k8s.io/v1alpha1
kind: Configuration
limits:
- type: Namespace
  qps: 1
  burst: 5
  cacheSize: 2000
- type: User
  qps: 1
  burst: 1000
"""


@pytest.fixture
def limiting(apiserver: ApiServer, etcd_server: EtcdServer, tmp_path: Path) -> Iterator[Raw]:
    """A second server, with limits of its own."""
    (tmp_path / "admission.yaml").write_text(CONFIGURATION)
    (tmp_path / "eventconfig.yaml").write_text(LIMITS)
    server = ApiServer(
        tmp_path / "limiting", etcd_server, "--enable-admission-plugins", "EventRateLimit",
        "--admission-control-config-file", str(tmp_path / "admission.yaml"),
    )  # fmt: skip
    try:
        server.start()
        raw = Raw(server.admin())
        yield raw
        raw.close()
    finally:
        server.stop()


def test_what_an_administrator_limits(limiting: Raw, namespace: str) -> None:
    path, subject = f"/api/v1/namespaces/{namespace}", {"kind": "Pod", "namespace": namespace, "name": "web"}
    answers = [
        limiting.send("POST", f"{path}/events", {"metadata": {"name": f"e{n}"}, "involvedObject": subject})
        for n in range(12)
    ]
    codes = [answer.status_code for answer in answers]
    assert codes[:5] == [201] * 5
    assert 429 in codes
    refused = answers[codes.index(429)].json()
    assert refused["reason"] == "TooManyRequests"
    assert refused["message"] == f"Too many requests: limit reached on type Namespace for key {namespace}"

    urgent = pod("urgent")
    urgent["spec"]["priorityClassName"] = "system-cluster-critical"
    answer = limiting.send("POST", f"{path}/pods", urgent)
    assert answer.status_code == 403
    assert answer.json()["message"] == (
        'pods "urgent" is forbidden: insufficient quota to match these scopes: '
        "[{PriorityClass In [system-cluster-critical]}]"
    )
    assert limiting.send("POST", f"{path}/pods", pod("plain")).status_code == 201
