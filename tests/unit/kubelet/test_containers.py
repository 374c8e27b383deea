"""What a pod's words become: environment, names, resources, security, and the bodies of Docker's create calls."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from kubelet.docker import accounts
from kubelet.docker.config import container as container_config
from kubelet.docker.config import sandbox as sandbox_config
from kubelet.docker.config import security, users
from kubelet.docker.config.parts import Accounts, Mount, Surroundings, container_name
from kubelet.network import names
from kubelet.pods import env_file, kernel, pod_cgroup, qos
from kubelet.pods.environment import ConfigError, Sources, build, expand, pod_field, resource_field
from tests.unit.kubelet.pods import pod

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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('say "hi" \\ é 世 \U0001f600', '"say \\"hi\\" \\\\ é 世 \U0001f600"'),
        ("\a\b\f\n\r\t\v", r'"\a\b\f\n\r\t\v"'),
        ("\0\x1b\x7f", r'"\x00\x1b\x7f"'),
        ("\x85\xa0\xad\u200b\u2028\ufeff", r'"\u0085\u00a0\u00ad\u200b\u2028\ufeff"'),
        ("\U000e0001\U0010ffff", r'"\U000e0001\U0010ffff"'),
    ],
    ids=["printable", "with a letter of their own", "ASCII", "16 bits", "32 bits"],
)
def test_labels_and_annotations_are_quoted_as_go_does(text: str, shown: str) -> None:
    """fieldpath.go, FormatMap."""
    one = pod()
    one["metadata"]["annotations"] = {"b": text, "a": "x"}
    assert pod_field("metadata.annotations", Sources(one)) == f'a="x"\nb={shown}'


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


@pytest.mark.parametrize(
    ("text", "searches", "options"),
    [
        ("search lan. .\ndomain example.com\n", ["lan"], []),
        ("domain example.com\n", [], []),
        ("search a b\nsearch c\n", ["c"], []),
        ("search a\nsearch\n", [], []),
        ("options ndots:2 rotate\noptions ndots:3\n", [], ["rotate", "ndots:3"]),
    ],
)
def test_what_is_read_of_a_resolver_configuration(text: str, searches: list[str], options: list[str]) -> None:
    """network/dns/dns.go, parseResolvConf."""
    assert names.parse_resolver(text) == names.Resolver([], searches, options)


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
    options = {"ReadOnlyNonRecursive": True}
    assert host["Mounts"] == [
        {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True, "BindOptions": options}
    ]
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


ENV_FILES = [
    ("A='x'\nB='y'", "B", "y"),
    ("# a comment\n\n  A='one\ntwo'  # more\nB=''", "A", "one\ntwo"),
    ("A= 'x'", "A", ""),
    ("A='x'", "C", None),
    ("A='$B \\'", "A", "$B \\"),
]


@pytest.mark.parametrize(("text", "key", "value"), ENV_FILES)
def test_env_files(text: str, key: str, value: str | None) -> None:
    assert env_file.value(text, key) == value


@pytest.mark.parametrize("text", ["A=x", "A = 'x'", "A", "='x'", "A='x", "A='x'y", "B='1'\nA=1"])
def test_what_is_no_env_file(text: str) -> None:
    with pytest.raises(ValueError, match="line"):
        env_file.value(text, "Z")


def test_variables_from_files() -> None:
    def made(text: str | None, **more: Any) -> dict[str, str]:
        ref = {"volumeName": "v", "path": "p", "key": "K", **more}
        return environment({"env": [{"name": "A", "valueFrom": {"fileKeyRef": ref}}]}, files={"v/p": text})

    assert made("K='x'") == {"A": "x"}
    assert made("Z='x'", optional=True) == made(None, optional=True) == {}
    with pytest.raises(ConfigError, match='environment variable key "K" not found in file "v/p"'):
        made("Z='x'")
    with pytest.raises(ConfigError, match="couldn't parse env file"):
        made("K=x", optional=True)
    with pytest.raises(ConfigError, match="couldn't parse env file"):
        made(None)


def test_the_pods_limit_is_what_a_container_without_one_is_told() -> None:
    """KEP-2837."""
    whole = pod(resources={"limits": {"memory": "64Mi"}})
    entry = {"name": "M", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}}
    assert build({"name": "a", "env": [entry]}, Sources(whole, node_allocatable={"memory": "1Gi"})) == {"M": "64"}


HOSTNAMES = [
    ({}, "web", ""),
    ({"hostname": "h"}, "h", ""),
    ({"subdomain": "s"}, "web", "s.default.svc.cluster.local"),
    ({"hostnameOverride": "a.b.c", "hostname": "h", "subdomain": "s"}, "a.b.c", ""),
]


@pytest.mark.parametrize(("spec", "host", "domain"), HOSTNAMES)
def test_host_names(spec: dict[str, Any], host: str, domain: str) -> None:
    assert names.hostname_and_domain(pod(**spec), "cluster.local") == (host, domain)


def test_long_names_are_cut_where_a_name_may_end() -> None:
    long = pod()
    long["metadata"]["name"] = "a" * 61 + "-.b"
    assert names.hostname_and_domain(long, "c") == ("a" * 61, "")


def test_a_whole_name_must_fit_the_kernel() -> None:
    spec = {"setHostnameAsFQDN": True, "subdomain": "s"}
    assert names.kernel_hostname(pod(**spec), "cluster.local") == "web.s.default.svc.cluster.local"
    spec["hostname"] = "h" * 40
    with pytest.raises(ConfigError) as raised:
        names.kernel_hostname(pod(**spec), "cluster.local")
    fqdn = f"{'h' * 40}.s.default.svc.cluster.local"
    assert str(raised.value) == (
        f"failed to construct FQDN from pod hostname and cluster domain, FQDN {fqdn} is too long "
        f"(64 characters is the max, {len(fqdn)} characters requested)"
    )


def test_resolvers_have_limits_and_that_is_told() -> None:
    host = names.Resolver(["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"])
    made, events = names.pod_resolver(pod(dnsPolicy="Default"), host, (), "c")
    assert made.nameservers == ["1.1.1.1", "1.1.1.2", "1.1.1.3"]
    assert events == [("DNSConfigForming",
        "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "
        "1.1.1.1 1.1.1.2 1.1.1.3")]  # fmt: skip
    searches = [f"s{n}" for n in range(40)]
    made, events = names.pod_resolver(pod(dnsConfig={"searches": searches}), names.Resolver(), ("9.9.9.9",), "c")
    assert len(made.searches) == 32 and "Search Line limits were exceeded" in events[0][1]
    long = ["x" * 254, *("y" * 250 for _ in range(1)), *(f"{n}" + "z" * 249 for n in range(9))]
    made, _ = names.pod_resolver(pod(dnsPolicy="None", dnsConfig={"searches": long}), host, (), "c")
    assert len(made.searches) == 8 and len(" ".join(made.searches)) <= 2048


def test_without_a_cluster_dns_the_nodes_is_used_and_that_is_told() -> None:
    made, events = names.pod_resolver(pod(), names.Resolver(["1.1.1.1"]), (), "c")
    assert made.nameservers == ["1.1.1.1"]
    assert events[0][0] == "MissingClusterDNS" and 'pod: "web_default(u-1)". kubelet does not have' in events[0][1]


def memory(amount: str, name: str = "a", **more: Any) -> dict[str, Any]:
    return {"name": name, "resources": {"requests": {"memory": amount}}, **more}


def test_oom_scores() -> None:
    node = 1000 << 20

    def score(container: dict[str, Any], **spec: Any) -> int:
        return qos.oom_score_adj(pod(**{"containers": [container], **spec}), container, node)

    both = {"resources": {"limits": {"cpu": "1", "memory": "1Mi"}}}
    assert score({"name": "a", **both}) == -997
    assert score({"name": "a"}) == 1000
    assert score({"name": "a"}, priority=2_000_001_000) == -997
    assert score(memory("100Mi")) == 900
    assert score(memory("1")) == 999
    assert score(memory("1000Mi")) == 3
    sidecar = memory("10Mi", "s", restartPolicy="Always")
    assert score(sidecar, containers=[memory("300Mi"), memory("200Mi", "b")], initContainers=[sidecar]) == 800
    shared = {"requests": {"memory": "300Mi"}}
    assert score(memory("100Mi"), containers=[memory("100Mi"), {"name": "b"}], resources=shared) == 800


ACCOUNTS = Accounts(
    "root:x:0:0::/:/bin/sh\nweb:x:33:34::/:/bin/sh\n", "root:x:0:\nweb:x:34:\nextra:x:50:other,web\nroots:x:10:root\n"
)
USERS = [
    # container's and pod's context, the image's user; Docker's user and groups, what is known
    ({}, {}, "", ("", (), "0:0:0,10")),
    ({}, {}, "web", ("", (), "33:34:34,50")),
    ({}, {}, "web:root", ("", ("50",), "33:0:0,50")),
    ({"runAsUser": 33}, {}, "", ("33", (), "33:34:34,50")),
    ({"runAsUser": 33, "runAsGroup": 7}, {}, "", ("33:7", ("50",), "33:7:7,50")),
    ({"runAsGroup": 7}, {}, "web", ("web:7", ("50",), "33:7:7,50")),
    ({"runAsGroup": 7}, {}, "", ("0:7", ("10",), "0:7:7,10")),
    ({"runAsUser": 99}, {"fsGroup": 3, "supplementalGroups": [4, 5]}, "", ("99", ("3", "4", "5"), "99:0:0,3,4,5")),
    ({"runAsUser": 33}, {"supplementalGroupsPolicy": "Strict"}, "", ("33:34", (), "33:34:34")),
    ({}, {"supplementalGroupsPolicy": "Strict", "fsGroup": 9}, "", ("0:0", ("9",), "0:0:0,9")),
    ({"runAsUser": 33, "runAsGroup": 7}, {"supplementalGroupsPolicy": "Strict"}, "", ("33:7", (), "33:7:7")),
]


@pytest.mark.parametrize(("context", "of_pod", "image_user", "expected"), USERS)
def test_who_a_container_runs_as(
    context: dict[str, Any], of_pod: dict[str, Any], image_user: str, expected: tuple[str, tuple[str, ...], str]
) -> None:
    """KEP-3619: Merge adds the groups of the image, Strict does not."""
    made = users.of(context, of_pod, surroundings(accounts=ACCOUNTS, image_user=image_user))
    assert (made.name, made.groups, made.known) == expected


def test_an_image_may_claim_any_number() -> None:
    odd = Accounts("web:x:99999999999:1::/:/\nweb:x:\u00b2:1::/:/\n", "a:x:4294967296:web\nb:x:\u00b2:0,\n")
    made = users.of({"runAsUser": 33}, {}, surroundings(accounts=odd, image_user="web"))
    assert made == users.User("33", (), "33:0:0")
    assert users.of({}, {}, surroundings(accounts=odd, image_user="web")).known == "0:0:0"


def test_without_the_images_accounts_docker_knows_but_for_strict() -> None:
    assert users.of({"runAsUser": 33}, {}, surroundings()) == users.User("33")
    with pytest.raises(ConfigError, match="Strict"):
        users.of({}, {"supplementalGroupsPolicy": "Strict"}, surroundings())


def test_groups_that_cannot_be_merged_are_told() -> None:
    merge = {"supplementalGroupsPolicy": "Merge"}
    assert "no effect beside runAsGroup" in users.without_effect({"runAsGroup": 7}, merge, None)
    assert not users.without_effect({"runAsGroup": 7}, merge, ACCOUNTS)
    assert not users.without_effect({"runAsUser": 7}, merge, None), "Docker adds them"
    assert not users.without_effect({"runAsGroup": 7}, {}, None), "not asked for by name"


def test_accounts_are_read_from_the_uppermost_layer_that_has_them(tmp_path: Path) -> None:
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    for layer in (upper, lower):
        (layer / "etc").mkdir(parents=True)
    (lower / "etc/passwd").write_text("below")
    (lower / "etc/group").write_text("groups")
    (upper / "etc/passwd").write_text("above")
    assert accounts.of_image((str(upper), str(lower))) == Accounts("above", "groups")
    assert accounts.of_image((str(tmp_path / "none"),)) == Accounts()
    assert accounts.of_image(()) is None


def test_accounts_of_an_image_cannot_be_a_link_to_the_nodes(tmp_path: Path) -> None:
    (tmp_path / "a/etc").mkdir(parents=True)
    (tmp_path / "a/etc/passwd").symlink_to("/etc/passwd")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/etc").symlink_to("/etc")
    assert accounts.of_image((str(tmp_path / "a"),)) is None
    assert accounts.of_image((str(tmp_path / "b"),)) is None


CAPABILITIES = [
    ({"add": ["NET_ADMIN"], "drop": ["ALL"]}, {"CapAdd": ["NET_ADMIN"], "CapDrop": ["ALL"]}),
    ({"add": ["ALL"], "drop": ["CAP_CHOWN"]}, {"CapAdd": ["ALL"], "CapDrop": ["CHOWN"]}),
    ({"add": ["ALL"], "drop": ["ALL"]}, {"CapDrop": ["ALL"]}),
    ({"add": ["KILL", "chown"], "drop": ["KILL"]}, {"CapAdd": ["CHOWN"], "CapDrop": ["KILL"]}),
    ({}, {}),
]


@pytest.mark.parametrize(("wanted", "expected"), CAPABILITIES)
def test_capabilities(wanted: dict[str, Any], expected: dict[str, Any]) -> None:
    host = security.host_fields({"capabilities": wanted}, surroundings())
    assert {k: v for k, v in host.items() if k.startswith("Cap")} == expected


UNCONFINED = ["seccomp=unconfined"]
OPTIONS: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({}, {}, UNCONFINED),
    ({}, {"seccomp_default": True}, []),
    ({"seccompProfile": {"type": "Unconfined"}}, {"seccomp_default": True}, UNCONFINED),
    ({"seccompProfile": {"type": "RuntimeDefault"}}, {}, []),
    ({"seccompProfile": {"type": "Localhost", "localhostProfile": "p"}}, {"seccomp": "{}"}, ["seccomp={}"]),
    ({"privileged": True, "seccompProfile": {"type": "Localhost", "localhostProfile": "p"}}, {}, []),
    ({"allowPrivilegeEscalation": False}, {}, ["no-new-privileges", *UNCONFINED]),
    ({"appArmorProfile": {"type": "Unconfined"}}, {"app_armor": True}, [*UNCONFINED, "apparmor=unconfined"]),
    ({"appArmorProfile": {"type": "RuntimeDefault"}}, {"app_armor": True}, UNCONFINED),
    ({"appArmorProfile": {"type": "Localhost", "localhostProfile": "p"}}, {"app_armor": True},
     [*UNCONFINED, "apparmor=p"]),
    ({"seLinuxOptions": {"type": "t", "level": "s0"}}, {"selinux": True}, [*UNCONFINED, "label=type:t", "label=level:s0"]),
    ({"seLinuxOptions": {"type": "t"}}, {}, UNCONFINED),
]  # fmt: skip


@pytest.mark.parametrize(("context", "around", "expected"), OPTIONS)
def test_security_options(context: dict[str, Any], around: dict[str, Any], expected: list[str]) -> None:
    assert security.host_fields(context, surroundings(**around))["SecurityOpt"] == expected


def test_a_container_takes_from_its_pod_what_it_does_not_say() -> None:
    of_pod = {"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "seccompProfile": {"type": "RuntimeDefault"}}
    made = security.effective({"name": "a", "securityContext": {"runAsUser": 9}}, pod(securityContext=of_pod))
    assert made == {"runAsUser": 9, "runAsGroup": 2, "seccompProfile": {"type": "RuntimeDefault"}}


SYSCTLS: list[tuple[str, dict[str, Any], tuple[str, ...], str]] = [
    ("net.ipv4.tcp_syncookies", {}, (), ""),
    ("net/ipv4/tcp_syncookies", {}, (), ""),
    ("kernel.msgmax", {}, (), 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
    ("kernel.msgmax", {}, ("kernel.msg*",), ""),
    ("net.core.somaxconn", {}, ("net.core.somaxconn",), ""),
    ("kernel.shm_rmid_forced", {"hostIPC": True}, (),
     'forbidden sysctl: "kernel.shm_rmid_forced" not allowed with host IPC enabled'),
    ("net.ipv4.tcp_rmem", {"hostNetwork": True}, (),
     'forbidden sysctl: "net.ipv4.tcp_rmem" not allowed with host Net enabled'),
]  # fmt: skip


@pytest.mark.parametrize(("name", "spec", "unsafe", "expected"), SYSCTLS)
def test_sysctls(name: str, spec: dict[str, Any], unsafe: tuple[str, ...], expected: str) -> None:
    context = {"sysctls": [{"name": name, "value": "1"}]}
    assert kernel.forbidden_sysctl(pod(securityContext=context, **spec), unsafe) == expected


def test_sysctls_of_the_whole_machine_cannot_be_allowed() -> None:
    assert kernel.allowed_sysctls(["net/core/*", "kernel.sem"]) == ("net.core.*", "kernel.sem")
    with pytest.raises(ValueError, match="vm.swappiness is not known to be namespaced"):
        kernel.allowed_sysctls(["vm.swappiness"])


def test_app_armor_is_there_or_the_pod_refused() -> None:
    wanted = pod(containers=[{"name": "a", "securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}])
    assert kernel.app_armor_missing(wanted, False) == ("Cannot enforce AppArmor: AppArmor is not enabled on the host")
    assert not kernel.app_armor_missing(wanted, True)
    annotated = pod("a")
    annotated["metadata"]["annotations"] = {"container.apparmor.security.beta.kubernetes.io/a": "localhost/p"}
    assert kernel.app_armor_missing(annotated, False)
    made = security.effective({"name": "a"}, annotated)
    assert made == {"appArmorProfile": {"type": "Localhost", "localhostProfile": "p"}}
    unconfined = pod(securityContext={"appArmorProfile": {"type": "Unconfined"}})
    assert not kernel.app_armor_missing(unconfined, False)


def test_fields_without_effect_are_told() -> None:
    context = {"seLinuxOptions": {"level": "s0"}, "windowsOptions": {"runAsUserName": "u"}}
    odd = pod(containers=[{"name": "a", "securityContext": context}], securityContext={"seLinuxOptions": {"role": "r"}})
    assert kernel.without_effect(odd, selinux=True) == [
        "spec.containers{a}.securityContext.windowsOptions has no effect: this node runs Linux"
    ]
    assert len(kernel.without_effect(odd, selinux=False)) == 3
    assert not kernel.without_effect(pod(), selinux=False)


def test_a_pod_without_limits_of_its_own_needs_no_group() -> None:
    limited = {"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
    assert pod_cgroup.limits(pod(containers=[limited])) == {}


def test_what_a_pod_is_limited_to() -> None:
    whole = {"requests": {"cpu": "500m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}}
    huge = {"name": "a", "resources": {"limits": {"hugepages-2Mi": "4Mi", "cpu": "1"}}}
    made = pod_cgroup.limits(pod(containers=[huge], resources=whole, overhead={"memory": "1Mi"}), 50)
    assert made == {"shares": 512, "memory": 65 << 20, "hugepages-2Mi": 4 << 20, "pids": 50}


def test_limits_as_files() -> None:
    limits = {"shares": 1024, "quota": 50000, "memory": 7, "hugepages-2Mi": 8, "pids": 9}
    assert pod_cgroup.files(limits, unified=False) == [
        ("cpu", "cpu.shares", "1024"), ("cpu", "cpu.cfs_period_us", "100000"), ("cpu", "cpu.cfs_quota_us", "50000"),
        ("memory", "memory.limit_in_bytes", "7"), ("memory", "memory.memsw.limit_in_bytes", "7"),
        ("pids", "pids.max", "9"), ("hugetlb", "hugetlb.2MB.limit_in_bytes", "8"),
    ]  # fmt: skip
    assert pod_cgroup.files(limits, unified=True) == [
        ("cpu", "cpu.weight", "39"), ("cpu", "cpu.max", "50000 100000"), ("memory", "memory.max", "7"),
        ("memory", "memory.swap.max", "0"), ("pids", "pids.max", "9"), ("hugetlb", "hugetlb.2MB.max", "8"),
    ]  # fmt: skip


def groups(tmp_path: Path, process: str, *directories: str) -> tuple[Path, Path]:
    root, proc = tmp_path / "cgroup", tmp_path / "proc"
    for directory in (root / d for d in directories):
        directory.mkdir(parents=True)
    (proc / "7").mkdir(parents=True)
    (proc / "7/cgroup").write_text(process)
    return root, proc


def test_a_group_of_version_1_is_limited_and_removed(tmp_path: Path) -> None:
    process = "4:memory:/sampan-podu/abc\n2:cpu,cpuacct:/sampan-podu/abc\n0::/\n"
    root, proc = groups(tmp_path, process, "memory/sampan-podu", "cpu,cpuacct/sampan-podu", "pids")
    assert pod_cgroup.parent("u", "cgroupfs") == "/sampan-podu"
    pod_cgroup.apply(7, "/sampan-podu", {"shares": 9, "memory": 5}, root, proc)
    assert (root / "memory/sampan-podu/memory.limit_in_bytes").read_text() == "5"
    assert (root / "cpu,cpuacct/sampan-podu/cpu.shares").read_text() == "9"
    for file in (*root.glob("*/sampan-podu/memory*"), *root.glob("*/sampan-podu/cpu.*")):
        file.unlink()  # which the kernel's own would not need
    pod_cgroup.remove("u", root)
    pod_cgroup.remove("u", root)
    assert [d.name for d in root.glob("*/*")] == []


def test_a_group_of_version_2_that_systemd_made(tmp_path: Path) -> None:
    slice_ = "sampan.slice/sampan-podu_1.slice"
    root, proc = groups(tmp_path, f"0::/{slice_}/docker-abc.scope\n", slice_)
    (root / "cgroup.controllers").touch()
    assert pod_cgroup.parent("u-1", "systemd") == "sampan-podu_1.slice"
    pod_cgroup.apply(7, "sampan-podu_1.slice", {"pids": 9, "memory": 4}, root, proc)
    assert (root / slice_ / "pids.max").read_text() == "9"
    assert not (root / slice_ / "memory.swap.max").exists()


def test_no_group_but_the_pods_own_is_limited(tmp_path: Path) -> None:
    root, proc = groups(tmp_path, "4:memory:/docker/abc\n", "memory/docker")
    with pytest.raises(OSError, match="no control group for memory"):
        pod_cgroup.apply(7, "/sampan-podu", {"memory": 5}, root, proc)
    assert os.listdir(root / "memory/docker") == []


def test_a_pod_with_users_of_its_own_is_refused() -> None:
    with pytest.raises(ConfigError) as raised:
        sandbox_config.body(pod(hostUsers=False), 0, surroundings())
    assert str(raised.value) == "can't set `spec.hostUsers: false`, runtime does not support user namespaces"


def test_what_a_sandbox_shares() -> None:
    spec = {
        "hostPID": True, "hostIPC": True, "securityContext": {"sysctls": [{"name": "net/core/x", "value": "1"}]},
        "subdomain": "s", "setHostnameAsFQDN": True,
    }  # fmt: skip
    body = sandbox_config.body(pod(**spec), 0, surroundings(runtime="kata", cgroup_parent="/p"), "10.0.0.9")
    host = body["HostConfig"]
    assert (host["PidMode"], host["IpcMode"], host["NetworkMode"]) == ("host", "host", "none")
    assert (host["Runtime"], host["CgroupParent"], host["Sysctls"]) == ("kata", "/p", {"net.core.x": "1"})
    assert body["Hostname"] == "web.s.default.svc.cluster.local"


PID_MODES: list[tuple[dict[str, Any], str, str | None]] = [
    ({}, "", None),
    ({"shareProcessNamespace": True}, "", "container:sb"),
    ({"hostPID": True}, "", "host"),
    ({}, "other", "container:other"),
]


@pytest.mark.parametrize(("spec", "target", "expected"), PID_MODES)
def test_whose_processes_a_container_sees(spec: dict[str, Any], target: str, expected: str | None) -> None:
    body = container_config.body({"name": "app"}, pod(**spec), 0, surroundings(target_id=target))
    assert body["HostConfig"].get("PidMode") == expected


def test_terminals() -> None:
    body = container_config.body({"name": "a", "tty": True, "stdin": True, "stdinOnce": True}, pod(), 0, surroundings())
    assert body["Tty"] and body["OpenStdin"] and body["StdinOnce"]
