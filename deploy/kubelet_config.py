"""The configuration file that a node's kubelet is given: what the cluster needs of it, and room for the user's own.

Format: https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/.
"""

from __future__ import annotations

from client.files import write_atomically
from deploy.cluster import DNS_ADDRESS, DOMAIN
from deploy.nodes import Node

_TEXT = f"""\
# Yours to change: it is never written again. `sampan up` restarts the kubelet when this has changed.
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
clusterDNS: [{DNS_ADDRESS}]
clusterDomain: {DOMAIN}
"""


def ensure(node: Node) -> None:
    """Never touches a file that is there."""
    if not node.kubelet_config.exists():
        write_atomically(node.kubelet_config, _TEXT.encode())
