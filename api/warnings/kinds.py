"""What upstream's strategies warn of, as a table of kinds: objects that are taken, but surprise. Pure.

WarningsOnCreate and WarningsOnUpdate of k8s.io/kubernetes/pkg/registry; pkg/api/{service,job,persistentvolume,
persistentvolumeclaim,storage,node}; k8s.io/apiextensions-apiserver for definitions. A row takes the object and, on
update, what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from api import meta
from api.custom import formats
from api.meta import Obj
from api.pod_templates import PATHS, pod_in
from api.validation import not_label
from api.warnings import addresses, pods
from api.warnings.pods import DEPRECATED_LABELS

Warnings = list[str]
Row = Callable[[Obj, Obj | None], Warnings]

_SLICES_OF_OURS = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")
_CLASS = "volume.beta.kubernetes.io/storage-class"
_CLASS_TEXT = f'metadata.annotations[{_CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead'
_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"
_HINTS, _MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
_INGRESS_CLASS = "kubernetes.io/ingress.class"
_TOO_MANY = (
    "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes "
    "might not be able to track completedIndexes when a big number of indexes fail"
)
_CRON_DOC = "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/"


def _name(obj: Obj, where: str) -> Warnings:
    why = not_label(meta.name(obj))
    if not why:
        return []
    text = f"this is used in {where}, which can result in surprising behavior; a DNS label is recommended"
    return [f"metadata.name: {text}: [{' '.join(why)}]"]


# ---- pods, and what makes them


def _pod(new: Obj, old: Obj | None) -> Warnings:
    return [] if old is not None else _name(new, "the Pod's hostname") + pods.of(new)


def _same(new: Obj, old: Obj | None) -> bool:
    """Whether an update changes nothing that counts."""
    return old is not None and new["metadata"].get("generation") == old["metadata"].get("generation")


def _makes(plural: str, group: str = "apps", *, names: bool = True) -> Row:
    """A kind with a pod template; `names` says that its own name becomes a part of those of its pods."""
    path = PATHS[(group, plural)]

    def row(new: Obj, old: Obj | None) -> Warnings:
        warnings = _name(new, "Pod names and hostnames") if names and old is None else []
        template = None if _same(new, old) else pod_in(new, path)
        return warnings + (pods.of(template, ".".join(path)) if template else [])

    return row


def _stateful_set(new: Obj, old: Obj | None) -> Warnings:
    warnings, spec = _SETS(new, old), new["spec"]
    if not _same(new, old):
        for i, template in enumerate(spec.get("volumeClaimTemplates") or ()):
            at = f"spec.volumeClaimTemplates[{i}]" + (".Spec" if old is not None else "")  # so upstream says it
            warnings += pods.claim(template.get("spec") or {}, at)
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        why = "a negative value retains all historical revisions; a value >= 0 is recommended"
        warnings.append(f"spec.revisionHistoryLimit: {why}")
    return warnings


def _job(new: Obj, old: Obj | None) -> Warnings:
    return _many(new, old, new["spec"], "spec") + _JOBS(new, old)


def _cron_job(new: Obj, old: Obj | None) -> Warnings:
    spec = new["spec"]
    inner = (spec.get("jobTemplate") or {}).get("spec") or {}
    warnings = _CRON_JOBS(new, old) + _many(new, old, inner, "spec.jobTemplate.spec")
    if old is not None and "TZ" in spec.get("schedule", ""):
        why = f"use timeZone instead, see {_CRON_DOC} for more details"
        warnings.append(f"cannot use TZ or CRON_TZ in spec.spec.schedule, {why}")
    return warnings


def _many(new: Obj, old: Obj | None, spec: Obj, at: str) -> Warnings:
    large = (spec.get("completions") or 0) > 100_000 and (spec.get("parallelism") or 0) > 10_000
    return [f"{at}: {_TOO_MANY}"] if large and spec.get("completionMode") == "Indexed" and not _same(new, old) else []


# ---- the network


def _service(new: Obj, _: Obj | None) -> Warnings:
    spec, warnings = new["spec"], []
    external, balancer = spec.get("externalIPs") or (), spec.get("loadBalancerIP")
    of_name = spec.get("type") == "ExternalName"
    headless = spec.get("type", "ClusterIP") == "ClusterIP" and spec.get("clusterIP") == "None"
    if _HINTS in meta.annotations(new):
        warnings.append(f"annotation {_HINTS} is deprecated, please use {_MODE} instead")
    if not of_name and spec.get("clusterIP") not in (None, "", "None"):
        warnings += _ips(spec.get("clusterIPs"), "spec.clusterIPs")
    if headless:
        ignored = {
            "loadBalancerIP": balancer, "externalIPs": external,
            "SessionAffinity": spec.get("sessionAffinity", "None") != "None",
        }  # fmt: skip
        warnings += [f"spec.{name} is ignored for headless services" for name, given in ignored.items() if given]
    warnings += _ips(external, "spec.externalIPs")
    if balancer:
        warnings += addresses.ip(balancer, "spec.loadBalancerIP")
    for i, block in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        warnings += addresses.cidr(block.strip(), f"spec.loadBalancerSourceRanges[{i}]")
    if of_name and external:
        warnings.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if not of_name and spec.get("externalName"):
        warnings.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("trafficDistribution") == "PreferClose":
        warnings.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return warnings


def _ips(values: Iterable[str] | None, at: str) -> Warnings:
    return [w for i, value in enumerate(values or ()) for w in addresses.ip(value, f"{at}[{i}]")]


def _endpoints(new: Obj, _: Obj | None) -> Warnings:
    if meta.labels(new).get("endpoints.kubernetes.io/managed-by") == "endpoint-controller":
        return []
    return [
        warning
        for i, subset in enumerate(new.get("subsets") or ())
        for kind in ("addresses", "notReadyAddresses")
        for j, address in enumerate(subset.get(kind) or ())
        for warning in addresses.ip(address.get("ip"), f"subsets[{i}].{kind}[{j}].ip")
    ]


def _endpoint_slice(new: Obj, _: Obj | None) -> Warnings:
    if new.get("addressType") == "FQDN":
        return ["spec.addressType: FQDN endpoints are deprecated"]
    if meta.labels(new).get("endpointslice.kubernetes.io/managed-by") in _SLICES_OF_OURS:
        return []
    endpoints = enumerate(new.get("endpoints") or ())
    return [w for i, one in endpoints for w in _ips(one.get("addresses"), f"endpoints[{i}].addresses")]


def _network_policy(new: Obj, _: Obj | None) -> Warnings:
    warnings: Warnings = []
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for i, rule in enumerate((new.get("spec") or {}).get(direction) or ()):
            for j, peer in enumerate(rule.get(peers) or ()):
                block, at = peer.get("ipBlock") or {}, f"spec.{direction}[{i}].{peers}[{j}].ipBlock"
                warnings += addresses.cidr(block["cidr"], f"{at}.cidr") if block else []
                for k, but in enumerate(block.get("except") or ()):
                    warnings += addresses.cidr(but, f"{at}.except[{k}]")
    return warnings


def _ingress(new: Obj, old: Obj | None) -> Warnings:
    if old is not None or _INGRESS_CLASS not in meta.annotations(new) or new["spec"].get("ingressClassName"):
        return []
    return [f"annotation \"{_INGRESS_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"]


# ---- nodes and storage


def _node(new: Obj, _: Obj | None) -> Warnings:
    spec, warnings = new.get("spec") or {}, []
    if spec.get("configSource") is not None:
        warnings.append("spec.configSource: the feature is removed")
    if spec.get("externalID"):
        warnings.append("spec.externalID: this field is deprecated, and is unused by Kubernetes")
    for i, block in enumerate(spec.get("podCIDRs") or ()):
        warnings += addresses.cidr(block, f"spec.podCIDRs[{i}]")
    return warnings


def _runtime_class(new: Obj, _: Obj | None) -> Warnings:
    selector = (new.get("scheduling") or {}).get("nodeSelector") or ()
    return [f"scheduling.nodeSelector: {DEPRECATED_LABELS[key]}" for key in selector if key in DEPRECATED_LABELS]


def _volume(new: Obj, _: Obj | None) -> Warnings:
    spec = new["spec"]
    warnings = [_CLASS_TEXT] if _CLASS in meta.annotations(new) else []
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        why = "Instead, the recommended approach is to use dynamic provisioning."
        warnings.append(f"spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. {why}")
    terms = ((spec.get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or ()
    for i, term in enumerate(terms):
        warnings += pods.node_term(term, f"spec.nodeAffinity.required.nodeSelectorTerms[{i}]")
    return warnings + pods.deprecated_volume(spec, "spec")


def _claim(new: Obj, _: Obj | None) -> Warnings:
    return ([_CLASS_TEXT] if _CLASS in meta.annotations(new) else []) + pods.claim(new["spec"], "spec")


def _storage_class(new: Obj, _: Obj | None) -> Warnings:
    return [
        f"allowedTopologies[{i}].matchLabelExpressions[{j}]: {DEPRECATED_LABELS[expression['key']]}"
        for i, topology in enumerate(new.get("allowedTopologies") or ())
        for j, expression in enumerate(topology.get("matchLabelExpressions") or ())
        if expression["key"] in DEPRECATED_LABELS
    ]


def _storage_capacity(new: Obj, _: Obj | None) -> Warnings:
    topology = new.get("nodeTopology") or {}
    labels = topology.get("matchLabels") or ()
    at = "nodeTopology.matchLabels"
    of_labels = [f"{at}.{key}: {DEPRECATED_LABELS[key]}" for key in labels if key in DEPRECATED_LABELS]
    return pods.node_term(topology, "nodeTopology") + of_labels


def _service_account(new: Obj, old: Obj | None) -> Warnings:
    if _MOUNTABLE not in meta.annotations(new) or (old is not None and _MOUNTABLE in meta.annotations(old)):
        return []
    why = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
    return [f"metadata.annotations[{_MOUNTABLE}]: {why}"]


def _definition(new: Obj, _: Obj | None) -> Warnings:
    """Formats of text that nobody checks, in a schema's structure."""
    found: dict[str, None] = {}
    level = [(version.get("schema") or {}).get("openAPIV3Schema") for version in new["spec"].get("versions") or ()]
    while level:
        schemas = [schema for schema in level if isinstance(schema, dict)]
        texts = (schema.get("format") for schema in schemas if schema.get("type") == "string")
        found |= dict.fromkeys(text for text in texts if text and formats.known(text) is None)
        level = [
            inner
            for schema in schemas
            for inner in (*(schema.get("properties") or {}).values(), schema.get("items"),
                          schema.get("additionalProperties"))
        ]  # fmt: skip
    return [f'unrecognized format "{text}"' for text in found]


_SETS = _makes("statefulsets", names=False)
_JOBS, _CRON_JOBS = _makes("jobs", "batch"), _makes("cronjobs", "batch")

ROWS: dict[tuple[str, str], Row] = {
    ("", "endpoints"): _endpoints,
    ("", "nodes"): _node,
    ("", "persistentvolumeclaims"): _claim,
    ("", "persistentvolumes"): _volume,
    ("", "pods"): _pod,
    ("", "podtemplates"): _makes("podtemplates", "", names=False),
    ("", "replicationcontrollers"): _makes("replicationcontrollers", ""),
    ("", "serviceaccounts"): _service_account,
    ("", "services"): _service,
    ("apiextensions.k8s.io", "customresourcedefinitions"): _definition,
    ("apps", "daemonsets"): _makes("daemonsets", names=False),
    ("apps", "deployments"): _makes("deployments"),
    ("apps", "replicasets"): _makes("replicasets"),
    ("apps", "statefulsets"): _stateful_set,
    ("batch", "cronjobs"): _cron_job,
    ("batch", "jobs"): _job,
    ("discovery.k8s.io", "endpointslices"): _endpoint_slice,
    ("networking.k8s.io", "ingresses"): _ingress,
    ("networking.k8s.io", "networkpolicies"): _network_policy,
    ("node.k8s.io", "runtimeclasses"): _runtime_class,
    ("storage.k8s.io", "csistoragecapacities"): _storage_capacity,
    ("storage.k8s.io", "storageclasses"): _storage_class,
}
"""(group, plural) → what to tell the client who creates or updates one."""
