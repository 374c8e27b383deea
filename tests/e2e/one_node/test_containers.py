"""What a container is put into: environment, identity, limits, namespaces, names, ports. And what a node refuses.

Most tests make all their pods at once, let them print what they find, and read their logs.
"""

from __future__ import annotations

import base64
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.manifests import SLEEP, documents, pod, shell
from tests.harness.cluster import HELLO, Cluster, get_text, statuses
from tests.harness.eventually import eventually_sync
from tests.harness.kubelet import settings

Obj = dict[str, Any]


def once(name: str, script: str, *others: Obj, main: Obj | None = None, **spec: Any) -> Obj:
    """A pod that runs a script to its end."""
    return pod(name, shell(script, **(main or {})), *others, restartPolicy="Never", **spec)


def run(cluster: Cluster, namespace: str, *objects: Obj) -> dict[str, str]:
    """Apply everything, wait until all pods have succeeded; what each printed."""
    cluster.apply(documents(*objects), namespace)
    names = [o["metadata"]["name"] for o in objects if o["kind"] == "Pod"]

    def ended() -> bool:
        found = {p["metadata"]["name"]: p["status"] for p in cluster.items("pods", namespace=namespace)}
        late = {n: found[n] for n in names if found[n].get("phase") != "Succeeded"}
        assert not late, late
        return True

    eventually_sync(ended, "all pods succeeded", within=90, pause=0.3)
    return {name: cluster.kubectl("logs", name, "-c", "main", namespace=namespace).stdout for name in names}


def table(text: str) -> dict[str, str]:
    """`key=value` lines."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def test_environment_and_command(cluster: Cluster, namespace: str) -> None:
    """Variables in upstream's order: envFrom, then env, which may refer to what stands before it, to services and to
    files of an emptyDir; what is optional may be missing. A missing working directory is made.

    https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#environment-variables, KEP-3721
    """

    def value(**source: Any) -> Obj:
        return {"valueFrom": source}

    data = {"A": "from map", "B": "b", "odd.name-1": "odd"}
    secret = {"S": base64.b64encode("grüß".encode()).decode()}
    env = [
        {"name": "A", "value": "own"},
        {"name": "JOINED", "value": "$(A)-$(P_S)-$(LINKED_SERVICE_PORT)-$(NONE)-$$(A)"},
        {"name": "POD", **value(fieldRef={"fieldPath": "metadata.name"})},
        {"name": "LABEL", **value(fieldRef={"fieldPath": "metadata.labels['app']"})},
        {"name": "IP", **value(fieldRef={"fieldPath": "status.podIP"})},
        {"name": "HOST", **value(fieldRef={"fieldPath": "status.hostIP"})},
        {"name": "CPU", **value(resourceFieldRef={"resource": "requests.cpu", "divisor": "1m"})},
        {"name": "GONE", **value(configMapKeyRef={"name": "none", "key": "x", "optional": True})},
        {"name": "FILED", **value(fileKeyRef={"volumeName": "v", "path": "d/env", "key": "TWO"})},
        {"name": "UNFILED", **value(fileKeyRef={"volumeName": "v", "path": "d/env", "key": "X", "optional": True})},
    ]
    from_all = [
        {"configMapRef": {"name": "c"}}, {"prefix": "P_", "secretRef": {"name": "s"}},
        {"configMapRef": {"name": "none", "optional": True}},
    ]  # fmt: skip
    write = shell("mkdir /v/d; printf \"ONE='1'\\nTWO='two # not a comment'\\n\" > /v/d/env", "write",
                  volumeMounts=[{"name": "v", "mountPath": "/v"}])  # fmt: skip
    printed = run(
        cluster, namespace,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": secret},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "linked"}, "spec": {"ports": [{"port": 81}]}},
        once("env", "env; echo WHERE=$(pwd)", initContainers=[write], volumes=[{"name": "v", "emptyDir": {}}],
             main={"env": env, "envFrom": from_all, "workingDir": "/made/for/it",
                   "resources": {"requests": {"cpu": "150m"}}}),
        once("odd", "unused", main={"command": ["env"], "envFrom": from_all}),
        once("unlinked", "env", enableServiceLinks=False),
        once("words", "unused", main={"command": ["echo", "$(W)"], "args": ["$(W)", "x y"],
                                      "env": [{"name": "W", "value": "w"}]}),
        once("images-own", "unused", main={"command": None, "args": ["echo", "the image has no entrypoint"]}),
    )  # fmt: skip
    found = table(printed["env"])
    status = cluster.get("pod", "env", namespace=namespace)["status"]
    expected = {
        "A": "own", "B": "b", "P_S": "grüß", "JOINED": "own-grüß-81-$(NONE)-$(A)", "POD": "env",
        "LABEL": "env", "IP": status["podIP"], "HOST": status["hostIP"], "CPU": "150", "FILED": "two # not a comment",
        "WHERE": "/made/for/it", "LINKED_SERVICE_PORT": "81",
    }  # fmt: skip
    assert {key: found.get(key) for key in expected} == expected
    assert not {"GONE", "UNFILED"} & found.keys()
    assert table(printed["odd"])["odd.name-1"] == "odd"
    assert "LINKED_SERVICE_PORT" not in printed["unlinked"] and "KUBERNETES_SERVICE_HOST=" in printed["unlinked"]
    assert printed["words"] == "w w x y\n" and printed["images-own"] == "the image has no entrypoint\n"


@contextmanager
def image_with_groups(cluster: Cluster) -> Iterator[str]:
    """User 1000 is in group 50000 in this image."""
    name = "sampan-test/groups:1"
    made = cluster.docker("create", HELLO, "sh")
    try:
        group = cluster.home / "group"
        passwd = cluster.home / "passwd"
        passwd.write_text("root:x:0:0:root:/root:/bin/sh\nnamed:x:1000:1000::/:/bin/sh\n")
        group.write_text("root:x:0:\nnamed:x:1000:\nin-image:x:50000:named\n")
        cluster.docker("cp", str(passwd), f"{made}:/etc/passwd")
        cluster.docker("cp", str(group), f"{made}:/etc/group")
        cluster.docker("commit", made, name)
        yield name
    finally:
        cluster.docker("rm", "-f", made)
        cluster.docker("rmi", "-f", name)


def test_who_a_container_runs_as(cluster: Cluster, namespace: str) -> None:
    """runAsUser, runAsGroup, fsGroup, supplementalGroups and their policy: with Merge the groups of the image count,
    with Strict they do not; status tells.

    KEP-3619, https://kubernetes.io/docs/tasks/configure-pod-container/security-context/, test/e2e/node/security_context.go
    """
    script = "id -u; id -g; id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' '"
    with image_with_groups(cluster) as image:
        main = {"image": image}
        printed = run(
            cluster, namespace,
            once("merge", script, main=main,
                 securityContext={"runAsUser": 1000, "runAsGroup": 3000, "supplementalGroups": [60000], "fsGroup": 7}),
            once("strict", script, main=main, securityContext={
                "runAsUser": 1000, "supplementalGroups": [60000], "supplementalGroupsPolicy": "Strict"}),
            once("own", script, main={**main, "securityContext": {"runAsUser": 4}},
                 securityContext={"runAsUser": 1000, "runAsNonRoot": True}),
        )  # fmt: skip
        assert {name: text.split() for name, text in printed.items()} == {
            "merge": ["1000", "3000", "7", "3000", "50000", "60000"],
            "strict": ["1000", "1000", "1000", "60000"],
            "own": ["4", "0", "0"],
        }
        told = statuses(cluster.get("pod", "merge", namespace=namespace))["main"]["user"]["linux"]
        assert told == {"uid": 1000, "gid": 3000, "supplementalGroups": [7, 3000, 50000, 60000]}
        cluster.kubectl("delete", "pods", "--all", namespace=namespace)


_STATUS = "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t' | tr ':' '='"


def seccomp_profiles(cluster: Cluster) -> Path:
    return cluster.data / "nodes" / cluster.node()["metadata"]["name"] / "kubelet" / "seccomp"


def may_all() -> bool:
    """Whether this machine lets anybody have all capabilities: a container in a container may not."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    bounds = table(Path("/proc/self/status").read_text().replace(":\t", "="))["CapBnd"]
    return int(bounds, 16) == (1 << (last + 1)) - 1


def test_what_a_container_may(cluster: Cluster, namespace: str) -> None:
    """Capabilities, privilege, read-only roots, seccomp profiles of Docker's and of the node's own.

    https://kubernetes.io/docs/tutorials/security/seccomp/: a Localhost profile is a file below <root-dir>/seccomp
    """
    profiles = seccomp_profiles(cluster)
    profiles.mkdir(exist_ok=True)
    denied = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
    (profiles / "no-mkdir.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [denied]}))

    def secured(name: str, script: str, **context: Any) -> Obj:
        return once(name, script, main={"securityContext": context})

    local = {"type": "Localhost", "localhostProfile": "no-mkdir.json"}
    try:
        printed = run(
            cluster, namespace,
            secured("few", _STATUS, capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
                    allowPrivilegeEscalation=False, seccompProfile={"type": "RuntimeDefault"}),
            *([secured("all", _STATUS, privileged=True)] if may_all() else []),
            secured("plain", _STATUS),
            secured("fixed", "touch /x || echo FIXED=1; touch /dev/shm/x && echo SHM=1", readOnlyRootFilesystem=True),
            secured("local", "mkdir /x || echo DENIED=1; touch /y && echo TOUCHED=1", seccompProfile=local),
        )  # fmt: skip
    finally:
        (profiles / "no-mkdir.json").unlink()
    found = {name: table(text) for name, text in printed.items()}
    bind_service = f"{1 << 10:016x}"
    assert found["few"] == {"CapEff": bind_service, "CapBnd": bind_service, "NoNewPrivs": "1", "Seccomp": "2"}
    assert found["plain"]["NoNewPrivs"] == "0" and found["plain"]["Seccomp"] == "0"
    if may_all():
        assert found["all"]["Seccomp"] == "0" and int(found["all"]["CapEff"], 16) > int(found["plain"]["CapEff"], 16)
    assert found["fixed"] == {"FIXED": "1", "SHM": "1"}
    assert found["local"] == {"DENIED": "1", "TOUCHED": "1"}


def test_what_a_pod_shares(cluster: Cluster, namespace: str) -> None:
    """Its containers share network, IPC and, if it says so, processes; with the node what it says. Safe sysctls are set
    in it alone.

    https://kubernetes.io/docs/tasks/configure-pod-container/share-process-namespace/,
    https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/
    """
    spaces = "for n in ipc pid net; do echo $n=$(readlink /proc/self/ns/$n); done; echo first=$(cat /proc/1/comm)"
    sysctl = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "81"}]
    plain = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "plain"}, "handler": "runc"}
    printed = run(
        cluster, namespace, plain,
        once("classed", "echo runs", runtimeClassName="plain"),
        once("alone", f"{spaces}; cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
             securityContext={"sysctls": sysctl}),
        once("processes", f"{spaces}; until pidof sleep; do true; done; killall sleep",
             shell("sleep 3600; exit 0", "other"), shareProcessNamespace=True),
        once("host", f"{spaces}; echo name=$(hostname)", hostNetwork=True, hostPID=True, hostIPC=True),
    )  # fmt: skip
    cluster.kubectl("delete", "runtimeclass", "plain")
    assert printed["classed"] == "runs\n"
    found = {name: table(text) for name, text in printed.items()}
    own = {kind: str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in ("ipc", "pid", "net")}
    assert {kind: found["host"][kind] for kind in own} == own
    assert found["host"]["name"] == socket.gethostname()
    assert all(found["alone"][kind] != own[kind] for kind in own)
    assert printed["alone"].endswith("\n81\n")
    assert found["processes"]["first"] == "pause"


def test_names(cluster: Cluster, namespace: str) -> None:
    """What a pod calls itself and others: hostname, subdomain, setHostnameAsFQDN, hostnameOverride, hostAliases in the
    managed /etc/hosts, dnsPolicy and dnsConfig in resolv.conf.

    https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/,
    https://kubernetes.io/docs/tasks/network/customize-hosts-file-for-pods/, KEP-4762
    """
    script = "echo NAME=$(hostname); cat /etc/hosts /etc/resolv.conf"
    aliases = [{"ip": "192.0.2.7", "hostnames": ["one.example", "two.example"]}]
    config = {"nameservers": ["192.0.2.53"], "searches": ["a.example"], "options": [{"name": "ndots", "value": "2"},
                                                                                    {"name": "edns0"}]}  # fmt: skip
    printed = run(
        cluster, namespace,
        once("sub", script, hostname="host", subdomain="sub", hostAliases=aliases),
        once("fqdn", script, subdomain="s", setHostnameAsFQDN=True),
        once("override", script, hostnameOverride="a.name.example", dnsPolicy="None", dnsConfig=config),
        once("default", script, dnsPolicy="Default"),
        once("host", script, hostNetwork=True, hostAliases=aliases),
        once("host-cluster", script, hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet"),
        once("own-file", "cat /etc/hosts", volumes=[{"name": "v", "emptyDir": {}}],
             initContainers=[shell("echo mine > /v/hosts", "i", volumeMounts=[{"name": "v", "mountPath": "/v"}])],
             main={"volumeMounts": [{"name": "v", "mountPath": "/etc/hosts", "subPath": "hosts"}]}),
    )  # fmt: skip
    ips = {p["metadata"]["name"]: p["status"]["podIP"] for p in cluster.items("pods", namespace=namespace)}
    zone = f"{namespace}.svc.cluster.local"
    in_cluster = rf"search {zone} svc\.cluster\.local cluster\.local.*\nnameserver 10\.96\.0\.10\noptions ndots:5\n$"
    alias = "\n# Entries added by HostAliases.\n192.0.2.7\tone.example\ttwo.example\n"
    assert printed["sub"].startswith("NAME=host\n# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert f"\n{ips['sub']}\thost.sub.{zone}\thost\n" in printed["sub"] and alias in printed["sub"]
    assert re.search(in_cluster, printed["sub"])
    assert printed["fqdn"].startswith(f"NAME=fqdn.s.{zone}\n")
    assert printed["override"].startswith("NAME=a.name.example\n")
    assert f"\n{ips['override']}\ta.name.example\n" in printed["override"]
    assert printed["override"].endswith("search a.example\nnameserver 192.0.2.53\noptions ndots:2 edns0\n")
    assert "10.96.0.10" not in printed["default"] and "10.96.0.10" not in printed["host"]
    assert "# Kubernetes-managed hosts file (host network).\n" in printed["host"] and alias in printed["host"]
    assert re.search(in_cluster, printed["host-cluster"])
    assert printed["own-file"] == "mine\n"


def cgroup_files(pid: int) -> dict[str, str]:
    """What limits the group of a process and its parent: file → content."""
    found = {}
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        at = Path("/sys/fs/cgroup") / controllers.removeprefix("name=") / path.lstrip("/")
        for where, prefix in ((at, ""), (at.parent, "pod.")):
            for file in (*where.glob("cpu.*"), *where.glob("memory.*limit_in_bytes"), *where.glob("*.max")):
                try:
                    found[prefix + file.name] = file.read_text().strip()
                except OSError:
                    continue  # not every file can be read
    return found


def any_of(files: dict[str, str], *names: str) -> str:
    """Of version 1 and 2, whichever the machine has."""
    return next(files[name] for name in names if name in files)


def test_resources(cluster: Cluster, namespace: str) -> None:
    """Requests and limits of containers become shares, quota and limits of their control groups; those of a pod
    (KEP-2837) limit its containers together, and who exceeds them is OOMKilled. Nothing of the group is left.

    pkg/kubelet/cm/helpers_linux.go, pkg/kubelet/qos/policy.go
    """
    hog = "dd if=/dev/zero of=/dev/null bs=60M count=1000"
    whole = {"requests": {"cpu": "100m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "32Mi"}}
    score = f"cat /proc/self/oom_score_adj; {SLEEP}"
    cluster.apply(
        documents(
            pod("limited", shell(score, resources={"requests": {"cpu": "250m", "memory": "16Mi"},
                                                   "limits": {"cpu": "500m", "memory": "64Mi"}})),
            pod("whole", shell(score), shell(SLEEP, "hog"), resources=whole),
            pod("hog", shell(hog), resources=whole, restartPolicy="Never"),
            pod("besteffort", shell(score)),
        ),
        namespace,
    )  # fmt: skip
    pods = {n: cluster.wait_ready(f"app={n}", 1, namespace)[0] for n in ("limited", "whole", "besteffort")}

    def files(name: str) -> dict[str, str]:
        pid = cluster.docker("inspect", "-f", "{{.State.Pid}}", cluster.container(pods[name], "main"))
        return cgroup_files(int(pid))

    limited, together = files("limited"), files("whole")
    assert any_of(limited, "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert any_of(limited, "cpu.cfs_quota_us", "cpu.max").split(" ")[0] == "50000"
    assert any_of(limited, "cpu.shares", "cpu.weight") in ("256", "10")
    assert any_of(together, "pod.memory.limit_in_bytes", "pod.memory.max") == str(32 << 20)
    assert any_of(together, "pod.cpu.cfs_quota_us", "pod.cpu.max").split(" ")[0] == "50000"
    assert any_of(together, "pod.cpu.shares", "pod.cpu.weight") in ("102", "4")
    scores = {n: int(cluster.kubectl("logs", n, "-c", "main", namespace=namespace).stdout) for n in pods}
    assert scores["besteffort"] == 1000 and 2 < scores["limited"] < 1000 and 2 < scores["whole"] < 1000
    assert {n: p["status"]["qosClass"] for n, p in pods.items()} == {
        "limited": "Burstable", "whole": "Burstable", "besteffort": "BestEffort",
    }  # fmt: skip

    def killed() -> bool:
        ended = statuses(cluster.get("pod", "hog", namespace=namespace))["main"]["state"]["terminated"]
        return bool((ended["exitCode"], ended["reason"]) == (137, "OOMKilled"))

    eventually_sync(killed, "the pod's limit is enforced", within=30)
    uid = pods["whole"]["metadata"]["uid"].replace("-", "?")
    above = ("", "*/", "sampan.slice/", "*/sampan.slice/")
    groups = [path for where in above for path in Path("/sys/fs/cgroup").glob(f"{where}sampan-pod{uid}*")]
    assert groups
    cluster.kubectl("delete", "pods", "--all", namespace=namespace)
    eventually_sync(lambda: not any(path.exists() for path in groups), "no control group is left", within=20)


def test_what_the_nodes_owner_decides(cluster: Cluster, namespace: str) -> None:
    """allowedUnsafeSysctls, podPidsLimit, seccompDefault and clusterDNS of a KubeletConfiguration.

    https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
    """
    sysctl = {"sysctls": [{"name": "kernel.msgmax", "value": "10000"}]}
    forks = "n=0; while [ $n -lt 40 ] && (sleep 5 & ) 2> /dev/null; do n=$((n + 1)); done; echo FORKS=$n"
    with settings(cluster, allowedUnsafeSysctls=["kernel.msg*"], podPidsLimit=20, seccompDefault=True, clusterDNS=[]):
        printed = run(
            cluster, namespace,
            once("unsafe", "cat /proc/sys/kernel/msgmax", securityContext=sysctl),
            once("forks", forks),
            once("default", _STATUS),
        )  # fmt: skip
    assert printed["unsafe"] == "10000\n"
    assert int(table(printed["forks"])["FORKS"]) < 20
    assert table(printed["default"])["Seccomp"] == "2"
    told = cluster.told(namespace, "MissingClusterDNS")
    assert 'cannot create Pod using "ClusterFirst" policy. Falling back to "Default" policy.' in told[0]["message"]


def test_host_ports(cluster: Cluster, namespace: str) -> None:
    """A container's port is the node's too, on the address and for the protocol it says; two pods cannot have the same.

    https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#ports, test/e2e/network/hostport.go
    """
    ip = cluster.node_ip()
    node = cluster.node()["metadata"]["name"]
    heard = "until [ $(awk '/^Udp: [0-9]/ {print $3}' /proc/net/snmp) -gt 0 ]; do sleep 0.2; done; echo heard"
    counts = shell(f"{heard}; {SLEEP}", "udp")  # datagrams that came to a port where nobody listens
    web = {"name": "main", "image": HELLO}
    ports = [{"containerPort": 8080, "hostPort": 30801}]
    cluster.apply(
        documents(
            pod("first", {**web, "ports": ports}),
            pod("local", {**web, "ports": [{"containerPort": 8080, "hostPort": 30802, "hostIP": "127.0.0.1"}]},
                {**counts, "ports": [{"containerPort": 9, "hostPort": 30803, "protocol": "UDP"}]}),
            pod("second", {**web, "ports": ports}),
            pod("forced", {**web, "ports": ports}, nodeName=node),
        ),
        namespace,
    )  # fmt: skip
    cluster.wait_ready("app=local", 1, namespace)

    def answered(url: str) -> str:
        try:
            return get_text(url)
        except OSError as error:
            raise AssertionError(str(error)) from error

    taken = eventually_sync(lambda: answered(f"http://{ip}:30801/"), "the node's port answers")
    assert taken.startswith("Hello from ")
    assert eventually_sync(lambda: answered("http://127.0.0.1:30802/"), "on loopback").startswith("Hello from local")
    with pytest.raises(AssertionError, match="refused"):
        answered(f"http://{ip}:30802/")

    def told() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"ping", (ip, 30803))
        return cluster.kubectl("logs", "local", "-c", "udp", namespace=namespace).stdout == "heard\n"

    eventually_sync(told, "the datagram is in the pod", within=20)
    found = {p["metadata"]["name"]: p["status"] for p in cluster.items("pods", namespace=namespace)}
    refused = [n for n, s in found.items() if s["phase"] == "Failed"]
    assert all(found[n]["reason"] == "NodePorts" for n in refused)
    assert sum(s["phase"] in ("Running", "ContainerCreating") for n, s in found.items() if n != "local") == 1, found


REFUSED_AT_START: dict[str, tuple[Obj, str, str]] = {
    # name: what is wrong; the waiting reason; its message
    "root": ({"securityContext": {"runAsNonRoot": True}}, "CreateContainerConfigError",
             "container has runAsNonRoot and image will run as root"),
    "user-zero": ({"securityContext": {"runAsNonRoot": True, "runAsUser": 0}}, "CreateContainerConfigError",
                  "container's runAsUser breaks non-root policy"),
    "no-profile": ({"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "none.json"}}},
                   "CreateContainerError", "cannot load seccomp profile"),
    "no-file": ({"env": [{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "K"}}}],
                 "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
                "CreateContainerConfigError", "couldn't parse env file"),
}  # fmt: skip
NO_SANDBOX: dict[str, tuple[Obj, str]] = {
    "own-users": ({"hostUsers": False}, "can't set `spec.hostUsers: false`, runtime does not support user namespaces"),
    "no-handler": ({"runtimeClassName": "unconfigured"}, "nowhere-to-be-found"),
    "claims": ({"resourceClaims": [{"name": "c", "resourceClaimName": "c"}]},
               "spec.resourceClaims: this node has no driver for dynamic resource allocation"),
    "long-name": ({"setHostnameAsFQDN": True, "subdomain": "s", "hostname": "h" * 60},
                  "is too long (64 characters is the max, "),
}  # fmt: skip
FAILED: dict[str, tuple[Obj, str, str]] = {
    "sysctl": ({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "10000"}]}}, "SysctlForbidden",
               'forbidden sysctl: "kernel.msgmax" not allowlisted'),
    "app-armor": ({"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}, "AppArmor",
                  "Cannot enforce AppArmor: AppArmor is not enabled on the host"),
}  # fmt: skip


def test_what_a_node_cannot_do_is_told(cluster: Cluster, namespace: str) -> None:
    """No field is silently ignored: the pod is refused with upstream's reason, or an event names the field.

    test/e2e/common/node/{security_context,runtimeclass,sysctl}.go, pkg/kubelet/lifecycle/handlers.go
    """
    has_app_armor = Path("/sys/module/apparmor/parameters/enabled").exists()
    failed = {n: row for n, row in FAILED.items() if n != "app-armor" or not has_app_armor}
    selinux = Path("/sys/fs/selinux/enforce").exists()
    handler = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "unconfigured"},
               "handler": "nowhere-to-be-found"}  # fmt: skip
    level = {"seLinuxOptions": {"level": "s0:c1"}}
    cluster.apply(
        documents(
            handler,
            *(pod(n, shell(SLEEP, **main), volumes=[{"name": "v", "emptyDir": {}}])
              for n, (main, _, _) in REFUSED_AT_START.items()),
            *(pod(n, shell(SLEEP), **spec) for n, (spec, _) in NO_SANDBOX.items()),
            *(pod(n, shell(SLEEP), **spec) for n, (spec, _, _) in failed.items()),
            pod("labelled", shell(SLEEP, securityContext=level)),
        ),
        namespace,
    )  # fmt: skip

    def all_told() -> bool:
        found = {p["metadata"]["name"]: p for p in cluster.items("pods", namespace=namespace)}
        said = [(e["involvedObject"]["name"], e["reason"], e["message"])
                for e in cluster.items("events", namespace=namespace)]  # fmt: skip
        for name, (_, reason, message) in REFUSED_AT_START.items():
            waiting = statuses(found[name]).get("main", {}).get("state", {}).get("waiting", {})
            assert (waiting.get("reason"), message in waiting.get("message", "")) == (reason, True), (name, waiting)
            assert any(n == name and r == "Failed" and m.startswith("Error: ") for n, r, m in said), (name, said)
        for name, (_, message) in NO_SANDBOX.items():
            assert found[name]["status"]["phase"] == "Pending"
            assert any(n == name and r == "FailedCreatePodSandBox" and message in m for n, r, m in said), (name, said)
        for name, (_, reason, message) in failed.items():
            status = found[name]["status"]
            told = (status["phase"], status.get("reason"), status.get("message"))
            assert told == ("Failed", reason, f"Pod was rejected: {message}"), told
            assert any((n, r, m) == (name, reason, message) for n, r, m in said), (name, said)
        assert found["labelled"]["status"]["phase"] == "Running"
        without = (
            "spec.containers{main}.securityContext.seLinuxOptions has no effect: SELinux is not enabled on this node"
        )
        assert selinux or any((n, r, m) == ("labelled", "FieldWithoutEffect", without) for n, r, m in said), said
        return True

    try:
        eventually_sync(all_told, "everything is told", within=60, pause=0.5)
    finally:
        cluster.kubectl("delete", "runtimeclass", "unconfigured")


def test_standard_input(cluster: Cluster, namespace: str) -> None:
    """stdin stays open until the first client that attaches has left, with stdinOnce; tty gives a terminal.

    https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#debugging
    """
    reads = {"name": "main", "image": HELLO, "command": ["cat"], "stdin": True, "stdinOnce": True}
    cluster.apply(
        documents(
            pod("reads", reads, restartPolicy="Never"),
            pod("terminal", shell("tty", tty=True), restartPolicy="Never"),
        ),
        namespace,
    )
    cluster.wait_ready("app=reads", 1, namespace)
    cluster.kubectl("attach", "-i", "reads", namespace=namespace, stdin="hello\n")

    def ended() -> bool:
        phases = {p["metadata"]["name"]: p["status"]["phase"] for p in cluster.items("pods", namespace=namespace)}
        return phases == {"reads": "Succeeded", "terminal": "Succeeded"}

    eventually_sync(ended, "its input has ended", within=30)
    assert cluster.kubectl("logs", "reads", namespace=namespace).stdout == "hello\n"
    assert cluster.kubectl("logs", "terminal", namespace=namespace).stdout.startswith("/dev/")
