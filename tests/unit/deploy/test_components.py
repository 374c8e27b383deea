"""The table of daemons, the units made from it, and what is decided before anything starts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from client.files import write_atomically
from deploy import audit, cluster, encryption, preflight
from deploy.certificates import new_authority
from deploy.cluster import Cluster, ExternalEtcd, decide
from deploy.components import Component, components
from deploy.errors import Failure
from deploy.layout import Layout
from deploy.machine import Machine
from deploy.machine_docker import Docker
from deploy.nodes import Node, Places
from deploy.supervision import row
from deploy.systemd import quote, setting, unit

LAYOUT = Layout(Path("/data"))
HOST = Places("192.0.2.7", (Node("laptop", "192.0.2.7", Path("/data/nodes/laptop")),))


def machine(index: int) -> Node:
    name, ip, directory = f"sampan-node-{index}", f"172.30.0.{index + 1}", Path(f"/data/nodes/{index}")
    docker = Docker(name, directory / "docker")
    made = Machine(name, index, ip, Path("/run/netns") / name, directory, directory / "resolv.conf", docker)
    return Node(name, ip, directory, docker.socket, made.prefix, made.resolv_conf, made)


def by_name(places: Places = HOST, chosen: Cluster | None = None, etcd: Path | None = Path("/usr/bin/etcd"),
            docker: tuple[str, ...] = ()) -> dict[str, Component]:  # fmt: skip
    return {each.name: each for each in components(LAYOUT, chosen or Cluster(), places, etcd, docker)}


def value(component: Component, flag: str) -> str:
    return component.argv[component.argv.index(flag) + 1]


def test_one_node_is_six_processes_in_the_order_of_their_start() -> None:
    assert list(by_name()) == ["etcd", "apiserver", "controller", "scheduler", "kubelet", "proxy"]


def test_docker_of_our_own_comes_first_and_stays_when_the_rest_stops() -> None:
    table = by_name(docker=("dockerd",))
    assert next(iter(table)) == "docker"
    assert [each.name for each in table.values() if each.keep] == ["docker"]


def test_every_machine_has_docker_kubelet_and_proxy_in_its_namespace() -> None:
    table = by_name(Places("172.30.0.1", (machine(1), machine(2))), Cluster(nodes=2))
    assert len(table) == 4 + 3 * 2
    kubelet = table["kubelet-sampan-node-2"]
    assert kubelet.argv[:2] == ("nsenter", "--net=/run/netns/sampan-node-2")
    assert kubelet.ports == () and kubelet.health == 0
    assert value(table["proxy-sampan-node-1"], "--resolv-conf") == "/data/nodes/1/resolv.conf"
    assert value(table["apiserver"], "--advertise-address") == "172.30.0.1"
    assert table["docker-sampan-node-1"].keep


def test_an_external_etcd_replaces_ours() -> None:
    external = ExternalEtcd(("https://a:2379", "https://b:2379"), "/ca", "/crt", "/key")
    table = by_name(chosen=Cluster(etcd=external), etcd=None)
    assert "etcd" not in table
    api = table["apiserver"]
    assert [value(api, f"--etcd-{flag}") for flag in ("servers", "cafile", "certfile", "keyfile")] == [
        "https://a:2379,https://b:2379", "/ca", "/crt", "/key",
    ]  # fmt: skip


def test_no_two_daemons_of_a_node_share_a_port() -> None:
    ports = [port for each in by_name().values() for port in each.ports]
    assert len(ports) == len(set(ports)) == 8


def test_a_changed_certificate_restarts_its_reader(tmp_path: Path) -> None:
    component = Component("etcd", ("etcd",), (tmp_path / "server.crt",))
    before = row(LAYOUT, component)["digest"]
    assert row(LAYOUT, component)["digest"] == before
    (tmp_path / "server.crt").write_text("new")
    assert row(LAYOUT, component)["digest"] != before


def test_a_unit_restarts_for_ever_and_starts_at_boot() -> None:
    text = unit(row(LAYOUT, by_name()["apiserver"]), LAYOUT)
    assert "Restart=always" in text and "WantedBy=multi-user.target" in text and "KillMode=mixed" in text


def test_a_unit_in_a_namespace_does_not_start_at_boot_and_keeps_its_containers() -> None:
    places = Places("172.30.0.1", (machine(1),))
    text = unit(row(LAYOUT, by_name(places)["docker-sampan-node-1"]), LAYOUT)
    assert "WantedBy" not in text and "KillMode=process" in text


@pytest.mark.parametrize(
    ("word", "quoted"),
    [("plain", '"plain"'), ("50%", '"50%%"'), ("$HOME", '"$$HOME"'), ('a "b"', '"a \\"b\\""')],
)
def test_words_survive_systemd(word: str, quoted: str) -> None:
    assert quote(word) == quoted


def test_a_dollar_in_the_environment_is_left_alone() -> None:
    assert setting("HTTP_PROXY=http://me:50%$x@proxy") == '"HTTP_PROXY=http://me:50%%$x@proxy"'


def test_up_keeps_the_number_of_nodes_unless_told() -> None:
    assert decide(None, None, ExternalEtcd()).nodes == 1
    assert decide(Cluster(nodes=3), None, ExternalEtcd()).nodes == 3
    assert decide(Cluster(nodes=3), 5, ExternalEtcd()).nodes == 5


@pytest.mark.parametrize(("old", "wanted"), [(1, 3), (3, 1), (3, 2)])
def test_a_cluster_does_not_change_its_nature(old: int, wanted: int) -> None:
    with pytest.raises(Failure) as failure:
        decide(Cluster(nodes=old), wanted, ExternalEtcd())
    assert "reset" in failure.value.remedy


def test_no_nodes_is_no_cluster() -> None:
    with pytest.raises(Failure):
        decide(None, 0, ExternalEtcd())


def test_a_cluster_does_not_move_to_another_etcd() -> None:
    with pytest.raises(Failure):
        decide(Cluster(), None, ExternalEtcd(("https://a:2379",)))


def test_a_cluster_file_reads_back(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    chosen = Cluster(3, ExternalEtcd(("https://a:2379",), "/ca"), example=True)
    cluster.save(layout, chosen)
    assert cluster.load(layout) == chosen
    assert cluster.load(Layout(tmp_path / "none")) is None


def test_two_commands_at_once_are_refused(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with cluster.only_one(layout), pytest.raises(Failure, match="another sampan"), cluster.only_one(layout):
        pass
    with cluster.only_one(layout):
        pass


def test_a_clock_that_was_set_back_is_named(tmp_path: Path) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    write_atomically(tmp_path / "pki" / "ca.crt", new_authority("ca", now).certificate)
    preflight.check_clock(Layout(tmp_path), now)
    with pytest.raises(Failure, match="clock"):
        preflight.check_clock(Layout(tmp_path), now - timedelta(days=400))


def test_only_daemons_that_do_not_run_yet_need_their_ports_free(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[int] = set()

    def nobody(ports: set[int]) -> dict[int, str]:
        asked.update(ports)
        return {}

    monkeypatch.setattr("deploy.host.listeners", nobody)
    table = by_name().values()
    preflight.check_ports(table, [each.name for each in table if each.name != "etcd"])
    assert asked == {12379, 12380}
    monkeypatch.setattr("deploy.host.listeners", lambda _: {12379: "etcd (pid 7)"})
    with pytest.raises(Failure, match=r"12379.*etcd.*pid 7"):
        preflight.check_ports(table, [])


def test_a_replaced_field_makes_another_component() -> None:
    api = by_name()["apiserver"]
    assert row(LAYOUT, api)["digest"] != row(LAYOUT, replace(api, argv=(*api.argv, "-v")))["digest"]


def test_secrets_are_encrypted_in_etcd_with_a_key_that_is_made_once(tmp_path: Path) -> None:
    """https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/; identity reads what was there before."""
    layout = Layout(tmp_path)
    encryption.ensure(layout.encryption_file)
    made = layout.encryption_file.read_bytes()
    encryption.ensure(layout.encryption_file)
    assert layout.encryption_file.read_bytes() == made
    assert layout.encryption_file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Failure, match="the key of this cluster's Secrets"):
        encryption.ensure(tmp_path / "lost.yaml", needed=True)
    (rule,) = yaml.safe_load(made)["resources"]
    assert rule["resources"] == ["secrets"]
    assert [next(iter(provider)) for provider in rule["providers"]] == ["aesgcm", "identity"]
    assert value(by_name()["apiserver"], "--encryption-provider-config") == "/data/pki/encryption.yaml"


def test_what_is_noted_of_requests_is_for_the_administrator_to_say(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    audit.ensure(layout.audit_policy)
    policy = yaml.safe_load(layout.audit_policy.read_text())
    assert (policy["apiVersion"], policy["kind"]) == ("audit.k8s.io/v1", "Policy")
    layout.audit_policy.write_text("rules of my own")
    audit.ensure(layout.audit_policy)
    assert layout.audit_policy.read_text() == "rules of my own"
    apiserver = by_name()["apiserver"]
    assert value(apiserver, "--audit-log-path") == "/data/logs/audit.log"
    assert Path("/data/audit-policy.yaml") in apiserver.files, "it is read at the start only"
