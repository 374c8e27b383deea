"""What upstream's kubectl reads and prints: every output format of get, watches, events, auth, cluster-info."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from client.http import ApiClient
from tests.harness.upstream import Kubectl
from tests.integration.manifests import config_map, deployment, pod, service


@pytest.fixture
def filled(kubectl: Kubectl) -> Kubectl:
    items = [pod("b", labels={"app": "x"}), pod("a", labels={"app": "y"}), service("web"), deployment("web")]
    kubectl.run("create", "-f", "-", stdin={"apiVersion": "v1", "kind": "List", "items": items}).ok()
    return kubectl


def test_every_output_format(filled: Kubectl) -> None:
    """https://kubernetes.io/docs/reference/kubectl/#output-options"""

    def get(*words: str) -> str:
        return filled.run("get", *words).ok().stdout

    assert get("pods", "-o", "name") == "pod/a\npod/b\n"
    assert get("pods", "--sort-by=.metadata.labels.app", "-o", "name") == "pod/b\npod/a\n"
    assert (
        get("pods", "-o", "jsonpath={range .items[*]}{.metadata.name}={.status.phase};{end}") == "a=Pending;b=Pending;"
    )
    assert get("pods", "-o", "go-template={{range .items}}{{.metadata.name}} {{end}}") == "a b "
    assert get("pods", "-o", "custom-columns=NAME:.metadata.name,IMAGE:.spec.containers[*].image,X:.x") == (
        "NAME   IMAGE     X\na      busybox   <none>\nb      busybox   <none>\n"
    )
    assert get("pods", "-o", "custom-columns=NAME:.metadata.name", "--no-headers") == "a\nb\n"
    wide = get("pod", "a", "-o", "wide").splitlines()
    assert wide[0].split("  ")[0] == "NAME" and wide[0].endswith("NOMINATED NODE   READINESS GATES")
    assert wide[1].split() == ["a", "0/1", "Pending", "0", wide[1].split()[4], *["<none>"] * 4]
    assert get("pods", "-L", "app", "-l", "app in (x)", "--no-headers").split()[-1] == "x"
    assert get("pods", "--show-labels").splitlines()[1].endswith("app=y")
    assert get("pods", "--show-kind", "--no-headers").startswith("pod/a ")
    assert get("pods", "--chunk-size=1", "-o", "name") == "pod/a\npod/b\n"
    assert get("pods", "--label-columns=app", "--field-selector=metadata.name=b", "--no-headers").startswith("b ")
    kyaml = get("pod", "a", "-o", "kyaml")
    assert kyaml.startswith('---\n{\n  apiVersion: "v1",\n  kind: "Pod",\n') and yaml.safe_load(kyaml)["kind"] == "Pod"
    plain = yaml.safe_load(get("pod", "a", "-o", "yaml"))
    assert json.loads(get("pod", "a", "-o", "json")) == plain
    listed = json.loads(get("pods,services", "-o", "json"))
    assert (listed["kind"], listed["apiVersion"]) == ("List", "v1")
    assert [item["kind"] for item in listed["items"]] == ["Pod", "Pod", "Service"]
    table = get("all").splitlines()
    assert [line.split("   ")[0] for line in table if line.startswith("NAME")] == ["NAME", "NAME", "NAME"]
    assert {"pod/a", "pod/b", "service/web", "deployment.apps/web"} <= {line.split()[0] for line in table if line}
    raw = json.loads(get("--raw", f"/api/v1/namespaces/{filled.namespace}/pods?limit=1"))
    assert raw["metadata"]["remainingItemCount"] == 1 and raw["metadata"]["continue"]
    nothing = filled.run("get", "pods", "-l", "app=z").ok()
    assert (nothing.stdout, nothing.stderr) == ("", f"No resources found in {filled.namespace} namespace.\n")
    missing = filled.run("get", "pod", "z").failed()
    assert missing.stderr == 'Error from server (NotFound): pods "z" not found\n'
    bad = filled.run("get", "pods", "--field-selector=spec.nope=1").failed()
    assert bad.stderr.startswith("Error from server (BadRequest): Unable to find") and (
        "field label not supported: spec.nope" in bad.stderr
    )


def test_a_watch_prints_what_happens(filled: Kubectl) -> None:
    watching = filled.start("get", "configmaps", "-w", "--output-watch-events", "-o", "name")
    assert watching.stdout is not None
    try:
        filled.run("create", "-f", "-", stdin=config_map("one", {"a": "1"})).ok()
        filled.run("patch", "cm", "one", "-p", '{"data":{"a":"2"}}').ok()
        filled.run("delete", "cm", "one").ok()
        seen = [watching.stdout.readline().split() for _ in range(3)]
    finally:
        watching.kill()
        watching.wait()
    lines = [words for words in seen if words and words[-1].endswith("one")]
    assert lines, seen


def test_a_watch_only_starts_with_what_comes(filled: Kubectl) -> None:
    done = filled.run("get", "pods", "--watch-only", "--request-timeout=1s", within=15)
    assert done.stdout == ""


def test_wait(filled: Kubectl) -> None:
    """https://kubernetes.io/docs/reference/kubectl/generated/kubectl_wait/"""
    assert filled.run("wait", "--for=jsonpath={.status.phase}=Pending", "pod/a").ok().stdout == "pod/a condition met\n"
    assert filled.run("wait", "--for=create", "pod/a").ok().stdout == "pod/a condition met\n"
    late = filled.run("wait", "--for=condition=Ready", "pod/a", "--timeout=300ms").failed()
    assert late.stderr == "error: timed out waiting for the condition on pods/a\n"
    ready = '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}'
    waiting = filled.start("wait", "--for=condition=Ready", "pod/a", "--timeout=20s")
    filled.run("patch", "pod", "a", "--subresource=status", "-p", ready).ok()
    assert waiting.communicate(timeout=20) == ("pod/a condition met\n", None)
    waiting = filled.start("wait", "--for=delete", "pod/a", "--timeout=20s")
    filled.run("delete", "pod", "a", "--now").ok()
    waiting.communicate(timeout=20)
    assert waiting.returncode == 0
    waiting = filled.start("wait", "--for=create", "cm/late", "--timeout=20s")
    filled.run("create", "cm", "late").ok()
    assert waiting.communicate(timeout=20) == ("configmap/late condition met\n", None)


def test_events(filled: Kubectl) -> None:
    """https://kubernetes.io/docs/reference/kubectl/generated/kubectl_events/"""
    uid = filled.run("get", "pod", "a", "-o", "jsonpath={.metadata.uid}").ok().stdout
    event = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "a.1"}, "type": "Warning", "reason": "Failed",
        "message": "it did not work", "count": 3, "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:05:00Z", "source": {"component": "test"},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "a", "namespace": filled.namespace, "uid": uid},
    }  # fmt: skip
    filled.run("create", "-f", "-", stdin=event).ok()
    for command in (("events", "--for", "pod/a"), ("get", "events")):
        header, line = filled.run(*command).ok().lines
        assert header.split() == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
        assert line.split("  ")[-1].strip() == "it did not work" and "pod/a" in line.lower()
    assert filled.run("events", "--types=Normal").ok().stderr.startswith("No events found")
    told = filled.run("describe", "pod", "a").ok().stdout
    assert "Warning  Failed" in told and "it did not work" in told


def test_who_may_what(filled: Kubectl) -> None:
    assert filled.run("auth", "can-i", "create", "deployments.apps").ok().stdout == "yes\n"
    assert filled.run("auth", "can-i", "get", "/metrics").ok().stdout == "yes\n"
    assert filled.run("auth", "can-i", "get", "pods", "--as=nobody").failed().stdout == "no\n"
    listed = filled.run("auth", "can-i", "--list").ok().lines
    assert listed[0].split("  ")[0] == "Resources" and any(line.split()[:1] == ["*.*"] for line in listed)
    who = filled.run("auth", "whoami").ok().lines
    credential = who.pop().split()
    assert credential[:2] == ["Extra:", "authentication.kubernetes.io/credential-id"]
    assert re.fullmatch(r"\[X509SHA256=[0-9a-f]{64}\]", credential[2])
    assert [line.split() for line in who] == [
        ["ATTRIBUTE", "VALUE"], ["Username", "kubernetes-admin"], ["Groups", "[system:masters", "system:authenticated]"],
    ]  # fmt: skip


def test_the_cluster_is_told_of(filled: Kubectl, tmp_path: Path) -> None:
    told = filled.run("cluster-info").ok().stdout
    assert "Kubernetes control plane" in told and "https://127.0.0.1:" in told
    out = tmp_path / "dump"
    filled.run("cluster-info", "dump", "--namespaces", filled.namespace, "--output-directory", str(out)).ok()
    assert (out / "nodes.json").exists()
    assert json.loads((out / filled.namespace / "pods.json").read_text())["kind"] == "PodList"
    assert (out / filled.namespace / "a" / "logs.txt").exists()
    metrics = filled.run("top", "pods").failed()
    assert metrics.stderr == "error: Metrics API not available\n"


def test_a_proxy_of_kubectl_passes_everything_on(filled: Kubectl) -> None:
    proxy = filled.start("proxy", "--port=0")
    assert proxy.stdout is not None
    try:
        address = proxy.stdout.readline().split()[-1]
        read = ["curl", "-s", f"http://{address}/api/v1/namespaces/{filled.namespace}/pods/a"]
        assert json.loads(subprocess.run(read, capture_output=True, check=True).stdout)["metadata"]["name"] == "a"
    finally:
        proxy.kill()
        proxy.wait()


def test_kustomize(filled: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "cm.yaml").write_text(json.dumps(config_map("base", {"a": "b"})))
    (tmp_path / "kustomization.yaml").write_text("resources: [cm.yaml]\nnamePrefix: my-\n")
    assert filled.run("apply", "-k", str(tmp_path)).ok().stdout == "configmap/my-base created\n"
    assert filled.run("delete", "-k", str(tmp_path)).ok().stdout.startswith('configmap "my-base" deleted')


@pytest.mark.parametrize("kind", ["pods/a", "services/web", "deployments/web", "namespaces", "events"])
def test_describe(filled: Kubectl, kind: str) -> None:
    told = filled.run("describe", kind).ok()
    assert told.stdout or told.stderr.startswith("No resources found")


async def test_rollouts_are_followed(filled: Kubectl, ours: ApiClient) -> None:
    """Without controllers nothing moves: what a rollout says comes from status alone."""
    waiting = filled.start("rollout", "status", "deployment/web", "--timeout=20s")
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == "Waiting for deployment spec update to be observed...\n"
    done = {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3}
    filled.run("patch", "deployment", "web", "--subresource=status", "-p", json.dumps({"status": done})).ok()
    out, _ = waiting.communicate(timeout=20)
    assert out.endswith('deployment "web" successfully rolled out\n')
    assert filled.run("rollout", "pause", "deployment/web").ok().stdout == "deployment.apps/web paused\n"
    paused = filled.run("rollout", "restart", "deployment/web").failed()
    assert "can't restart paused deployment (run rollout resume first)" in paused.stderr
    assert filled.run("rollout", "resume", "deployment/web").ok().stdout == "deployment.apps/web resumed\n"
    assert filled.run("rollout", "restart", "deployment/web").ok().stdout == "deployment.apps/web restarted\n"
    history = filled.run("rollout", "history", "deployment/web").ok().stdout
    assert history == "deployment.apps/web \nNo rollout history found.\n"


def test_deprecated_kinds_say_so(kubectl: Kubectl) -> None:
    """https://kubernetes.io/docs/reference/using-api/deprecation-policy/: a Warning header on every request"""
    said = kubectl.run("get", "endpoints").ok().stderr
    assert said.startswith("Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\n")
    assert kubectl.run("get", "cs").ok().stderr.startswith("Warning: v1 ComponentStatus is deprecated in v1.19+\n")
