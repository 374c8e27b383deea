"""The Containers blocks of a pod or pod template."""

from __future__ import annotations

from typing import Any

from api.jsonpath import JSONPathError, Template
from api.meta import Obj
from api.quantities import canonical
from kubectl.describe.sheet import Sheet, lower, rfc1123z, title


def containers_block(
    sheet: Sheet,
    label: str,
    containers: list[Obj],
    statuses: list[Obj] | None,
    pod: Obj | None,
    indent: str = "",
) -> None:
    """`statuses` and `pod` are None in a template."""
    by_name = {status["name"]: status for status in statuses or []}
    sheet.line(0, f"{indent}{label}:{'' if containers else ' <none>'}")
    for container in containers:
        status = by_name.get(container["name"])
        sheet.line(1, f"{' ' if indent else ''}{container['name']}:")
        _basics(sheet, container, status)
        _command(sheet, container)
        if status is not None:
            _state(sheet, "State", status.get("state") or {})
            if (status.get("lastState") or {}).get("terminated"):
                _state(sheet, "Last State", status["lastState"])
            sheet.line(2, f"Ready:\t{title(status.get('ready'))}")
            sheet.line(2, f"Restart Count:\t{status.get('restartCount', 0)}")
        resources_block(sheet, container.get("resources") or {}, 2)
        for name, field in _PROBES:
            if container.get(field):
                sheet.line(2, f"{name}:\t{probe_text(container[field])}")
        _env_from(sheet, container)
        _env(sheet, container, pod)
        _mounts(sheet, container)


_PROBES = (("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe"))


def _basics(sheet: Sheet, container: Obj, status: Obj | None) -> None:
    if status is not None:
        sheet.line(2, f"Container ID:\t{status.get('containerID', '')}")
    sheet.line(2, f"Image:\t{container.get('image', '')}")
    if status is not None:
        sheet.line(2, f"Image ID:\t{status.get('imageID', '')}")
    for name, field in (("Port", "containerPort"), ("Host Port", "hostPort")):
        ports = [
            f"{p.get(field, 0)}/{p.get('protocol', 'TCP')}" + (f" ({p['name']})" if p.get("name") else "")
            for p in container.get("ports") or []
        ]
        sheet.line(2, f"{name}{'s' if len(ports) > 1 else ''}:\t{', '.join(ports) or '<none>'}")
    profile = (container.get("securityContext") or {}).get("seccompProfile")
    if profile:
        sheet.line(2, f"SeccompProfile:\t{profile.get('type', '')}")
        if profile.get("type") == "Localhost":
            sheet.line(3, f"LocalhostProfile:\t{profile.get('localhostProfile', '')}")


def _command(sheet: Sheet, container: Obj) -> None:
    for name, field in (("Command", "command"), ("Args", "args")):
        words = container.get(field)
        if words:
            sheet.line(2, f"{name}:")
            for word in words:
                for part in word.split("\n"):
                    sheet.line(3, part)


def _state(sheet: Sheet, name: str, state: Obj) -> None:
    if state.get("running") is not None:
        sheet.line(2, f"{name}:\tRunning")
        sheet.line(3, f"Started:\t{rfc1123z(state['running'].get('startedAt'))}")
    elif state.get("terminated") is not None:
        ended = state["terminated"]
        sheet.line(2, f"{name}:\tTerminated")
        for label, field in (("Reason", "reason"), ("Message", "message")):
            if ended.get(field):
                sheet.line(3, f"{label}:\t{ended[field]}")
        sheet.line(3, f"Exit Code:\t{ended.get('exitCode', 0)}")
        if (ended.get("signal") or 0) > 0:
            sheet.line(3, f"Signal:\t{ended['signal']}")
        sheet.line(3, f"Started:\t{rfc1123z(ended.get('startedAt'))}")
        sheet.line(3, f"Finished:\t{rfc1123z(ended.get('finishedAt'))}")
    else:
        sheet.line(2, f"{name}:\tWaiting")
        reason = (state.get("waiting") or {}).get("reason")
        if reason:
            sheet.line(3, f"Reason:\t{reason}")


def resources_block(sheet: Sheet, resources: Obj, level: int) -> None:
    for name, field in (("Limits", "limits"), ("Requests", "requests")):
        amounts = resources.get(field) or {}
        if amounts:
            sheet.line(level, f"{name}:")
        for resource in sorted(amounts):
            sheet.line(level + 1, f"{resource}:\t{canonical(amounts[resource])}")


def probe_text(probe: Obj) -> str:
    rest = (
        f"delay={probe.get('initialDelaySeconds', 0)}s timeout={probe.get('timeoutSeconds', 1)}s "
        f"period={probe.get('periodSeconds', 10)}s #success={probe.get('successThreshold', 1)} "
        f"#failure={probe.get('failureThreshold', 3)}"
    )
    if probe.get("exec"):
        return f"exec [{' '.join(probe['exec'].get('command') or [])}] {rest}"
    if probe.get("httpGet"):
        get = probe["httpGet"]
        path = str(get.get("path") or "")
        path = path if path.startswith("/") or not path else f"/{path}"
        return f"http-get {str(get.get('scheme', 'HTTP')).lower()}://{get.get('host', '')}:{get['port']}{path} {rest}"
    if probe.get("tcpSocket"):
        socket = probe["tcpSocket"]
        return f"tcp-socket {socket.get('host', '')}:{socket['port']} {rest}"
    if probe.get("grpc"):
        return f"grpc <pod>:{probe['grpc']['port']} {probe['grpc'].get('service', '')} {rest}"
    return f"unknown {rest}"


def _env_from(sheet: Sheet, container: Obj) -> None:
    sources = container.get("envFrom") or []
    if sources:
        sheet.line(2, "Environment Variables from:")
    for source in sources:
        kind, ref = ("ConfigMap", source.get("configMapRef")) if source.get("configMapRef") else (
            "Secret", source.get("secretRef") or {})  # fmt: skip
        prefix = f" with prefix '{source['prefix']}'" if source.get("prefix") else ""
        sheet.line(3, f"{ref.get('name', '')}\t{kind}{prefix}\tOptional: {lower(ref.get('optional'))}")


def _env(sheet: Sheet, container: Obj, pod: Obj | None) -> None:
    variables = container.get("env") or []
    sheet.line(2, f"Environment:{'' if variables else chr(9) + '<none>'}")
    for variable in variables:
        name, source = variable["name"], variable.get("valueFrom")
        if not source:
            first, *more = str(variable.get("value") or "").split("\n")
            sheet.line(3, f"{name}:\t{first}")
            for part in more:
                sheet.line(3, f"\t{part}")
        elif source.get("fieldRef"):
            ref = source["fieldRef"]
            value = _field_value(pod, ref["fieldPath"]) if pod else ""
            sheet.line(3, f"{name}:\t{value} ({ref.get('apiVersion', 'v1')}:{ref['fieldPath']})")
        elif source.get("resourceFieldRef"):
            resource = source["resourceFieldRef"].get("resource", "")
            sheet.line(3, f"{name}:\t{_resource_value(container, resource)} ({resource})")
        elif source.get("secretKeyRef"):
            ref = source["secretKeyRef"]
            sheet.line(3, f"{name}:\t<set to the key '{ref['key']}' in secret '{ref.get('name', '')}'>"
                          f"\tOptional: {lower(ref.get('optional'))}")  # fmt: skip
        elif source.get("configMapKeyRef"):
            ref = source["configMapKeyRef"]
            sheet.line(3, f"{name}:\t<set to the key '{ref['key']}' of config map '{ref.get('name', '')}'>"
                          f"\tOptional: {lower(ref.get('optional'))}")  # fmt: skip


def _field_value(pod: Obj, path: str) -> str:
    try:
        return Template(f"{{.{path}}}").render(pod)
    except JSONPathError:
        return ""  # the server rejects a bad path when the pod is made


def _resource_value(container: Obj, resource: str) -> Any:
    field, _, name = resource.partition(".")
    amount = ((container.get("resources") or {}).get(field) or {}).get(name)
    if amount is None and field == "requests":
        amount = ((container.get("resources") or {}).get("limits") or {}).get(name)
    if amount is None:
        return "node allocatable" if resource in ("limits.cpu", "limits.memory") else "0"
    return canonical(amount)


def _mounts(sheet: Sheet, container: Obj) -> None:
    mounts = sorted(container.get("volumeMounts") or [], key=lambda m: str(m["mountPath"]))
    sheet.line(2, f"Mounts:{'' if mounts else chr(9) + '<none>'}")
    for mount in mounts:
        flags = "ro" if mount.get("readOnly") else "rw"
        if mount.get("subPath"):
            flags += f',path="{mount["subPath"]}"'
        sheet.line(3, f"{mount['mountPath']} from {mount['name']} ({flags})")
