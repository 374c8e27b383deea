"""EventRateLimit in a server that is told to: the flags, the file, and what a client hears.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#eventratelimit
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.apiserver import ApiServer
from tests.harness.etcd import EtcdServer
from tests.harness.raw import Raw

CONFIGURATION = """
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: EventRateLimit
  path: eventconfig.yaml
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


@pytest.mark.usefixtures("apiserver")
def test_events_come_only_so_fast(etcd_server: EtcdServer, namespace: str, tmp_path: Path) -> None:
    (tmp_path / "admission.yaml").write_text(CONFIGURATION)
    (tmp_path / "eventconfig.yaml").write_text(LIMITS)
    server = ApiServer(
        tmp_path / "limiting", etcd_server, "--enable-admission-plugins", "EventRateLimit",
        "--admission-control-config-file", str(tmp_path / "admission.yaml"),
    )  # fmt: skip
    try:
        server.start()
        http = Raw(server.admin())
        path = f"/api/v1/namespaces/{namespace}/events"
        subject = {"kind": "Pod", "namespace": namespace, "name": "web"}
        answers = [
            http.send("POST", path, {"metadata": {"name": f"e{n}"}, "involvedObject": subject}) for n in range(12)
        ]
        http.close()
    finally:
        server.stop()
    codes = [answer.status_code for answer in answers]
    assert codes[:5] == [201] * 5
    assert 429 in codes
    refused = answers[codes.index(429)].json()
    assert refused["reason"] == "TooManyRequests"
    assert refused["message"] == f"Too many requests: limit reached on type Namespace for key {namespace}"
