"""Descriptions of sample objects, line for line."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from typing import Any

from kubectl import tabwriter
from kubectl.describe import basics, generic, nodes, pods, services, workloads
from kubectl.describe.containers import probe_text
from kubectl.describe.pods import qos_class, toleration_lines

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def page(text: str) -> str:
    return tabwriter.describe(text)


def expected(text: str) -> str:
    """`·` stands for a space at the end of a line."""
    return textwrap.dedent(text).lstrip("\n").replace("·", " ")


EVENT = {
    "metadata": {"name": "e", "creationTimestamp": "2026-01-01T11:59:00Z"},
    "type": "Warning",
    "reason": "BackOff",
    "count": 4,
    "firstTimestamp": "2026-01-01T11:58:00Z",
    "lastTimestamp": "2026-01-01T11:59:50Z",
    "source": {"component": "kubelet"},
    "message": "Back-off restarting failed container",
}


def test_events_are_aligned_and_counted() -> None:
    once = {**EVENT, "count": 1, "type": "Normal", "reason": "Pulled", "message": "Pulled",
            "lastTimestamp": "2026-01-01T11:58:00Z"}  # fmt: skip
    obj = {"metadata": {"name": "default"}, "status": {"phase": "Active"}}
    text = page(basics.service_account(obj, [EVENT, once], NOW))
    assert text.endswith(
        expected("""
        Events:
          Type     Reason   Age               From     Message
          ----     ------   ----              ----     -------
          Normal   Pulled   2m                kubelet  Pulled
          Warning  BackOff  10s (x4 over 2m)  kubelet  Back-off restarting failed container
        """)
    )


def test_pod() -> None:
    obj: dict[str, Any] = {
        "metadata": {
            "name": "web",
            "namespace": "default",
            "labels": {"app": "web", "tier": "front"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-1", "uid": "u", "controller": True}],
        },
        "spec": {
            "nodeName": "n1",
            "serviceAccountName": "default",
            "containers": [
                {
                    "name": "web",
                    "image": "example:1",
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "env": [
                        {"name": "A", "value": "1"},
                        {"name": "POD", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
                    ],
                    "volumeMounts": [{"name": "d", "mountPath": "/data"}],
                    "resources": {"limits": {"memory": "128Mi"}, "requests": {"cpu": "0.1"}},
                }
            ],
            "volumes": [{"name": "d", "emptyDir": {}}],
            "tolerations": [
                {"key": "b", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            ],
        },
        "status": {
            "phase": "Running",
            "hostIP": "10.0.0.1",
            "podIP": "10.244.0.2",
            "podIPs": [{"ip": "10.244.0.2"}],
            "qosClass": "Burstable",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [
                {
                    "name": "web",
                    "containerID": "docker://1",
                    "imageID": "sha256:2",
                    "ready": True,
                    "restartCount": 1,
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {},
                }
            ],
        },
    }
    assert page(pods.pod(obj, [], NOW)) == expected("""
        Name:             web
        Namespace:        default
        Service Account:  default
        Node:             n1/10.0.0.1
        Labels:           app=web
                          tier=front
        Annotations:      <none>
        Status:           Running
        IP:               10.244.0.2
        IPs:
          IP:           10.244.0.2
        Controlled By:  ReplicaSet/web-1
        Containers:
          web:
            Container ID:   docker://1
            Image:          example:1
            Image ID:       sha256:2
            Port:           80/TCP
            Host Port:      0/TCP
            State:          Waiting
              Reason:       CrashLoopBackOff
            Ready:          True
            Restart Count:  1
            Limits:
              memory:  128Mi
            Requests:
              cpu:  100m
            Environment:
              A:    1
              POD:  web (v1:metadata.name)
            Mounts:
              /data from d (rw)
        Conditions:
          Type    Status
          Ready   True·
        Volumes:
          d:
            Type:        EmptyDir (a temporary directory that shares a pod's lifetime)
            Medium:······
            SizeLimit:   <unset>
        QoS Class:       Burstable
        Node-Selectors:  <none>
        Tolerations:     b:NoExecute op=Exists for 300s
        Events:          <none>
        """)


def test_quality_of_service() -> None:
    both = {"cpu": "1", "memory": "1Gi"}
    assert qos_class({"containers": [{}]}) == "BestEffort"
    assert qos_class({"containers": [{"resources": {"requests": {"cpu": "1"}}}]}) == "Burstable"
    assert qos_class({"containers": [{"resources": {"limits": both, "requests": both}}]}) == "Guaranteed"


def test_probes() -> None:
    assert probe_text({"httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"}, "periodSeconds": 2}) == (
        "http-get http://:http/healthz delay=0s timeout=1s period=2s #success=1 #failure=3"
    )
    assert probe_text({"exec": {"command": ["a", "b"]}}).startswith("exec [a b] delay=0s")


def test_tolerate_everything() -> None:
    assert toleration_lines([{"operator": "Exists"}]) == ["op=Exists"]
    assert toleration_lines(None) == []


def test_deployment_tells_its_replica_sets() -> None:
    template = {"metadata": {"labels": {"app": "w"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    obj = {
        "metadata": {"name": "w", "namespace": "d", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "w"}},
            "template": template,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": 1}},
        },
        "status": {"replicas": 3, "updatedReplicas": 2, "availableReplicas": 1, "unavailableReplicas": 2},
    }
    rs = {"metadata": {"name": "w-1"}, "spec": {"replicas": 2}, "status": {"replicas": 1}}
    text = page(workloads.deployment(obj, [], [rs], [], NOW))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "Replicas: 3 desired | 2 updated | 3 total | 1 available | 2 unavailable" in lines
    assert "RollingUpdateStrategy: 25% max unavailable, 1 max surge" in lines
    assert "OldReplicaSets: <none>" in lines
    assert "NewReplicaSet: w-1 (1/2 replicas created)" in lines


def test_service_shows_three_endpoints() -> None:
    ready = [{"addresses": [f"10.0.0.{i}"], "conditions": {"ready": i != 5}} for i in range(1, 7)]
    slices = [{"ports": [{"name": "http", "port": 80}], "endpoints": ready}]
    assert services.slice_addresses(slices, "http") == "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more..."
    assert services.slice_addresses([], "http") == "<none>"


def test_node_adds_up_its_pods() -> None:
    pod = {
        "metadata": {"name": "p", "namespace": "d", "creationTimestamp": "2026-01-01T11:59:00Z"},
        "spec": {
            "containers": [
                {"resources": {"requests": {"cpu": "250m", "memory": "64Mi"}}},
                {"resources": {"requests": {"cpu": "250m"}, "limits": {"memory": "256Mi"}}},
            ],
            "initContainers": [{"resources": {"requests": {"cpu": "1"}}}],
        },
    }
    obj = {
        "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/control-plane": ""}},
        "spec": {"taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]},
        "status": {"allocatable": {"cpu": "2", "memory": "1Gi"}},
    }
    text = page(nodes.node(obj, [pod], None, "gone", None, NOW))
    assert "Roles:              control-plane\n" in text
    assert "Taints:             a=b:NoSchedule\n" in text
    assert next(line.split() for line in text.splitlines() if line.startswith("  d ")) == [
        "d",
        "p",
        "1",
        "(50%)",
        "0",
        "(0%)",
        "64Mi",
        "(6%)",
        "256Mi",
        "(25%)",
        "60s",
    ]
    assert "  cpu                1 (50%)    0 (0%)" in text


def test_secrets_keep_their_values() -> None:
    text = page(
        basics.secret({"metadata": {"name": "s", "namespace": "d"}, "type": "Opaque", "data": {"p": "c2VjcmV0"}}, NOW)
    )
    assert "p:  6 bytes" in text
    assert "secret" not in text


def test_other_kinds_are_spelled_out() -> None:
    assert generic.spelled("creationTimestamp") == "Creation Timestamp"
    assert generic.spelled("apiVersion") == "API Version"
    lease = {"apiVersion": "c/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}}
    assert "Spec:\n  Holder Identity:  me\n" in page(generic.generic(lease, [], NOW))


def test_long_annotations_get_lines_of_their_own() -> None:
    obj = {"metadata": {"name": "s", "namespace": "d", "annotations": {"a": "x" * 150, "b": "c"}}}
    text = page(basics.service_account(obj, None, NOW))
    assert "Annotations:         a:\n" in text
    assert f"  {'x' * 138}...\n" in text
