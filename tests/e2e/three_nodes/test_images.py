"""A local image on every node, without a registry."""

from __future__ import annotations

from tests.e2e import manifests
from tests.e2e.manifests import documents, pod, shell
from tests.harness.cluster import HELLO, Cluster


def test_an_image_is_put_where_it_is_missing(cluster: Cluster, namespace: str) -> None:
    """`sampan image load` streams an archive to all nodes at once and leaves those alone that have it."""
    name, archive = "sampan-test/mine:1", cluster.home / "mine.tar"
    first, *others = sorted(node["metadata"]["name"] for node in cluster.items("nodes"))
    cluster.docker("tag", HELLO, name, node=first)
    cluster.docker("save", "-o", str(archive), name, node=first)
    told = cluster.sampan("image", "load", str(archive)).stderr
    assert f"put on {', '.join(others)}, already on 1 node" in told
    assert "already on 3 nodes" in cluster.sampan("image", "load", str(archive)).stderr
    containers = [shell(manifests.SLEEP, image=name, imagePullPolicy="Never")]
    cluster.apply(
        documents(*(pod(f"on-{n}", *containers, nodeName=n, labels={"app": "mine"}) for n in others)), namespace
    )
    cluster.wait_ready("app=mine", 2, namespace)
    cluster.kubectl("delete", "pods", "-l", "app=mine", namespace=namespace)
    assert f"from {first}, {', '.join(others)}" in cluster.sampan("image", "rm", name).stderr
