"""What may change of a pod that exists, and through which door.

Rules: k8s.io/kubernetes/pkg/apis/core/validation, ValidatePodUpdate, ValidatePodStatusUpdate,
ValidatePodEphemeralContainersUpdate, ValidatePodResize (KEP-1287).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from api import meta, printing
from api.errors import forbidden_field, invalid
from api.kinds import pod_security
from api.kinds.pod_validation import MIRROR
from api.meta import Obj
from api.rules import SUBDOMAIN
from api.validation import Errors, immutable, ip_address, qualified_name, shown

_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_MAY_CHANGE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
    "previously negative)"
)
_NODE_TERMS = "requiredDuringSchedulingIgnoredDuringExecution"


def notes(pod: Obj, old: Obj) -> Errors:
    """Those that say how the pod was started stay."""
    new, before = meta.annotations(pod), meta.annotations(old)
    errors: Errors = []
    for key in sorted(new.keys() | before.keys()):
        verb = "remove or update" if key in before else "add"
        if new.get(key) == before.get(key):
            continue
        if key.startswith(_APP_ARMOR):
            errors.append(forbidden_field(f"metadata.annotations[{key}]", f"may not {verb} AppArmor annotations"))
        if key == MIRROR:
            errors.append(forbidden_field(f"metadata.annotations[{key}]", f"may not {verb} mirror pod annotation"))
    return errors


def spec(new: Obj, old: Obj) -> Errors:
    errors: Errors = []
    frame = meta.copied(new)
    for kind in ("containers", "initContainers"):
        if len(frame.get(kind) or []) != len(old.get(kind) or []):
            return [*errors, forbidden_field(f"spec.{kind}", "pod updates may not add or remove containers")]
        for container, before in zip(frame.get(kind) or [], old.get(kind) or [], strict=True):
            container["image"] = before["image"]
    deadline, previous = new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    at = "spec.activeDeadlineSeconds"
    if previous is not None and deadline is None:
        errors.append(invalid(at, None, "must not update from a positive integer to nil value"))
    elif previous is not None and deadline > previous:
        return [*errors, invalid(at, deadline, "must be less than or equal to previous value")]
    errors += _tolerations(new.get("tolerations") or [], old.get("tolerations") or [])
    gates = [gate.get("name") for gate in old.get("schedulingGates") or []]
    for index, gate in enumerate(new.get("schedulingGates") or []):
        if gate.get("name") not in gates:
            text = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            errors.append(forbidden_field(f"spec.schedulingGates[{index}].name", text))
    for name in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        _restore(frame, old, name)
    if old.get("terminationGracePeriodSeconds", 0) < 0 and new.get("terminationGracePeriodSeconds") == 1:
        _restore(frame, old, "terminationGracePeriodSeconds")
    if gates:
        errors += _placement(frame, old)
    if frame != old:
        text = f"pod updates may not change fields other than {_MAY_CHANGE}\n{printing.diff(old, frame)}"
        errors.append(forbidden_field("spec", text))
    return errors


def _restore(frame: Obj, old: Obj, name: str) -> None:
    frame.pop(name, None)
    if name in old:
        frame[name] = old[name]


def _tolerations(new: list[Obj], old: list[Obj]) -> Errors:
    def frame(toleration: Obj) -> Obj:
        return {k: v for k, v in toleration.items() if k != "tolerationSeconds"}

    if all(any(frame(t) == frame(before) for t in new) for before in old):
        return []
    text = "existing toleration can not be modified except its tolerationSeconds"
    return [forbidden_field("spec.tolerations", text)]


def _placement(frame: Obj, old: Obj) -> Errors:
    """While gates hold a pod back its choice of nodes may be narrowed (KEP-3838)."""
    errors: Errors = []
    new, before = frame.get("nodeSelector") or {}, old.get("nodeSelector") or {}
    if any(new.get(key) != value for key, value in before.items()):
        text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        errors.append(invalid("spec.nodeSelector", shown(new), text))
    _restore(frame, old, "nodeSelector")
    node = (frame.get("affinity") or {}).get("nodeAffinity")
    node_before = (old.get("affinity") or {}).get("nodeAffinity")
    if node == node_before:
        return errors
    at = f"spec.affinity.nodeAffinity.{_NODE_TERMS}.nodeSelectorTerms"
    terms = ((node or {}).get(_NODE_TERMS) or {}).get("nodeSelectorTerms") or []
    had = ((node_before or {}).get(_NODE_TERMS) or {}).get("nodeSelectorTerms") or []
    if had and len(had) != len(terms):
        text = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        errors.append(invalid(at, shown(terms), text))
    elif had:
        for index, (term, was) in enumerate(zip(terms, had, strict=True)):
            if not _only_adds(term, was):
                text = "only additions are allowed (no mutations or deletions)"
                errors.append(invalid(f"{at}[{index}]", shown(term), text))
    affinity = {k: v for k, v in (frame.get("affinity") or {}).items() if k != "nodeAffinity"}
    if node_before is not None:
        affinity["nodeAffinity"] = node_before
    frame.pop("affinity", None)
    if affinity or old.get("affinity") is not None:
        frame["affinity"] = affinity
    return errors


def _only_adds(term: Obj, was: Obj) -> bool:
    kinds = ("matchExpressions", "matchFields")
    if not any(was.get(kind) for kind in kinds):
        return not any(term.get(kind) for kind in kinds)
    return all((term.get(kind) or [])[: len(was.get(kind) or [])] == (was.get(kind) or []) for kind in kinds)


# --- subresources ------------------------------------------------------------------------------------------


def ephemeral_containers(pod: Obj, old: Obj) -> Errors:
    """They are added, never changed or removed."""
    if MIRROR in meta.annotations(old):
        return [forbidden_field("", "static pods do not support ephemeral containers")]
    found = {c.get("name"): c for c in pod["spec"].get("ephemeralContainers") or ()}
    errors: Errors = []
    for before in old["spec"].get("ephemeralContainers") or ():
        name, at = before["name"], "spec.ephemeralContainers"
        if name not in found:
            errors.append(forbidden_field(at, f'existing ephemeral containers "{name}" may not be removed\n'))
        elif found[name] != before:
            text = f'existing ephemeral containers "{name}" may not be changed\n{printing.diff(before, found[name])}'
            errors.append(forbidden_field(at, text))
    return errors


def resize(pod: Obj, old: Obj, qos: Callable[[Obj], str]) -> Errors:
    """cpu and memory of containers and of the pod change in place; `qos` gives a spec's class."""
    new, before = pod["spec"], old["spec"]
    if MIRROR in meta.annotations(old):
        return [forbidden_field("", "static pods cannot be resized")]
    if (before.get("os") or {}).get("name") == "windows":
        return [forbidden_field("", "windows pods cannot be resized")]
    errors: Errors = []
    if qos(new) != qos(before):
        text = "Pod QOS Class may not change as a result of resizing"
        errors.append(invalid("spec", (pod.get("status") or {}).get("qosClass", ""), text))
    running = [
        s for s in (old.get("status") or {}).get("containerStatuses") or () if (s.get("state") or {}).get("running")
    ]
    if running and running[0].get("resources") is None:
        errors.append(forbidden_field("spec", "Pod running on node without support for resize"))
    if any((s.get("resources") or {}).get(k) for s in (new, before) for k in ("requests", "limits")):
        text = (
            "resize of pods with pod-level resources is forbidden when InPlacePodLevelResourcesVerticalScalingEnabled "
            "feature gate is disabled"
        )
        return [*errors, forbidden_field("", text)]
    order: Errors = []
    for kind in ("containers", "initContainers"):
        names = [[c.get("name") for c in s.get(kind) or ()] for s in (new, before)]
        if len(names[0]) != len(names[1]):
            order.append(forbidden_field(f"spec.{kind}", f"{kind} may not be added or removed on resize"))
        else:
            text = f"{kind} may not be renamed or reordered on resize"
            order += [
                forbidden_field(f"spec.{kind}[{i}].name", text)
                for i, (name, was) in enumerate(zip(*names, strict=True))
                if name != was
            ]
    return [*errors, *order] if order else errors + _resized(new, before)


def _resized(new: Obj, before: Obj) -> Errors:
    errors: Errors = []
    frame = meta.copied(new)
    for kind in ("initContainers", "containers"):
        for index, (one, was) in enumerate(zip(frame.get(kind) or [], before.get(kind) or [], strict=True)):
            at, changed = f"spec.{kind}[{index}]", one != was
            if kind == "initContainers" and was.get("restartPolicy") != "Always":
                if changed:
                    errors.append(forbidden_field("spec", "resources for non-sidecar init containers are immutable"))
                continue
            for amounts in ("requests", "limits"):
                mine = (one.get("resources") or {}).get(amounts) or {}
                had = (was.get("resources") or {}).get(amounts) or {}
                if not set(had) <= set(mine):
                    text = f"resource {amounts} cannot be removed"
                    errors.append(forbidden_field(f"{at}.resources.{amounts}", text))
            one["resources"] = _without_compute(one.get("resources"), was.get("resources"))
            if one != {**was, "resources": was.get("resources") or {}}:
                text = "only cpu and memory resources are mutable"
                if kind == "initContainers":
                    text = "only cpu and memory resources for sidecar containers are mutable"
                errors.append(forbidden_field("spec" if kind == "containers" else at, text))
    if not errors and frame != before:
        errors.append(forbidden_field("spec", "only cpu and memory resources are mutable"))
    return errors


def _without_compute(resources: Any, before: Any) -> Obj:
    """`resources` with the cpu and memory of `before`."""
    result: Obj = {k: v for k, v in (resources or {}).items() if k not in ("requests", "limits")}
    for kind in ("requests", "limits"):
        had = (before or {}).get(kind)
        amounts = {k: v for k, v in ((resources or {}).get(kind) or {}).items() if k not in ("cpu", "memory")}
        amounts |= {k: v for k, v in (had or {}).items() if k in ("cpu", "memory")}
        if amounts or had is not None:
            result[kind] = amounts
    return result


# --- status ------------------------------------------------------------------------------------------------


def status(pod: Obj, old: Obj) -> Errors:
    new, before = pod.get("status") or {}, old.get("status") or {}
    errors: Errors = []
    for index, condition in enumerate(new.get("conditions") or ()):
        at = f"status.conditions[{index}]"
        if condition.get("type") not in ("PodScheduled", "Ready", "Initialized"):
            errors += qualified_name(condition.get("type") or "", f"{at}.Type")
    nominated = new.get("nominatedNodeName")
    if nominated != before.get("nominatedNodeName"):
        errors += SUBDOMAIN(nominated, "status.nominatedNodeName")
    errors += immutable(new.get("qosClass"), before.get("qosClass"), "status.qosClass")
    errors += _restarted(new, before, old["spec"])
    for kind in ("podIPs", "hostIPs"):
        addresses = [a.get("ip") or "" for a in new.get(kind) or ()]
        errors += [e for i, address in enumerate(addresses) for e in ip_address(address, f"status.{kind}[{i}]")]
        if len(addresses) > 1 and (len(addresses) > 2 or len({":" in a for a in addresses}) < 2):
            text = "may specify no more than one IP for each IP family"
            errors.append(invalid(f"status.{kind}", shown(new[kind]), text))
    hosts = new.get("hostIPs")
    if hosts and hosts[0].get("ip") != new.get("hostIP"):
        errors.append(invalid("status.hostIPs[0].ip", hosts[0].get("ip") or "", "must be equal to `hostIP`"))
    return errors


def _restarted(new: Obj, before: Obj, spec: Obj) -> Errors:
    """A container that has ended for good stays ended."""
    policies = {c["name"]: c for _, c in pod_security.containers(spec, "")}
    errors: Errors = []
    for kind in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        now = {s.get("name"): s for s in new.get(kind) or ()}
        for index, was in enumerate(before.get(kind) or ()):
            ended = (was.get("state") or {}).get("terminated")
            current = now.get(was.get("name"))
            if ended is None or current is None or (current.get("state") or {}).get("terminated") is not None:
                continue
            own = policies.get(str(was.get("name"))) or {}
            policy = own.get("restartPolicy") or spec.get("restartPolicy")
            again = policy == "Always" or (policy == "OnFailure" and ended.get("exitCode"))
            if kind == "ephemeralContainerStatuses" or not (again or own.get("restartPolicyRules")):
                text = "may not be transitioned to non-terminated state"
                errors.append(forbidden_field(f"status.{kind}[{index}].state", text))
    return errors
