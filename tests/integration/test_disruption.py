"""Disruption budgets: what the loop writes, what an eviction is told, and how the upstream kubectl drains a node.

https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
https://kubernetes.io/docs/tasks/run-application/configure-pdb/
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api import meta
from api.builtin import DISRUPTION_BUDGETS, PODS
from api.errors import ApiError, InternalError, TooManyRequests
from api.meta import Obj
from client.http import ApiClient
from tests.harness.eventually import eventually
from tests.harness.upstream import Kubectl
from tests.integration import manifests
from tests.integration.conftest import Start
from tests.integration.test_control_loops import Kubelets, kubelets

__all__ = ["kubelets"]


def _budget(name: str, **spec: Any) -> Obj:
    return {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec},
    }  # fmt: skip


async def _allowed(ours: ApiClient, namespace: str, count: int, name: str = "web") -> Obj:
    async def reached() -> Obj | None:
        budget = await ours.get(DISRUPTION_BUDGETS, name, namespace)
        status = budget["status"]
        current = status.get("observedGeneration") == budget["metadata"]["generation"]
        return budget if current and status["disruptionsAllowed"] == count else None

    found = await eventually(reached, f"{count} disruptions allowed")
    assert found is not None
    return found


async def _evict(ours: ApiClient, namespace: str, name: str, **options: Any) -> None:
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        **options,
    }
    await ours.request("POST", PODS.path(namespace, name, "eviction"), json=body)


async def test_a_drain_waits_for_the_budget(
    start_controller: Start, kubelets: Kubelets, kubectl: Kubectl, ours: ApiClient, namespace: str
) -> None:
    start_controller()
    (await asyncio.to_thread(kubectl.run, "apply", "-f", "-", stdin=manifests.deployment("web", 3))).ok()
    (await asyncio.to_thread(kubectl.run, "create", "-f", "-", stdin=_budget("web", minAvailable=3))).ok()

    async def all_ready() -> bool:
        status = (await ours.get(DISRUPTION_BUDGETS, "web", namespace))["status"]
        return status["currentHealthy"] == 3

    await eventually(all_ready, "three healthy pods", within=30)
    budget = await _allowed(ours, namespace, 0)
    assert (budget["status"]["desiredHealthy"], budget["status"]["expectedPods"]) == (3, 3)
    condition = meta.get_condition(budget, "DisruptionAllowed") or {}
    assert (condition["status"], condition["reason"]) == ("False", "InsufficientPods")
    pods = [p for p in (await ours.list(PODS, namespace))["items"] if not meta.is_deleting(p)]
    with pytest.raises(TooManyRequests) as refused:
        await _evict(ours, namespace, meta.name(pods[0]))
    assert refused.value.message == "Cannot evict pod as it would violate the pod's disruption budget."
    cause = {
        "reason": "DisruptionBudget",
        "message": "The disruption budget web needs 3 healthy pods and has 3 currently",
    }
    assert refused.value.details == {"causes": [cause]}

    node = pods[0]["spec"]["nodeName"]
    drain = ("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--pod-selector=app=web")
    waiting = await asyncio.to_thread(kubectl.run, *drain, "--timeout=3s")
    assert "Cannot evict pod as it would violate the pod's disruption budget." in waiting.failed().stderr
    (await asyncio.to_thread(kubectl.run, "patch", "pdb", "web", "-p", '{"spec":{"minAvailable":2}}')).ok()
    await _allowed(ours, namespace, 1)
    done = await asyncio.to_thread(kubectl.run, *drain, "--timeout=40s", within=60)
    assert f"node/{node} drained" in done.ok().stdout


async def test_an_eviction_takes_its_grant_from_the_budget(
    start_controller: Start, ours: ApiClient, namespace: str
) -> None:
    """KEP-3017: unhealthy pods; the grant is noted, so that the next eviction sees it at once."""
    for name in ("a", "b", "c"):
        body = manifests.pod(name, labels={"app": "web"})
        await ours.create(PODS, body | {"metadata": {**body["metadata"], "namespace": namespace}})
    await ours.create(
        DISRUPTION_BUDGETS, {**_budget("web", minAvailable=1), "metadata": {"name": "web", "namespace": namespace}}
    )
    ready = {"type": "Ready", "status": "True"}
    for name, conditions in (("a", [ready]), ("b", [ready]), ("c", [])):
        status = {"status": {"phase": "Running", "conditions": conditions}}
        await ours.patch(PODS, name, status, namespace=namespace, subresource="status")
        await ours.patch(PODS, name, {"metadata": {"finalizers": ["example.com/stay"]}}, namespace=namespace)
    with pytest.raises(TooManyRequests) as early:
        await _evict(ours, namespace, "a")
    assert early.value.details["causes"][0]["message"] == (
        "The disruption budget web is still being processed by the server."
    )
    assert early.value.details["retryAfterSeconds"] == 10
    start_controller()
    await _allowed(ours, namespace, 1)
    await _evict(ours, namespace, "a", deleteOptions={"dryRun": ["All"]})
    assert (await ours.get(DISRUPTION_BUDGETS, "web", namespace))["status"]["disruptionsAllowed"] == 1
    await _evict(ours, namespace, "c")  # it does not count
    await _evict(ours, namespace, "a")
    gone = await ours.get(PODS, "a", namespace)
    assert meta.is_deleting(gone)
    condition = meta.get_condition(gone, "DisruptionTarget") or {}
    assert (condition["status"], condition["reason"]) == ("True", "EvictionByEvictionAPI")
    with pytest.raises(TooManyRequests):
        await _evict(ours, namespace, "b")
    await ours.create(
        DISRUPTION_BUDGETS, {**_budget("two", minAvailable=1), "metadata": {"name": "two", "namespace": namespace}}
    )

    async def several() -> bool:
        try:
            await _evict(ours, namespace, "b")
        except InternalError as error:
            return "more than one PodDisruptionBudget" in error.message
        except ApiError:
            return False
        return False

    await eventually(several, "two budgets are one too many")
