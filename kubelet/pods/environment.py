"""The environment of a container, and $(VAR) expansion. Pure: what it refers to is handed in.

Whatever name a key makes is taken: since v1.34 a variable may have any printable name (KEP-4369), and the
keys of config maps and secrets can have no other.

Sources: kubelet_pods.go makeEnvironmentVariables, pkg/kubelet/envvars, third_party/forked/golang/expansion.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from typing import Any

from api import quantities
from api.meta import Obj
from kubelet.pods import env_file
from kubelet.pods.quoting import quoted

_MAP_STEP = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")
_REFERENCE = re.compile(r"\$(?:\$|\(([^()]*)\))")


class ConfigError(Exception):
    """The pod's own words do not make a container. `reason` is what status shows."""

    def __init__(self, message: str, reason: str = "CreateContainerConfigError") -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(slots=True)
class Sources:
    """What an environment is made from. Maps are by name, in the pod's namespace."""

    pod: Mapping[str, Any]
    config_maps: Mapping[str, Obj] = field(default_factory=dict)
    secrets: Mapping[str, Obj] = field(default_factory=dict)
    services: Iterable[Obj] = ()
    host_ip: str = ""
    pod_ips: tuple[str, ...] = ()
    node_allocatable: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str | None] = field(default_factory=dict)
    """What env files hold, by `volume/path`; None for one that cannot be read."""


def env_files(container: Mapping[str, Any]) -> set[tuple[str, str]]:
    """(volume, path) of each file that a variable is taken from."""
    found = (((entry.get("valueFrom") or {}).get("fileKeyRef")) for entry in container.get("env") or [])
    return {(ref["volumeName"], ref["path"]) for ref in found if ref}


def references(container: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """Names of the config maps and of the secrets that the environment is made from."""
    config_maps: set[str] = set()
    secrets: set[str] = set()
    for source in container.get("envFrom") or []:
        if source.get("configMapRef"):
            config_maps.add(source["configMapRef"]["name"])
        if source.get("secretRef"):
            secrets.add(source["secretRef"]["name"])
    for entry in container.get("env") or []:
        value = entry.get("valueFrom") or {}
        if value.get("configMapKeyRef"):
            config_maps.add(value["configMapKeyRef"]["name"])
        if value.get("secretKeyRef"):
            secrets.add(value["secretKeyRef"]["name"])
    return config_maps, secrets


def build(container: Mapping[str, Any], sources: Sources) -> dict[str, str]:
    """ConfigError when something that is not optional is missing."""
    links = service_variables(sources.services, sources.pod)
    result: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        result.update(_from_source(source, sources))
    for entry in container.get("env") or []:
        value: str | None = entry.get("value") or ""
        if entry.get("valueFrom"):
            value = _from_value(entry["valueFrom"], container, sources)
        else:
            value = expand(value or "", {**links, **result})
        if value is not None:
            result[entry["name"]] = value
    return {**{k: v for k, v in links.items() if k not in result}, **result}


def _from_source(source: Mapping[str, Any], sources: Sources) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    for key, kind, found, secret in (
        ("configMapRef", "configmap", sources.config_maps, False),
        ("secretRef", "secret", sources.secrets, True),
    ):
        ref = source.get(key)
        if ref is None:
            continue
        obj = found.get(ref["name"])
        if obj is None:
            if ref.get("optional"):
                return {}
            raise ConfigError(f'{kind} "{ref["name"]}" not found')
        data = _secret_text(obj) if secret else (obj.get("data") or {})
        return {prefix + name: value for name, value in data.items()}
    return {}


def _secret_text(secret: Mapping[str, Any]) -> dict[str, str]:
    return {k: base64.b64decode(v).decode(errors="surrogateescape") for k, v in (secret.get("data") or {}).items()}


def _from_value(value: Mapping[str, Any], container: Mapping[str, Any], sources: Sources) -> str | None:
    if value.get("fieldRef"):
        return pod_field(value["fieldRef"]["fieldPath"], sources)
    if value.get("resourceFieldRef"):
        ref = value["resourceFieldRef"]
        target = container
        if ref.get("containerName"):
            spec = sources.pod["spec"]
            named = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
            target = next((c for c in named if c["name"] == ref["containerName"]), container)
        most = {**sources.node_allocatable, **((sources.pod["spec"].get("resources") or {}).get("limits") or {})}
        return resource_field(ref["resource"], ref.get("divisor") or "0", target, most)
    if value.get("fileKeyRef"):
        return _from_file(value["fileKeyRef"], sources)
    for key, kind, found in (
        ("configMapKeyRef", "ConfigMap", sources.config_maps),
        ("secretKeyRef", "Secret", sources.secrets),
    ):
        ref = value.get(key)
        if ref is None:
            continue
        obj = found.get(ref["name"])
        if obj is None:
            if ref.get("optional"):
                return None
            raise ConfigError(f'{kind.lower()} "{ref["name"]}" not found')
        data = _secret_text(obj) if kind == "Secret" else (obj.get("data") or {})
        if ref["key"] not in data:
            if ref.get("optional"):
                return None
            namespace = sources.pod["metadata"].get("namespace", "")
            raise ConfigError(f"couldn't find key {ref['key']} in {kind} {namespace}/{ref['name']}")
        return str(data[ref["key"]])
    return ""


def _from_file(ref: Mapping[str, Any], sources: Sources) -> str | None:
    where = f"{ref['volumeName']}/{ref['path']}"
    text = sources.files.get(where)
    try:
        found = env_file.value(text, ref["key"]) if text is not None else None
    except ValueError as error:
        raise ConfigError("couldn't parse env file") from error
    if text is None and not ref.get("optional"):
        raise ConfigError("couldn't parse env file")
    if not found and not ref.get("optional"):
        raise ConfigError(f'environment variable key "{ref["key"]}" not found in file "{where}"')
    return found or None


def pod_field(path: str, sources: Sources) -> str:
    """The downward API: a fieldPath of the pod as text. ConfigError for a path that is not one."""
    pod = sources.pod
    meta, spec = pod["metadata"], pod["spec"]
    step = _MAP_STEP.match(path)
    if step is not None:
        return str((meta.get(step[1]) or {}).get(step[2], ""))
    match path:
        case "metadata.name" | "metadata.namespace" | "metadata.uid":
            return str(meta.get(path.split(".")[1], ""))
        case "metadata.labels" | "metadata.annotations":
            pairs = sorted((meta.get(path.split(".")[1]) or {}).items())
            return "\n".join(f"{k}={quoted(v)}" for k, v in pairs)
        case "spec.nodeName":
            return str(spec.get("nodeName", ""))
        case "spec.serviceAccountName":
            return str(spec.get("serviceAccountName", ""))
        case "status.hostIP" | "status.hostIPs":
            return sources.host_ip
        case "status.podIP":
            return sources.pod_ips[0] if sources.pod_ips else ""
        case "status.podIPs":
            return ",".join(sources.pod_ips)
    raise ConfigError(f"unsupported fieldPath: {path}")


def resource_field(resource: str, divisor: str, container: Mapping[str, Any], allocatable: Mapping[str, str]) -> str:
    """`limits.cpu` and the like in units of `divisor`, rounded up. A missing limit is the node's allocatable,
    a missing request is the limit if there is one, else 0 (upstream: ExtractContainerResourceValue)."""
    kind, _, name = resource.partition(".")
    resources = container.get("resources") or {}
    value = (resources.get(kind) or {}).get(name)
    if value is None and kind == "limits":
        value = allocatable.get(name, "0")
    unit = quantities.parse(divisor) or Decimal(1)
    amount = (quantities.parse(value if value is not None else "0") / unit).to_integral_value(ROUND_CEILING)
    return str(int(amount))


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`$(NAME)` becomes its value, `$$` a dollar sign; an unknown name stays as it is written."""

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "$"
        return variables.get(name, match[0])

    return _REFERENCE.sub(replace, text)


def service_variables(services: Iterable[Obj], pod: Mapping[str, Any]) -> dict[str, str]:
    """The variables of services of the pod's namespace (unless it wants none) and of default/kubernetes."""
    namespace = pod["metadata"].get("namespace", "")
    wanted = pod["spec"].get("enableServiceLinks", True)
    chosen: dict[str, Obj] = {}
    for service in services:
        meta, spec = service["metadata"], service["spec"]
        if spec.get("clusterIP") in (None, "", "None"):
            continue
        if meta["namespace"] == "default" and meta["name"] == "kubernetes":
            chosen.setdefault("kubernetes", service)
        elif wanted and meta["namespace"] == namespace:
            chosen[meta["name"]] = service
    variables: dict[str, str] = {}
    for name in sorted(chosen):
        variables.update(_link(name, chosen[name]["spec"]))
    return variables


def _link(name: str, spec: Mapping[str, Any]) -> dict[str, str]:
    prefix = name.upper().replace("-", "_")
    address, ports = spec["clusterIP"], spec.get("ports") or []
    if not ports:
        return {}
    shown = f"[{address}]" if ":" in address else address
    variables = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(ports[0]["port"])}
    for index, port in enumerate(ports):
        protocol, number = port.get("protocol") or "TCP", str(port["port"])
        if port.get("name"):
            variables[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = number
        url = f"{protocol.lower()}://{shown}:{number}"
        if index == 0:
            variables[f"{prefix}_PORT"] = url
        base = f"{prefix}_PORT_{number}_{protocol}"
        variables |= {
            base: url,
            f"{base}_PROTO": protocol.lower(),
            f"{base}_PORT": number,
            f"{base}_ADDR": address,
        }
    return variables
