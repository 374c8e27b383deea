"""Pods and pod templates."""

from __future__ import annotations

from datetime import datetime

from api.meta import Obj, is_deleting
from kubectl.describe.containers import containers_block, resources_block
from kubectl.describe.events import events_block
from kubectl.describe.sheet import Sheet, controlled_by, rfc1123z, status
from kubectl.describe.volumes import volumes_block


def pod(obj: Obj, events: list[Obj] | None, now: datetime) -> str:
    sheet = Sheet(now)
    metadata, spec, state = obj["metadata"], obj["spec"], status(obj)
    _head(sheet, obj)
    if is_deleting(obj) and state.get("phase") not in ("Failed", "Succeeded"):
        sheet.line(0, f"Status:\tTerminating (lasts {sheet.since(metadata['deletionTimestamp'])})")
        sheet.line(0, f"Termination Grace Period:\t{metadata.get('deletionGracePeriodSeconds', 0)}s")
    else:
        sheet.line(0, f"Status:\t{state.get('phase', '')}")
    for label, field in (("Reason", "reason"), ("Message", "message")):
        if state.get(field):
            sheet.line(0, f"{label}:\t{state[field]}")
    profile = (spec.get("securityContext") or {}).get("seccompProfile")
    if profile:
        sheet.line(0, f"SeccompProfile:\t{profile.get('type', '')}")
        if profile.get("type") == "Localhost":
            sheet.line(0, f"LocalhostProfile:\t{profile.get('localhostProfile', '')}")
    _addresses(sheet, state)
    owner = controlled_by(obj)
    if owner:
        sheet.line(0, f"Controlled By:\t{owner}")
    if state.get("nominatedNodeName"):
        sheet.line(0, f"NominatedNodeName:\t{state['nominatedNodeName']}")
    if spec.get("resources"):
        sheet.line(0, "Resources:")
        resources_block(sheet, spec["resources"], 1)
    _containers(sheet, obj)
    _conditions(sheet, obj)
    volumes_block(sheet, spec.get("volumes"))
    sheet.line(0, f"QoS Class:\t{state.get('qosClass') or qos_class(spec)}")
    sheet.labels("Node-Selectors", spec.get("nodeSelector"))
    sheet.block("Tolerations", toleration_lines(spec.get("tolerations")))
    _spread(sheet, spec, "")
    events_block(sheet, events)
    return sheet.text()


def _head(sheet: Sheet, obj: Obj) -> None:
    metadata, spec, state = obj["metadata"], obj["spec"], status(obj)
    sheet.line(0, f"Name:\t{metadata['name']}")
    sheet.line(0, f"Namespace:\t{metadata.get('namespace', '')}")
    if spec.get("priority") is not None:
        sheet.line(0, f"Priority:\t{spec['priority']}")
    for label, field in (
        ("Priority Class Name", "priorityClassName"),
        ("Runtime Class Name", "runtimeClassName"),
        ("Service Account", "serviceAccountName"),
    ):
        if spec.get(field):
            sheet.line(0, f"{label}:\t{spec[field]}")
    node = spec.get("nodeName")
    sheet.line(0, f"Node:\t{node}/{state.get('hostIP', '')}" if node else "Node:\t<none>")
    if state.get("startTime"):
        sheet.line(0, f"Start Time:\t{rfc1123z(state['startTime'])}")
    sheet.labels("Labels", metadata.get("labels"))
    sheet.annotations(metadata.get("annotations"))


def _addresses(sheet: Sheet, state: Obj) -> None:
    sheet.line(0, f"IP:\t{state.get('podIP', '')}")
    if not state.get("podIPs"):
        sheet.line(0, "IPs:\t<none>")
        return
    sheet.line(0, "IPs:")
    for address in state["podIPs"]:
        sheet.line(1, f"IP:\t{address.get('ip', '')}")


def _containers(sheet: Sheet, obj: Obj) -> None:
    spec, state = obj["spec"], status(obj)
    if spec.get("initContainers"):
        containers_block(sheet, "Init Containers", spec["initContainers"], state.get("initContainerStatuses"), obj)
    containers_block(sheet, "Containers", spec.get("containers") or [], state.get("containerStatuses"), obj)
    if spec.get("ephemeralContainers"):
        containers_block(sheet, "Ephemeral Containers", spec["ephemeralContainers"],
                         state.get("ephemeralContainerStatuses"), obj)  # fmt: skip


def _conditions(sheet: Sheet, obj: Obj) -> None:
    conditions = status(obj).get("conditions") or []
    gates = obj["spec"].get("readinessGates") or []
    if gates:
        sheet.line(0, "Readiness Gates:")
        sheet.line(1, "Type\tStatus")
    for gate in gates:
        found = next((c for c in conditions if c["type"] == gate["conditionType"]), None)
        sheet.line(1, f"{gate['conditionType']} \t{found['status'] if found else '<none>'} ")
    if conditions:
        sheet.line(0, "Conditions:")
        sheet.line(1, "Type\tStatus")
    for condition in conditions:
        sheet.line(1, f"{condition['type']} \t{condition['status']} ")


def qos_class(spec: Obj) -> str:
    """Upstream's rule: Guaranteed when every container's limits equal its requests, BestEffort without any."""
    resources = [c.get("resources") or {} for c in (*spec.get("initContainers", ()), *spec["containers"])]
    if not any(r.get("requests") or r.get("limits") for r in resources):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= set(r.get("limits") or {})
        and all((r.get("requests") or r["limits"]).get(k, v) == v for k, v in r["limits"].items())
        for r in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"


def toleration_lines(tolerations: list[Obj] | None) -> list[str]:
    lines = []
    for toleration in sorted(tolerations or [], key=lambda t: str(t.get("key", ""))):
        text = str(toleration.get("key") or "")
        if toleration.get("value"):
            text += f"={toleration['value']}"
        if toleration.get("effect"):
            text += f":{toleration['effect']}"
        if toleration.get("operator") == "Exists" and not toleration.get("value"):
            text += " op=Exists" if text else "op=Exists"
        if toleration.get("tolerationSeconds") is not None:
            text += f" for {toleration['tolerationSeconds']}s"
        lines.append(text)
    return lines


def _spread(sheet: Sheet, spec: Obj, indent: str) -> None:
    constraints = sorted(spec.get("topologySpreadConstraints") or [], key=lambda c: str(c["topologyKey"]))
    if constraints:
        lines = []
        for c in constraints:
            text = f"{c['topologyKey']}:{c['whenUnsatisfiable']} when max skew {c['maxSkew']} is exceeded"
            if c.get("labelSelector") is not None:
                text += f" for selector {selector_text(c['labelSelector'])}"
            lines.append(text)
        sheet.block("Topology Spread Constraints", lines, indent)


def selector_text(selector: Obj | None) -> str:
    """metav1.FormatLabelSelector: `a=b,c in (d,e)`; `<none>` for one that selects everything."""
    if selector is None:
        return "<none>"
    parts = [f"{k}={v}" for k, v in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or []:
        key, values = expression["key"], ",".join(sorted(expression.get("values") or []))
        parts.append({
            "In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})",
            "Exists": key, "DoesNotExist": f"!{key}",
        }[expression["operator"]])  # fmt: skip
    return ",".join(sorted(parts)) or "<none>"


def template_block(sheet: Sheet, template: Obj | None) -> None:
    sheet.line(0, "Pod Template:")
    if not template:
        sheet.line(1, "<unset>")
        return
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    sheet.labels("Labels", metadata.get("labels"), "  ")
    if metadata.get("annotations"):
        sheet.annotations(metadata["annotations"], "  ")
    if spec.get("serviceAccountName"):
        sheet.line(1, f"Service Account:\t{spec['serviceAccountName']}")
    if spec.get("initContainers"):
        containers_block(sheet, "Init Containers", spec["initContainers"], None, None, "  ")
    containers_block(sheet, "Containers", spec.get("containers") or [], None, None, "  ")
    volumes_block(sheet, spec.get("volumes"), "  ")
    _spread(sheet, spec, "  ")
    if spec.get("priorityClassName"):
        sheet.line(1, f"Priority Class Name:\t{spec['priorityClassName']}")
    sheet.labels("Node-Selectors", spec.get("nodeSelector"), "  ")
    sheet.block("Tolerations", toleration_lines(spec.get("tolerations")), "  ")
