"""Taints, cordon and drain with upstream's kubectl."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.harness.upstream import Kubectl
from tests.integration.manifests import pod


@pytest.fixture
def node(kubectl: Kubectl) -> Iterator[str]:
    name = kubectl.namespace[-40:].strip("-")
    kubectl.run("create", "-f", "-", stdin={"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}).ok()
    yield name
    kubectl.run("delete", "node", name, "--wait=false").ok()


def test_taints_and_cordon(kubectl: Kubectl, node: str) -> None:
    assert kubectl.run("taint", "node", node, "k=v:NoSchedule").ok().stdout == f"node/{node} tainted\n"
    refused = kubectl.run("taint", "node", node, "k=w:NoSchedule").failed()
    assert f"node {node} already has k taint(s) with same effect(s) and --overwrite is false" in refused.stderr
    assert kubectl.run("taint", "node", node, "k=w:NoSchedule", "--overwrite").ok().stdout == f"node/{node} modified\n"
    assert kubectl.run("taint", "node", node, "k:NoSchedule-").ok().stdout == f"node/{node} untainted\n"
    assert kubectl.run("cordon", node).ok().stdout == f"node/{node} cordoned\n"
    assert kubectl.run("cordon", node).ok().stdout == f"node/{node} already cordoned\n"
    assert "SchedulingDisabled" in kubectl.run("get", "node", node).ok().stdout
    assert kubectl.run("uncordon", node).ok().stdout == f"node/{node} uncordoned\n"


def test_drain_honours_a_disruption_budget(kubectl: Kubectl, node: str) -> None:
    """https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/: 429 until the budget allows it."""
    body = pod("p", labels={"app": "x"})
    body["spec"]["nodeName"] = node
    kubectl.run("create", "-f", "-", stdin=body).ok()
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    kubectl.run("patch", "pod", "p", "--subresource=status", "-p", json.dumps({"status": ready})).ok()
    alone = kubectl.run("drain", node).failed()
    assert (
        f"cannot delete Pods that declare no controller (use --force to override): {kubectl.namespace}/p"
        in alone.stderr
    )
    kubectl.run("create", "pdb", "keep", "--selector=app=x", "--min-available=1").ok()
    held = {"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1,
            "expectedPods": 1}  # fmt: skip
    kubectl.run("patch", "pdb", "keep", "--subresource=status", "--type=merge", "-p", json.dumps({"status": held})).ok()
    refused = kubectl.run("drain", node, "--force", "--timeout=1s").failed()
    assert (
        f'error when evicting pods/"p" -n "{kubectl.namespace}" (will retry after 5s): '
        "Cannot evict pod as it would violate the pod's disruption budget." in refused.stderr
    )
    held["disruptionsAllowed"] = 1
    kubectl.run("patch", "pdb", "keep", "--subresource=status", "--type=merge", "-p", json.dumps({"status": held})).ok()
    drained = kubectl.start("drain", node, "--force", "--timeout=20s")
    assert drained.stdout is not None
    for line in drained.stdout:
        if line.startswith("evicting pod"):
            break
    kubectl.run("delete", "pod", "p", "--force", "--grace-period=0").ok()  # what a kubelet does
    assert drained.communicate(timeout=20)[0].endswith(f"pod/p evicted\nnode/{node} drained\n")
    assert kubectl.run("uncordon", node).ok().stdout == f"node/{node} uncordoned\n"
