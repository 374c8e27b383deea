"""Tells the apiserver which node a pod goes to, many at a time.

Whoever asks does not wait: the pod is already assumed on its node. `failed` is called when the binding did not
happen, or may not have: the assumption is to be forgotten then and the pod tried again (should the binding have
happened after all, the watch says so).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from api.builtin import PODS
from api.errors import ApiError
from client import log, metrics
from client.events import EventRecorder
from client.http import ApiClient
from scheduler.pod import Pod
from scheduler.volume_binder import NotBound, VolumeBinder
from scheduler.volumes import Promise

_log = log.get("binder")
CONCURRENCY = 32
Failed = Callable[[Pod, Promise | None, ApiError | NotBound | None], None]


class Binder:
    def __init__(self, client: ApiClient, events: EventRecorder, failed: Failed, volumes: VolumeBinder) -> None:
        self._client, self._events, self._failed, self._volumes = client, events, failed, volumes
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._tasks: set[asyncio.Task[None]] = set()

    def bind(self, pod: Pod, node: str, promise: Promise | None = None) -> None:
        """`promise` is what its claims are to get first."""
        task = asyncio.create_task(self._bind(pod, node, promise))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Bind nothing more; what was under way counts as failed."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _bind(self, pod: Pod, node: str, promise: Promise | None) -> None:
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            if promise is not None:
                await self._volumes.bind(pod, node, promise)
            async with self._slots:
                await self._client.create(PODS, binding, namespace=pod.namespace, name=pod.name, subresource="binding")
        except ApiError as error:
            metrics.count("sampan_scheduler_binding_errors", reason=error.reason)
            _log.info("binding failed", pod=pod.key, node=node, code=error.code, why=error.message)
            self._failed(pod, promise, error)
        except NotBound as error:
            self._failed(pod, promise, error)
        except BaseException:
            self._failed(pod, promise, None)
            raise
        else:
            metrics.count("sampan_scheduler_scheduled")
            self._events.event(pod.obj, "Normal", "Scheduled", f"Successfully assigned {pod.key} to {node}")
