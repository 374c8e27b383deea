"""Objects made from flags instead of files: what `create deployment`, `create configmap`, `run` … send. Pure."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Sequence
from pathlib import Path

from api.meta import Obj
from kubectl.failures import CliError

_KEY = re.compile(r"[-._a-zA-Z0-9]+")


def namespace(name: str) -> Obj:
    return {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}, "spec": {}, "status": {}}


def service_account(name: str) -> Obj:
    return {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": name}}


def config_map(name: str, literals: Sequence[str], files: Sequence[str], env_files: Sequence[str]) -> Obj:
    """Text files go to data, others to binaryData. CliError when a source is malformed or a key comes twice."""
    text: dict[str, str] = {}
    binary: dict[str, str] = {}
    for key, content in sources(literals, files, env_files):
        if key in text or key in binary:
            raise CliError(f'cannot add key "{key}", another key by that name already exists in Data for ConfigMap '
                           f'"{name}"')  # fmt: skip
        try:
            text[key] = content.decode()
        except UnicodeDecodeError:
            binary[key] = base64.b64encode(content).decode()
    obj: Obj = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}}
    if text:
        obj["data"] = text
    if binary:
        obj["binaryData"] = binary
    return obj


def secret(name: str, literals: Sequence[str], files: Sequence[str], env_files: Sequence[str], kind: str = "") -> Obj:
    data: dict[str, str] = {}
    for key, content in sources(literals, files, env_files):
        if key in data:
            raise CliError(f"cannot add key {key}, another key by that name already exists")
        data[key] = base64.b64encode(content).decode()
    obj: Obj = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": name}}
    if data:
        obj["data"] = data
    if kind:
        obj["type"] = kind
    return obj


def sources(literals: Sequence[str], files: Sequence[str], env_files: Sequence[str]) -> list[tuple[str, bytes]]:
    """(key, content) of --from-literal, --from-file and --from-env-file, in upstream's order: files first."""
    found: list[tuple[str, bytes]] = []
    if env_files and (literals or files):
        raise CliError("from-env-file cannot be combined with from-file or from-literal")
    for given in files:
        found += _files(given)
    for literal in literals:
        key, equals, value = literal.partition("=")
        if not equals or not key:
            raise CliError(f"invalid literal source {literal}, expected key=value")
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        found.append((_checked(key), value.encode()))
    for path in env_files:
        found += _environment(path)
    return found


def _files(given: str) -> list[tuple[str, bytes]]:
    key, equals, path = given.partition("=")
    if not equals:
        key, path = os.path.basename(given), given
    elif not key or not path:
        missing = "key name" if not key else "file path"
        raise CliError(f"{missing} for file path {given.replace('=', '')} missing")
    target = Path(path)
    if target.is_dir():
        if equals:
            raise CliError("cannot give a key name for a directory path")
        return [(p.name, p.read_bytes()) for p in sorted(target.iterdir()) if p.is_file() and _KEY.fullmatch(p.name)]
    try:
        return [(_checked(key), target.read_bytes())]
    except OSError as error:
        raise CliError(f"error reading {path}: {(error.strerror or str(error)).lower()}") from error


def _environment(path: str) -> list[tuple[str, bytes]]:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError as error:
        raise CliError(f"error reading {path}: {(error.strerror or str(error)).lower()}") from error
    found = []
    for line in lines:
        text = line.lstrip()
        if not text or text.startswith("#"):
            continue
        key, equals, value = text.partition("=")
        found.append((_checked(key), (value if equals else os.environ.get(key, "")).encode()))
    return found


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise CliError(f'"{key}" is not a valid key name: a valid config key must consist of alphanumeric characters, '
                       "'-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation "
                       "is '[-._a-zA-Z0-9]+')")  # fmt: skip
    return key


def deployment(name: str, images: Sequence[str], replicas: int, port: int, command: Sequence[str]) -> Obj:
    if not images:
        raise CliError('required flag(s) "image" not set')
    if len(images) > 1 and command:
        raise CliError("cannot specify multiple --image options and command")
    labels = {"app": name}
    containers: list[Obj] = []
    for image in images:
        container: Obj = {"name": _container_name(image), "image": image, "resources": {}}
        if port >= 0:
            container["ports"] = [{"containerPort": port}]
        if command:
            container["command"] = list(command)
        containers.append(container)
    return {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": dict(labels)},
            "template": {"metadata": {"labels": dict(labels)}, "spec": {"containers": containers}},
            "strategy": {},
        },
        "status": {},
    }


def _container_name(image: str) -> str:
    name = image.rsplit("/", 1)[-1].partition("@")[0].partition(":")[0]
    return re.sub(r"[^-a-z0-9]", "-", name.lower()) or "app"


def service(
    name: str, kind: str, ports: Sequence[str], *, cluster_ip: str = "", node_port: int = 0, external_name: str = ""
) -> Obj:
    """`ports` as 80 or 80:8080 (port:targetPort)."""
    spec: Obj = {"selector": {"app": name}, "type": kind}
    listed = [_service_port(text, node_port) for text in ports]
    if listed:
        spec["ports"] = listed
    if cluster_ip:
        spec["clusterIP"] = cluster_ip
    if external_name:
        spec["externalName"] = external_name
    return {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": spec,
        "status": {"loadBalancer": {}},
    }


def _service_port(text: str, node_port: int) -> Obj:
    first, colon, second = text.partition(":")
    if not first.isdigit():
        raise CliError(f'the value of port is invalid: strconv.Atoi: parsing "{first}": invalid syntax')
    target: int | str = int(second) if second.isdigit() else second
    port: Obj = {
        "name": text.replace(":", "-"),
        "protocol": "TCP",
        "port": int(first),
        "targetPort": target if colon else int(first),
    }
    if node_port:
        port["nodePort"] = node_port
    return port


def pod(
    name: str,
    image: str,
    *,
    command: Sequence[str] = (),
    arguments: Sequence[str] = (),
    env: Sequence[str] = (),
    labels: str = "",
    annotations: Sequence[str] = (),
    port: int = 0,
    restart: str = "Always",
    pull_policy: str = "",
    stdin: bool = False,
    tty: bool = False,
) -> Obj:
    container: Obj = {"name": name, "image": image, "resources": {}}
    if arguments:
        container["args"] = list(arguments)
    if command:
        container["command"] = list(command)
    if env:
        container["env"] = [_pair(e, "env") for e in env]
    if port:
        container["ports"] = [{"containerPort": port}]
    if pull_policy:
        container["imagePullPolicy"] = pull_policy
    if stdin:
        container["stdin"], container["stdinOnce"] = True, True
    if tty:
        container["tty"] = True
    metadata: Obj = {"name": name, "labels": label_pairs(labels) if labels else {"run": name}}
    if annotations:
        metadata["annotations"] = dict(a.partition("=")[::2] for a in annotations)
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": metadata,
        "spec": {"containers": [container], "restartPolicy": restart, "dnsPolicy": "ClusterFirst"},
        "status": {},
    }


def _pair(text: str, flag: str) -> Obj:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise CliError(f"invalid {flag}: {text}")
    return {"name": name, "value": value} if value else {"name": name}


def label_pairs(text: str) -> dict[str, str]:
    """`a=b,c=d`. CliError when malformed."""
    labels = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise CliError(f"unexpected label spec: {part}")
        labels[key] = value
    return labels
