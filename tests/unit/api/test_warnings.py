"""What clients are warned of, by upstream's own examples: k8s.io/kubernetes/pkg/api/pod/warnings_test.go and those of
service, job, persistentvolume, persistentvolumeclaim, storage and node; KEP-4858 for addresses.
"""

from __future__ import annotations

from typing import Any

import pytest

from api.builtin import BUILTIN
from api.meta import Obj
from api.registry import Registry
from api.validation import LABEL_TEXT, LABEL_VALUE_TEXT
from api.warnings import addresses, pods
from api.warnings.kinds import ROWS

TOKEN = {"serviceAccountToken": {"path": "a"}}
NULL = "a null labelSelector results in matching no pod"


def container(**fields: Any) -> Obj:
    return {"containers": [{"name": "foo", **fields}]}


def ports(*given: Obj) -> Obj:
    return container(ports=[{"protocol": "UDP", "containerPort": 80, **port} for port in given])


def files(kind: str, *paths: str, **fields: Any) -> Obj:
    return {"volumes": [{"name": "v", kind: {"items": [{"key": "k", "path": p} for p in paths], **fields}}]}


POD: list[tuple[str, Obj, list[str]]] = [
    ("plain", container(ports=[{"containerPort": 80, "hostPort": 80}], env=[{"name": "a"}, {"name": "b"}]), []),
    *((kind, {"volumes": [{"name": "s", kind: {}}]}, [f"spec.volumes[0].{text}"])
      for kind, text in pods.DEPRECATED_VOLUMES.items()),
    ("hostAliases", {"hostAliases": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}]},
     ['spec.hostAliases[1].ip: duplicate ip "1.1.1.1"', 'spec.hostAliases[2].ip: duplicate ip "1.1.1.1"']),
    ("imagePullSecrets", {"imagePullSecrets": [{"name": "a"}, {"name": "a"}, {"name": ""}]},
     ['spec.imagePullSecrets[1].name: duplicate name "a"', 'spec.imagePullSecrets[2].name: invalid empty name ""']),
    ("env", container(env=[
        {"name": "a", "value": "a"}, {"name": "a", "value": "$(a)x"}, {"name": "a", "value": "other"},
        {"name": "a", "value": "$(a)"}, {"name": "a", "valueFrom": {}}]),
     [f'spec.containers[0].env[{i}]: hides previous definition of "a", which may be dropped when using apply'
      for i in (2, 3, 4)]),
    ("fractions", {**container(resources={"limits": {"memory": "100m"}, "requests": {"ephemeral-storage": "1.5"}}),
                   "overhead": {"memory": "1m", "cpu": "1m"}},
     ['spec.overhead[memory]: fractional byte value "1m" is invalid, must be an integer',
      'spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer',
      'spec.containers[0].resources.requests[ephemeral-storage]: fractional byte value "1500m" is invalid, must be an '
      "integer"]),
    ("claims", {"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {
        "resources": {"requests": {"storage": "200Mi"}, "limits": {"storage": "1100m"}}}}}}]},
     ["spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.limits[storage]: fractional byte value "
      '"1100m" is invalid, must be an integer']),
    ("labels", {"nodeSelector": {"beta.kubernetes.io/arch": "x"}, "affinity": {"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "node-role.kubernetes.io/master", "values": ["-1"]}]}]},
        "preferredDuringSchedulingIgnoredDuringExecution": [{"preference": {"matchExpressions": [
            {"key": "foo", "values": ["ok", "-1"]}]}}]}},
        "topologySpreadConstraints": [{"topologyKey": "beta.kubernetes.io/os"}]},
     ['spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; use "kubernetes.io/arch" instead',
      "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]."
      "matchExpressions[0].key: node-role.kubernetes.io/master is use "
      '"node-role.kubernetes.io/control-plane" instead',
      "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0]."
      f"values[1]: -1 is invalid, {LABEL_VALUE_TEXT}",
      "spec.topologySpreadConstraints[0].topologyKey: beta.kubernetes.io/os is deprecated since v1.14; use "
      '"kubernetes.io/os" instead',
      f"spec.topologySpreadConstraints[0].labelSelector: {NULL}"]),
    ("selectors", {"affinity": {"podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": {}}, {}],
        "preferredDuringSchedulingIgnoredDuringExecution": [{"podAffinityTerm": {}}]}}},
     [f"spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[1].labelSelector: {NULL}",
      "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.labelSelector: "
      + NULL]),
    ("grace", {"terminationGracePeriodSeconds": -1},
     ["spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"]),
    ("addresses", {"dnsConfig": {"nameservers": ["1.2.3.4", "05.06.07.08"]}, "hostAliases": [{"ip": "::ffff:1.2.3.4"}]},
     ['spec.dnsConfig.nameservers[1]: non-standard IP address "05.06.07.08" will be considered invalid in a future '
      'Kubernetes release: use "5.6.7.8"',
      'spec.hostAliases[0].ip: non-standard IP address "::ffff:1.2.3.4" will be considered invalid in a future '
      'Kubernetes release: use "1.2.3.4"']),
    ("same port", ports({}, {}, {"containerPort": 81}),
     ["spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"]),
    ("other protocol", ports({}, {"protocol": "TCP"}), []),
    ("other host port", ports({"hostPort": 80}, {"hostPort": 81}), []),
    ("overlapping", ports({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostIP": "10.0.0.1"}),
     ["spec.containers[0].ports[1]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:80 Protocol:UDP "
      "HostIP:10.0.0.1}",
      "spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]"]),
    ("ambiguous", ports(*({"hostPort": 80} | more for more in ({"hostIP": "10.0.0.1"}, {}, {"hostIP": "10.0.0.2"}))),
     ["spec.containers[0].ports[1]: dangerously ambiguous port definition with spec.containers[0].ports[0]",
      "spec.containers[0].ports[2]: dangerously ambiguous port definition with spec.containers[0].ports[1]"]),
    ("names", {"initContainers": [
        {"name": "once", "ports": [{"containerPort": 1, "name": "test"}]},
        {"name": "side", "restartPolicy": "Always", "ports": [{"containerPort": 2, "name": "test"}]}],
        **container(ports=[{"containerPort": 3, "name": "test"}])},
     ['spec.containers[0].ports[0]: duplicate port name "test" with spec.initContainers[1].ports[0], services and probes '
      "that select ports by name will use spec.initContainers[1].ports[0]"]),
    ("config map", files("configMap", "a/b", "a", "c", "c/", name="m"),
     ['volume "v" (ConfigMap "m"): overlapping paths: "a" with "a/b"',
      'volume "v" (ConfigMap "m"): overlapping paths: "c" with "c"']),
    ("secret", files("secret", "a", "a", secretName="s"),
     ['volume "v" (Secret "s"): overlapping paths: "a" with "a"']),
    ("near", files("downwardAPI", "dir/path3", "dir/path345", ""), []),
    ("projected", {"volumes": [{"name": "v", "projected": {"sources": [
        {}, TOKEN, {"configMap": {"name": "m", "items": [{"path": "a/b"}]}}, {"clusterTrustBundle": {
            "signerName": "s", "path": "a"}}]}}]},
     ['volume "v" (Projected) has no sources provided',
      'volume "v" (Projected): overlapping paths: "a/b" (ConfigMap "m") with "a" (ServiceAccountToken)',
      'volume "v" (Projected): overlapping paths: "a" (ClusterTrustBundle "s") with "a" (ServiceAccountToken)',
      'volume "v" (Projected): overlapping paths: "a" (ClusterTrustBundle "s") with "a/b" (ConfigMap "m")']),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "expected"), [case[1:] for case in POD], ids=[case[0] for case in POD])
def test_pods(spec: Obj, expected: list[str]) -> None:
    assert pods.of({"metadata": {}, "spec": spec}) == expected
    of_template = pods.of({"metadata": {}, "spec": spec}, "spec.template")
    assert [text.replace("spec.template.spec.", "spec.") for text in of_template] == expected


def test_annotations_of_pods() -> None:
    """Those that do nothing any more, or that a field has replaced."""
    notes = {
        "scheduler.alpha.kubernetes.io/critical-pod": "", "seccomp.security.alpha.kubernetes.io/pod": "x",
        "container.seccomp.security.alpha.kubernetes.io/foo": "x",
        "container.apparmor.security.beta.kubernetes.io/foo": "unconfined",
    }  # fmt: skip
    at = "metadata.annotations"
    seccomp = 'non-functional in v1.27+; use the "seccompProfile" field instead'
    of_pod = [
        f"{at}[scheduler.alpha.kubernetes.io/critical-pod]: "
        'non-functional in v1.16+; use the "priorityClassName" field instead',
        f"{at}[seccomp.security.alpha.kubernetes.io/pod]: {seccomp}",
        f"{at}[container.seccomp.security.alpha.kubernetes.io/foo]: {seccomp}",
        f"{at}[container.apparmor.security.beta.kubernetes.io/foo]: deprecated since v1.30; use the "
        '"appArmorProfile" field instead',
    ]
    assert pods.of({"metadata": {"annotations": notes}, "spec": container()}) == of_pod
    template: Obj = {"metadata": {"annotations": notes}, "spec": container()}
    assert pods.of(template, "template") == [f"template.{text}" for text in of_pod]
    fields: Obj = {"seccompProfile": {}, "appArmorProfile": {}}
    template["spec"] = {**container(securityContext=fields), "securityContext": fields}
    assert pods.of(template, "template") == [f"template.{of_pod[0]}"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1.2.3.4", ""), ("2001:db8::1", ""), ("::", ""), ("not an address", ""),
        ("1.2.003.4", 'non-standard IP address "1.2.003.4" {soon}: use "1.2.3.4"'),
        ("::ffff:1.2.3.4", 'non-standard IP address "::ffff:1.2.3.4" {soon}: use "1.2.3.4"'),
        ("2001:DB8::0:1", 'IPv6 address "2001:DB8::0:1" should be in RFC 5952 canonical format ("2001:db8::1")'),
    ],
)  # fmt: skip
def test_addresses(value: str, expected: str) -> None:
    text = expected.format(soon="will be considered invalid in a future Kubernetes release")
    assert addresses.ip(value, "f") == ([f"f: {text}"] if text else [])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("10.0.0.0/8", ""), ("2001:db8::/64", ""), ("10.0.0.0", ""), ("x/8", ""),
        ("10.1.0.0/8",
         'CIDR value "10.1.0.0/8" is ambiguous in this context (should be "10.0.0.0/8" or "10.1.0.0/32"?)'),
        ("010.0.0.0/8", 'non-standard CIDR value "010.0.0.0/8" {soon}: use "10.0.0.0/8"'),
        ("::ffff:10.0.0.0/104", 'non-standard CIDR value "::ffff:10.0.0.0/104" {soon}: use "10.0.0.0/8"'),
        ("2001:db8:0:0::/64",
         'IPv6 CIDR value "2001:db8:0:0::/64" should be in RFC 5952 canonical format ("2001:db8::/64")'),
    ],
)  # fmt: skip
def test_blocks(value: str, expected: str) -> None:
    text = expected.format(soon="will be considered invalid in a future Kubernetes release")
    assert addresses.cidr(value, "f") == ([f"f: {text}"] if text else [])


def told(plural: str, new: Obj, old: Obj | None = None, group: str = "") -> list[str]:
    new.setdefault("metadata", {}).setdefault("name", "x")
    return ROWS[group, plural](new, old)


IN_POD_NAMES = (
    "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is "
    "recommended: [must not contain dots]"
)


@pytest.mark.parametrize(
    ("group", "plural", "named"),
    [
        ("", "replicationcontrollers", True), ("apps", "replicasets", True), ("apps", "deployments", True),
        ("apps", "statefulsets", False), ("apps", "daemonsets", False), ("batch", "jobs", True),
    ],
)  # fmt: skip
def test_what_makes_pods(group: str, plural: str, named: bool) -> None:
    """On an update, only when it changes what counts (metadata.generation)."""
    spec = {"template": {"metadata": {}, "spec": {"terminationGracePeriodSeconds": -1}}}
    grace = "spec.template.spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be "
    new = {"metadata": {"name": "a.b", "generation": 2}, "spec": spec}
    assert told(plural, new, group=group) == [*([IN_POD_NAMES] if named else []), grace + "treated as 1"]
    assert told(plural, new, {"metadata": {"generation": 1}, "spec": {}}, group) == [grace + "treated as 1"]
    assert told(plural, new, {"metadata": {"generation": 2}, "spec": {}}, group) == []


def test_pods_are_warned_of_when_they_are_made() -> None:
    new: Obj = {"metadata": {"name": "A" * 64}, "spec": {"terminationGracePeriodSeconds": -1}}
    assert told("pods", new) == [
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is "
        f"recommended: [must be no more than 63 bytes {LABEL_TEXT}]",
        "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
    ]
    assert told("pods", new, new) == []


def test_jobs() -> None:
    text = (
        "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes "
        "might not be able to track completedIndexes when a big number of indexes fail"
    )
    spec: Obj = {"completionMode": "Indexed", "completions": 100_001, "parallelism": 10_001}
    assert told("jobs", {"spec": spec}, group="batch") == [f"spec: {text}"]
    assert told("jobs", {"spec": {**spec, "completionMode": "NonIndexed"}}, group="batch") == []
    assert told("jobs", {"spec": {**spec, "parallelism": 10_000}}, group="batch") == []
    cron: Obj = {"spec": {"schedule": "TZ=UTC 0 * * * *", "jobTemplate": {"spec": spec}}}
    assert told("cronjobs", cron, group="batch") == [f"spec.jobTemplate.spec: {text}"]
    assert told("cronjobs", cron, cron, "batch") == [
        "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see "
        "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
    ]


def test_stateful_sets() -> None:
    claim = {"spec": {"resources": {"requests": {"storage": "1m"}}}}
    new: Obj = {"spec": {"template": {}, "volumeClaimTemplates": [claim], "revisionHistoryLimit": -2}}
    assert told("statefulsets", new, group="apps") == [
        'spec.volumeClaimTemplates[0].resources.requests[storage]: fractional byte value "1m" is invalid, must be an '
        "integer",
        "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended",
    ]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"type": "ClusterIP", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"]}, []),
        ({"type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"], "loadBalancerIP": "1.1.1.1",
          "externalIPs": ["1.1.1.1"], "sessionAffinity": "ClientIP"},
         ["spec.loadBalancerIP is ignored for headless services", "spec.externalIPs is ignored for headless services",
          "spec.SessionAffinity is ignored for headless services"]),
        ({"type": "ExternalName", "externalName": "x", "externalIPs": ["1.1.1.1"]},
         ['spec.externalIPs is ignored when spec.type is "ExternalName"']),
        ({"type": "NodePort", "externalName": "x"},
         ['spec.externalName is ignored when spec.type is not "ExternalName"']),
        ({"trafficDistribution": "PreferClose"},
         ['spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"']),
        ({"loadBalancerSourceRanges": ["10.1.0.0/8"], "externalIPs": ["2001:DB8::1"]},
         ['spec.externalIPs[0]: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")',
          'spec.loadBalancerSourceRanges[0]: CIDR value "10.1.0.0/8" is ambiguous in this context (should be '
          '"10.0.0.0/8" or "10.1.0.0/32"?)']),
    ],
)  # fmt: skip
def test_services(spec: Obj, expected: list[str]) -> None:
    assert told("services", {"spec": spec}) == expected


CLASS = "volume.beta.kubernetes.io/storage-class"
CLASS_TEXT = f'metadata.annotations[{CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead'
OS, OS_TEXT = "beta.kubernetes.io/os", 'deprecated since v1.14; use "kubernetes.io/os" instead'
ODD = '"2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")'
OTHERS: list[tuple[str, str, Obj, list[str]]] = [
    ("", "services", {"metadata": {"annotations": {"service.kubernetes.io/topology-aware-hints": ""}}, "spec": {}},
     ["annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
      "service.kubernetes.io/topology-mode instead"]),
    ("", "persistentvolumes", {"metadata": {"annotations": {CLASS: ""}}, "spec": {
        "persistentVolumeReclaimPolicy": "Recycle", "cephfs": {}, "nodeAffinity": {"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": OS}]}]}}}},
     [CLASS_TEXT,
      "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is "
      "to use dynamic provisioning.",
      f"spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: {OS} is {OS_TEXT}",
      "spec.cephfs: deprecated in v1.28, non-functional in v1.31+"]),
    ("", "persistentvolumeclaims", {"metadata": {"annotations": {CLASS: ""}}, "spec": {
        "resources": {"requests": {"storage": "1.5"}}}},
     [CLASS_TEXT,
      'spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer']),
    ("", "nodes", {"spec": {"configSource": {}, "externalID": "x"}},
     ["spec.configSource: the feature is removed",
      "spec.externalID: this field is deprecated, and is unused by Kubernetes"]),
    ("", "serviceaccounts", {"metadata": {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}},
     ["metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate namespaces "
      "to isolate access to mounted secrets"]),
    ("", "endpoints", {"subsets": [{"notReadyAddresses": [{"ip": "2001:DB8::1"}]}]},
     [f"subsets[0].notReadyAddresses[0].ip: IPv6 address {ODD}"]),
    ("", "podtemplates", {"template": {"spec": {"terminationGracePeriodSeconds": -1}}},
     ["template.spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"]),
    ("discovery.k8s.io", "endpointslices", {"addressType": "IPv6", "endpoints": [{"addresses": ["2001:DB8::1"]}]},
     [f"endpoints[0].addresses[0]: IPv6 address {ODD}"]),
    ("discovery.k8s.io", "endpointslices", {"addressType": "IPv6", "endpoints": [{"addresses": ["2001:DB8::1"]}],
     "metadata": {"labels": {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}}}, []),
    ("apiextensions.k8s.io", "customresourcedefinitions", {"spec": {"versions": [{"schema": {"openAPIV3Schema": {
        "type": "object", "default": {"type": "string", "format": "x"}, "properties": {
            "a": {"type": "string", "format": "date-time"}, "b": {"type": "integer", "format": "int32"},
            "c": {"items": {"additionalProperties": {"type": "string", "format": "int32"}}},
            "d": {"type": "string", "format": "slug"}, "e": {"type": "string", "format": "slug"}}}}}]}},
     ['unrecognized format "slug"', 'unrecognized format "int32"']),
    ("discovery.k8s.io", "endpointslices", {"addressType": "FQDN", "endpoints": [{"addresses": ["a.b"]}]},
     ["spec.addressType: FQDN endpoints are deprecated"]),
    ("networking.k8s.io", "ingresses", {"metadata": {"annotations": {"kubernetes.io/ingress.class": "x"}}, "spec": {}},
     ["annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"]),
    ("networking.k8s.io", "networkpolicies", {"spec": {"egress": [{"to": [{"ipBlock": {
        "cidr": "10.0.0.0/8", "except": ["10.1.1.1/16"]}}]}]}},
     ['spec.egress[0].to[0].ipBlock.except[0]: CIDR value "10.1.1.1/16" is ambiguous in this context (should be '
      '"10.1.0.0/16" or "10.1.1.1/32"?)']),
    ("node.k8s.io", "runtimeclasses", {"scheduling": {"nodeSelector": {OS: "x"}}},
     [f"scheduling.nodeSelector: {OS_TEXT}"]),
    ("storage.k8s.io", "storageclasses", {"allowedTopologies": [{"matchLabelExpressions": [{"key": OS}]}]},
     [f"allowedTopologies[0].matchLabelExpressions[0]: {OS_TEXT}"]),
    ("storage.k8s.io", "csistoragecapacities", {"nodeTopology": {
        "matchLabels": {OS: "x"}, "matchExpressions": [{"key": OS}]}},
     [f"nodeTopology.matchExpressions[0].key: {OS} is {OS_TEXT}", f"nodeTopology.matchLabels.{OS}: {OS_TEXT}"]),
]  # fmt: skip


@pytest.mark.parametrize(("group", "plural", "obj", "expected"), OTHERS)
def test_other_kinds(group: str, plural: str, obj: Obj, expected: list[str]) -> None:
    assert told(plural, obj, group=group) == expected


def test_every_row_is_of_a_kind_that_is_served() -> None:
    registry = Registry(BUILTIN)
    assert [key for key in ROWS if registry.by_plural(key[0], "v1", key[1]) is None] == []
