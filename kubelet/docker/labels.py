"""The labels our containers bear, and the name of the pod network: how a restarted kubelet knows its own.

The io.kubernetes ones are dockershim's.
"""

from __future__ import annotations

CLUSTER_LABEL = "sampan.io/cluster"
NODE_LABEL = "sampan.io/node"
POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
RESTART_COUNT = "io.kubernetes.container.restart-count"
TERMINATION_LOG = "io.kubernetes.container.terminationLogPath"
TERMINATION_POLICY = "io.kubernetes.container.terminationMessagePolicy"
GRACE = "io.kubernetes.pod.terminationGracePeriod"
SANDBOX_ID = "sampan.io/sandbox-id"
SPEC_HASH = "sampan.io/container-hash"
POD_IP = "sampan.io/pod-ip"
IMAGE = "sampan.io/image"
USER = "sampan.io/user"
RESOURCES = "sampan.io/resources"

NETWORK = "sampan"
