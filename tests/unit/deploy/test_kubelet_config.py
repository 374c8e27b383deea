"""The kubelet's configuration file that `sampan up` writes."""

from __future__ import annotations

from pathlib import Path

from deploy import kubelet_config
from deploy.cluster import DNS_ADDRESS, DOMAIN
from deploy.nodes import Node
from kubelet.configuration import read


def test_it_is_one_that_the_kubelet_takes(tmp_path: Path) -> None:
    node = Node("n", "192.0.2.1", tmp_path)
    kubelet_config.ensure(node)
    configuration = read(str(node.kubelet_config))
    assert (configuration.cluster_dns, configuration.cluster_domain) == ((DNS_ADDRESS,), DOMAIN)


def test_what_the_user_made_of_it_stays(tmp_path: Path) -> None:
    node = Node("n", "192.0.2.1", tmp_path)
    node.kubelet_config.write_text("mine")
    kubelet_config.ensure(node)
    assert node.kubelet_config.read_text() == "mine"
