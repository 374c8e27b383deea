"""Several machines: spreading, reaching each other, losing one and getting it back."""

from __future__ import annotations

from collections import Counter
from typing import Any

from deploy.machine import Machines
from tests.e2e import manifests
from tests.e2e.manifests import SLEEP, documents, pod, shell
from tests.harness.cluster import HELLO, Cluster, condition, get_text
from tests.harness.eventually import eventually_sync


def _nodes_of(pods: list[dict[str, Any]]) -> Counter[str]:
    return Counter(p["spec"]["nodeName"] for p in pods)


def _fetch(cluster: Cluster, namespace: str, client: str, host: str) -> str:
    command = ["exec", client, "--", "timeout", "5", "wget", "-qO-", f"http://{host}"]
    return cluster.kubectl(*command, namespace=namespace, check=False).stdout


def test_six_replicas_are_spread(cluster: Cluster, namespace: str) -> None:
    cluster.apply(manifests.web("web", 6), namespace)
    assert sorted(_nodes_of(cluster.wait_ready("app=web", 6, namespace)).values()) == [2, 2, 2]


def test_pods_reach_each_other_and_services_across_nodes(cluster: Cluster, namespace: str) -> None:
    cluster.apply(manifests.web("web", 3, 30121), namespace)
    servers = cluster.wait_ready("app=web", 3, namespace)
    assert len(_nodes_of(servers)) == 3
    names = sorted(n["metadata"]["name"] for n in cluster.items("nodes"))
    cluster.apply(documents(*(pod(f"client-{i}", shell(SLEEP), nodeName=n) for i, n in enumerate(names))), namespace)
    service = cluster.get("service", "web", namespace=namespace)["spec"]["clusterIP"]
    for index in range(len(names)):
        cluster.wait_ready(f"app=client-{index}", 1, namespace)

        def fetch(host: str, index: int = index) -> str:
            return _fetch(cluster, namespace, f"client-{index}", host)

        for server in servers:
            ip, name = server["status"]["podIP"], server["metadata"]["name"]
            eventually_sync(lambda ip=ip, name=name: name in fetch(f"{ip}:8080"), f"client-{index} reaches {name}")
        seen: set[str] = set()

        def all_seen(seen: set[str] = seen) -> bool:
            seen.add(fetch(service).split(",")[0].removeprefix("Hello from "))
            return {s["metadata"]["name"] for s in servers} <= seen

        eventually_sync(all_seen, f"client-{index} reaches every server through the service", within=30)
    for index in range(len(names)):
        ip = cluster.node_ip(index)
        assert get_text(f"http://{ip}:30121").startswith("Hello from"), "every node serves the node port"


def test_names_resolve_in_pods(cluster: Cluster, namespace: str) -> None:
    cluster.apply(manifests.web("web", 2), namespace)
    cluster.apply(documents(pod("client", shell(SLEEP))), namespace)
    cluster.wait_ready("app=web", 2, namespace)
    cluster.wait_ready("app=client", 1, namespace)

    for host in ("web", f"web.{namespace}", f"web.{namespace}.svc.cluster.local"):
        eventually_sync(
            lambda host=host: _fetch(cluster, namespace, "client", host).startswith("Hello from"),
            f"{host} resolves and answers",
        )


def test_a_host_port_is_reached_from_other_nodes(cluster: Cluster, namespace: str) -> None:
    """ContainerPort.hostPort (core/v1 types.go) is exposed on the host: from a pod elsewhere, from another node itself,
    and from outside."""
    names = sorted(n["metadata"]["name"] for n in cluster.items("nodes"))
    published = {"name": "web", "image": HELLO, "ports": [{"containerPort": 8080, "hostPort": 30199}]}
    cluster.apply(
        documents(
            pod("server", published, nodeName=names[0]),
            pod("pod-client", shell(SLEEP), nodeName=names[1]),
            pod("node-client", shell(SLEEP), nodeName=names[2], hostNetwork=True),
        ),
        namespace,
    )
    for name in ("server", "pod-client", "node-client"):
        cluster.wait_ready(f"app={name}", 1, namespace)
    (server,) = (n for n in cluster.items("nodes") if n["metadata"]["name"] == names[0])
    ip = next(a["address"] for a in server["status"]["addresses"] if a["type"] == "InternalIP")
    for client in ("pod-client", "node-client"):
        eventually_sync(
            lambda client=client: _fetch(cluster, namespace, client, f"{ip}:30199").startswith("Hello from server"),
            f"{client} is answered",
        )
    assert get_text(f"http://{ip}:30199").startswith("Hello from server")


def test_a_lost_nodes_pods_move_and_no_double_remains(cluster: Cluster, namespace: str) -> None:
    """The cable of one node is pulled, and put back when its pods run elsewhere."""
    tolerations = [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
        for key in ("not-ready", "unreachable")
    ]
    cluster.apply(manifests.web("web", 6, 30122, tolerations=tolerations), namespace)
    pods = cluster.wait_ready("app=web", 6, namespace)
    lost = sorted(_nodes_of(pods))[-1]
    lost_ip = next(
        a["address"] for n in cluster.items("nodes") if n["metadata"]["name"] == lost
        for a in n["status"]["addresses"] if a["type"] == "InternalIP"
    )  # fmt: skip
    stranded = [p["metadata"]["name"] for p in pods if p["spec"]["nodeName"] == lost]
    (loner,) = (pod("loner", shell(SLEEP), nodeName=lost, tolerations=[{"operator": "Exists"}]),)
    cluster.apply(documents(loner), namespace)
    cluster.wait_ready("app=loner", 1, namespace)

    machines = Machines(cluster.data)
    machines.unplug(lost)
    try:

        def not_ready() -> bool:
            node = cluster.get("node", lost)
            return condition(node, "Ready") == "Unknown"

        eventually_sync(not_ready, "the node is NotReady", within=50, pause=0.5)

        def unknown() -> bool:
            status = cluster.get("pod", "loner", namespace=namespace)["status"]
            return (status["phase"], status.get("reason")) == ("Unknown", "NodeLost")

        eventually_sync(unknown, "its pod is Unknown because of NodeLost", within=20, pause=0.5)

        def moved() -> bool:
            ready = [p for p in cluster.ready_pods("app=web", namespace) if p["spec"]["nodeName"] != lost]
            return len(ready) == 6

        eventually_sync(moved, "six replicas run on the other two nodes", within=90, pause=0.5)
        alive = next(i for i in range(3) if cluster.node_ip(i) != lost_ip)
        url = f"http://{cluster.node_ip(alive)}:30122"
        answers = [get_text(url) for _ in range(60)]
        assert not [a for a in answers if any(name in a for name in stranded)], "nothing is sent to the lost node"
    finally:
        machines.plug(lost)

    eventually_sync(lambda: condition(cluster.get("node", lost), "Ready") == "True", "the node is back", within=60)

    def settled() -> bool:
        listed = cluster.items("pods", "-l", "app=web", namespace=namespace)
        running = cluster.docker(
            "ps", "-q", "--filter", f"label=io.kubernetes.pod.namespace={namespace}",
            "--filter", "label=io.kubernetes.container.name=web", node=lost,
        ).split()  # fmt: skip
        expected = [p for p in listed if p["spec"]["nodeName"] == lost]
        assert len(listed) == 6, [p["metadata"]["name"] for p in listed]
        return len(running) == len(expected)

    eventually_sync(settled, "exactly one copy of everything remains", within=60, pause=0.5)

    def loner_back() -> bool:
        status = cluster.get("pod", "loner", namespace=namespace)["status"]
        return status["phase"] == "Running" and status.get("reason") != "NodeLost"

    eventually_sync(loner_back, "the pod that stayed is Running again", within=30)


def test_a_node_sees_its_own_pods_things_alone(cluster: Cluster, namespace: str) -> None:
    """https://kubernetes.io/docs/reference/access-authn-authz/node/ with the kubeconfig that a node's kubelet has."""
    here, there = sorted(n["metadata"]["name"] for n in cluster.items("nodes"))[:2]
    kubelet = str(next(m.directory for m in Machines(cluster.data).existing() if m.name == here) / "kubelet.kubeconfig")
    for secret, node in (("mine", here), ("theirs", there)):
        cluster.kubectl("create", "secret", "generic", secret, "--from-literal=a=b", namespace=namespace)
        volume = {"name": "v", "secret": {"secretName": secret}}
        cluster.apply(documents(pod(secret, shell(SLEEP), nodeName=node, volumes=[volume])), namespace)
        cluster.wait_ready(f"app={secret}", 1, namespace)

    def asked(*args: str) -> str:
        return cluster.kubectl("--kubeconfig", kubelet, *args, namespace=namespace, check=False).stderr

    assert asked("get", "secret", "mine") == asked("get", "pod", "mine") == ""
    for refused in (
        ("get", "secret", "theirs"), ("get", "pod", "theirs"), ("get", "secrets"), ("get", "node", there),
        ("delete", "pod", "theirs"), ("get", "lease", there, "-n", "kube-node-lease"), ("label", "node", there, "a=b"),
        ("label", "node", here, "node-restriction.kubernetes.io/a=b"), ("create", "token", "default"),
        ("create", "token", "default", "--bound-object-kind=Pod", "--bound-object-name=theirs"),
    ):  # fmt: skip
        assert "is forbidden" in asked(*refused), refused
