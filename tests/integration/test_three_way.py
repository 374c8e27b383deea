"""Our client-side apply against upstream's: both compute a patch from what was applied, what is wanted and what the
server has, and both must leave the same object."""

from __future__ import annotations

import copy
import json
import uuid
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kubernetes.client import AppsV1Api

from api import objects
from api.builtin import DEPLOYMENTS
from api.patch import strategic, three_way
from kubectl.verbs.apply import last_applied, with_last_applied
from tests.harness.upstream import Kubectl

Obj = dict[str, Any]
_names, _texts = st.sampled_from("abc"), st.sampled_from(["x", "y"])


def _some(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[Obj]:
    return st.fixed_dictionaries(required, optional=optional)


def _by(items: st.SearchStrategy[Obj], key: str, least: int = 0) -> st.SearchStrategy[list[Obj]]:
    return st.lists(items, min_size=least, max_size=3, unique_by=lambda e: e[key])


_container = _some(
    {"name": _names, "image": _texts},
    {
        "args": st.lists(_texts, max_size=2),
        "env": _by(_some({"name": _names}, {"value": _texts}), "name"),
        "ports": _by(_some({"containerPort": st.sampled_from([80, 81, 443])}, {"protocol": st.just("UDP")}), "containerPort"),
    },
)  # fmt: skip
_volume = st.one_of(
    _some({"name": _names, "emptyDir": st.just({})}, {}),
    _some({"name": _names, "configMap": st.fixed_dictionaries({"name": _texts})}, {}),
)
_spec = _some(
    {"containers": _by(_container, "name", 1)},
    {
        "volumes": _by(_volume, "name"),
        "nodeSelector": st.dictionaries(_names, _texts, max_size=2),
        "tolerations": st.lists(_some({"operator": st.just("Exists")}, {"key": _names}), max_size=2),
        "imagePullSecrets": _by(_some({"name": _names}, {}), "name"),
    },
)
_strategy = st.sampled_from([None, {"type": "Recreate"}, {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2}}])
_objects = st.tuples(_spec, _strategy, st.dictionaries(_names, _texts, max_size=2), st.integers(1, 3))


def _deployment(name: str, parts: tuple[Obj, Obj | None, dict[str, str], int]) -> Obj:
    spec, strategy, labels, replicas = copy.deepcopy(parts)
    template = {"metadata": {"labels": {"app": "web", **labels}}, "spec": spec}
    whole: Obj = {"selector": {"matchLabels": {"app": "web"}}, "template": template, "replicas": replicas}
    if strategy is not None:
        whole["strategy"] = strategy
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": whole}


@given(st.lists(st.tuples(_objects, _objects, _objects), min_size=6, max_size=6))
@settings(
    max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate], derandomize=True,
    database=None,
)  # fmt: skip
def test_both_leave_the_same_object(kubectl: Kubectl, official: Any, namespace: str, triples: list[Any]) -> None:
    apps = AppsV1Api(official)
    names = [f"w-{uuid.uuid4().hex[:8]}" for _ in triples]
    applied, live, wanted = ([_deployment(n, t[i]) for n, t in zip(names, triples, strict=True)] for i in range(3))
    kubectl.run("apply", "-f", "-", stdin={"apiVersion": "v1", "kind": "List", "items": applied}).ok()
    expected = {}
    for name, was, have, want in zip(names, applied, live, wanted, strict=True):
        have["metadata"]["annotations"] = with_last_applied(was)["metadata"]["annotations"]
        apps.replace_namespaced_deployment(name, namespace, have)
        current = official.sanitize_for_serialization(apps.read_namespaced_deployment(name, namespace))
        modified = with_last_applied({**want, "metadata": {**want["metadata"], "namespace": namespace}})
        patch = three_way.merge(DEPLOYMENTS, last_applied(current), modified, current)
        new, _ = objects.decode(DEPLOYMENTS, strategic.apply(DEPLOYMENTS, current, patch))
        objects.for_update(DEPLOYMENTS, new, current)
        expected[name] = (new["spec"], new["metadata"].get("labels", {}))
    # Directives in an element that is new to the server stay in it and are refused as unknown fields, by upstream too.
    told = kubectl.run("apply", "-f", "-", stdin={"apiVersion": "v1", "kind": "List", "items": wanted})
    done = [name for name in names if f"deployment.apps/{name} configured" in told.stdout]
    assert len(done) >= len(names) - told.stderr.count("strict decoding error")
    for name in done:
        found = kubectl.run("get", "deploy", name, "-o", "json").ok().json
        index = names.index(name)
        theirs = (found["spec"], found["metadata"].get("labels", {}))
        assert expected[name] == theirs, json.dumps(
            [applied[index], live[index], wanted[index], expected[name], theirs]
        )
