"""How a command in a container ended.

Its output may end before it does, and Docker hears of its end a moment later: so it is asked again until it knows, as
upstream's dockershim did (exec.go, ExecInContainer). How long is the caller's to bound: a command may close its output
and run on.
"""

from __future__ import annotations

from client.backoff import Backoff
from client.clock import Clock
from kubelet.docker.runtime import DockerRuntime


async def exit_code(runtime: DockerRuntime, clock: Clock, exec_id: str) -> int:
    """RuntimeFailure when Docker does not tell."""
    pause = Backoff(0.01, 0.5, 2.0)
    while (code := await runtime.exec_exit_code(exec_id)) is None:
        await clock.sleep(pause.delay())
    return code
