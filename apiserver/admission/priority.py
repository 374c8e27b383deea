"""Priority: a pod's class as a number; one class at most is the default, and the system's own stay.

https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
"""

from __future__ import annotations

from api import meta
from api.builtin import PODS, PRIORITY_CLASSES
from api.errors import NotFound
from api.kinds.scheduling import SYSTEM_CLASSES
from api.meta import Obj
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin
from apiserver.storage.store import Store

_PREEMPT = "PreemptLowerPriority"
_NO_CLASS: Obj = {"metadata": {"name": ""}, "value": 0, "preemptionPolicy": _PREEMPT}


class Priority(Plugin):
    name = "Priority"

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read_at = -1
        self._default = _NO_CLASS

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        if res is PRIORITY_CLASSES:
            return True
        return verb == "create" and res is PODS and not subresource

    async def mutate(self, attempt: Attempt) -> None:
        if attempt.res is not PODS:
            return
        spec = attempt.new()["spec"]
        given = spec.get("priorityClassName", "")
        chosen = await self._class(attempt, given) if given else await self._the_default()
        if meta.name(chosen):
            spec["priorityClassName"] = meta.name(chosen)
        for name, value, what in (
            ("priority", chosen.get("value", 0), "the integer value of priority"),
            ("preemptionPolicy", chosen.get("preemptionPolicy", _PREEMPT), "the string value of PreemptionPolicy"),
        ):
            if spec.get(name, value) != value:
                raise attempt.forbidden(
                    f"{what} ({spec[name]}) must not be provided in pod spec; priority admission controller computed "
                    f"{value} from the given PriorityClass name"
                )
            spec[name] = value

    async def validate(self, attempt: Attempt) -> None:
        if attempt.verb == "delete" and attempt.name in SYSTEM_CLASSES:
            raise attempt.forbidden("this is a system priority class and cannot be deleted")
        if attempt.obj is None or attempt.res is not PRIORITY_CLASSES or not attempt.obj.get("globalDefault"):
            return
        default = meta.name(await self._the_default())
        if default not in ("", attempt.name):
            raise attempt.forbidden(f"PriorityClass {default} is already marked as default. Only one default can exist")

    async def _class(self, attempt: Attempt, name: str) -> Obj:
        """From the cache; only a class that is not in it is asked for with a consistent read."""
        for version in ("0", ""):
            try:
                return (await self._store.get(PRIORITY_CLASSES, "", name, resource_version=version)).obj()
            except NotFound:
                continue
        raise attempt.forbidden(f"no PriorityClass with name {name} was found")

    async def _the_default(self) -> Obj:
        """The lowest of those that say so. Read again only when a class has changed: every pod asks."""
        changed = self._store.changed_at(PRIORITY_CLASSES)
        if changed != self._read_at:
            page = await self._store.list(PRIORITY_CLASSES, resource_version="0")
            defaults = [c for c in (stored.obj() for stored in page.items) if c.get("globalDefault")]
            self._default = min(defaults, key=lambda c: int(c["value"]), default=_NO_CLASS)
            self._read_at = changed
        return self._default
