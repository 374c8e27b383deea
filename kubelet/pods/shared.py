"""What the workers of all pods use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from api.meta import Obj
from client.clock import Clock
from client.events import EventRecorder
from client.http import ApiClient
from kubelet.docker.observer import Observer
from kubelet.pods.admission import Rejection
from kubelet.pods.ending import Endings
from kubelet.pods.resizing import Judge
from kubelet.pods.runner import Runner
from kubelet.pods.status_manager import StatusManager
from kubelet.probing.prober import Probing
from kubelet.volumes.manager import Volumes


async def _welcome(_: Obj) -> Rejection | None:
    return None


class Shared:
    def __init__(
        self,
        client: ApiClient,
        observer: Observer,
        runner: Runner,
        endings: Endings,
        probing: Probing,
        volumes: Volumes,
        statuses: StatusManager,
        recorder: EventRecorder,
        clock: Clock,
        ready: Callable[[Obj], bool],
        admit: Callable[[Obj], Awaitable[Rejection | None]] = _welcome,
        judge: Judge = lambda _: ("", ""),
    ) -> None:
        self.client, self.observer, self.runner = client, observer, runner
        self.endings, self.probing = endings, probing
        self.volumes, self.statuses, self.recorder, self.clock = volumes, statuses, recorder, clock
        self.ready, self.admit, self.judge = ready, admit, judge
        self.room: Callable[[], None] = lambda: None
        """Called when a pod needs less than before."""
