"""Which services have to be looked at when a service or a pod changes."""

from __future__ import annotations

from collections.abc import Callable

from api import meta
from api.meta import Obj
from api.selectors import from_match_labels
from client.informer import Informer
from controller import backends


def follow(services: Informer, pods: Informer, enqueue: Callable[[str], None]) -> None:
    """Call `enqueue` with service keys. `services` needs the index "namespace"."""

    def on_service(_: str, old: Obj | None, new: Obj | None) -> None:
        enqueue(meta.key(new or old or {}))

    def on_pod(_: str, old: Obj | None, new: Obj | None) -> None:
        if not backends.matters(old, new):
            return
        views = [meta.labels(pod) for pod in (old, new) if pod is not None]
        for service in services.store.by_index("namespace", meta.namespace(new or old or {})):
            selector = from_match_labels(service["spec"].get("selector"))
            if any(selector.matches(labels) for labels in views):
                enqueue(meta.key(service))

    services.on_event(on_service)
    pods.on_event(on_pod)
