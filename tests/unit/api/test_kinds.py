"""Defaults and rules of the core, apps, batch, autoscaling, policy and events kinds, as tables.

Sources: k8s.io/kubernetes/pkg/apis/*/v1/defaults.go and pkg/apis/*/validation of level v1.35, and the KEPs named.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from api import objects
from api.builtin import (
    AUTOSCALERS,
    AUTOSCALERS_V1,
    CONTROLLER_REVISIONS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    ENDPOINTS,
    EVENTS,
    JOBS,
    LIMIT_RANGES,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    REPLICATION_CONTROLLERS,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICES,
    STATEFUL_SETS,
)
from api.errors import BadRequest, Invalid
from api.kinds import cron_job
from api.registry import Resource

from .test_objects import NOW, create, pod

Obj = dict[str, Any]
_POD: Obj = {"containers": [{"name": "a", "image": "x:1"}]}
_TEMPLATE: Obj = {"metadata": {"labels": {"app": "a"}}, "spec": _POD}
_SELECTOR: Obj = {"matchLabels": {"app": "a"}}
_NEVER: Obj = {"spec": {**_POD, "restartPolicy": "Never"}}
_TARGET: Obj = {"kind": "Deployment", "name": "d"}
_CLAIM: Obj = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def of(resource: Resource, obj: Obj) -> Obj:
    return create(resource, {"metadata": {"name": "x"}, **obj})


def container(**fields: Any) -> Obj:
    return pod(containers=[{"name": "a", "image": "x", **fields}])


def job(**spec: Any) -> Obj:
    return {"spec": {"template": _NEVER, **spec}}


def at(obj: Obj, path: str) -> Any:
    for step in path.split("."):
        obj = obj[int(step)] if step.isdigit() else obj[step]  # type: ignore[index]
    return obj


_DEFAULTS: list[tuple[Resource, Obj, dict[str, Any]]] = [
    (PODS, pod(hostNetwork=True, containers=[{"name": "a", "image": "x", "ports": [{"containerPort": 80}]}]),
     {"spec.containers.0.ports.0": {"containerPort": 80, "hostPort": 80, "protocol": "TCP"},
      "spec.containers.0.imagePullPolicy": "Always", "spec.enableServiceLinks": True}),
    (PODS, container(image="x@sha256:" + "0" * 64, livenessProbe={"httpGet": {"port": 80}}),
     {"spec.containers.0.imagePullPolicy": "IfNotPresent",
      "spec.containers.0.livenessProbe": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1,
                                          "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}}),
    (PODS, container(resources={"limits": {"cpu": "1000m", "memory": 1024}}),
     {"spec.containers.0.resources": {"limits": {"cpu": "1", "memory": "1024"},
                                      "requests": {"cpu": "1", "memory": "1024"}}}),
    (PODS, pod(volumes=[{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}],
               serviceAccountName="s"),
     {"spec.volumes.0.projected": {"defaultMode": 420,
                                   "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}]}}),
    # Features that v1.35 has but does not turn on (kubernetes.io/docs/reference/command-line-tools-reference/feature-gates).
    (PODS, container(lifecycle={"stopSignal": "SIGINT"}), {"spec.containers.0.lifecycle": {}}),
    (PODS, pod(volumes=[{"name": "v", "projected": {"sources": [{"clusterTrustBundle": {"path": "t"}}]}}]),
     {"spec.volumes.0.projected": {"defaultMode": 420, "sources": [{}]}}),
    (DAEMON_SETS, {"spec": {"selector": _SELECTOR, "template": _TEMPLATE}},
     {"spec.updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
      "spec.revisionHistoryLimit": 10,
      "metadata.annotations": {"deprecated.daemonset.template.generation": "1"}}),
    (STATEFUL_SETS, {"spec": {"selector": _SELECTOR, "template": _TEMPLATE,
                              "volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": _CLAIM}]}},
     {"spec.podManagementPolicy": "OrderedReady", "spec.replicas": 1,
      "spec.updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1}},
      "spec.persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
      "spec.volumeClaimTemplates.0.status": {"phase": "Pending"}}),
    (REPLICATION_CONTROLLERS, {"spec": {"template": _TEMPLATE}},
     {"spec.selector": {"app": "a"}, "metadata.labels": {"app": "a"}, "spec.replicas": 1}),
    (JOBS, job(podFailurePolicy={"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}),
     {"spec.completions": 1, "spec.parallelism": 1, "spec.backoffLimit": 6, "spec.completionMode": "NonIndexed",
      "spec.suspend": False, "spec.podReplacementPolicy": "Failed",
      "spec.podFailurePolicy.rules.0.onPodConditions.0.status": "True"}),
    (CRON_JOBS, {"spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": _NEVER}}}},
     {"spec.concurrencyPolicy": "Allow", "spec.successfulJobsHistoryLimit": 3, "spec.failedJobsHistoryLimit": 1}),
    (AUTOSCALERS, {"spec": {"maxReplicas": 2, "scaleTargetRef": _TARGET, "behavior": {"scaleDown": {}}}},
     {"spec.minReplicas": 1, "spec.metrics.0.resource.target": {"type": "Utilization", "averageUtilization": 80},
      "spec.behavior.scaleDown.policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
      "spec.behavior.scaleUp.stabilizationWindowSeconds": 0}),
    (PERSISTENT_VOLUMES, {"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
                                   "hostPath": {"path": "/d"}}},
     {"spec.persistentVolumeReclaimPolicy": "Retain", "spec.volumeMode": "Filesystem", "spec.hostPath.type": "",
      "status.phase": "Pending"}),
    (PERSISTENT_VOLUME_CLAIMS, {"spec": _CLAIM}, {"spec.volumeMode": "Filesystem", "status": {"phase": "Pending"}}),
    (LIMIT_RANGES, {"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}}]}},
     {"spec.limits.0.default": {"cpu": "2"}, "spec.limits.0.defaultRequest": {"cpu": "2", "memory": "1Mi"}}),
    (SERVICES, {"spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
                         "ports": [{"port": 1}]}},
     {"spec.allocateLoadBalancerNodePorts": True, "spec.externalTrafficPolicy": "Cluster",
      "spec.internalTrafficPolicy": "Cluster", "spec.sessionAffinity": "None", "spec.ports.0.targetPort": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "obj", "expected"), _DEFAULTS, ids=[r.kind for r, *_ in _DEFAULTS])
def test_what_is_left_out_is_filled_in(resource: Resource, obj: Obj, expected: dict[str, Any]) -> None:
    made = of(resource, obj)
    assert {path: at(made, path) for path in expected} == expected


def test_a_job_selects_by_its_own_uid() -> None:
    made = of(JOBS, job())
    uid = made["metadata"]["uid"]
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    wanted = {"controller-uid": uid, "batch.kubernetes.io/controller-uid": uid, "job-name": "x",
              "batch.kubernetes.io/job-name": "x"}  # fmt: skip
    assert made["spec"]["template"]["metadata"]["labels"] == made["metadata"]["labels"] == wanted


_REFUSED: list[tuple[Resource, Obj, str]] = [
    (PODS, pod(volumes=[{"name": "v", "hostPath": {"path": "/"}, "emptyDir": {}}]),
     "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"),
    (PODS, pod(volumes=[{"name": "v", "secret": {"secretName": "s", "items": [{"key": "k", "path": "../x"}]}}]),
     'spec.volumes[0].secret.items[0].path: Invalid value: "../x": must not contain \'..\''),
    (PODS, container(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.phase"}}}]),
     'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase": supported values: '
     '"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", '
     '"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"'),
    (PODS, container(securityContext={"runAsUser": -1}),
     "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive"),
    (PODS, container(resources={"requests": {"hugepages-2Mi": "3Mi"}}),
     "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources"),
    (PODS, container(resources={"requests": {"gpu": "1"}}),
     'spec.containers[0].resources.requests[gpu]: Invalid value: "gpu": must be a standard resource for containers'),
    (PODS, container(lifecycle={"preStop": {"sleep": {"seconds": 31}}}),
     "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than "
     "terminationGracePeriodSeconds (30)"),
    (PODS, pod(initContainers=[{"name": "i", "image": "x", "readinessProbe": {"exec": {"command": ["c"]}}}]),
     "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always"),
    (PODS, pod(ephemeralContainers=[{"name": "e", "image": "x"}]),
     "spec.ephemeralContainers: Forbidden: cannot be set on create"),
    (PODS, pod(tolerations=[{"operator": "Equal", "value": "x"}]),
     'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means '
     '"match all values and all keys"'),
    (PODS, pod(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}),
     "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: "
     "must have at least one node selector term"),
    (PODS, pod(topologySpreadConstraints=[{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]),
     "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"),
    (PODS, pod(dnsPolicy="None"), "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"),
    (PODS, pod(os={"name": "linux"}, securityContext={"windowsOptions": {}}),
     "spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod"),
    (PODS, pod(hostIPC=True, securityContext={"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}),
     'spec.securityContext.sysctls[0].name: Invalid value: "kernel.shm_rmid_forced": may not be specified when '
     "'hostIPC' is true"),
    (DEPLOYMENTS, {"spec": {"selector": {}, "template": _TEMPLATE}},
     "spec.selector: Invalid value: {}: empty selector is invalid for deployment"),
    (DAEMON_SETS, {"spec": {"selector": _SELECTOR, "template": _TEMPLATE, "updateStrategy": {
        "rollingUpdate": {"maxUnavailable": 0}}}},
     "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"),
    (STATEFUL_SETS, {"spec": {"selector": _SELECTOR, "template": _TEMPLATE, "podManagementPolicy": "Eager"}},
     "spec.podManagementPolicy: Invalid value: \"Eager\": must be 'OrderedReady' or 'Parallel'"),
    (CONTROLLER_REVISIONS, {"revision": 1}, "data: Required value: data is mandatory"),
    (JOBS, {"spec": {"template": {"spec": _POD}}},
     'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'),
    (JOBS, job(completionMode="Indexed", parallelism=2), "spec.completions: Required value: when completion mode is Indexed"),
    (JOBS, job(successPolicy={"rules": []}), "requires indexed completion mode"),
    (JOBS, job(completionMode="Indexed", completions=3, successPolicy={"rules": [{"succeededIndexes": "0-3"}]}),
     'error parsing succeededIndexes: too large index: "3"'),
    (JOBS, job(managedBy="me"), "spec.managedBy: Invalid value:"),
    (CRON_JOBS, {"spec": {"schedule": "* * * *", "jobTemplate": {"spec": {"template": _NEVER}}}},
     'spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]'),
    (CRON_JOBS, {"spec": {"schedule": "@daily", "timeZone": "Mars/Base", "jobTemplate": {"spec": {"template": _NEVER}}}},
     'spec.timeZone: Invalid value: "Mars/Base": unknown time zone Mars/Base'),
    (AUTOSCALERS, {"spec": {"minReplicas": 3, "maxReplicas": 2, "scaleTargetRef": {"kind": "D"}}},
     "spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`"),
    (AUTOSCALERS, {"spec": {"maxReplicas": 2, "scaleTargetRef": _TARGET, "metrics": [{"type": "Pods"}]}},
     "spec.metrics[0].pods: Required value: must populate information for the given metric source"),
    (DISRUPTION_BUDGETS, {"spec": {"minAvailable": 1, "maxUnavailable": 1}},
     "minAvailable and maxUnavailable cannot be both set"),
    (DISRUPTION_BUDGETS, {"spec": {"minAvailable": "200%"}},
     'spec.minAvailable: Invalid value: "200%": must not be greater than 100%'),
    (PERSISTENT_VOLUMES, {"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
                                   "local": {"path": "/d"}}},
     "spec.nodeAffinity: Required value: Local volume requires node affinity"),
    (PERSISTENT_VOLUME_CLAIMS, {"spec": {"resources": {"requests": {"storage": "1Gi"}}}},
     "spec.accessModes: Required value: at least 1 access mode is required"),
    (LIMIT_RANGES, {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "2"}}]}},
     'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1'),
    (RESOURCE_QUOTAS, {"spec": {"hard": {"pods": "1.5"}}}, "must be an integer"),
    (RESOURCE_QUOTAS, {"spec": {"hard": {"services": "1"}, "scopes": ["BestEffort"]}},
     'spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource'),
    (SECRETS, {"type": "kubernetes.io/basic-auth"}, "data[username]: Required value"),
    (SECRETS, {"type": "kubernetes.io/dockercfg", "stringData": {".dockercfg": "nonsense"}},
     'data[.dockercfg]: Invalid value: "<secret contents redacted>"'),
    (SERVICES, {"spec": {"ports": [{"port": 1}], "healthCheckNodePort": 30000}},
     "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and "
     "`externalTrafficPolicy` is 'Local'"),
    (SERVICES, {"spec": {"ports": [{"port": 1}], "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.2"]}},
     'spec.clusterIPs: Invalid value: ["10.0.0.2"]: first value must match `clusterIP`'),
    (SERVICES, {"spec": {"ports": [{"port": 1}], "loadBalancerSourceRanges": ["10.0.0.0/8"]}},
     "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'"),
    (SERVICES, {"spec": {"ports": [{"port": 1}], "sessionAffinity": "ClientIP",
                         "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}}},
     "must be greater than 0 and less than 86400"),
    (ENDPOINTS, {"subsets": [{"addresses": [{"ip": "127.0.0.1"}]}]},
     'subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)'),
    (EVENTS, {"involvedObject": {"namespace": "other"}},
     'involvedObject.namespace: Invalid value: "other": does not match event.namespace'),
    (NODES, {"spec": {"taints": [{"key": "a", "effect": "Never"}]}},
     'metadata.taints[0].effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", '
     '"NoExecute"'),
    (NAMESPACES, {"spec": {"finalizers": ["mine"]}},
     'spec.finalizers: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified'),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "obj", "message"), _REFUSED, ids=[f"{r.kind}-{m[:40]}" for r, _, m in _REFUSED])
def test_a_broken_rule_is_told_in_upstreams_words(resource: Resource, obj: Obj, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        of(resource, obj)
    assert message in caught.value.message


_CHANGES: list[tuple[Resource, Obj, Obj, str]] = [
    (STATEFUL_SETS, {"spec": {"selector": _SELECTOR, "template": _TEMPLATE}}, {"serviceName": "new"},
     "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
     "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"),
    (JOBS, job(), {"completions": 5}, "spec.completions: Invalid value: 5: field is immutable"),
    (JOBS, job(), {"backoffLimit": 1}, ""),
    (JOBS, job(completionMode="Indexed", completions=2, parallelism=2), {"completions": 3, "parallelism": 3}, ""),
    (PERSISTENT_VOLUME_CLAIMS, {"spec": _CLAIM}, {"accessModes": ["ReadOnlyMany"]},
     "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName"),
    (PERSISTENT_VOLUME_CLAIMS, {"spec": _CLAIM}, {"volumeName": "pv"}, ""),
    (PODS, pod(), {"activeDeadlineSeconds": 5}, ""),
    (PODS, pod(activeDeadlineSeconds=5), {"activeDeadlineSeconds": 6}, "must be less than or equal to previous value"),
    (PODS, pod(schedulingGates=[{"name": "g"}]), {"schedulingGates": [], "nodeSelector": {"a": "b"}}, ""),
    (PODS, pod(), {"schedulingGates": [{"name": "g"}]},
     "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'g'"),
    (PODS, pod(), {"hostname": "h"}, "pod updates may not change fields other than `spec.containers[*].image`"),
    (RESOURCE_QUOTAS, {"spec": {"hard": {"pods": "1"}}}, {"scopes": ["BestEffort"]}, "field is immutable"),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "obj", "change", "message"), _CHANGES)
def test_what_an_update_may_change(resource: Resource, obj: Obj, change: Obj, message: str) -> None:
    old = of(resource, obj)
    new = copy.deepcopy(old)
    new["spec"] |= change
    objects.for_update(resource, new, old)
    if not message:
        objects.check(resource, new, old)
        return
    with pytest.raises(Invalid) as caught:
        objects.check(resource, new, old)
    assert message in caught.value.message


def test_a_status_stands_alone() -> None:
    """Through its own door nothing else changes; through the others it does not."""
    old = of(JOBS, job())
    new = copy.deepcopy(old)
    new["spec"]["backoffLimit"], new["status"] = 1, {"active": 1, "ready": 2}
    objects.for_update(JOBS, new, old, subresource="status")
    assert new["spec"] == old["spec"]
    with pytest.raises(Invalid, match=r"status.ready: Invalid value: 2: cannot set more ready pods than active"):
        objects.check(JOBS, new, old, subresource="status")


@pytest.mark.parametrize(
    ("schedule", "wrong"),
    [
        ("*/5 0-12 1,15 jan-mar mon", ""),
        ("@every 1h30m", ""),
        ("CRON_TZ=Europe/Berlin 0 0 * * *", ""),
        ("61 * * * *", "end of range (61) above maximum (59): 61"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("@fortnightly", "unrecognized descriptor: @fortnightly"),
        ("a * * * *", 'failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax'),
    ],
)
def test_schedules(schedule: str, wrong: str) -> None:
    """github.com/robfig/cron/v3, the standard parser."""
    assert cron_job.parse_error(schedule) == wrong


def test_what_the_first_autoscaler_has_no_field_for_survives_it() -> None:
    metric = {
        "type": "Pods",
        "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "5"}},
    }
    spec = {"maxReplicas": 2, "scaleTargetRef": _TARGET, "metrics": [metric], "behavior": {"scaleDown": {}}}
    v2 = of(AUTOSCALERS, {"spec": spec})
    v1 = AUTOSCALERS_V1.hooks.from_stored(v2)
    assert "metrics" not in v1["spec"]
    old = {"type": "Pods", "pods": {"metricName": "m", "targetAverageValue": "5"}}
    assert json.loads(v1["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"]) == [old]
    assert AUTOSCALERS_V1.hooks.to_stored(v1)["spec"] == v2["spec"]


@pytest.mark.parametrize(
    "text",
    ["{", "[1]", '["a"]', "5", '[{"type":"Pods"}]', '[{"type":"Pods","pods":{"metricName":{}}}]', '[{"type":[]}]'],
)
def test_what_stands_for_metrics_in_the_first_autoscaler_must_be_metrics(text: str) -> None:
    annotations = {"autoscaling.alpha.kubernetes.io/metrics": text}
    spec = {"maxReplicas": 2, "scaleTargetRef": _TARGET}
    with pytest.raises(BadRequest):
        AUTOSCALERS_V1.hooks.to_stored({"metadata": {"name": "x", "annotations": annotations}, "spec": spec})


@pytest.mark.parametrize(
    ("resource", "obj", "status", "cells"),
    [
        (JOBS, job(parallelism=3), {"succeeded": 1, "startTime": "2026-01-02T03:02:05Z",
                                    "completionTime": "2026-01-02T03:03:05Z",
                                    "conditions": [{"type": "Complete", "status": "True"}]},
         ["x", "Complete", "1/1 of 3", "60s", "0s"]),
        (RESOURCE_QUOTAS, {"spec": {}}, {"hard": {"pods": "4", "limits.cpu": "2"}, "used": {"pods": "1"}},
         ["x", "pods: 1/4", "limits.cpu: 0/2", "0s"]),
        (AUTOSCALERS, {"spec": {"maxReplicas": 2, "scaleTargetRef": _TARGET}},
         {"currentReplicas": 2, "currentMetrics": [{"type": "Resource", "resource": {
             "name": "cpu", "current": {"averageUtilization": 42}}}]},
         ["x", "Deployment/d", "cpu: 42%/80%", "1", 2, 2, "0s"]),
        (DISRUPTION_BUDGETS, {"spec": {"maxUnavailable": 1}}, {"disruptionsAllowed": 1}, ["x", "N/A", "1", 1, "0s"]),
        (PERSISTENT_VOLUME_CLAIMS, {"spec": {**_CLAIM, "volumeName": "pv"}},
         {"phase": "Bound", "capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteMany"]},
         ["x", "Bound", "pv", "2Gi", "RWX", "", "<unset>", "0s", "Filesystem"]),
    ],
)  # fmt: skip
def test_rows(resource: Resource, obj: Obj, status: Obj, cells: list[Any]) -> None:
    """pkg/printers/internalversion/printers.go"""
    made = of(resource, obj)
    made["status"] = status
    assert resource.hooks.cells is not None
    assert resource.hooks.cells(made, NOW)[: len(cells)] == cells
