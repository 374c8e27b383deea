"""Clients that we did not write, each with a story of its own: tests/stories tells what happens."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.harness import foreign
from tests.harness.cluster import HELLO, Cluster
from tests.harness.eventually import eventually_sync
from tests.harness.foreign import STORIES


@pytest.mark.parametrize(
    "story", ["python_client.py", "kr8s_client.py", "lightkube_client.py", "node_client.mjs", "helm_client.py"]
)
def test_a_client_tells_its_story(cluster: Cluster, namespace: str, story: str) -> None:
    foreign.tell(story, cluster.kubeconfig, NAMESPACE=namespace, IMAGE=HELLO)


@pytest.fixture
def operator(cluster: Cluster, namespace: str) -> Iterator[subprocess.Popen[str]]:
    """A kopf operator that watches the test's namespace."""
    cluster.kubectl("apply", "-f", str(STORIES / "greetings.yaml"))
    cluster.kubectl("wait", "--for=condition=Established", "crd/greetings.stories.example.com", "--timeout=10s")
    argv = [foreign.program("kopf"), "run", "--namespace", namespace, str(STORIES / "kopf_operator.py")]
    running = subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=foreign.environment(cluster.kubeconfig, {}),
    )
    try:
        yield running
    finally:
        running.terminate()
        said, _ = running.communicate(timeout=20)
        print(said)
        cluster.kubectl("delete", "crd", "greetings.stories.example.com", "--timeout=30s", check=False)


def test_a_kopf_operator_looks_after_its_own_kind(
    cluster: Cluster, namespace: str, operator: subprocess.Popen[str]
) -> None:
    """https://docs.kopf.dev: finalizers, status, adoption; what the operator does is seen in the cluster alone."""
    greeting = {
        "apiVersion": "stories.example.com/v1",
        "kind": "Greeting",
        "metadata": {"name": "g"},
        "spec": {"who": "world"},
    }
    bad = {**greeting, "spec": {"who": ""}}
    refused = cluster.kubectl("create", "-f", "-", stdin=json.dumps(bad), namespace=namespace, check=False)
    assert 'spec.who: Invalid value: "": spec.who in body should be at least 1 chars long' in refused.stderr
    cluster.apply(json.dumps(greeting), namespace)

    def text() -> str:
        assert operator.poll() is None, "the operator ended"
        made = cluster.kubectl("get", "cm", "g", "-o", "jsonpath={.data.text}", namespace=namespace, check=False)
        return made.stdout

    eventually_sync(lambda: text() == "hello world", "the operator greets", within=30)
    shown = eventually_sync(
        lambda: (lines := cluster.kubectl("get", "gr", namespace=namespace).stdout.splitlines())[1].split()[1:]
        == ["world", "hello", "world"] and lines,
        "its columns show it",
    )  # fmt: skip
    assert shown[0].split() == ["NAME", "WHO", "TEXT"]
    live = cluster.get("greeting", "g", namespace=namespace)
    assert live["spec"] == {"who": "world", "times": 1}
    assert live["metadata"]["finalizers"] == ["stories.example.com/kopf"]
    cluster.kubectl("patch", "greeting", "g", "--type=merge", "-p", '{"spec":{"who":"you"}}', namespace=namespace)
    eventually_sync(lambda: text() == "hello you", "the operator greets again", within=30)
    explained = cluster.kubectl("explain", "greeting.spec").stdout
    assert "  who\t<string> -required-\n    Whom to greet." in explained, explained
    cluster.kubectl("delete", "greeting", "g", "--timeout=30s", namespace=namespace)
    assert cluster.get("cm", "bye-g", namespace=namespace)
    adopted = eventually_sync(
        lambda: cluster.kubectl("get", "cm", "g", namespace=namespace, check=False).returncode == 1,
        "what the greeting owned goes with it",
        within=30,
    )
    assert adopted
