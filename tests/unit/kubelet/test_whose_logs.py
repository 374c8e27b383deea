"""Whose log a pod's status may lead to."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from api.errors import BadRequest
from client.clock import FakeClock
from kubelet.server.containers import Containers
from tests.unit.kubelet.pods import exited, pod


class Node:
    """A pod that somebody else has ended, and whose status names a container of another pod."""

    def find(self, namespace: str, name: str) -> Any:
        ended = {"terminated": {"containerID": "docker://app-0"}}
        made = pod(status={"phase": "Failed", "containerStatuses": [{"name": "app", "state": ended}]})
        return {**made, "metadata": {**made["metadata"], "uid": "u-2"}}

    def get(self, container_id: str) -> Any:
        return exited()


async def test_a_status_leads_to_no_other_pods_log() -> None:
    node: Any = Node()
    of_another = {"namespace": "default", "pod": "web", "container": "app"}
    request = make_mocked_request("GET", "/containerLogs/default/web/app", match_info=of_another)
    with pytest.raises(BadRequest, match="unable to retrieve container logs for docker://app-0"):
        await Containers(node, node, node, FakeClock(), 60.0)._logs(request)
