"""CEL rules of a definition, from kubectl's side of the door.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules;
the shape of messages is upstream's of level 1.35.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.harness.upstream import Kubectl
from tests.integration.custom.manifests import crontab_definition

Obj = dict[str, Any]


def ruled(group: str, rules: list[Obj], **properties: Obj) -> Obj:
    definition = crontab_definition(group)
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"] |= properties
    spec["x-kubernetes-validations"] = rules
    return definition


def crontab(group: str, **spec: Any) -> Obj:
    return {"apiVersion": f"{group}/v1", "kind": "CronTab", "metadata": {"name": "a"}, "spec": spec}


def test_the_documentations_example(kubectl: Kubectl, group: str, define: Callable[[Obj], Obj]) -> None:
    count = {"type": "integer"}
    rules = [
        {"rule": "self.minReplicas <= self.replicas", "message": "replicas should be at least minReplicas."},
        {"rule": "self.replicas <= self.maxReplicas", "messageExpression": "'at most ' + string(self.maxReplicas)",
         "fieldPath": ".replicas"},
        {"rule": "self.minReplicas == oldSelf.minReplicas", "message": "cannot change"},
    ]  # fmt: skip
    define(ruled(group, rules, minReplicas=count, maxReplicas=count))
    wrong = kubectl.run("create", "-f", "-", stdin=crontab(group, minReplicas=3, replicas=2, maxReplicas=1)).failed()
    assert wrong.stderr.splitlines() == [
        'The CronTab "a" is invalid: ',
        "* spec: Invalid value: replicas should be at least minReplicas.",
        "* spec.replicas: Invalid value: at most 1",
    ]
    kubectl.run("create", "-f", "-", stdin=crontab(group, minReplicas=1, replicas=2, maxReplicas=4)).ok()
    kubectl.run("patch", "crontab", "a", "--type=merge", "-p", '{"spec":{"replicas":4}}').ok()
    changed = kubectl.run("patch", "crontab", "a", "--type=merge", "-p", '{"spec":{"minReplicas":2}}').failed()
    assert changed.stderr.strip() == 'The CronTab "a" is invalid: spec: Invalid value: cannot change'


def test_a_definition_with_a_bad_rule_is_refused(kubectl: Kubectl, group: str) -> None:
    definition = ruled(group, [{"rule": "self.replicas > 'a'"}, {"rule": "self.names.all(n, n in self.names)"}],
                       names={"type": "array", "items": {"type": "string"}})  # fmt: skip
    refused = kubectl.run("create", "-f", "-", stdin=definition).failed().stderr
    at = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations"
    assert f"{at}[0].rule: Invalid value: apiextensions.ValidationRule{{Rule:\"self.replicas > 'a'\"" in refused
    assert (
        "compilation failed: ERROR: <input>:1:15: found no matching overload for '_>_' applied to '(int, string)'"
    ) in refused
    assert (
        f"{at}[1].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying "
        "the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    ) in refused
