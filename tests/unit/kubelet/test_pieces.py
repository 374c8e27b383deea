"""The small pure parts: environment, names, resources, container bodies, images, logs, probes, the node."""

from __future__ import annotations

import base64
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from kubelet.docker import sandbox_image
from kubelet.docker.config import container as container_config
from kubelet.docker.config import sandbox as sandbox_config
from kubelet.docker.config.parts import Mount, Surroundings, container_name
from kubelet.docker.runtime import parse_docker_time
from kubelet.images.puller import pull_policy
from kubelet.network import names
from kubelet.network import pod_network as network
from kubelet.pods import qos
from kubelet.pods.environment import ConfigError, Sources, build, expand, resource_field
from kubelet.probing.prober import Settings, Streak
from kubelet.server.streaming.remote_command import outcome
from kubelet.volumes import atomic, host_path
from kubelet.volumes.base import File, VolumeError, choose
from tests.unit.kubelet.pods import NOW, pod

EXPANSIONS = [
    ("$(A)", "1"),
    ("x$(A)y$(B)", "x1y2"),
    ("$$(A)", "$(A)"),
    ("$(C)", "$(C)"),
    ("$A", "$A"),
    ("$$$(A)", "$1"),
    ("$(A", "$(A"),
    ("100$", "100$"),
]


@pytest.mark.parametrize(("text", "result"), EXPANSIONS)
def test_expansion(text: str, result: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == result


def environment(container: dict[str, Any], **sources: Any) -> dict[str, str]:
    return build({"name": "app", **container}, Sources(pod(), **sources))


def test_environment_from_everywhere() -> None:
    config_maps = {"cm": {"data": {"k": "v", "z": "zz"}}}
    secrets = {"s": {"data": {"p": base64.b64encode(b"word").decode()}}}
    made = environment(
        {
            "envFrom": [{"prefix": "CM_", "configMapRef": {"name": "cm"}}],
            "env": [
                {"name": "PLAIN", "value": "1"},
                {"name": "REF", "value": "$(PLAIN)-$(CM_k)-$(NONE)"},
                {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "p"}}},
                {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "OPT", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "k", "optional": True}}},
            ],
        },
        config_maps=config_maps,
        secrets=secrets,
        pod_ips=("10.0.0.9",),
    )
    assert made == {
        "CM_k": "v", "CM_z": "zz", "PLAIN": "1", "REF": "1-v-$(NONE)", "KEY": "word", "NAME": "web",
        "IP": "10.0.0.9",
    }  # fmt: skip


MISSING = [
    ({"envFrom": [{"configMapRef": {"name": "x"}}]}, 'configmap "x" not found'),
    ({"envFrom": [{"secretRef": {"name": "x"}}]}, 'secret "x" not found'),
    (
        {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "q"}}}]},
        "couldn't find key q in ConfigMap default/cm",
    ),
]


@pytest.mark.parametrize(("container", "message"), MISSING, ids=[m for _, m in MISSING])
def test_what_is_missing_is_named(container: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        environment(container, config_maps={"cm": {"data": {}}})
    assert str(raised.value) == message


def test_service_variables() -> None:
    service = {
        "metadata": {"name": "my-db", "namespace": "default"},
        "spec": {"clusterIP": "10.96.1.2", "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}]},
    }
    headless = {"metadata": {"name": "h", "namespace": "default"}, "spec": {"clusterIP": "None"}}
    made = environment({}, services=[service, headless])
    assert made["MY_DB_SERVICE_HOST"] == "10.96.1.2"
    assert made["MY_DB_SERVICE_PORT"] == made["MY_DB_SERVICE_PORT_SQL"] == "5432"
    assert made["MY_DB_PORT_5432_TCP"] == "tcp://10.96.1.2:5432"
    assert not any(k.startswith("H_") for k in made)


def test_resource_fields_round_up() -> None:
    container = {"resources": {"limits": {"cpu": "250m", "memory": "64Mi"}}}
    assert resource_field("limits.cpu", "1", container, {}) == "1"
    assert resource_field("limits.cpu", "1m", container, {}) == "250"
    assert resource_field("limits.memory", "1Mi", container, {}) == "64"
    assert resource_field("limits.memory", "0", {}, {"memory": "1Gi"}) == "1073741824"
    assert resource_field("requests.cpu", "0", {}, {"cpu": "2"}) == "0"


def test_hosts_file() -> None:
    obj = pod(hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}], subdomain="sub", hostname="h")
    text = names.hosts_file(obj, ("10.0.0.9",), "cluster.local", "")
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "10.0.0.9\th.sub.default.svc.cluster.local\th\n" in text
    assert text.endswith("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")


def test_resolver_per_policy() -> None:
    host = names.parse_resolver("search lan\nnameserver 1.1.1.1 # x\noptions timeout:1\n")

    def text(**spec: Any) -> str:
        return names.pod_resolver(pod(**spec), host, ("10.96.0.10",), "cluster.local")[0].text()

    assert text() == (
        "search default.svc.cluster.local svc.cluster.local cluster.local lan\nnameserver 10.96.0.10\noptions ndots:5\n"
    )
    assert text(dnsPolicy="Default") == "search lan\nnameserver 1.1.1.1\noptions timeout:1\n"
    assert text(hostNetwork=True) == text(dnsPolicy="Default")
    config = {"nameservers": ["9.9.9.9"], "searches": ["s"], "options": [{"name": "ndots", "value": "2"}]}
    assert text(dnsPolicy="None", dnsConfig=config) == "search s\nnameserver 9.9.9.9\noptions ndots:2\n"


QOS = [
    ({}, "BestEffort"),
    ({"requests": {"cpu": "1"}}, "Burstable"),
    ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
    ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
]


@pytest.mark.parametrize(("resources", "expected"), QOS)
def test_qos(resources: dict[str, Any], expected: str) -> None:
    obj = pod(containers=[{"name": "app", "resources": resources}])
    assert qos.qos_class(obj) == expected


def test_docker_resources() -> None:
    made = qos.docker_resources({"resources": {"limits": {"cpu": "500m", "memory": "64Mi"}}})
    assert made == {
        "CpuShares": 512, "CpuPeriod": 100000, "CpuQuota": 50000, "Memory": 67108864, "MemorySwap": 67108864,
    }  # fmt: skip
    assert qos.docker_resources({}) == {"CpuShares": 2}


def surroundings(**more: Any) -> Surroundings:
    return Surroundings({"sampan.io/cluster": "c"}, sandbox_id="sb", image="sha256:1", **more)


def test_container_body() -> None:
    spec = {
        "name": "app", "image": "busybox:1", "command": ["sh", "$(A)"], "args": ["$(A)"], "workingDir": "/w",
        "securityContext": {"runAsUser": 7, "runAsGroup": 8, "readOnlyRootFilesystem": True,
                            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }  # fmt: skip
    around = surroundings(environment={"A": "x"}, mounts=[Mount("/a", "/b", True)])
    body = container_config.body(spec, pod(), 3, around)
    assert body["Entrypoint"] == ["sh", "x"] and body["Cmd"] == ["x"] and body["Env"] == ["A=x"]
    assert body["User"] == "7:8"
    host = body["HostConfig"]
    assert host["NetworkMode"] == host["IpcMode"] == "container:sb"
    assert host["CapDrop"] == ["ALL"] and host["ReadonlyRootfs"]
    assert "no-new-privileges" in host["SecurityOpt"]
    assert host["Mounts"] == [{"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True}]
    assert body["Labels"]["io.kubernetes.container.restart-count"] == "3"
    assert container_name("app", pod(), 3) == "k8s_app_web_default_u-1_3"


def test_a_command_drops_the_images_arguments() -> None:
    body = container_config.body({"name": "app", "command": ["a"]}, pod(), 0, surroundings())
    assert body["Cmd"] == []


def test_root_is_refused_where_it_was_excluded() -> None:
    spec = {"name": "app", "securityContext": {"runAsNonRoot": True}}
    with pytest.raises(ConfigError, match="image will run as root"):
        container_config.body(spec, pod(), 0, surroundings())
    with pytest.raises(ConfigError, match="non-numeric user \\(www\\)"):
        container_config.body(spec, pod(), 0, surroundings(image_user="www"))
    container_config.body(spec, pod(), 0, surroundings(image_user="33:33"))


def test_sandbox_body_publishes_host_ports() -> None:
    obj = pod(containers=[{"name": "a", "ports": [{"containerPort": 80, "hostPort": 8080}]}])
    body = sandbox_config.body(obj, 0, surroundings())
    assert body["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostPort": "8080", "HostIp": ""}]}
    assert body["Hostname"] == "web"
    shared = sandbox_config.body(pod(hostNetwork=True), 0, surroundings())
    assert shared["HostConfig"]["NetworkMode"] == "host" and "Hostname" not in shared


POLICIES = [
    ("busybox", "Always"),
    ("busybox:latest", "Always"),
    ("busybox:1", "IfNotPresent"),
    ("host:5000/busybox", "Always"),
    ("busybox@sha256:00", "IfNotPresent"),
]


@pytest.mark.parametrize(("image", "policy"), POLICIES)
def test_default_pull_policy(image: str, policy: str) -> None:
    assert pull_policy({"image": image}) == policy


def test_docker_times() -> None:
    assert parse_docker_time("0001-01-01T00:00:00Z") is None
    found = parse_docker_time("2026-01-02T03:04:05.123456789Z")
    assert found is not None and found.isoformat() == "2026-01-02T03:04:05.123456+00:00"
    assert parse_docker_time("2026-01-02T03:04:05Z") == NOW


def test_probe_thresholds() -> None:
    streak = Streak(Settings.of({"failureThreshold": 2, "successThreshold": 2}))
    assert [streak.add(r) for r in (False, False, True, True, False)] == [None, False, None, True, None]


def test_exit_codes_travel_as_causes() -> None:
    assert outcome(0)["status"] == "Success"
    failed = outcome(3)
    assert failed["reason"] == "NonZeroExitCode"
    assert failed["details"] == {"causes": [{"reason": "ExitCode", "message": "3"}]}


def test_network_body() -> None:
    body = network.network_body("10.244.7.0/24", {}, (20, 10, 24))
    pool = {"Subnet": "10.244.7.0/24", "IPRange": "10.244.7.192/26", "Gateway": "10.244.7.1"}
    assert body["IPAM"]["Config"] == [pool]
    assert "com.docker.network.bridge.gateway_mode_ipv4" not in body["Options"]
    newer = network.network_body("10.244.7.0/24", {}, (28, 0, 1))
    assert newer["Options"]["com.docker.network.bridge.gateway_mode_ipv4"] == "nat-unprotected"


@pytest.mark.parametrize(("name", "number"), [("x86_64", 62), ("aarch64", 183)])
def test_sandbox_program_is_a_static_executable(name: str, number: int) -> None:
    code = sandbox_image.program(name)
    assert code[:4] == b"\x7fELF"
    kind, machine_type = struct.unpack_from("<HH", code, 16)
    assert (kind, machine_type) == (2, number)
    assert struct.unpack_from("<Q", code, 96)[0] == len(code)


def test_atomic_update_swaps_all_files_at_once(tmp_path: Path) -> None:
    assert atomic.write(tmp_path, {"a": File(b"1", 0o644), "d/b": File(b"2", 0o600)})
    assert (tmp_path / "a").read_bytes() == b"1" and (tmp_path / "d" / "b").read_bytes() == b"2"
    first = os.readlink(tmp_path / "..data")
    assert not atomic.write(tmp_path, {"a": File(b"1", 0o644), "d/b": File(b"2", 0o600)})
    assert atomic.write(tmp_path, {"a": File(b"3", 0o644)})
    assert os.readlink(tmp_path / "..data") != first
    assert (tmp_path / "a").read_bytes() == b"3"
    assert not (tmp_path / "d").is_symlink() and not (tmp_path / first).exists()


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../b", ""])
def test_volume_files_stay_in_their_volume(path: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot have the path"):
        atomic.write(tmp_path, {path: File(b"", 0o644)})


def test_items_choose_and_rename() -> None:
    data = {"a": b"1", "b": b"2"}
    assert choose(data, {}, 0o644, False, "config") == {"a": File(b"1", 0o644), "b": File(b"2", 0o644)}
    items = {"items": [{"key": "b", "path": "x/y", "mode": 0o400}]}
    assert choose(data, items, 0o644, False, "config") == {"x/y": File(b"2", 0o400)}
    with pytest.raises(VolumeError, match="references non-existent config key: z"):
        choose(data, {"items": [{"key": "z", "path": "z"}]}, 0o644, False, "config")


def test_host_path_types(tmp_path: Path) -> None:
    def check(kind: str, name: str) -> Path:
        return host_path.set_up({"path": str(tmp_path / name), "type": kind})

    assert check("DirectoryOrCreate", "d").is_dir()
    assert check("FileOrCreate", "f").is_file()
    assert check("Directory", "d") and check("File", "f")
    for kind, name in (("File", "d"), ("Directory", "f"), ("Socket", "f"), ("Directory", "none")):
        with pytest.raises(VolumeError, match="hostPath type check failed"):
            check(kind, name)
