"""Which pod specs are refused (k8s.io/kubernetes/pkg/apis/core/validation).

Only rules that the schema cannot say. Field paths start at the given `field`, such as `spec` or
`spec.template.spec`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api import quantities
from api.errors import duplicate, forbidden_field, invalid, not_found_field, not_supported, required
from api.meta import Obj
from api.validation import (
    Errors,
    dns_label,
    dns_subdomain,
    ip_address,
    labels,
    not_negative,
    one_of,
    port_name,
    port_number,
    port_or_name,
    resource_list,
)

_PROTOCOLS = ("SCTP", "TCP", "UDP")
_VOLUME_SOURCES = (
    "awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "configMap", "csi", "downwardAPI",
    "emptyDir", "ephemeral", "fc", "flexVolume", "flocker", "gcePersistentDisk", "gitRepo", "glusterfs", "hostPath",
    "image", "iscsi", "nfs", "persistentVolumeClaim", "photonPersistentDisk", "portworxVolume", "projected",
    "quobyte", "rbd", "scaleIO", "secret", "storageos", "vsphereVolume",
)  # fmt: skip
_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")


def spec(spec: Obj, field: str) -> Errors:
    errors: Errors = []
    volumes = _volumes(spec.get("volumes") or [], f"{field}.volumes", errors)
    names: set[str] = set()
    if not spec.get("containers"):
        errors.append(required(f"{field}.containers"))
    ports: set[tuple[str, str, int]] = set()
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(kind) or []):
            at = f"{field}.{kind}[{index}]"
            errors += _container(container, at, volumes, init=kind == "initContainers")
            name = container.get("name") or ""
            if name in names:
                errors.append(duplicate(f"{at}.name", name))
            names.add(name)
            if kind == "containers":
                errors += _host_ports(container, at, ports)
    errors += one_of(spec.get("restartPolicy"), ("Always", "OnFailure", "Never"), f"{field}.restartPolicy")
    errors += one_of(
        spec.get("dnsPolicy"),
        ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
        f"{field}.dnsPolicy",
    )
    if spec.get("dnsPolicy") == "None" and not (spec.get("dnsConfig") or {}).get("nameservers"):
        errors.append(
            required(
                f"{field}.dnsConfig.nameservers",
                "must provide at least one DNS nameserver when `dnsPolicy` is None",
            )
        )
    errors += not_negative(spec, "terminationGracePeriodSeconds", field)
    if (spec.get("activeDeadlineSeconds") or 1) < 1:
        errors.append(
            invalid(
                f"{field}.activeDeadlineSeconds",
                spec["activeDeadlineSeconds"],
                "must be between 1 and 2147483647, inclusive",
            )
        )
    errors += labels(spec.get("nodeSelector"), f"{field}.nodeSelector")
    for name, rule in (("serviceAccountName", dns_subdomain), ("nodeName", dns_subdomain), ("hostname", dns_label),
                       ("subdomain", dns_label), ("priorityClassName", dns_subdomain)):  # fmt: skip
        if spec.get(name):
            errors += rule(spec[name], f"{field}.{name}")
    errors += _tolerations(spec.get("tolerations") or [], f"{field}.tolerations")
    for index, alias in enumerate(spec.get("hostAliases") or []):
        errors += ip_address(alias.get("ip") or "", f"{field}.hostAliases[{index}].ip")
    return errors


def _volumes(volumes: list[Obj], field: str, errors: Errors) -> set[str]:
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        at, name = f"{field}[{index}]", volume.get("name") or ""
        errors += dns_label(name, f"{at}.name") if name else [required(f"{at}.name")]
        if name in names:
            errors.append(duplicate(f"{at}.name", name))
        names.add(name)
        sources = [s for s in _VOLUME_SOURCES if volume.get(s) is not None]
        if not sources:
            errors.append(required(at, "must specify a volume type"))
        for extra in sources[1:]:
            errors.append(forbidden_field(f"{at}.{extra}", "may not specify more than 1 volume type"))
        errors += _volume_source(volume, at)
    return names


def _volume_source(volume: Obj, at: str) -> Errors:
    errors: Errors = []
    if volume.get("hostPath") is not None:
        path = volume["hostPath"].get("path") or ""
        if not path:
            errors.append(required(f"{at}.hostPath.path"))
        elif ".." in path.split("/"):
            errors.append(invalid(f"{at}.hostPath.path", path, "must not contain '..'"))
        kinds = (
            "",
            "BlockDevice",
            "CharDevice",
            "Directory",
            "DirectoryOrCreate",
            "File",
            "FileOrCreate",
            "Socket",
        )
        if (volume["hostPath"].get("type") or "") not in kinds:
            errors.append(not_supported(f"{at}.hostPath.type", volume["hostPath"]["type"], kinds))
    if volume.get("configMap") is not None and not volume["configMap"].get("name"):
        errors.append(required(f"{at}.configMap.name"))
    if volume.get("secret") is not None and not volume["secret"].get("secretName"):
        errors.append(required(f"{at}.secret.secretName"))
    limit = (volume.get("emptyDir") or {}).get("sizeLimit")
    if limit is not None:
        errors += resource_list({"sizeLimit": limit}, f"{at}.emptyDir")
    return errors


def _container(container: Obj, at: str, volumes: set[str], *, init: bool) -> Errors:
    errors: Errors = []
    name = container.get("name") or ""
    errors += dns_label(name, f"{at}.name") if name else [required(f"{at}.name")]
    image = container.get("image") or ""
    if not image:
        errors.append(required(f"{at}.image"))
    elif image != image.strip():
        errors.append(invalid(f"{at}.image", image, "must not have leading or trailing whitespace"))
    errors += one_of(container.get("imagePullPolicy"), ("Always", "IfNotPresent", "Never"), f"{at}.imagePullPolicy")
    errors += _container_ports(container.get("ports") or [], f"{at}.ports")
    errors += _environment(container, at)
    errors += _mounts(container.get("volumeMounts") or [], f"{at}.volumeMounts", volumes)
    errors += _resources(container.get("resources") or {}, f"{at}.resources")
    restartable = container.get("restartPolicy") == "Always"
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe) is None:
            continue
        if init and not restartable:
            errors.append(
                forbidden_field(f"{at}.{probe}", "may not be set for init containers without restartPolicy=Always")
            )
        errors += _probe(container[probe], f"{at}.{probe}", readiness=probe == "readinessProbe")
    lifecycle = container.get("lifecycle")
    if lifecycle and init and not restartable:
        errors.append(
            forbidden_field(f"{at}.lifecycle", "may not be set for init containers without restartPolicy=Always")
        )
    for hook, handler in (lifecycle or {}).items():
        if hook != "stopSignal":
            errors += _handler(handler, f"{at}.lifecycle.{hook}", _HOOK_HANDLERS)
    return errors


def _container_ports(ports: list[Obj], field: str) -> Errors:
    errors: Errors = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        at = f"{field}[{index}]"
        name = port.get("name")
        if name:
            errors += port_name(name, f"{at}.name")
            if name in names:
                errors.append(duplicate(f"{at}.name", name))
            names.add(name)
        if port.get("containerPort"):
            errors += port_number(port["containerPort"], f"{at}.containerPort")
        else:
            errors.append(required(f"{at}.containerPort"))
        if port.get("hostPort"):
            errors += port_number(port["hostPort"], f"{at}.hostPort")
        errors += one_of(port.get("protocol"), _PROTOCOLS, f"{at}.protocol")
    return errors


def _host_ports(container: Obj, at: str, taken: set[tuple[str, str, int]]) -> Errors:
    errors: Errors = []
    for index, port in enumerate(container.get("ports") or []):
        number = port.get("hostPort")
        if not number:
            continue
        key = (port.get("protocol", "TCP"), port.get("hostIP") or "", number)
        if key in taken:
            errors.append(duplicate(f"{at}.ports[{index}].hostPort", f"{key[0]}/{key[1]}/{number}"))
        taken.add(key)
    return errors


def _environment(container: Obj, at: str) -> Errors:
    errors: Errors = []
    for index, variable in enumerate(container.get("env") or []):
        field, name = f"{at}.env[{index}]", variable.get("name") or ""
        if not name:
            errors.append(required(f"{field}.name"))
        elif "=" in name or not name.isprintable():
            errors.append(
                invalid(f"{field}.name", name, "a valid environment variable name must consist only of printable "
                        "ASCII characters other than '='")
            )  # fmt: skip
        source = variable.get("valueFrom")
        if source is None:
            continue
        kinds = [
            k
            for k in ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
            if source.get(k)
        ]
        if not kinds:
            errors.append(
                invalid(f"{field}.valueFrom", "", "must specify one of: `fieldRef`, `resourceFieldRef`, "
                        "`configMapKeyRef`, `secretKeyRef` or `fileKeyRef`")
            )  # fmt: skip
        elif len(kinds) > 1:
            errors.append(invalid(f"{field}.valueFrom", "", "may not have more than one field specified at a time"))
        if variable.get("value"):
            errors.append(invalid(f"{field}.valueFrom", "", "may not be specified when `value` is not empty"))
        for kind in ("configMapKeyRef", "secretKeyRef"):
            if source.get(kind) and not source[kind].get("key"):
                errors.append(required(f"{field}.valueFrom.{kind}.key"))
    return errors


def _mounts(mounts: list[Obj], field: str, volumes: set[str]) -> Errors:
    errors: Errors = []
    paths: set[str] = set()
    for index, mount in enumerate(mounts):
        at, name, path = f"{field}[{index}]", mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errors.append(required(f"{at}.name"))
        elif name not in volumes:
            errors.append(not_found_field(f"{at}.name", name))
        if not path:
            errors.append(required(f"{at}.mountPath"))
        elif path in paths:
            errors.append(invalid(f"{at}.mountPath", path, "must be unique"))
        paths.add(path)
        if mount.get("subPath") and mount.get("subPathExpr"):
            errors.append(
                invalid(
                    f"{at}.subPathExpr",
                    mount["subPathExpr"],
                    "subPathExpr and subPath are mutually exclusive",
                )
            )
        for sub in ("subPath", "subPathExpr"):
            value = mount.get(sub) or ""
            if value.startswith("/"):
                errors.append(invalid(f"{at}.{sub}", value, "must be a relative path"))
            if ".." in value.split("/"):
                errors.append(invalid(f"{at}.{sub}", value, "must not contain '..'"))
    return errors


def _resources(resources: Mapping[str, Any], at: str) -> Errors:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    errors = resource_list(limits, f"{at}.limits") + resource_list(requests, f"{at}.requests")
    if errors:
        return errors
    for name, request in requests.items():
        limit = limits.get(name)
        if limit is not None and quantities.parse(request) > quantities.parse(limit):
            errors.append(
                invalid(
                    f"{at}.requests",
                    quantities.canonical(request),
                    f"must be less than or equal to {name} limit of {quantities.canonical(limit)}",
                )
            )
    return errors


def _probe(probe: Obj, at: str, *, readiness: bool) -> Errors:
    errors = _handler(probe, at, _PROBE_HANDLERS)
    for name in (
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ):
        errors += not_negative(probe, name, at)
    if not readiness and (probe.get("successThreshold") or 1) != 1:
        errors.append(invalid(f"{at}.successThreshold", probe["successThreshold"], "must be 1"))
    return errors


def _handler(handler: Obj, at: str, kinds: tuple[str, ...]) -> Errors:
    given = [k for k in kinds if handler.get(k) is not None]
    if not given:
        return [required(at, "must specify a handler type")]
    errors = [forbidden_field(f"{at}.{k}", "may not specify more than 1 handler type") for k in given[1:]]
    kind, action = given[0], handler[given[0]]
    if kind == "exec" and not action.get("command"):
        errors.append(required(f"{at}.exec.command"))
    if kind in ("httpGet", "tcpSocket"):
        errors += port_or_name(action.get("port", 0), f"{at}.{kind}.port")
    if kind == "httpGet":
        if not action.get("path"):
            errors.append(required(f"{at}.httpGet.path"))
        errors += one_of(action.get("scheme"), ("HTTP", "HTTPS"), f"{at}.httpGet.scheme")
    if kind == "grpc":
        errors += port_number(action.get("port", 0), f"{at}.grpc.port")
    return errors


def _tolerations(tolerations: list[Obj], field: str) -> Errors:
    errors: Errors = []
    for index, toleration in enumerate(tolerations):
        at = f"{field}[{index}]"
        operator, effect = toleration.get("operator") or "Equal", toleration.get("effect") or ""
        if not toleration.get("key") and operator != "Exists":
            errors.append(
                invalid(
                    f"{at}.operator",
                    toleration.get("operator") or "",
                    'operator must be Exists when `key` is empty, which means "match all values and all keys"',
                )
            )
        if operator == "Exists" and toleration.get("value"):
            errors.append(
                invalid(f"{at}.operator", toleration["value"], "value must be empty when `operator` is 'Exists'")
            )
        if operator not in ("Equal", "Exists"):
            errors.append(not_supported(f"{at}.operator", operator, ("Equal", "Exists")))
        if effect and effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
            errors.append(not_supported(f"{at}.effect", effect, ("NoSchedule", "PreferNoSchedule", "NoExecute")))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            errors.append(invalid(f"{at}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"))
    return errors
