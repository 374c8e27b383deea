"""RuntimeClass: a pod that names one takes over its overhead, node selector and tolerations.

https://kubernetes.io/docs/concepts/containers/runtime-class/ and plugin/pkg/admission/runtimeclass
"""

from __future__ import annotations

from api.builtin import PODS, RUNTIME_CLASSES
from api.errors import NotFound
from api.meta import Obj
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin
from apiserver.storage.store import Store


class RuntimeClass(Plugin):
    name = "RuntimeClass"

    def __init__(self, store: Store) -> None:
        self._store = store

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return verb == "create" and res is PODS and not subresource

    async def mutate(self, attempt: Attempt) -> None:
        spec = attempt.new()["spec"]
        name = spec.get("runtimeClassName")
        runtime = await self._class(attempt, name) if name else {}
        overhead = (runtime.get("overhead") or {}).get("podFixed")
        if spec.get("overhead") and not overhead:
            raise attempt.forbidden(
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            )
        if overhead:
            if spec.get("overhead", overhead) != overhead:
                raise attempt.forbidden("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
            spec["overhead"] = overhead
        _schedule(attempt, spec, runtime.get("scheduling") or {})

    async def _class(self, attempt: Attempt, name: str) -> Obj:
        """From the cache; only one that is not in it is asked for with a consistent read."""
        for version in ("0", ""):
            try:
                return (await self._store.get(RUNTIME_CLASSES, "", name, resource_version=version)).obj()
            except NotFound:
                continue
        raise attempt.forbidden(f'pod rejected: RuntimeClass "{name}" not found')


def _schedule(attempt: Attempt, spec: Obj, scheduling: Obj) -> None:
    wanted, own = scheduling.get("nodeSelector") or {}, spec.get("nodeSelector") or {}
    for key, value in wanted.items():
        if own.get(key, value) != value:
            raise attempt.forbidden(
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {own[key]}"
            )
    if wanted:
        spec["nodeSelector"] = {**own, **wanted}
    tolerations = spec.get("tolerations") or []
    more = [toleration for toleration in scheduling.get("tolerations") or [] if toleration not in tolerations]
    if more:
        spec["tolerations"] = [*tolerations, *more]
